//! Collections of a split, the query's own document, and what a reader of the numbers is told.

use serde_json::Value as Json;

use crate::fetching::xpipe;
use crate::server::Server;
use crate::space::Space;
use xpipe_testing::archives::zip;

/// The ids of the queries that a run ranks, in order.
#[track_caller]
fn ranked(space: &Space, stage: &str) -> Vec<String> {
    let mut ids: Vec<String> = lines(space, stage).into_iter().map(|l| l[0].clone()).collect();
    ids.dedup();
    ids
}

/// The lines of an exported run.
#[track_caller]
fn lines(space: &Space, stage: &str) -> Vec<Vec<String>> {
    let _ = std::fs::remove_file(space.path("out.run"));
    let ended = xpipe(space, &["export", "study.xpipe", stage, "out.run"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    space.read("out.run").lines().map(|l| l.split(' ').map(str::to_owned).collect()).collect()
}

#[track_caller]
fn ran(space: &Space) -> String {
    let ended = xpipe(space, &["run", "study.xpipe"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    ended.err + &ended.out
}

/// What is kept with the results of a cache: the caveats of every manifest.
fn caveats(space: &Space) -> Vec<String> {
    let mut all = Vec::new();
    for shard in std::fs::read_dir(space.cache().join("v1/actions")).unwrap() {
        for file in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            let json: Json =
                serde_json::from_str(&std::fs::read_to_string(file.unwrap().path()).unwrap()).unwrap();
            let manifest = json.get("manifest").unwrap_or(&json);
            for c in manifest["caveats"].as_array().into_iter().flatten() {
                let n = |name: &str| c[name].as_u64().map(|n| n.to_string()).unwrap_or_default();
                all.push(format!("{}/{} {}", n("count"), n("of"), c["cause"].as_str().unwrap()));
            }
        }
    }
    all.sort();
    all
}

/// A BEIR archive of eleven queries, of which `test` judges three and `train` five others.
fn archive() -> Vec<u8> {
    let line =
        |id: String, text: String| format!("{{\"_id\": \"{id}\", \"title\": \"\", \"text\": \"{text}\"}}\n");
    let corpus: String = (0..20).map(|i| line(format!("d{i}"), format!("river bank {i} number"))).collect();
    let queries: String = (0..11).map(|i| line(format!("q{i}"), format!("bank {i}"))).collect();
    let judged = |of: &[usize]| {
        let lines: String = of.iter().map(|i| format!("q{i}\td{i}\t1\n")).collect();
        format!("query-id\tcorpus-id\tscore\n{lines}")
    };
    zip(&[
        ("small/corpus.jsonl", corpus.as_bytes()),
        ("small/queries.jsonl", queries.as_bytes()),
        ("small/qrels/test.tsv", judged(&[9, 2, 4]).as_bytes()),
        ("small/qrels/train.tsv", judged(&[0, 1, 3, 5, 6]).as_bytes()),
    ])
}

#[test]
fn a_beir_collection_has_the_queries_of_its_split() {
    let server = Server::start();
    let url = server.put("/small.zip", archive());
    let study = |more: &str| {
        format!(
            "edition 2026\ndataset m: TestCollection = beir(\"small\", url = \"{url}\"{more})\n\
             stage ix = bm25.index {{ corpus = m.corpus }}\n\
             stage r = bm25.search {{ index = ix, queries = m.queries, depth = 3 }}\n"
        )
    };
    let space = Space::new(&study(""));
    ran(&space);
    assert_eq!(ranked(&space, "r"), ["q2", "q4", "q9"], "in the order of the queries");
    space.write("study.xpipe", &study(", split = \"train\""));
    ran(&space);
    assert_eq!(ranked(&space, "r"), ["q0", "q1", "q3", "q5", "q6"]);
    space.write("study.xpipe", &study(", queries = judged"));
    let again = xpipe(&space, &["run", "study.xpipe", "--json"]);
    assert_eq!(again.counts().0, 0, "the same recipe");
    space.write("study.xpipe", &study(", queries = all"));
    ran(&space);
    assert_eq!(ranked(&space, "r").len(), 11);
    space.write("study.xpipe", &study(", queries = some"));
    assert_eq!(xpipe(&space, &["check", "study.xpipe"]).code, Some(3));
}

const PARTS: &str = r#"edition 2026
dataset docs: Corpus = local { docs = "c.tsv" }
dataset topics: Queries = local { queries = "q.tsv" }
dataset judged: Qrels = local { qrels = "q.txt" }
dataset whole: TestCollection = collection { corpus = docs, queries = topics, qrels = judged }
stage ix = bm25.index { corpus = docs }
stage r = bm25.search { index = ix, queries = whole.queries, depth = 3 }
"#;

fn parts(study: &str) -> Space {
    let space = Space::new(study);
    space.write("c.tsv", "a\tapples and pears\nb\tpears\nc\tapples\n");
    space.write("q.tsv", "7\tpears\n8\tapples\n9\tapples pears\n");
    space.write("q.txt", "9 0 a 1\n7 0 c 0\n");
    space
}

#[test]
fn a_collection_of_parts_or_files_has_the_judged_queries_and_stages_are_taken_as_they_are() {
    let space = parts(PARTS);
    ran(&space);
    assert_eq!(ranked(&space, "r"), ["7", "9"]);
    // The data set of all queries is there for those who want them.
    space.edit("study.xpipe", "queries = whole.queries", "queries = topics");
    ran(&space);
    assert_eq!(ranked(&space, "r"), ["7", "8", "9"]);
    let space = parts(&PARTS.replace("qrels = judged }", "qrels = judged, unjudged = keep }"));
    ran(&space);
    assert_eq!(ranked(&space, "r"), ["7", "8", "9"]);

    let local = r#"edition 2026
dataset whole: TestCollection = local { docs = "c.tsv", queries = "q.tsv", qrels = "q.txt" }
stage ix = bm25.index { corpus = whole.corpus }
stage r = bm25.search { index = ix, queries = whole.queries, depth = 3 }
"#;
    let space = parts(local);
    ran(&space);
    assert_eq!(ranked(&space, "r"), ["7", "9"]);
    space.edit("study.xpipe", "\"q.txt\" }", "\"q.txt\", unjudged = keep }");
    ran(&space);
    assert_eq!(ranked(&space, "r").len(), 3);
    space.write("q.txt", "5 0 a 1\n");
    space.edit("study.xpipe", ", unjudged = keep", "");
    let ended = xpipe(&space, &["run", "study.xpipe"]);
    assert_eq!(ended.code, Some(7), "{ended:#?}");
    assert!(ended.err.contains("name none of the 3 queries"), "{}", ended.err);

    // An argument that reaches nothing is an error.
    let space = parts(&PARTS.replace("{ queries = \"q.tsv\" }", "{ queries = \"q.tsv\", unjudged = keep }"));
    xpipe(&space, &["check", "study.xpipe"]).says(3, &["`unjudged` changes nothing"]);
}

/// Arguments whose ids are queries too, as in ArguAna.
fn debate(study: &str) -> Space {
    let space = Space::new(study);
    space.write("c.tsv", "x1\ttaxes should rise now\nx2\ttaxes should never rise\nx3\ttaxes and rivers\n");
    space.write("q.tsv", "x1\ttaxes should rise now\n");
    space.write("q.txt", "x1 0 x2 1\n");
    space.write("theirs.run", "x1 Q0 x1 1 3 t\nx1 Q0 x2 2 2 t\nx1 Q0 x3 3 1 t\n");
    space
}

const DEBATE: &str = r#"edition 2026
dataset c: TestCollection = local { docs = "c.tsv", queries = "q.tsv", qrels = "q.txt", own = drop }
dataset theirs: Run = local { run = "theirs.run", queries = c.queries, corpus = c.corpus }
stage ix = bm25.index { corpus = c.corpus }
stage r = bm25.search { index = ix, queries = c.queries, depth = 2 }
stage m = bm25.rm3 { index = ix, run = r, depth = 2 }
stage e = evaluate { run = r, qrels = c.qrels, metrics = [ndcg(2), rr(2)] }
stage f = evaluate { run = theirs, qrels = c.qrels, metrics = [ndcg(2), rr(2)] }
table t { rows = ["a"], columns = ["ndcg", "theirs"], value = e.ndcg_2, write = [csv] }
claim ours { expect = e.ndcg_2 == 1.0 }
claim of_a_run { expect = f.rr_2 == 1.0 }
"#;

#[test]
fn the_documents_of_the_queries_are_left_out_where_the_collection_says_so() {
    let study = DEBATE.lines().filter(|l| !l.starts_with("table")).collect::<Vec<_>>().join("\n") + "\n";
    let space = debate(&study);
    ran(&space);
    // Left out before the cut: two other documents remain.
    let ids = |stage: &str| -> Vec<String> { lines(&space, stage).iter().map(|l| l[2].clone()).collect() };
    assert_eq!(ids("r"), ["x2", "x3"]);
    assert!(!ids("m").contains(&"x1".to_owned()) && ids("m").len() == 2, "{:?}", ids("m"));
    assert!(!caveats(&space).iter().any(|c| c.contains("own id")), "{:?}", caveats(&space));

    // Kept without it, and then it is told.
    let kept =
        study.replace(", own = drop", "").replace("expect = e.ndcg_2 == 1.0", "expect = e.ndcg_2 < 0.7");
    let kept = kept.replace("expect = f.rr_2 == 1.0", "expect = f.rr_2 == 0.5");
    let space = debate(&kept);
    ran(&space);
    assert_eq!(lines(&space, "r")[0][2], "x1");
    let told = caveats(&space);
    assert!(
        told.iter().any(|c| c.starts_with("1/1 queries rank a document of their own id first")),
        "{told:?}"
    );
    // An operation may be told what the collection does not say.
    space.edit("study.xpipe", "depth = 2 }\nstage m", "depth = 2, own = drop }\nstage m");
    space.edit("study.xpipe", "expect = e.ndcg_2 < 0.7", "expect = e.ndcg_2 == 1.0");
    ran(&space);
    assert_eq!(lines(&space, "r")[0][2], "x2");
}

#[test]
fn beir_leaves_the_documents_of_the_queries_out() {
    let server = Server::start();
    let line =
        |id: &str, text: &str| format!("{{\"_id\": \"{id}\", \"title\": \"\", \"text\": \"{text}\"}}\n");
    let corpus = line("x1", "taxes should rise now") + &line("x2", "taxes should never rise");
    let bytes = zip(&[
        ("talk/corpus.jsonl", corpus.as_bytes()),
        ("talk/queries.jsonl", line("x1", "taxes should rise now").as_bytes()),
        ("talk/qrels/test.tsv", b"query-id\tcorpus-id\tscore\nx1\tx2\t1\n"),
    ]);
    let url = server.put("/talk.zip", bytes);
    let study = format!(
        "edition 2026\nuse std.retrieval {{ bm25_run, rm3_run }}\n\
         dataset m: TestCollection = beir(\"talk\", url = \"{url}\")\n\
         stage r = bm25_run(corpus = m.corpus, queries = m.queries, depth = 5)\n\
         stage e = evaluate {{ run = r, qrels = m.qrels, metrics = [ndcg(5)] }}\n\
         claim alone {{ expect = e.ndcg_5 == 1.0 }}\n"
    );
    let space = Space::new(&study);
    ran(&space);
    space.edit("study.xpipe", ".zip\")", ".zip\", own = keep)");
    space.edit("study.xpipe", "e.ndcg_5 == 1.0", "e.ndcg_5 < 0.7");
    ran(&space);
}

#[test]
fn what_is_missing_from_a_run_or_empty_in_a_corpus_is_kept_with_the_result() {
    let study = r#"edition 2026
dataset docs: Corpus = local { docs = "c.tsv" }
dataset topics: Queries = local { queries = "q.tsv" }
dataset judged: Qrels = local { qrels = "q.txt" }
dataset part: Run = local { run = "r.run" }
stage ix = bm25.index { corpus = docs }
stage r = bm25.search { index = ix, queries = topics, depth = 10 }
stage e = evaluate { run = part, qrels = judged, metrics = [ndcg(10)] }
stage f = evaluate { run = r, qrels = judged, metrics = [ndcg(10)] }
"#;
    let space = parts(study);
    space.write("c.tsv", "a\tapples and pears\nb\t\nc\tapples\nd\t \ne\t...\n");
    space.write("q.txt", "9 0 a 1\n7 0 c 1\n8 0 c 1\n");
    space.write("r.run", "9 Q0 a 1 2.0 t\n");
    let told = ran(&space);
    assert!(told.contains("2 of 3 judged queries are not in the run and count 0"), "{told}");
    let kept = caveats(&space);
    let expected = [
        "2/3 judged queries are not in the run and count 0",
        "2/5 documents are empty",
        "3/5 documents have no term, and no search finds them",
    ];
    assert_eq!(kept, expected);

    let space = parts(study);
    space.write("c.tsv", "a\t\nb\t\n");
    space.write("r.run", "9 Q0 a 1 2.0 t\n");
    ran(&space);
    let kept = caveats(&space);
    assert!(kept.iter().any(|c| c.contains("every document is without a term")), "{kept:?}");
    assert!(kept.iter().any(|c| c.contains("the run ranks no document for any query")), "{kept:?}");
    assert!(!kept.iter().any(|c| c.contains("another collection")), "{kept:?}");
}

const PICTOGRAPHS: &str = "a\tan inn ✓ warm ☕ rooms\nb\tinn with rooms\nc\tlamp® by Glow™ ➜ bright\nd\tlamp by Glow\n\
                           e\t® ® marks ♻\n";

const EXPECTED: [(&str, &str, f64); 7] = [
    ("1", "b", 0.4998),
    ("1", "a", 0.4459),
    ("2", "c", 0.8461),
    ("2", "e", 0.5908),
    ("2", "d", 0.4998),
    ("3", "b", 0.4998),
    ("3", "a", 0.4459),
];

/// Pictographs from text to ranking (✓ is none); the scores are those of Anserini 0.24.
#[test]
fn pictographs_are_terms() {
    let space = Space::new(
        r#"edition 2026
dataset c: Corpus = local { docs = "c.tsv" }
dataset q: Queries = local { queries = "q.tsv" }
stage ix = bm25.index { corpus = c }
stage r = bm25.search { index = ix, queries = q, depth = 10 }
"#,
    );
    space.write("c.tsv", PICTOGRAPHS);
    space.write("q.tsv", "1\t✓ inn\n2\t® lamp\n3\tinn\n");
    ran(&space);
    let found = lines(&space, "r");
    assert_eq!(found.len(), EXPECTED.len(), "{found:?}");
    for (line, (query, document, score)) in found.iter().zip(EXPECTED) {
        assert_eq!((&*line[0], &*line[2]), (query, document), "{found:?}");
        assert!((line[4].parse::<f64>().unwrap() - score).abs() < 1e-4, "{line:?} {score}");
    }
}
