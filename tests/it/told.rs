//! What stays with a result: data that was left out, and numbers that belong to what they stand beside.

use crate::space::{RETRIEVAL, Space};

/// Notes of `--json`, by cause: kind, count, cells.
fn notes(json: &serde_json::Value) -> Vec<(String, String, Option<u64>, usize)> {
    let list = json["notes"].as_array().unwrap_or_else(|| panic!("{json:#}"));
    let text = |n: &serde_json::Value, field: &str| n[field].as_str().unwrap().to_owned();
    let of = |n: &serde_json::Value| {
        (text(n, "kind"), text(n, "cause"), n["count"].as_u64(), n["cells"].as_array().unwrap().len())
    };
    list.iter().map(of).collect()
}

#[test]
fn data_that_was_left_out_stays_with_the_result() {
    let space = Space::new(&RETRIEVAL.replace(
        "qrels = \"{data}/qrels.tsv\"",
        "qrels = \"{data}/qrels.tsv\", unknown = drop, duplicates = first, unjudged = keep",
    ));
    // Two judgements of documents that are not there, a document twice, a query without terms.
    let qrels = space.read("data/qrels.tsv");
    let query = qrels.lines().nth(1).unwrap().split('\t').next().unwrap().to_owned();
    space.write("data/qrels.tsv", &format!("{qrels}{query}\tnowhere\t1\n{query}\tgone\t1\n"));
    let corpus = space.read("data/corpus.jsonl");
    let first = corpus.lines().next().unwrap();
    space.write("data/corpus.jsonl", &format!("{corpus}{first}\n"));
    let queries = space.read("data/queries.jsonl");
    space.write("data/queries.jsonl", &format!("{queries}{{\"_id\": \"stop\", \"text\": \"the of and\"}}\n"));

    let told =
        |kind: &str, cause: &str, count, cells| (kind.to_owned(), cause.to_owned(), Some(count), cells);
    let expected = [
        told("dropped", "lines with an id outside the collection were left out", 2, 1),
        told("dropped", "texts were left out because their id was there more than once", 1, 1),
        // In the searches of both values of k1.
        told("doubt", "queries found nothing", 2, 2),
        told("doubt", "queries have no term after analysis and find nothing", 2, 2),
    ];
    let ran = space.xpipe(&["run", "study.xpipe", "--json"]).json();
    assert_eq!(notes(&ran["results"])[..4], expected);
    let example = ran["results"]["notes"][0]["example"].as_str().unwrap().to_owned();
    assert!(example.starts_with("qrels.tsv:") && example.contains("`nowhere`"), "{example}");
    // The same when all of it is cached, in every verb.
    let again = space.xpipe(&["run", "study.xpipe", "--json"]);
    assert_eq!(again.counts().0, 0);
    assert_eq!(again.json()["results"]["notes"], ran["results"]["notes"]);
    assert_eq!(space.xpipe(&["show", "study.xpipe", "--json"]).json()["notes"], ran["results"]["notes"]);
    let line = "note: 2 lines with an id outside the collection were left out; the first: qrels.tsv:";
    for verb in ["run", "show"] {
        let said = space.xpipe(&[verb, "study.xpipe"]);
        assert_eq!(said.out.matches(line).count(), 1, "{verb}: {}", said.out);
    }
    let page = space.read("results/study/report.html");
    let (before, rest) = page.split_once("lines with an id outside the collection were left out").unwrap();
    assert!(
        before.contains("id=\"warnings\"") && rest.contains("id=\"tables\""),
        "notes stand before numbers"
    );
    assert!(page.contains("tiny.qrels"));
}

#[test]
fn only_what_tables_rest_on_is_told() {
    let space = Space::new(RETRIEVAL);
    // Nothing of this dataset reaches the table.
    let study = space.read("study.xpipe").replace(
        "table t",
        "dataset other: Qrels = local { qrels = \"data/other.tsv\", corpus = tiny, queries = tiny, unknown = drop }\n\
         stage aside for k1 = evaluate { run = first, qrels = other, metrics = [ap()] }\ntable t",
    );
    space.write("study.xpipe", &study);
    let qrels = space.read("data/qrels.tsv");
    let query = qrels.lines().nth(1).unwrap().split('\t').next().unwrap().to_owned();
    space.write("data/other.tsv", &format!("{qrels}{query}\tnowhere\t1\n"));
    let cause = "lines with an id outside the collection were left out";
    let has = |json: &serde_json::Value| notes(&json["results"]).iter().any(|n| n.1 == cause);
    assert!(!has(&space.xpipe(&["run", "study.xpipe", "--json"]).json()));
    space.edit("study.xpipe", "value = scores.ndcg_10", "value = aside.ap");
    assert!(has(&space.xpipe(&["run", "study.xpipe", "--json"]).json()));
}

#[test]
fn tables_are_told_by_their_axes() {
    let space = Space::new(RETRIEVAL);
    space.edit(
        "study.xpipe",
        "value = scores.ndcg_10,",
        "value = scores.ndcg_10, test = paired_t(over = query, against = k1.low),",
    );
    let json = space.xpipe(&["run", "study.xpipe", "--json"]).json();
    let table = &json["results"]["tables"][0];
    assert_eq!(table["axes"], serde_json::json!({ "k1": ["low", "high"] }));
    let cells = table["cells"].as_array().unwrap();
    assert_eq!(cells[1]["at"], serde_json::json!({ "k1": "high" }));
    assert_eq!(cells[0]["marks"], serde_json::json!(["reference"]));
    let value = |i: usize| cells[i]["value"].as_f64().unwrap();
    assert!((cells[1]["difference"].as_f64().unwrap() - (value(1) - value(0))).abs() < 1e-12);
    assert!(
        cells[1]["n"].as_u64().is_some_and(|n| n > 0)
            && cells[1]["p"].as_f64().is_some()
            && cells[1]["hole"].is_null()
    );
    let claim = &json["results"]["claims"][0];
    assert_eq!((&claim["outcome"], &claim["text"]), (&"passed".into(), &"finds something".into()));
    assert!(claim["shown"].as_str().unwrap().contains(" > "), "{claim:#}");
    // What has no result says why.
    let space = Space::new(RETRIEVAL);
    let json = space.xpipe(&["show", "study.xpipe", "--json"]).json();
    let hole = json["tables"][0]["cells"][0]["hole"].as_str().unwrap();
    assert!(hole.contains("scores[low]"), "{hole}");
}

/// Which of two values of k1 is best on the judged queries, used by a search of its own.
const CHOOSING: &str = r#"edition 2026
use std.retrieval { bm25_run }
dataset tiny: TestCollection = local { docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv", role = validation }
axis k1: Float = [0.3, 0.7]
axis b: Float = [0.1]
axis system: String = { first = "BM25 (tuned)", plain = "BM25 & nothing else" }
stage tried for k1, b = bm25_run(corpus = tiny.corpus, queries = tiny.queries, depth = 10, k1 = k1, b = b)
stage dev for k1, b = evaluate { run = tried, qrels = tiny.qrels, metrics = [ndcg(10), ap()] }
let best = argmax(dev.ndcg_10, over = [k1, b])
stage tuned = bm25_run(corpus = tiny.corpus, queries = tiny.queries, depth = 5, k1 = best.k1, b = best.b)
stage plain = bm25_run(corpus = tiny.corpus, queries = tiny.queries, depth = 5)
stage scores for system = evaluate {
    run = match system { first => tuned, plain => plain }, qrels = tiny.qrels, metrics = [ndcg(5), ap()]
}
axis measure = ["ndcg", "ap"]
table both { title = "two measures", rows = system, columns = measure, value = match measure { "ndcg" => scores.ndcg_5, "ap" => scores.ap } }
table final { title = "with k1 {best.k1}, b {best.b}", rows = system, value = scores.ap, write = [latex, csv] }
claim sound for system { text = "{system} at k1 {best.k1} finds something", expect = scores.ap > 0 }
claim less { text = "tuned is worse", expect = scores[system = first].ap < scores[system = plain].ap - 1 }
"#;

#[test]
fn titles_and_sentences_are_filled_in_and_winners_are_told() {
    let space = Space::new(CHOOSING);
    let before = space.xpipe(&["show", "study.xpipe", "--json"]).json();
    assert_eq!(before["tables"][1]["title"], "with k1 ?, b ?");
    assert!(before["chosen"][0]["values"].is_null(), "{before:#}");
    let ran = space.xpipe(&["run", "study.xpipe", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    let json = ran.json()["results"].clone();
    let chosen = &json["chosen"][0];
    assert_eq!(
        (&chosen["name"], &chosen["of"], &chosen["by"]),
        (&"best".into(), &2.into(), &"largest nDCG@10".into())
    );
    assert_eq!(chosen["at"], serde_json::json!({}));
    let k1 = chosen["values"]["k1"].as_f64().unwrap();
    assert!([0.3, 0.7].contains(&k1) && chosen["values"]["b"] == 0.1, "{chosen:#}");
    assert_eq!(json["tables"][1]["title"], format!("with k1 {k1}, b 0.1"));
    assert_eq!(json["claims"][1]["text"], format!("plain at k1 {k1} finds something"));
    // A table of several measures is named after none of them.
    assert_eq!(json["tables"][0]["shown_title"], "two measures");
    assert_eq!(json["tables"][1]["measure"], "AP");
    let shown = space.xpipe(&["show", "study.xpipe"]).out;
    let line = format!("chosen: best = {{k1 = {k1}, b = 0.1}}, the largest nDCG@10 of 2 (");
    let failed = "is not < ";
    for part in
        [&*line, &format!("first at k1 {k1} finds something"), "tuned is worse", failed, "BM25 (tuned)"]
    {
        assert!(shown.contains(part), "no `{part}` in {shown}");
    }
    let why = space.xpipe(&["why", "study.xpipe", "tuned"]).out;
    assert!(why.contains(&line), "{why}");
    assert!(!space.xpipe(&["why", "study.xpipe", "plain"]).out.contains("chosen"));
    let page = space.read("results/study/report.html");
    for part in ["Chosen values", "BM25 &amp; nothing else", &format!("first at k1 {k1} finds something")] {
        assert!(page.contains(part), "no `{part}`");
    }
    assert!(!page.contains("known when it has run"));
    // Labels where programs read, names where people do.
    let tex = space.read("results/study/tables/final.tex");
    assert!(tex.contains("BM25 \\& nothing else") && !tex.contains("plain &"), "{tex}");
    assert!(space.read("results/study/tables/final.csv").contains("plain,value,"));
}

#[test]
fn names_of_a_table_are_for_its_labels() {
    let space = Space::new(RETRIEVAL);
    space.edit("study.xpipe", "rows = k1,", "rows = k1, names = { low = \"k1 of 0.9\" },");
    let shown = space.xpipe(&["run", "study.xpipe"]).out;
    assert!(shown.contains("k1 of 0.9") && shown.contains("  high"), "{shown}");
    space.edit("study.xpipe", "names = { low =", "names = { lowest =");
    space.xpipe(&["check", "study.xpipe"]).says(3, &["`lowest`"]);
}

#[test]
fn a_failed_cell_names_its_cause_once() {
    // Two collections of which one has judgements of another: two of four cells fail, for one reason.
    let space = Space::new(
        &RETRIEVAL
            .replace(
                "axis k1",
                "dataset broken: TestCollection = local { docs = \"{data}/corpus.jsonl\", queries = \"{data}/queries.jsonl\", \
                 qrels = \"{data}/broken.tsv\" }\naxis eval: TestCollection = { tiny, broken }\naxis k1",
            )
            .replace("for k1 = bm25_run(corpus = tiny.corpus, queries = tiny.queries", "for k1, eval = bm25_run(corpus = eval.corpus, queries = eval.queries")
            .replace("stage scores for k1", "stage scores for k1, eval")
            .replace("qrels   = tiny.qrels", "qrels   = eval.qrels")
            .replace("rows = k1, value", "rows = k1, columns = eval, value")
            .replace("scores[k1 = low]", "scores[k1 = low, eval = tiny]"),
    );
    space.write("data/broken.tsv", "query-id\tcorpus-id\tscore\nq-bread-0\tnowhere\t1\n");
    let ran = space.xpipe(&["run", "study.xpipe", "--json"]);
    assert_eq!(ran.code, Some(7), "{ran:#?}");
    let notes = ran.json()["results"]["tables"][0]["notes"].clone();
    let holes: Vec<&str> = notes
        .as_array()
        .unwrap()
        .iter()
        .filter(|n| n["of"] == "hole")
        .map(|n| n["text"].as_str().unwrap())
        .collect();
    assert_eq!(holes.len(), 1, "{notes:#}");
    assert!(
        holes[0].starts_with("broken: `broken.qrels` failed (") && holes[0].contains("`nowhere`"),
        "{holes:?}"
    );
    // Without a run, as it failed last.
    let shown = space.xpipe(&["show", "study.xpipe", "--json"]).json();
    assert_eq!(shown["tables"][0]["notes"], notes);
}

#[test]
fn several_results_are_exported_with_their_axes() {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.xpipe(&["run", "study.xpipe"]).code, Some(0));
    let export = |cell: &str, to: &str| space.xpipe(&["export", "study.xpipe", cell, to]);
    assert_eq!(export("scores", "all").code, Some(0));
    let long = space.read("all/scores.csv");
    let mut lines = long.lines();
    assert_eq!(lines.next(), Some("k1,query,metric,value"));
    assert!(long.contains("\nlow,q-bread-0,nDCG@10,") && long.contains("\nhigh,q-bread-0,AP,"), "{long}");
    assert_eq!(export("first", "runs").code, Some(0));
    let index = space.read("runs/cells.csv");
    assert_eq!(index, "file,k1\nfirst[low].run,low\nfirst[high].run,high\n");
    // As the language writes it, and parts of data sets.
    assert_eq!(export("first[k1=high]", "high.run").code, Some(0));
    assert_eq!(space.read("high.run"), space.read("runs/first[high].run"));
    assert_eq!(export("tiny.qrels", "tiny.qrels").code, Some(0));
    assert!(space.read("tiny.qrels").starts_with("q-bread-0 0 d0 2\n"), "{}", space.read("tiny.qrels"));
    assert_eq!(export("tiny.queries", "q.tsv").code, Some(0));
    assert!(space.read("q.tsv").starts_with("q-bread-0\tflour yeast\n"));
    assert_eq!(export("tiny.corpus", "docs.jsonl").code, Some(0));
    let first: serde_json::Value =
        serde_json::from_str(space.read("docs.jsonl").lines().next().unwrap()).unwrap();
    assert!(first["_id"] == "d0" && first["text"].as_str().unwrap().contains("flour"), "{first}");
    export("tiny.nothing", "x").says(2, &["`tiny.nothing`"]);
    export("first[k1=other]", "x").says(2, &["[k1=other]"]);
}

#[test]
fn a_part_of_a_study_leaves_the_results_of_the_whole() {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.xpipe(&["run", "study.xpipe"]).code, Some(0));
    let whole = space.read("results/study/tables/t.csv");
    for part in [["--only", "k1=low"], ["--target", "scores[high]"]] {
        let ran = space.xpipe(&["run", "study.xpipe", part[0], part[1]]);
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        assert_eq!(space.read("results/study/tables/t.csv"), whole);
        let shown = space.read("results/study/partial/tables/t.csv");
        assert_ne!(shown, whole);
    }
    // A place that is asked for is taken.
    space.xpipe(&["run", "study.xpipe", "--only", "k1=low", "--output", "here"]).says(0, &[]);
    assert!(!space.read("here/tables/t.csv").contains("\nhigh,"));
}
