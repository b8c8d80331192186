//! The operations of learned sparse retrieval together: over a small collection, and over MedQuAD when it is there.

use super::medquad::{collection, judgements};
use super::*;
use xpipe_data::ir::vectors::Vectors;
use xpipe_data::store::TextStore;

/// The small collection with a masked language model that knows the first of its words.
fn small_masked() -> Bench {
    let bench = small();
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/made/bert-masked");
    std::fs::create_dir_all(bench.path("masked")).unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(made.join(file), bench.path("masked").join(file)).unwrap();
    }
    let words = bench.bytes("backbone/vocab.txt");
    let words: Vec<&str> = std::str::from_utf8(&words).unwrap().lines().take(64).collect();
    std::fs::write(bench.path("masked/vocab.txt"), words.join("\n")).unwrap();
    bench
}

/// Encodes, indexes and searches with a model.
fn retrieve(bench: &Bench, model: &str, depth: i64) -> Outcome {
    let model = ("model", bench.at(model));
    bench.ok("sparse.encode", "documents", &[model.clone(), ("corpus", bench.at("corpus"))]);
    bench.ok("sparse.encode", "asked", &[model, ("queries", bench.at("queries"))]);
    bench.ok("sparse.index", "sparse", &[("vectors", bench.at("documents"))]);
    let args = [("index", bench.at("sparse")), ("vectors", bench.at("asked")), ("depth", Value::Int(depth))];
    bench.ok("sparse.search", "found", &args)
}

/// The run that the vectors give, every document of every query scored by the definition.
fn brute_force(bench: &Bench, depth: usize) -> Vec<(String, Vec<(String, f32)>)> {
    let open = |name: &str| Vectors::open(&bench.path(name)).unwrap();
    let (documents, asked) = (open("documents"), open("asked"));
    let rows = |vectors: &Vectors, of: &dyn Fn(f32) -> u64| {
        let row = |i: usize| {
            let mut row = Vec::new();
            vectors.read(i, &mut row).unwrap();
            (vectors.ids().get(i as u32).to_owned(), row.into_iter().map(|(t, w)| (t, of(w))).collect())
        };
        (0..vectors.len()).map(row).collect::<Vec<(String, Vec<(u32, u64)>)>>()
    };
    let documents = rows(&documents, &|w| (100.0 * f64::from(w)).round() as u64);
    let one = |(id, query): (String, Vec<(u32, u64)>)| {
        let mut weights = vec![0u64; 1 << 16];
        query.iter().for_each(|(term, weight)| weights[*term as usize] = *weight);
        let score = |terms: &[(u32, u64)]| {
            let sum: u64 = terms.iter().map(|(term, impact)| weights[*term as usize] * impact).sum();
            (sum as f64 / (100.0 * f64::from(1 << 24))) as f32
        };
        let mut all: Vec<_> = documents.iter().map(|(id, terms)| (id.clone(), score(terms))).collect();
        all.retain(|(_, score)| *score > 0.0);
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| b.0.cmp(&a.0)));
        all.truncate(depth);
        (id, all)
    };
    rows(&asked, &|w| (f64::from(1 << 24) * f64::from(w)).round() as u64).into_iter().map(one).collect()
}

/// What the operations found.
fn found(bench: &Bench) -> Vec<(String, Vec<(String, f32)>)> {
    let run = Run::read(&bench.path("found")).unwrap();
    let hits = |q: &RunQuery| q.hits.iter().map(|h| (h.document.clone(), h.score)).collect();
    run.queries().iter().map(|q| (q.id.clone(), hits(q))).collect()
}

#[test]
fn what_is_found_is_what_brute_force_finds() {
    let mut bench = small_masked();
    for depth in [1, 7, 1000] {
        let outcome = retrieve(&bench, "masked", depth);
        let found = found(&bench);
        assert_eq!(found, brute_force(&bench, depth as usize), "depth {depth}");
        assert_eq!((found.len(), &outcome.facts["queries"]), (16, &16.into()));
        assert!(found.iter().all(|(_, hits)| hits.len() == 96.min(depth as usize)));
    }
    // Scores that differ by query and document, and files that depend on neither batches nor threads.
    let scores: std::collections::BTreeSet<u32> =
        found(&bench).iter().flat_map(|(_, hits)| hits).map(|(_, score)| score.to_bits()).collect();
    assert!(scores.len() > 300, "scores that say nothing: {}", scores.len());
    bench.threads = 1;
    let args = [("model", bench.at("masked")), ("corpus", bench.at("corpus"))];
    bench
        .run("sparse.encode", "again", &args, &Policy { batch: Some(3), ..Policy::default() }, &Silent)
        .unwrap();
    for file in ["vectors.json", "starts.u64", "terms.u32", "weights.f32", "ids.bin"] {
        assert!(bench.bytes(&format!("documents/{file}")) == bench.bytes(&format!("again/{file}")), "{file}");
    }
    let few = [&args[..], &[("terms", Value::Int(5)), ("input", Value::Int(3))]].concat();
    let outcome = bench.ok("sparse.encode", "few", &few);
    assert_eq!((&outcome.facts["terms_per_text"], &outcome.facts["tokens"]), (&5.0.into(), &(96 * 3).into()));
    assert_eq!(outcome.facts["texts_cut"], 96);
}

#[test]
fn what_does_not_fit_together_is_told() {
    let bench = small_masked();
    retrieve(&bench, "masked", 5);
    let run = |op: &str, args: &[(&'static str, Value)]| {
        bench.run(op, "no", args, &Policy::default(), &Silent).unwrap_err()
    };
    let (queries, corpus) = (("queries", bench.at("queries")), ("corpus", bench.at("corpus")));
    // A re-ranker has no head for words.
    let e = run("sparse.encode", &[("model", bench.at("backbone")), queries.clone()]);
    assert!(e.message.contains("missing `cls.predictions.transform.dense.weight`"), "{e}");
    let e = run("sparse.search", &[("index", bench.at("documents")), ("vectors", bench.at("asked"))]);
    assert!(e.message.contains("not an index of sparse vectors"), "{e}");
    bench.ok("bm25.index", "words", &[corpus]);
    let e = run("sparse.search", &[("index", bench.at("words")), ("vectors", bench.at("asked"))]);
    assert!(e.message.contains("not an index of sparse vectors"), "{e}");
    let e = run("bm25.search", &[("index", bench.at("sparse")), queries.clone()]);
    assert!(e.message.contains("not an index"), "{e}");
    let e = run("sparse.index", &[("vectors", bench.at("corpus"))]);
    assert!(e.message.contains("no vectors"), "{e}");
    // The same number of words, another vocabulary.
    let words = String::from_utf8(bench.bytes("masked/vocab.txt")).unwrap().replace("w7\n", "z7\n");
    std::fs::write(bench.path("masked/vocab.txt"), words).unwrap();
    bench.ok("sparse.encode", "asked", &[("model", bench.at("masked")), queries]);
    let e = run("sparse.search", &[("index", bench.at("sparse")), ("vectors", bench.at("asked"))]);
    assert!(e.message.contains("of another") && e.help.unwrap().contains("share their tokenizer"));
}

/// A part of MedQuAD with bert-tiny, which is a SPLADE model.
#[test]
fn splade_ranks_medquad_as_brute_force_does() {
    splade_ranks_medquad(false);
}

#[test]
#[ignore = "takes minutes"]
fn splade_ranks_all_of_medquad_as_brute_force_does() {
    splade_ranks_medquad(true);
}

fn splade_ranks_medquad(whole: bool) {
    let (Some(medquad), Some(model)) = (xpipe_testing::shared("medquad"), xpipe_testing::model("bert-tiny"))
    else {
        return;
    };
    let (documents, queries) = collection(&medquad);
    let qrels = judgements(&medquad.join("qrels/test.tsv"));
    let bench = Bench::new(2);
    let judged = queries.iter().filter(|(id, _)| qrels.get(id).is_some());
    let asked: Vec<_> = judged.take(if whole { 200 } else { 40 }).cloned().collect();
    let mut kept = documents.clone();
    if !whole {
        // The answers of these queries, and others.
        let answers = |id: &str| asked.iter().any(|(q, _)| qrels.grade(q, id).is_some_and(|g| g > 0));
        kept = documents.iter().filter(|(id, _)| answers(id)).cloned().collect();
        let others = documents.iter().filter(|(id, _)| !answers(id)).step_by(197);
        kept.extend(others.cloned());
    }
    store(&bench.path("corpus"), kept.into_iter());
    store(&bench.path("queries"), asked.into_iter());
    std::os::unix::fs::symlink(model, bench.path("model")).unwrap();
    let outcome = retrieve(&bench, "model", 100);
    println!("{} documents: {:?}", TextStore::open(&bench.path("corpus")).unwrap().len(), outcome.facts);
    assert_eq!(found(&bench), brute_force(&bench, 100));
    let rr = rr(&Run::read(&bench.path("found")).unwrap(), &qrels);
    println!("RR@100 {rr:.3}");
    assert!(rr > if whole { 0.3 } else { 0.5 }, "{rr}");
}
