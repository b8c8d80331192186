//! What operations give on a small input, value by value: fails when an output changes without its operation's version.
//!
//! The expected values are in tests/data/golden, a section an output with the version of its operation.
//! `XPIPE_UPDATE=1 cargo test --test it golden` writes what came out; a changed output needs a new version.

use xpipe_data::ir::dense::Embeddings;
use xpipe_data::ir::impacts::Impacts;
use xpipe_data::ir::vectors::Vectors;
use xpipe_data::run::Run;
use xpipe_data::scores::Scores;
use xpipe_data::table::{Kind, TableReader};

use crate::space::{Space, TRAINING, repository};

/// A learned sparse first stage by a masked language model in `masked/`.
pub(crate) const SPARSE: &str = r#"edition 2026
use std.sparse { splade_run }
dataset tiny: TestCollection = local { docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv", role = train }
let model = checkpoint("masked")
stage documents = sparse.encode { model, corpus = tiny.corpus }
stage few       = sparse.encode { model, corpus = tiny.corpus, terms = 5, input = 12 }
stage asked     = sparse.encode { model, queries = tiny.queries, terms = 9 }
stage index     = sparse.index { vectors = documents }
stage coarse    = sparse.index { vectors = few, scale = 2.0 }
stage found     = sparse.search { index, vectors = asked, depth = 5 }
stage short     = sparse.search { index = coarse, vectors = asked, depth = 3 }
stage whole     = splade_run(collection = tiny, model = model, depth = 4)
"#;

/// Dense first stages by a bi-encoder in `bi/`, and feedback over BM25.
pub(crate) const DENSE: &str = r#"edition 2026
use std.dense { dense_run }
use std.retrieval { rm3_run }
dataset tiny: TestCollection = local { docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv", role = train }
let model = checkpoint("bi")
stage documents = dense.encode { model, corpus = tiny.corpus, input = 48 }
stage asked     = dense.encode { model, queries = tiny.queries, prefix = "ask ", input = 30 }
stage firsts    = dense.encode { model, corpus = tiny.corpus, pooling = cls, normalise = false }
stage found     = dense.search { documents, vectors = asked, depth = 5 }
stage whole     = dense_run(collection = tiny, model = model, depth = 4)
stage longer    = rm3_run(corpus = tiny.corpus, queries = tiny.queries, depth = 5, documents = 3, terms = 4)
"#;

/// More stages over those of the training study: teachers, and samples in each shape.
const MORE: &str = r#"
stage opinion for rate = score.cross_encoder { model, run = found, depth = 3 }
stage taught = score.mean { scores = [opinion[rate = slow], opinion[rate = fast]], normalise = min_max }
stage pairwise = data.samples {
    source = candidates { run = found, qrels = tiny.qrels, scores = taught, depth = 3 }
    shape  = pairs()
    seed   = 3
    count  = 8
}
stage grouped = data.samples {
    source = candidates { run = found, qrels = tiny.qrels }
    shape  = group(positives = 1, negatives = 2)
    seed   = 3
    count  = 6
}
stage listed = data.samples {
    source = ranked_lists { run = found }
    shape  = ranked_list(depth = 3)
    seed   = 3
    count  = 5
}
"#;

/// The folder of a cell's result.
fn folder(space: &Space, cell: &str) -> std::path::PathBuf {
    let (tree, _) = result(space, cell);
    space.cache().join("v1/trees").join(tree)
}

/// The tree of a cell's result, and its operation with version.
fn result(space: &Space, cell: &str) -> (String, String) {
    for entry in space.xpipe(&["cache", "ls", "--json"]).json().as_array().unwrap() {
        if entry["address"] == cell {
            let key = entry["key"].as_str().unwrap();
            let path = space.cache().join("v1/actions").join(&key[..2]).join(format!("{key}.json"));
            let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            let manifest = json.get("manifest").unwrap_or(&json);
            let op = format!("{} {}", manifest["op"].as_str().unwrap(), manifest["version"]);
            return (manifest["tree"].as_str().unwrap().to_owned(), op);
        }
    }
    panic!("no result of {cell}");
}

fn samples(space: &Space, cell: &str, scored: bool) -> String {
    let mut columns = vec![
        ("sample", Kind::Int),
        ("query_id", Kind::Text),
        ("document_id", Kind::Text),
        ("positive", Kind::Int),
    ];
    if scored {
        columns.push(("teacher", Kind::Double));
    }
    let mut table = TableReader::open(&folder(space, cell).join("samples.parquet"), &columns).unwrap();
    let mut text = String::new();
    while let Some(row) = table.row().unwrap() {
        text.push_str(&format!("{} {} {} {}", row.int(0), row.text(1), row.text(2), row.int(3)));
        if scored {
            text.push_str(&format!(" {}", row.double(4)));
        }
        text.push('\n');
    }
    text
}

fn run(space: &Space, cell: &str, queries: usize) -> String {
    let run = Run::read(&folder(space, cell)).unwrap();
    let mut text = Vec::new();
    Run::new(run.queries()[..queries].to_vec()).unwrap().export(&mut text, "x").unwrap();
    let text = String::from_utf8(text).unwrap();
    let rows = text.lines().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        (words[0], words[2], words[4].parse().unwrap())
    });
    centred(&rows.collect::<Vec<_>>())
}

/// Scores less their query's mean. The head's bias moves all of them: an objective that compares documents gives it
/// no gradient but rounding, which AdamW makes a step of.
fn centred(rows: &[(&str, &str, f64)]) -> String {
    let mut text = String::new();
    for of_query in rows.chunk_by(|a, b| a.0 == b.0) {
        let mean = of_query.iter().map(|r| r.2).sum::<f64>() / of_query.len() as f64;
        for (query, document, score) in of_query {
            text.push_str(&format!("{query} {document} {:.6}\n", score - mean));
        }
    }
    text
}

fn scores(space: &Space, cell: &str, queries: usize) -> String {
    let scores = Scores::read(&folder(space, cell)).unwrap();
    let of_queries = scores.iter().take(queries);
    let rows =
        of_queries.flat_map(|(q, documents)| documents.iter().map(move |(d, s)| (q, &d[..], f64::from(*s))));
    centred(&rows.collect::<Vec<_>>())
}

/// The loss of each step, and what was seen.
fn curve(space: &Space, cell: &str) -> String {
    let path = folder(space, cell).join("training.json");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut text =
        format!("samples {} documents {} tokens {}\n", json["samples"], json["documents"], json["tokens"]);
    for point in json["curve"].as_array().unwrap() {
        text.push_str(&format!("step {} loss {} rate {}\n", point["step"], point["loss"], point["rate"]));
    }
    text
}

fn measures(space: &Space, cell: &str) -> String {
    let columns = [("query_id", Kind::Text), ("metric", Kind::Text), ("value", Kind::Double)];
    let mut table = TableReader::open(&folder(space, cell).join("metrics.parquet"), &columns).unwrap();
    let mut text = String::new();
    while let Some(row) = table.row().unwrap() {
        text.push_str(&format!("{} {} {}\n", row.text(0), row.text(1), row.double(2)));
    }
    text
}

fn same(a: &str, b: &str) -> bool {
    let words = |t: &str| t.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (a, b) = (words(a), words(b));
    // Kernels of other machines round otherwise in the last places.
    let close = |x: &str, y: &str| match (x.parse::<f64>(), y.parse::<f64>()) {
        (Ok(x), Ok(y)) => (x - y).abs() <= 2e-4 * x.abs().max(1.0),
        _ => x == y,
    };
    a.len() == b.len() && a.iter().zip(&b).all(|(x, y)| close(x, y))
}

#[test]
fn golden_outputs_of_training_and_scoring() {
    let space = Space::new(&format!("{TRAINING}{MORE}"));
    let ended = space.xpipe(&["run", "study.xpipe", "--kernels", "portable"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let outputs = [
        ("pairwise", samples(&space, "pairwise", true)),
        ("grouped", samples(&space, "grouped", false)),
        ("listed", samples(&space, "listed", false)),
        ("opinion[fast]", scores(&space, "opinion[fast]", 2)),
        ("taught", scores(&space, "taught", 2)),
        ("model[fast]", curve(&space, "model[fast]")),
        ("ranked[fast]", run(&space, "ranked[fast]", 2)),
        ("scores[fast]", measures(&space, "scores[fast]")),
    ];
    let found: String =
        outputs.iter().map(|(cell, text)| format!("# {cell}: {}\n{text}", result(&space, cell).1)).collect();
    compare("tests/data/golden/outputs.txt", &found);
}

/// Compares sections with those of a file, or writes the file.
fn compare(file: &str, found: &str) {
    if xpipe_testing::updates() {
        std::fs::create_dir_all(repository(file).parent().unwrap()).unwrap();
        std::fs::write(repository(file), found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(repository(file)).unwrap();
    let sections = |t: &str| t.split("# ").skip(1).map(str::to_owned).collect::<Vec<_>>();
    for (found, expected) in sections(found).iter().zip(&sections(&expected)) {
        let (title, _) = found.split_once('\n').unwrap();
        assert!(
            same(found, expected),
            "{title}: its output changed; raise the version of the operation, or undo the change\n\
             found:\n{found}\nexpected:\n{expected}"
        );
    }
    assert_eq!(sections(found).len(), sections(&expected).len());
}

/// The terms of some texts, with weights.
fn vectors(space: &Space, cell: &str, texts: usize) -> String {
    let vectors = Vectors::open(&folder(space, cell)).unwrap();
    let mut text = format!("texts {} weights {}\n", vectors.len(), vectors.weights());
    let mut row = Vec::new();
    for i in 0..texts {
        vectors.read(i, &mut row).unwrap();
        text.push_str(vectors.ids().get(i as u32));
        row.iter().take(9).for_each(|(term, weight)| text.push_str(&format!(" {term}:{weight:.2}")));
        text.push('\n');
    }
    text
}

fn impacts(space: &Space, cell: &str) -> String {
    let index = Impacts::open(&folder(space, cell)).unwrap();
    format!("documents {} terms {} postings {}\n", index.documents(), index.terms(), index.postings())
}

/// A ranking with its scores as they are.
fn ranking(space: &Space, cell: &str, queries: usize) -> String {
    let run = Run::read(&folder(space, cell)).unwrap();
    let mut text = String::new();
    for query in &run.queries()[..queries] {
        for hit in &query.hits {
            text.push_str(&format!("{} {} {}\n", query.id, hit.document, hit.score));
        }
    }
    text
}

#[test]
fn golden_outputs_of_sparse_retrieval() {
    let space = Space::new(SPARSE);
    space.add_masked_model();
    let ended = space.xpipe(&["run", "study.xpipe", "--kernels", "portable"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let outputs = [
        ("documents", vectors(&space, "documents", 3)),
        ("few", vectors(&space, "few", 3)),
        ("asked", vectors(&space, "asked", 3)),
        ("index", impacts(&space, "index")),
        ("coarse", impacts(&space, "coarse")),
        ("found", ranking(&space, "found", 3)),
        ("short", ranking(&space, "short", 3)),
        ("whole.search", ranking(&space, "whole.search", 2)),
    ];
    let found: String =
        outputs.iter().map(|(cell, text)| format!("# {cell}: {}\n{text}", result(&space, cell).1)).collect();
    compare("tests/data/golden/sparse.txt", &found);
    let (ran, _, code) = space.run();
    assert_eq!((ran, code), (0, 0));
}

/// The first numbers of some vectors.
fn embeddings(space: &Space, cell: &str, texts: usize) -> String {
    let vectors = Embeddings::open(&folder(space, cell)).unwrap();
    let mut text = format!("texts {} width {}\n", vectors.len(), vectors.width());
    for i in 0..texts {
        text.push_str(vectors.ids().get(i as u32));
        vectors.get(i).iter().take(8).for_each(|x| text.push_str(&format!(" {x:.3}")));
        text.push('\n');
    }
    text
}

#[test]
fn golden_outputs_of_dense_retrieval_and_feedback() {
    let space = Space::new(DENSE);
    space.add_bi_encoder();
    let ended = space.xpipe(&["run", "study.xpipe", "--kernels", "portable"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let outputs = [
        ("documents", embeddings(&space, "documents", 3)),
        ("asked", embeddings(&space, "asked", 3)),
        ("firsts", embeddings(&space, "firsts", 3)),
        ("found", ranking(&space, "found", 3)),
        ("whole.search", ranking(&space, "whole.search", 2)),
        ("longer.search", ranking(&space, "longer.search", 3)),
    ];
    let found: String =
        outputs.iter().map(|(cell, text)| format!("# {cell}: {}\n{text}", result(&space, cell).1)).collect();
    compare("tests/data/golden/dense.txt", &found);
    // Plain tensor operations run it as well.
    let call = ["run", "study.xpipe", "--kernels", "reference", "--cache", "plain"];
    let ended = space.xpipe(&call);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let (ran, _, code) = space.run();
    assert_eq!((ran, code), (0, 0));
}
