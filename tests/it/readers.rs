//! Collections in the layouts that the field distributes, through the whole program: the same collection in each gives
//! the same measures.

use crate::space::{RETRIEVAL, Space, repository};

const SOURCES: &str =
    r#"docs = "{data}/corpus.jsonl", queries = "{data}/queries.jsonl", qrels = "{data}/qrels.tsv""#;

/// The table of the study over sources written in another layout.
fn table(space: &Space, sources: &str) -> String {
    space.edit("study.xpipe", SOURCES, sources);
    let ended = space.xpipe(&["run", "study.xpipe", "--json"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    ended.json()["results"]["tables"][0]["csv"].as_str().unwrap().to_owned()
}

/// The records of a JSON lines file of tests/data/tiny: ids and texts as BEIR joins them.
fn records(space: &Space, file: &str) -> Vec<(String, String)> {
    let parse = |line: &str| {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        let title = json["title"].as_str().map(|t| format!("{t} ")).unwrap_or_default();
        (json["_id"].as_str().unwrap().to_owned(), format!("{title}{}", json["text"].as_str().unwrap()))
    };
    space.read(file).lines().map(parse).collect()
}

fn lines(records: &[(String, String)], line: impl Fn(&str, &str) -> String) -> String {
    records.iter().map(|(id, text)| line(id, text)).collect()
}

fn judgements(space: &Space) -> Vec<(String, String, String)> {
    let text = space.read("data/qrels.tsv");
    let rows = text.lines().skip(1).map(|line| {
        let mut columns = line.split('\t').map(str::to_owned);
        (columns.next().unwrap(), columns.next().unwrap(), columns.next().unwrap())
    });
    rows.collect()
}

#[test]
fn one_collection_in_every_layout_measures_the_same() {
    let beir = Space::new(RETRIEVAL);
    let expected = table(&beir, SOURCES);
    assert!(expected.contains("low") && expected.contains("0.8"), "{expected}");

    // MS MARCO and TREC: tables, topics, judgements of four columns.
    let space = Space::new(RETRIEVAL);
    let (docs, queries) = (records(&space, "data/corpus.jsonl"), records(&space, "data/queries.jsonl"));
    space.write("data/collection.tsv", &lines(&docs, |id, text| format!("{id}\t{text}\n")));
    let topics =
        lines(&queries, |id, text| format!("<topic number=\"{id}\">\n<query>{text}</query>\n</topic>\n"));
    space.write("data/topics.xml", &format!("<?xml version=\"1.0\"?>\n<topics>\n{topics}</topics>\n"));
    let rows = judgements(&space);
    let qrels: String = rows.iter().map(|(q, d, g)| format!("{q} 0 {d} {g}\n")).collect();
    space.write("data/qrels.txt", &qrels);
    let found = table(
        &space,
        r#"docs = "{data}/collection.tsv", queries = "{data}/topics.xml", qrels = "{data}/qrels.txt""#,
    );
    assert_eq!(found, expected);

    // TREC documents and classic topics.
    let space = Space::new(RETRIEVAL);
    let text =
        lines(&docs, |id, text| format!("<DOC>\n<DOCNO> {id} </DOCNO>\n<TEXT>\n{text}\n</TEXT>\n</DOC>\n"));
    space.write("data/docs.trec", &text);
    let text = lines(&queries, |id, text| format!("<top>\n<num> Number: {id}\n<title> {text}\n</top>\n"));
    space.write("data/topics.txt", &text);
    let found = table(
        &space,
        r#"docs = "{data}/docs.trec", queries = "{data}/topics.txt", qrels = "{data}/qrels.tsv""#,
    );
    assert_eq!(found, expected);
}

#[test]
fn layouts_without_grades_measure_the_same() {
    // All that is judged is relevant with grade 1.
    let space = Space::new(RETRIEVAL);
    let rows = judgements(&space);
    let ones: String = rows.iter().map(|(q, d, _)| format!("{q}\t{d}\t1\n")).collect();
    space.write("data/qrels.tsv", &ones);
    let expected = table(&space, SOURCES);

    // LoTTE: documents and questions as tables, answers as JSON lines.
    let space = Space::new(RETRIEVAL);
    let (docs, queries) = (records(&space, "data/corpus.jsonl"), records(&space, "data/queries.jsonl"));
    space.write("data/collection.tsv", &lines(&docs, |id, text| format!("{id}\t{text}\n")));
    space.write("data/questions.search.tsv", &lines(&queries, |id, text| format!("{id}\t{text}\n")));
    let answers = lines(&queries, |id, text| {
        let pids: Vec<&str> = rows.iter().filter(|(q, ..)| q == id).map(|(_, d, _)| d.as_str()).collect();
        format!("{}\n", serde_json::json!({ "qid": id, "query": text, "answer_pids": pids }))
    });
    space.write("data/qas.search.jsonl", &answers);
    let sources = r#"docs = "{data}/collection.tsv", queries = "{data}/questions.search.tsv", qrels = "{data}/qas.search.jsonl""#;
    assert_eq!(table(&space, sources), expected);

    // NanoBEIR: three Parquet files, as another program wrote them.
    let space = Space::new(RETRIEVAL);
    for file in ["corpus", "queries", "qrels"] {
        let name = format!("{file}.parquet");
        std::fs::copy(repository("tests/data/nano").join(&name), space.path("data").join(&name)).unwrap();
    }
    let sources = r#"docs = "{data}/corpus.parquet", queries = "{data}/queries.parquet", qrels = "{data}/qrels.parquet""#;
    assert_eq!(table(&space, sources), expected);
}

#[test]
fn a_damaged_or_foreign_parquet_file_is_named() {
    let whole = std::fs::read(repository("tests/data/nano/corpus.parquet")).unwrap();
    for (bytes, name, said) in [
        (&whole[..whole.len() / 2], "corpus.parquet", "damaged or cut short"),
        (b"_id\ttext\n".as_slice(), "corpus.parquet", "as the file's suffix says"),
        (&whole[..], "qrels.parquet", "expected the columns `query-id` and `corpus-id`"),
    ] {
        let space = Space::new(RETRIEVAL);
        std::fs::write(space.path("data").join(name), bytes).unwrap();
        let part = if name == "corpus.parquet" { "corpus.jsonl" } else { "qrels.tsv" };
        space.edit("study.xpipe", part, name);
        let ended = space.xpipe(&["run", "study.xpipe"]);
        assert!(matches!(ended.code, Some(1 | 7)), "{ended:?}");
        assert!(ended.err.contains(name) && ended.err.contains(said), "{}", ended.err);
    }
}

#[test]
fn a_run_of_msmarco_is_ranked_by_its_ranks() {
    let study = r#"edition 2026
dataset tiny: TestCollection = local { docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv" }
dataset given: Run = local { run = "dev.run.tsv", queries = tiny.queries, corpus = tiny.corpus }
stage scores = evaluate { run = given, qrels = tiny.qrels, metrics = [rr(10)] }
claim third { text = "the answer is third", expect = scores.rr_10 > 0.018 && scores.rr_10 < 0.019 }
"#;
    let space = Space::new(&study.replace("&&", "and"));
    // One of 18 queries, with its answer at rank 3: 1/3/18.
    space.write("dev.run.tsv", "q-bread-0\td30\t1\nq-bread-0\td31\t2\nq-bread-0\td0\t3\n");
    let ended = space.xpipe(&["run", "study.xpipe"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let export = space.xpipe(&["export", "study.xpipe", "scores", "out"]);
    assert_eq!(export.code, Some(0), "{export:#?}");
}
