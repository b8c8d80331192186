//! Every collection of `pipelines/std` is imported, searched and measured from small files in the layout that its
//! publisher uses: names of archives and members, columns, ids, headers, packing.
//!
//! The modules are copied beside a study, with their addresses leading to a server on this machine and without the
//! digests of the real files. What an address holds is made below; one that nothing is made for is not found.
//!
//! **Source:** the pages of MS MARCO, TREC, BEIR, NanoBEIR and LoTTE; ir_datasets' modules `msmarco_passage`,
//! `msmarco_passage_v2`, `trec_robust04`, `beir`, `lotte`.

use std::collections::BTreeMap;

use xpipe_data::table::{Cell, Kind, TableWriter};

use crate::fetching::xpipe;
use crate::server::Server;
use crate::space::{Space, repository};
use xpipe_testing::archives::{gzip, tar, zip};

const MODULES: [&str; 5] = ["msmarco", "trec", "beir", "lotte", "teachers"];

/// Documents of a collection, by number.
const TEXTS: [&str; 4] =
    ["rivers run to the sea", "mountains hold snow", "café © in the old town", "a list\u{2019}s last word"];
/// Its queries; the third is not judged.
const QUERIES: [&str; 4] = ["rivers sea", "snow mountains", "nobody asks", "café"];
/// Query and document of each judgement.
const JUDGED: [(usize, usize); 3] = [(0, 0), (1, 1), (3, 2)];

fn tsv(texts: &[&str], id: impl Fn(usize) -> String) -> String {
    texts.iter().enumerate().map(|(i, text)| format!("{}\t{text}\n", id(i))).collect()
}

fn judged(line: impl Fn(usize, usize) -> String) -> String {
    JUDGED.iter().map(|(query, document)| line(*query, *document)).collect()
}

fn json(id: &str, text: &str) -> String {
    format!("{{\"_id\": \"{id}\", \"title\": \"\", \"text\": \"{text}\", \"metadata\": {{}}}}\n")
}

/// The folder of one set in an archive of BEIR.
fn beir(set: &str) -> Vec<(String, Vec<u8>)> {
    let texts = |prefix: &str, all: &[&str]| -> String {
        all.iter().enumerate().map(|(i, text)| json(&format!("{prefix}{i}"), text)).collect()
    };
    let qrels = judged(|q, d| format!("q{q}\td{d}\t1\n"));
    vec![
        (format!("{set}/corpus.jsonl"), texts("d", &TEXTS).into_bytes()),
        (format!("{set}/queries.jsonl"), texts("q", &QUERIES).into_bytes()),
        (format!("{set}/qrels/test.tsv"), format!("query-id\tcorpus-id\tscore\n{qrels}").into_bytes()),
        (format!("{set}/qrels/train.tsv"), b"query-id\tcorpus-id\tscore\nq2\td3\t1\n".to_vec()),
    ]
}

/// One file of a NanoBEIR set: Parquet, and judgements without a grade.
fn nano(space: &Space, kind: &str) -> Vec<u8> {
    let path = space.path("nano.parquet");
    let (columns, rows): ([&str; 2], Vec<[String; 2]>) = match kind {
        "corpus" => (
            ["_id", "text"],
            TEXTS.iter().enumerate().map(|(i, t)| [format!("d{i}"), (*t).to_owned()]).collect(),
        ),
        "queries" => (
            ["_id", "text"],
            QUERIES.iter().enumerate().map(|(i, t)| [format!("q{i}"), (*t).to_owned()]).collect(),
        ),
        _ => (
            ["query-id", "corpus-id"],
            JUDGED.iter().map(|(q, d)| [format!("q{q}"), format!("d{d}")]).collect(),
        ),
    };
    let kinds = [(columns[0], Kind::Text), (columns[1], Kind::Text)];
    let mut table = TableWriter::create(&path, &kinds).unwrap();
    for [a, b] in &rows {
        table.row(&[Cell::Text(a), Cell::Text(b)]).unwrap();
    }
    table.finish().unwrap();
    std::fs::read(&path).unwrap()
}

fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (&**name, &**bytes)).collect();
    gzip(&tar(&files))
}

/// What lies at an address, without `https://`.
fn published(space: &Space, address: &str) -> Option<Vec<u8>> {
    // long: a table of the files that publishers serve
    let number = |i: usize| i.to_string();
    // Ids of MS MARCO's queries are numbers that are no places.
    let query = |i: usize| (19_335 + 7 * i).to_string();
    let (passages, queries) = (tsv(&TEXTS, number), tsv(&QUERIES, query));
    let sparse = judged(|q, d| format!("{}\t0\t{d}\t1\n", query(q)));
    let (name, v2) = (address.rsplit('/').next()?, |d: usize| format!("msmarco_passage_00_{}", d * 172));
    let file = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
    Some(match name {
        "collectionandqueries.tar.gz" => packed(&[
            file("collection.tsv", &passages),
            file("qrels.dev.small.tsv", &sparse),
            file("qrels.train.tsv", &sparse),
            file("queries.dev.small.tsv", &queries),
            file("queries.eval.small.tsv", "1\tsecret\n"),
            file("queries.train.tsv", &queries),
        ]),
        "queries.tar.gz" => packed(&[
            file("queries.dev.tsv", &queries),
            file("queries.eval.tsv", "1\tsecret\n"),
            file("queries.train.tsv", &queries),
        ]),
        "qrels.train.tsv" | "qrels.dev.tsv" => sparse.into_bytes(),
        "qidpidtriples.train.full.2.tsv.gz" => gzip(format!("{}\t0\t1\n", query(0)).as_bytes()),
        "msmarco-test2019-queries.tsv.gz" | "msmarco-test2020-queries.tsv.gz" => gzip(queries.as_bytes()),
        "2019qrels-pass.txt" | "2020qrels-pass.txt" => {
            judged(|q, d| format!("{0} Q0 {d} 2\n{0} Q0 3 0\n", query(q))).into_bytes()
        }
        "2021_queries.tsv" | "2022_queries.tsv" => queries.into_bytes(),
        "2021.qrels.pass.final.txt" | "2022.qrels.pass.withDupes.txt" => {
            judged(|q, d| format!("{} 0 {} 3\n", query(q), v2(d))).into_bytes()
        }
        "msmarco_v2_passage.tar" => {
            let line = |(d, text): (usize, &&str)| {
                format!(
                    "{{\"pid\": \"{}\", \"passage\": \"{text}\", \"spans\": \"(0,{})\", \"docid\": \"msmarco_doc_00_0\"}}\n",
                    v2(d),
                    text.len()
                )
            };
            let part = |range: std::ops::Range<usize>| -> Vec<u8> {
                let lines: String =
                    TEXTS.iter().enumerate().skip(range.start).take(range.len()).map(line).collect();
                gzip(lines.as_bytes())
            };
            let parts = [part(0..2), part(2..4)];
            tar(&[
                ("msmarco_v2_passage/msmarco_passage_00.gz", &parts[0]),
                ("msmarco_v2_passage/msmarco_passage_01.gz", &parts[1]),
            ])
        }
        "04.testset.gz" => {
            let topic = |(i, text): (usize, &&str)| {
                format!(
                    "<top>\n\n<num> Number: {} \n<title> {text} \n\n<desc> Description: \nWhat is it?\n\n\
                     <narr> Narrative: \nAnything.\n\n</top>\n\n",
                    301 + i
                )
            };
            gzip(QUERIES.iter().enumerate().map(topic).collect::<String>().as_bytes())
        }
        "qrels.robust2004.txt" => judged(|q, d| format!("{} 0 {} 1\n", 301 + q, NEWS[d].0)).into_bytes(),
        "lotte.tar.gz" => {
            let mut files = Vec::new();
            for domain in ["writing", "recreation", "science", "technology", "lifestyle", "pooled"] {
                let folder = format!("lotte/{domain}/test");
                files.push(file(&format!("{folder}/collection.tsv"), &passages));
                files.push(file(&format!("{folder}/metadata.jsonl"), "{\"dataset\": \"x\"}\n"));
                for kind in ["search", "forum"] {
                    let lines = judged(|q, d| {
                        format!(
                            "{{\"qid\": {q}, \"query\": \"{}\", \"url\": \"u\", \"answer_pids\": [{d}]}}\n",
                            QUERIES[q]
                        )
                    });
                    files.push(file(&format!("{folder}/questions.{kind}.tsv"), &tsv(&QUERIES, number)));
                    files.push(file(&format!("{folder}/qas.{kind}.jsonl"), &lines));
                }
            }
            packed(&files)
        }
        "bert_cat_ensemble_msmarcopassage_train_scores_ids.tsv" => {
            judged(|q, d| format!("9.5\t-1.25\t{}\t{d}\t3\n", query(q))).into_bytes()
        }
        name if name.starts_with("__") && name.ends_with(".run") => {
            judged(|q, d| format!("{0} Q0 {d} 1 2.5 x\n{0} Q0 3 2 1.5 x\n", query(q))).into_bytes()
        }
        "train-00000-of-00001.parquet" => nano(space, address.rsplit('/').nth(1)?),
        _ => return None,
    })
}

/// Samples of every source.
const SAMPLES: &str = "\
stage s1 = data.samples { source = msmarco.train_triples, shape = pairs(), seed = 1 }
stage s2 = data.samples { source = teachers.bert_cat_ensemble, shape = pairs(), seed = 1 }
stage s3 = data.samples { source = teachers.colbertv2_top500, shape = group(positives = 1, negatives = 1), seed = 1 }
stage s4 = data.samples { source = teachers.rankzephyr_top50, shape = ranked_list(2), seed = 1 }
";

/// A document of each part of TREC's disks 4 and 5: id, folder and file.
const NEWS: [(&str, &str); 4] = [
    ("FBIS3-1", "FBIS/FB396001"),
    ("FR940104-0-00001", "FR94/01/FR940104.0"),
    ("FT911-1", "FT/FT911/FT911_1"),
    ("LA010189-0001", "LATIMES/LA010189"),
];

fn news(space: &Space) {
    for ((id, file), text) in NEWS.iter().zip(TEXTS) {
        let path = space.path("trec-disks-4-5").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = format!("<DOC>\n<DOCNO> {id} </DOCNO>\n<TEXT>\n{text}\n</TEXT>\n</DOC>\n");
        std::fs::write(path, text).unwrap();
    }
}

/// The text of a module with each call of `beir`, and each address, on the line where it begins.
fn on_one_line(text: &str) -> String {
    let text = text.replace("=\n        \"", "= \"");
    let mut pieces = text.split("beir(\n");
    let mut out = pieces.next().unwrap().to_owned();
    for piece in pieces {
        let (arguments, rest) = piece.split_once("\n)").unwrap();
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        out.push_str(&format!("beir({}){rest}", arguments.join(" ")));
    }
    out
}

/// A module with addresses of the server, and without digests.
fn local(text: &str, server: &Server) -> String {
    let text = &on_one_line(text);
    let mut out = String::new();
    for line in text.lines() {
        let line =
            line.replace("use std.", "use \"./").replace("\"./msmarco", "\"./msmarco.xpipe\" as msmarco");
        if line.trim_start().starts_with("digest ") {
            continue;
        }
        let line = match line.split_once(", digest = \"") {
            Some((before, after)) => {
                let set = before.split('"').nth(1).unwrap().split('/').next().unwrap();
                let rest = after.split_once('"').unwrap().1;
                format!("{before}, url = \"{}/beir/{set}.zip\"{rest}", server.address)
            }
            None => line.replace("\"https://", &format!("\"{}/", server.address)),
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[test]
fn every_collection_of_std_is_read_from_the_layout_that_is_published() {
    let (server, space) = (Server::start(), Space::new(""));
    news(&space);
    let mut study = "edition 2026\n".to_owned();
    let mut archives: BTreeMap<String, Vec<(String, Vec<u8>)>> = BTreeMap::new();
    let mut names = Vec::new();
    for module in MODULES {
        let text =
            std::fs::read_to_string(repository("pipelines/std").join(format!("{module}.xpipe"))).unwrap();
        let text = on_one_line(&text);
        for line in text.lines() {
            if let Some(address) =
                line.split("\"https://").nth(1).filter(|_| line.trim_start().starts_with("url"))
            {
                let address = address.trim_end_matches('"');
                let bytes =
                    published(&space, address).unwrap_or_else(|| panic!("nothing is made for {address}"));
                server.put(&format!("/{address}"), bytes);
            }
            if let Some(set) = line.split("= beir(\"").nth(1) {
                let set = set.split('"').next().unwrap();
                archives.entry(set.split('/').next().unwrap().to_owned()).or_default().extend(beir(set));
            }
            if let Some(name) = line.strip_prefix("dataset ").and_then(|l| l.split_once(": TestCollection")) {
                names.push(format!("{module}.{}", name.0));
            }
        }
        space.write(&format!("{module}.xpipe"), &local(&text, &server));
        study.push_str(&format!("use \"./{module}.xpipe\" as {module}\n"));
    }
    for (set, files) in &archives {
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (&**name, &**bytes)).collect();
        server.put(&format!("/beir/{set}.zip"), zip(&files));
    }
    assert!(names.len() > 50, "{names:?}");
    for (i, name) in names.iter().enumerate() {
        study.push_str(&format!(
            "stage i{i} = bm25.index {{ corpus = {name}.corpus }}\n\
             stage r{i} = bm25.search {{ index = i{i}, queries = {name}.queries, depth = 4 }}\n\
             stage e{i} = evaluate {{ run = r{i}, qrels = {name}.qrels, metrics = [ndcg(4)] }}\n\
             claim c{i} {{ text = \"{name}\", expect = e{i}.ndcg_4 == 1.0 }}\n"
        ));
    }
    study.push_str(SAMPLES);
    space.write("study.xpipe", &study);
    let ended = xpipe(&space, &["run", "study.xpipe"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    // A claim that does not hold ends with another code; each collection has the queries that are judged.
    for (i, name) in names.iter().enumerate() {
        let _ = std::fs::remove_file(space.path("out.run"));
        let exported = xpipe(&space, &["export", "study.xpipe", &format!("r{i}"), "out.run"]);
        assert_eq!(exported.code, Some(0), "{exported:#?}");
        let run = space.read("out.run");
        let mut queries: Vec<&str> = run.lines().map(|l| l.split(' ').next().unwrap()).collect();
        queries.dedup();
        assert_eq!(queries.len(), JUDGED.len(), "{name}: {run}");
    }
}
