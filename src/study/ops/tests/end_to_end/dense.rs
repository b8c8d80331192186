//! The operations of dense retrieval together: against sentence-transformers' figures, and over a small collection.

use super::*;
use xpipe_data::ir::dense::Embeddings;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/dense").join(name)
}

fn figures<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&std::fs::read(data(name)).unwrap()).unwrap()
}

/// A bench with a copy of the tiny model, and texts as corpus and queries.
fn bench(texts: &[String]) -> Bench {
    let bench = Bench::new(2);
    copy(&data("tiny"), &bench.path("tiny"));
    for side in ["corpus", "queries"] {
        store(&bench.path(side), texts.iter().enumerate().map(|(i, text)| (format!("t{i}"), text.clone())));
    }
    bench
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The largest difference of any number.
fn apart(bench: &Bench, of: &str, expected: &[Vec<f32>]) -> f32 {
    let found = Embeddings::open(&bench.path(of)).unwrap();
    assert_eq!((found.len(), found.width()), (expected.len(), expected[0].len()));
    let each = expected.iter().enumerate().flat_map(|(i, row)| found.get(i).into_iter().zip(row.clone()));
    each.fold(0.0, |most, (x, y)| most.max((x - y).abs() / y.abs().max(1.0)))
}

#[derive(serde::Deserialize)]
struct Tiny {
    texts: Vec<String>,
    query: Vec<Vec<f32>>,
    document: Vec<Vec<f32>>,
    modes: Vec<Mode>,
}

#[derive(serde::Deserialize)]
struct Mode {
    kinds: Vec<String>,
    vectors: Vec<Vec<f32>>,
}

/// Half a step of binary16 between 1/2 and 1, relative, and what the figures are rounded by.
const NEAR: f32 = 5.5e-4;

#[test]
fn vectors_are_those_of_sentence_transformers() {
    let tiny: Tiny = figures("tiny.json");
    let bench = bench(&tiny.texts);
    let model = ("model", bench.at("tiny"));
    let (corpus, queries) = (("corpus", bench.at("corpus")), ("queries", bench.at("queries")));
    // Pooling, length, prompts and input limit as the folder says.
    let outcome = bench.ok("dense.encode", "documents", &[model.clone(), corpus.clone()]);
    bench.ok("dense.encode", "asked", &[model.clone(), queries]);
    let fact = |name: &str| outcome.facts[name].clone();
    assert_eq!((fact("pooling"), fact("normalise"), fact("input")), ("mean".into(), true.into(), 20.into()));
    assert_eq!((fact("prefix"), fact("texts_cut")), ("p: ".into(), 4.into()));
    let (documents, asked) =
        (apart(&bench, "documents", &tiny.document), apart(&bench, "asked", &tiny.query));
    assert!(documents < NEAR && asked < NEAR, "{documents} {asked}");
    // Without prompts and length, each kind of pooling.
    let plain = [("prefix", Value::str("")), ("normalise", Value::Bool(false))];
    for mode in &tiny.modes {
        let mut args = [&plain[..], &[model.clone(), corpus.clone()]].concat();
        if let [kind] = &mode.kinds[..] {
            args.push(("pooling", Value::str(kind)));
        } else {
            let list = serde_json::json!({"embedding_dimension": 16, "pooling_mode": mode.kinds});
            std::fs::write(bench.path("tiny/1_Pooling/config.json"), list.to_string()).unwrap();
        }
        bench.ok("dense.encode", "mode", &args);
        let apart = apart(&bench, "mode", &mode.vectors);
        assert!(apart < NEAR, "{:?}: {apart}", mode.kinds);
    }
    assert!(tiny.modes.len() == 7);
}

#[derive(serde::Deserialize)]
struct Real {
    limit: i64,
    texts: Vec<String>,
    first: Vec<Vec<f32>>,
    products: Vec<Vec<f32>>,
}

#[test]
fn vectors_of_a_real_model_are_those_of_sentence_transformers() {
    let Some(folder) = xpipe_testing::model("minilm-l6") else { return };
    let real: Real = figures("minilm.json");
    let bench = bench(&real.texts);
    let args = [
        ("model", located(&folder)),
        ("pooling", Value::str("mean")),
        ("normalise", Value::Bool(true)),
        ("input", Value::Int(real.limit)),
    ];
    let both = |side: &'static str| [&args[..], &[(side, bench.at(side))]].concat();
    bench.ok("dense.encode", "documents", &both("corpus"));
    bench.ok("dense.encode", "asked", &both("queries"));
    let documents = Embeddings::open(&bench.path("documents")).unwrap();
    for (i, first) in real.first.iter().enumerate() {
        for (x, y) in documents.get(i).iter().zip(first) {
            assert!((x - y).abs() < 1e-4, "{i}: {x} {y}");
        }
    }
    bench.ok(
        "dense.search",
        "found",
        &[("documents", bench.at("documents")), ("vectors", bench.at("asked"))],
    );
    for (i, query) in Run::read(&bench.path("found")).unwrap().queries().iter().enumerate() {
        for hit in &query.hits {
            let j: usize = hit.document[1..].parse().unwrap();
            assert!((hit.score - real.products[i][j]).abs() < 1e-3, "{i} {j}: {}", hit.score);
        }
    }
}

#[test]
fn what_is_found_is_what_brute_force_finds() {
    let letters = |i: usize| char::from(b'a' + (i % 26) as u8);
    // Some texts are there twice: equal scores.
    let text =
        |i: usize| (0..1 + i % 17).map(|j| letters(i / 2 * 7 + j * j)).map(|c| format!("{c} ")).collect();
    let mut bench = bench(&(0..230).map(text).collect::<Vec<String>>());
    let model = ("model", bench.at("tiny"));
    bench.ok("dense.encode", "documents", &[model.clone(), ("corpus", bench.at("corpus"))]);
    bench.ok("dense.encode", "asked", &[model.clone(), ("queries", bench.at("queries"))]);
    let (documents, asked) = (
        Embeddings::open(&bench.path("documents")).unwrap(),
        Embeddings::open(&bench.path("asked")).unwrap(),
    );
    let search = |bench: &Bench, out: &str, depth: i64| {
        let args = [
            ("documents", bench.at("documents")),
            ("vectors", bench.at("asked")),
            ("depth", Value::Int(depth)),
        ];
        bench.ok("dense.search", out, &args);
        Run::read(&bench.path(out)).unwrap()
    };
    // A product by the definition: one chain of multiply-adds, rounded once each where the kernels do so.
    let fused = xpipe_nn::cpu::Level::detect() != xpipe_nn::cpu::Level::PORTABLE;
    let chain = |sum: f32, (x, y): (f32, f32)| if fused { x.mul_add(y, sum) } else { sum + x * y };
    let product = |a: Vec<f32>, b: Vec<f32>| a.into_iter().zip(b).fold(0.0, chain);
    for depth in [1, 10, 500] {
        let found = search(&bench, "found", depth);
        assert_eq!(found.queries().len(), 230);
        for (q, query) in found.queries().iter().enumerate() {
            let score = |d: usize| (product(documents.get(d), asked.get(q)), documents.ids().get(d as u32));
            let mut all: Vec<(f32, &str)> = (0..documents.len()).map(score).collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(a.1)));
            all.truncate(depth as usize);
            let hits: Vec<(f32, &str)> = query.hits.iter().map(|h| (h.score, h.document.as_str())).collect();
            assert_eq!(hits, all, "query {q}");
        }
    }
    // Files that depend on neither batches nor threads.
    bench.threads = 1;
    let args = [model, ("corpus", bench.at("corpus"))];
    bench
        .run("dense.encode", "again", &args, &Policy { batch: Some(3), ..Policy::default() }, &Silent)
        .unwrap();
    for file in ["dense.json", "vectors.f16", "ids.bin", "order.u32"] {
        assert!(bench.bytes(&format!("documents/{file}")) == bench.bytes(&format!("again/{file}")), "{file}");
    }
    let (two, one) = (search(&bench, "found", 10), search(&bench, "alone", 10));
    assert_eq!(two, one);
}

#[test]
fn what_does_not_fit_together_is_told() {
    let bench = bench(&["a".into(), "b c".into()]);
    let run =
        |op: &str, args: &[(&'static str, Value)]| bench.run(op, "no", args, &Policy::default(), &Silent);
    let model = |name: &str| [("model", bench.at(name)), ("corpus", bench.at("corpus"))];
    let error = |op: &str, args: &[(&'static str, Value)]| run(op, args).unwrap_err();
    bench.ok("dense.encode", "documents", &model("tiny"));
    // The folder names the cosine, so vectors get length 1 without the module too.
    let modules = String::from_utf8(bench.bytes("tiny/modules.json")).unwrap();
    let mut list: Vec<serde_json::Value> = serde_json::from_str(&modules).unwrap();
    list.pop();
    std::fs::write(bench.path("tiny/modules.json"), serde_json::to_string(&list).unwrap()).unwrap();
    bench.ok("dense.encode", "cosine", &model("tiny"));
    assert!(bench.bytes("documents/vectors.f16") == bench.bytes("cosine/vectors.f16"));
    let settings = |similarity: &str| {
        let text = format!(r#"{{"similarity_fn_name": {similarity}, "prompts": {{"document": "p: "}}}}"#);
        std::fs::write(bench.path("tiny/config_sentence_transformers.json"), text).unwrap();
    };
    settings("\"dot\"");
    bench.ok("dense.encode", "dot", &model("tiny"));
    assert!(bench.bytes("documents/vectors.f16") != bench.bytes("dot/vectors.f16"));
    settings("\"euclidean\"");
    let e = error("dense.encode", &model("tiny"));
    assert!(e.message.contains("distance") && e.help.unwrap().contains("normalise"), "{}", e.message);
    // A folder that says nothing of pooling, which is given then.
    std::fs::remove_file(bench.path("tiny/modules.json")).unwrap();
    settings("null");
    let e = error("dense.encode", &model("tiny"));
    assert!(e.message.contains("pooled") && e.help.unwrap().contains("pooling = mean"), "{}", e.message);
    let given =
        [&model("tiny")[..], &[("pooling", Value::str("mean")), ("normalise", Value::Bool(true))]].concat();
    bench.ok("dense.encode", "given", &given);
    assert!(bench.bytes("documents/vectors.f16") == bench.bytes("given/vectors.f16"));
    // Vectors of another width, and what are no vectors.
    let list = serde_json::json!({"pooling_mode": ["cls", "mean"]}).to_string();
    std::fs::write(bench.path("tiny/1_Pooling/config.json"), list).unwrap();
    std::fs::write(bench.path("tiny/modules.json"), modules).unwrap();
    bench.ok("dense.encode", "wide", &[("model", bench.at("tiny")), ("queries", bench.at("queries"))]);
    let search = |documents: &str, vectors: &str| {
        error("dense.search", &[("documents", bench.at(documents)), ("vectors", bench.at(vectors))]).message
    };
    assert!(search("documents", "wide").contains("16 numbers, those of queries 32"));
    assert!(search("corpus", "wide").contains("no dense vectors"));
}
