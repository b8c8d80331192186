//! Files as people have them: read through the whole program, or refused with what to type.

use xpipe_data::qrels::Qrels;
use xpipe_data::run::Run;
use xpipe_data::scores::Scores;
use xpipe_data::store::TextStore;
use xpipe_data::table::{Kind, TableReader};

use crate::space::{Ended, Space, repository};

/// Runs a study over files; each is a name and its text.
fn run(study: &str, files: &[(&str, &str)]) -> (Space, Ended) {
    let space = Space::new(&format!("edition 2026\n{study}"));
    for (name, text) in files {
        std::fs::create_dir_all(space.path(name).parent().unwrap()).unwrap();
        space.write(name, text);
    }
    let ended = space.xpipe(&["run", "study.xpipe"]);
    (space, ended)
}

/// The folder of a cell's result.
fn folder(space: &Space, cell: &str) -> std::path::PathBuf {
    for entry in space.xpipe(&["cache", "ls", "--json"]).json().as_array().unwrap() {
        if entry["address"] == cell {
            let key = entry["key"].as_str().unwrap();
            let path = space.cache().join("v1/actions").join(&key[..2]).join(format!("{key}.json"));
            let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            let manifest = json.get("manifest").unwrap_or(&json);
            return space.cache().join("v1/trees").join(manifest["tree"].as_str().unwrap());
        }
    }
    panic!("no result of {cell}");
}

/// What a data set of texts has: `id=text`.
#[track_caller]
fn texts(declared: &str, files: &[(&str, &str)]) -> Vec<String> {
    let (kind, stage) = if declared.contains("queries =") {
        ("Queries", "bm25.search { index = bm25.index { corpus = other }, queries = d, depth = 1 }")
    } else {
        ("Corpus", "bm25.index { corpus = d }")
    };
    let other = "dataset other: Corpus = local { docs = \"data/corpus.jsonl\" }";
    let (space, ended) =
        run(&format!("{other}\ndataset d: {kind} = local {{ {declared} }}\nstage s = {stage}\n"), files);
    assert_eq!(ended.code, Some(0), "{declared}: {}", ended.err);
    let store = TextStore::open(&folder(&space, "d")).unwrap();
    store.iter().map(|(id, text)| format!("{id}={text}")).collect()
}

/// What is said about a corpus that cannot be read.
#[track_caller]
fn refused(declared: &str, files: &[(&str, &str)], code: i32, said: &[&str]) {
    let (_, ended) = run(
        &format!("dataset d: Corpus = local {{ {declared} }}\nstage s = bm25.index {{ corpus = d }}\n"),
        files,
    );
    ended.says(code, said);
}

const JUDGED: &str = "dataset r: Run = local { run = \"r.run\" }\ndataset q: Qrels = local { qrels = \"q.txt\" }\nstage e = \
                      evaluate { run = r, qrels = q, metrics = [rr(10)] }\n";

#[test]
fn ranks_are_told_from_scores_by_the_whole_file() {
    // MS MARCO's evaluation gives 1 for both queries, and 1/2 for the second pair.
    for (ranks, judged, expected) in [
        ("1\ta\t1\n2\tb\t1\n2\tc\t2\n2\td\t3\n", "1 0 a 1\n2 0 b 1\n", "1.0"),
        ("8\tx\t1\n9\ta\t1\n9\tb\t2\n", "8 0 x 1\n9 0 a 0\n9 0 b 1\n", "0.75"),
    ] {
        let study =
            format!("{JUDGED}claim c {{ text = \"as published\", expect = e.rr_10 == {expected} }}\n");
        let (_, ended) = run(&study, &[("r.run", ranks), ("q.txt", judged)]);
        assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    }
    let (_, ended) = run(JUDGED, &[("r.run", "1 a 1\n1 b 3\n"), ("q.txt", "1 0 a 1\n")]);
    ended.says(1, &["r.run:1", "may be scores or ranks", "format = \"msmarco\""]);
    let scores = "dataset t: Scores = local { scores = \"t.tsv\" }\nstage m = score.mean { scores = [t, t], normalise = \
                  raw }\n";
    let (_, ended) = run(scores, &[("t.tsv", "1 a 1\n1 b 2\n1 c 3\n")]);
    ended.says(1, &["which are ranks, expected scores", "format = \"msmarco\""]);
}

#[test]
fn documents_with_attributes_are_documents() {
    let text = "<DOC>\n<DOCNO>a</DOCNO>\n<TEXT>ox</TEXT>\n</DOC>\n<DOC lang=\"en\">\n<DOCNO>b</DOCNO>\n<TEXT>elk</TEXT>\n\
                </DOC>\n";
    assert_eq!(texts("docs = \"d.trec\"", &[("d.trec", text)]), ["a=ox", "b=elk"]);
    let gigaword = "<DOC id=\"X_1\" type=\"story\">\n<HEADLINE>ox</HEADLINE>\n</DOC>\n";
    assert_eq!(texts("docs = \"d.trec\"", &[("d.trec", gigaword)]), ["X_1=ox"]);
    let between = "<DOC><DOCNO>a</DOCNO></DOC>\n<DOCUMENT><TEXT>elk</TEXT></DOCUMENT>\n";
    refused("docs = \"d.trec\"", &[("d.trec", between)], 1, &["d.trec:2", "outside `<DOC>`"]);
    let topics = "<top lang=\"en\">\n<num> 3\n<title> ox\n</top>\n<top>\n<num> 4\n<title> elk\n</top>\n";
    assert_eq!(texts("queries = \"t.txt\"", &[("t.txt", topics)]), ["3=ox", "4=elk"]);
}

#[test]
fn ids_with_a_number_sign_are_judged() {
    let (space, ended) = run(
        JUDGED,
        &[("r.run", "# of today\n#7 Q0 a 1 2 t\n8 Q0 c 1 1 t\n"), ("q.txt", "#7 0 a 1\n8 0 c 1\n")],
    );
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("left out as comments"), "{}", ended.err);
    assert_eq!(Qrels::read(&folder(&space, "q")).unwrap().grade("#7", "a"), Some(1));
    assert_eq!(Run::read(&folder(&space, "r")).unwrap().len(), 2);
}

#[test]
fn tables_have_headers_and_columns() {
    let header = [("c.tsv", "docid\tcontents\na\tox\nb\telk\n")];
    assert_eq!(texts("docs = \"c.tsv\"", &header), ["a=ox", "b=elk"]);
    assert_eq!(texts("docs = \"c.tsv\", header = false", &header).len(), 3);
    let documents = [("c.tsv", "D7\thttp://x\tOx\tan animal\n")];
    assert_eq!(texts("docs = \"c.tsv\", fields = [\"3\", \"4\"]", &documents), ["D7=Ox an animal"]);
    refused("docs = \"c.tsv\"", &documents, 1, &["c.tsv:1", "4 columns", "fields = ", "tabs = text"]);
    refused("docs = \"c.tsv\"", &[("c.tsv", "pid\twhales\n")], 1, &["c.tsv:1", "header = false"]);
    assert_eq!(texts("docs = \"c.tsv\", tabs = text", &[("c.tsv", "a\tx\ty\n")]), ["a=x\ty"]);
    let csv = [("c.csv", "key,lang,words\n1,en,\"ox, elk\"\n")];
    assert_eq!(texts("docs = \"c.csv\", id = \"key\", fields = [\"words\"]", &csv), ["1=ox, elk"]);
    assert_eq!(texts("queries = \"q.csv\"", &[("q.csv", "qid,query\n7,ox\n")]), ["7=ox"]);
}

#[test]
fn fields_have_the_names_that_collections_use() {
    let passage = r#"{"pid": "p1", "passage": "ox", "spans": "(0,2)", "docid": "d1"}"#;
    assert_eq!(texts("docs = \"c.jsonl\"", &[("c.jsonl", passage)]), ["p1=ox"]);
    let document = r#"{"docid": "d1", "url": "u", "title": "Elk", "headings": "h", "body": "an animal"}"#;
    assert_eq!(texts("docs = \"c.jsonl\"", &[("c.jsonl", document)]), ["d1=Elk an animal"]);
    let chosen = r#"{"uid": "u1", "doc_id": "x", "text": "ox"}"#;
    assert_eq!(texts("docs = \"c.jsonl\", id = \"uid\"", &[("c.jsonl", chosen)]), ["u1=ox"]);
    let beyond = "{\"_id\": 1, \"title\": 1999, \"text\": \"ox\", \"year\": NaN}\n{\"_id\": 2, \"text\": \"\\udead\"}\n";
    assert_eq!(texts("docs = \"c.jsonl\"", &[("c.jsonl", beyond)]), ["1=1999 ox", "2=\u{FFFD}"]);
    let whole = "dataset c: TestCollection = local { docs = \"c.jsonl\", queries = \"q.jsonl\", qrels = \"q.txt\", id = \
                 \"uid\", query_id = \"key\" }\nstage s = bm25.search { index = bm25.index { corpus = c.corpus }, queries = \
                 c.queries, depth = 10 }\nstage e = evaluate { run = s, qrels = c.qrels, metrics = [rr(10)] }\nclaim f { text \
                 = \"found\", expect = e.rr_10 == 1.0 }\n";
    let files = [
        ("c.jsonl", chosen),
        ("q.jsonl", "{\"key\": 1, \"id\": 2, \"text\": \"ox\"}"),
        ("q.txt", "1 0 u1 1\n"),
    ];
    assert_eq!(run(whole, &files).1.code, Some(0));
}

#[test]
fn several_files_are_one_collection() {
    let files =
        [("p/a.tsv", "a\tox\n"), ("p/b.tsv", "b\telk\n"), ("p/README", "About it.\n"), ("p/x.txt", "?\n")];
    let both = ["a=ox", "b=elk"];
    assert_eq!(texts("docs = [\"p/a.tsv\", \"p/b.tsv\"]", &files), both);
    assert_eq!(texts("docs = [\"p/b.tsv\", \"p/a.tsv\"]", &files), ["b=elk", "a=ox"]);
    assert_eq!(texts("docs = \"p/*.tsv\"", &files), both);
    assert_eq!(texts("docs = \"p\", include = [\"*.tsv\"]", &files), both);
    assert_eq!(texts("docs = \"p\", exclude = [\"x*\"]", &files), both);
    refused("docs = \"p\"", &files, 1, &["x.txt:1"]);
    refused("docs = [\"p/a.tsv\", \"p/none.tsv\"]", &files, 4, &["p/none.tsv"]);
    refused("docs = 7", &files, 3, &["`docs` must be"]);
    refused("docs = [\"p/*.tsv\", \"p/a.tsv\"]", &files, 3, &["a pattern stands alone"]);
}

#[test]
fn what_has_no_other_way_round_is_declared() {
    let runs = |more: &str| JUDGED.replace("\"r.run\"", &format!("\"r.run\"{more}"));
    let twice = [("r.run", "1 Q0 a 1 2.0 t\n1 Q0 b 2 1.5 t\n1 Q0 a 3 1.0 t\n"), ("q.txt", "1 0 a 1.0\n")];
    run(JUDGED, &twice).1.says(1, &["r.run:3", "duplicates = max"]);
    let (space, ended) = run(&runs(", duplicates = max"), &twice);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(Run::read(&folder(&space, "r")).unwrap().queries()[0].hits.len(), 2);
    assert_eq!(Qrels::read(&folder(&space, "q")).unwrap().grade("1", "a"), Some(1));
    let empty = [("q.tsv", "1\tox\n2\t\n")];
    assert_eq!(texts("queries = \"q.tsv\", empty = drop", &empty), ["1=ox"]);
    assert_eq!(texts("docs = \"c.tsv\", blanks = \"_\"", &[("c.tsv", "an id\tox\n")]), ["an_id=ox"]);
    let (space, _) = run(
        JUDGED,
        &[("r.run", "1 Q0 a 1 2.0 t\n"), ("q.txt", "query_id\titer\tdoc_id\trelevance\n1\t0\ta\t2\n")],
    );
    assert_eq!(Qrels::read(&folder(&space, "q")).unwrap().grade("1", "a"), Some(2));
    // An argument that no file of the data set reads.
    refused("docs = \"c.tsv\", unknown = drop", &[("c.tsv", "a\tox\n")], 3, &["`unknown` changes nothing"]);
    refused("docs = \"c.tsv\", duplicates = max", &[("c.tsv", "a\tox\n")], 3, &["`duplicates` must be"]);
}

#[test]
fn tables_of_the_hub_are_read_and_other_packings_refused() {
    let here =
        |name: &str| repository("tests/data/parquet").join(format!("{name}.parquet")).display().to_string();
    let study = format!(
        "dataset c: Corpus = local {{ docs = \"{}\" }}\ndataset q: Queries = local {{ queries = \"{}\" }}\ndataset s: Scores = \
         local {{ scores = \"{}\", corpus = c, queries = q }}\ndataset r: Run = local {{ run = \"{}\", corpus = c, queries = q \
         }}\ndataset l: Qrels = local {{ qrels = \"{}\", corpus = c, queries = q }}\ndataset t: Source = local {{ triples = \
         \"{}\", corpus = c, queries = q }}\nstage e = evaluate {{ run = r, qrels = l, metrics = [rr(10)] }}\nstage m = \
         score.mean {{ scores = [s, s], normalise = raw }}\nstage d = data.samples {{ source = t, shape = pairs(), seed = 1, \
         count = 2 }}\n",
        here("passages"),
        here("queries"),
        here("scores"),
        here("rankings"),
        here("labels"),
        here("margins"),
    );
    let (space, ended) = run(&study, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(TextStore::open(&folder(&space, "c")).unwrap().text(1), "a dog");
    assert_eq!(Scores::read(&folder(&space, "s")).unwrap().score("1", "8"), Some(-3.25));
    let ranked = Run::read(&folder(&space, "r")).unwrap();
    let documents: Vec<&str> = ranked.queries()[0].hits.iter().map(|h| h.document.as_str()).collect();
    assert_eq!(documents, ["8", "7"]);
    assert_eq!(Qrels::read(&folder(&space, "l")).unwrap().grade("1", "7"), Some(1));
    let columns =
        [("negative_id", Kind::Text), ("positive_score", Kind::Float), ("negative_score", Kind::Float)];
    let mut table = TableReader::open(&folder(&space, "t").join("triples.parquet"), &columns).unwrap();
    let row = table.row().unwrap().unwrap();
    assert_eq!((row.text(0), row.float(1), row.float(2)), ("8", 14.75, 0.0));
    for packing in ["lz4", "brotli", "gzip"] {
        refused(
            &format!("docs = \"{}\"", here(packing)),
            &[],
            1,
            &[packing, "expected zstd, snappy", "pyarrow"],
        );
    }
    assert_eq!(texts(&format!("docs = \"{}\"", here("zstd")), &[]), ["7=a fox"]);
}
