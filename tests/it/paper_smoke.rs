//! The published study with everything small (examples/paper-smoke): from addresses on loopback to the report.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value as Json;

use crate::fetching::xpipe;
use crate::server::Server;
use crate::space::{Space, repository};
use xpipe_testing::archives::{gzip, tar, zip};

/// An id and its text.
type Text = (String, String);

/// The texts of a file of tests/data/tiny: ids and texts as BEIR joins them.
fn texts(file: &str) -> Vec<Text> {
    let text = std::fs::read_to_string(repository("tests/data/tiny").join(file)).unwrap();
    let parse = |line: &str| {
        let json: Json = serde_json::from_str(line).unwrap();
        let title = json["title"].as_str().map(|t| format!("{t} ")).unwrap_or_default();
        (json["_id"].as_str().unwrap().to_owned(), format!("{title}{}", json["text"].as_str().unwrap()))
    };
    text.lines().map(parse).collect()
}

/// Query, document, grade of the judgements whose query is among these.
fn judged(queries: &[Text]) -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(repository("tests/data/tiny/qrels.tsv")).unwrap();
    let rows = text.lines().skip(1).map(|l| l.split('\t').map(str::to_owned).collect::<Vec<_>>());
    let known: BTreeSet<&str> = queries.iter().map(|(id, _)| &**id).collect();
    rows.filter(|r| known.contains(&*r[0])).map(|r| (r[0].clone(), r[1].clone(), r[2].clone())).collect()
}

fn each(rows: &[Text], line: impl Fn(&str, &str) -> String) -> Vec<u8> {
    rows.iter().map(|(id, text)| line(id, text)).collect::<String>().into_bytes()
}

fn qrels(rows: &[(String, String, String)]) -> Vec<u8> {
    rows.iter().map(|(q, d, g)| format!("{q} 0 {d} {g}\n")).collect::<String>().into_bytes()
}

/// Serves tests/data/tiny in the layouts of the study: two thirds of the queries to train on, the rest to test.
fn serve(server: &Server) {
    let (docs, queries) = (texts("corpus.jsonl"), texts("queries.jsonl"));
    let (train, held) = queries.split_at(queries.len() * 2 / 3);
    let (dev, test) = held.split_at(held.len() / 2);
    let tsv = |rows: &[Text]| each(rows, |id, text| format!("{id}\t{text}\n"));
    let all = [
        ("collection.tsv", tsv(&docs)),
        ("queries.dev.small.tsv", tsv(dev)),
        ("qrels.dev.small.tsv", qrels(&judged(dev))),
    ];
    let parts: Vec<(&str, &[u8])> = all.iter().map(|(n, b)| (*n, b.as_slice())).collect();
    server.put("/msmarco/collectionandqueries.tar.gz", gzip(&tar(&parts)));
    server.put("/msmarco/queries.tar.gz", gzip(&tar(&[("queries.train.tsv", &tsv(train))])));
    server.put("/msmarco/qrels.train.tsv", qrels(&judged(train)));
    server.put("/msmarco/msmarco-test2019-queries.tsv.gz", gzip(&tsv(test)));
    server.put("/deep/2019qrels-pass.txt", qrels(&judged(test)));
    for part in ["corpus", "queries", "qrels"] {
        let file = repository("tests/data/nano").join(format!("{part}.parquet"));
        server.put(&format!("/nano/{part}.parquet"), std::fs::read(file).unwrap());
    }

    serve_training(server, &docs, train);
    serve_tests(server, &docs, test);
}

/// Triples, scored triples and runs of teachers: each judged positive against documents of other queries.
fn serve_training(server: &Server, docs: &[Text], train: &[Text]) {
    let (mut triples, mut scored) = (String::new(), String::new());
    let (mut colbert, mut zephyr) = (String::new(), String::new());
    let rows = judged(train);
    for (query, _) in train {
        let good: Vec<&str> = rows.iter().filter(|r| r.0 == *query).map(|r| &*r.1).collect();
        let bad: Vec<&str> = docs.iter().map(|(d, _)| &**d).filter(|d| !good.contains(d)).collect();
        for (i, (p, n)) in good.iter().zip(&bad).enumerate() {
            triples.push_str(&format!("{query}\t{p}\t{n}\n"));
            scored.push_str(&format!("{}.5\t{i}.25\t{query}\t{p}\t{n}\n", 9 - i));
        }
        let ranked = good.iter().take(1).chain(bad.iter().take(11)).enumerate();
        for (i, document) in ranked {
            colbert.push_str(&format!("{query} Q0 {document} {} {} colbert\n", i + 1, 20 - i));
            if i < 8 {
                zephyr.push_str(&format!("{query} Q0 {document} {} {} rankzephyr\n", i + 1, 8 - i));
            }
        }
    }
    server.put("/msmarco/qidpidtriples.train.full.2.tsv.gz", gzip(triples.as_bytes()));
    server.put("/zenodo/4068216/ensemble.tsv?download=1", scored);
    server.put("/zenodo/12528410/colbert.run?download=1", colbert);
    server.put("/zenodo/12528410/rankzephyr.run?download=1", zephyr);
}

/// Collections of BEIR, LoTTE and TREC.
fn serve_tests(server: &Server, docs: &[Text], test: &[Text]) {
    let tsv = |rows: &[Text]| each(rows, |id, text| format!("{id}\t{text}\n"));
    let beir = |rows: &[Text]| {
        each(rows, |id, text| format!("{}\n", serde_json::json!({ "_id": id, "title": "", "text": text })))
    };
    let rows = judged(test);
    let table: String = rows.iter().map(|(q, d, g)| format!("{q}\t{d}\t{g}\n")).collect();
    server.put(
        "/BEIR/scifact.zip",
        zip(&[
            ("scifact/corpus.jsonl", &beir(docs)),
            ("scifact/queries.jsonl", &beir(test)),
            ("scifact/qrels/test.tsv", format!("query-id\tcorpus-id\tscore\n{table}").as_bytes()),
        ]),
    );
    let answers = each(test, |id, _| {
        let all: Vec<&str> = rows.iter().filter(|r| r.0 == id).map(|r| &*r.1).collect();
        format!("{}\n", serde_json::json!({ "qid": id, "query": "…", "answer_pids": all }))
    });
    let lotte = tar(&[
        ("lotte/writing/test/collection.tsv", &tsv(docs)),
        ("lotte/writing/test/questions.search.tsv", &tsv(test)),
        ("lotte/writing/test/qas.search.jsonl", &answers),
    ]);
    server.put("/lotte.tar.gz", gzip(&lotte));
    let trec =
        each(docs, |id, text| format!("<DOC>\n<DOCNO> {id} </DOCNO>\n<TEXT>\n{text}\n</TEXT>\n</DOC>\n"));
    server.put(
        "/robust/news.tar",
        tar(&[
            ("FT/ft_1", &trec),
            ("LATIMES/la1.gz", &gzip(b"<DOC>\n<DOCNO> other </DOCNO>\n<TEXT>\nnothing\n</TEXT>\n</DOC>\n")),
        ]),
    );
    let topics = each(test, |id, text| {
        format!("<top>\n<num> Number: {id}\n<title> {text}\n<desc> Description:\nx\n</top>\n")
    });
    server.put("/robust/04.testset.gz", gzip(&topics));
    server.put("/robust/qrels.robust2004.txt", qrels(&rows));
}

/// Two encoders with random weights, and a masked language model, all with the words of tests/data/tiny.
fn models(folder: &Path) {
    let mut words: BTreeSet<String> = BTreeSet::new();
    for (_, text) in texts("corpus.jsonl").into_iter().chain(texts("queries.jsonl")) {
        words.extend(text.to_lowercase().split(|c: char| !c.is_alphanumeric()).map(str::to_owned));
    }
    words.remove("");
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    for (name, from, size) in
        [("bert", "fixtures/bert", 128), ("ettin", "fixtures/ettin", 128), ("splade", "made/bert-masked", 64)]
    {
        let (from, to) = (repository("tests/data").join(from), folder.join(name));
        std::fs::create_dir_all(&to).unwrap();
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(from.join(file), to.join(file)).unwrap();
        }
        let all: Vec<String> = special.iter().chain(&words).take(size).cloned().collect();
        std::fs::write(to.join("vocab.txt"), all.join("\n") + "\n").unwrap();
    }
}

#[test]
fn from_addresses_to_the_report() {
    let server = Server::start();
    serve(&server);
    let study = std::fs::read_to_string(repository("examples/paper-smoke/paper-smoke.xpipe")).unwrap();
    let space = Space::new(&study);
    models(&space.path("models"));
    let site = format!("site=\"{}\"", server.address);
    let with =
        |args: &[&str]| xpipe(&space, &[args, &["--set", &site, "--set", "models=\"models\""]].concat());

    let plan = with(&["plan", "study.xpipe", "--json"]).json();
    assert_eq!(plan["total"]["to_download"].as_array().unwrap().len(), 17, "{plan:#}");
    let fetched = with(&["fetch", "study.xpipe", "--json"]);
    assert_eq!(fetched.code, Some(0), "{fetched:#?}");
    let asked = server.asked().len();
    assert_eq!(asked, 17, "one request a file, whatever is read of it");

    let ran = with(&["run", "study.xpipe", "--json", "--offline", "--locked", "--output", "out"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let json = ran.json();
    let claims = json["results"]["claims"].as_array().unwrap();
    assert_eq!(claims.len(), 6, "{claims:#?}");
    let tables = json["results"]["tables"].as_array().unwrap();
    assert_eq!(tables.len(), 7);
    for table in tables {
        let csv = table["csv"].as_str().unwrap();
        let mut lines = csv.lines().map(|l| l.split(',').collect::<Vec<_>>());
        let at = lines.next().unwrap().iter().position(|c| *c == "value").unwrap();
        let values: Vec<f64> =
            lines.map(|l| l[at].parse().unwrap_or_else(|_| panic!("a hole: {csv}"))).collect();
        assert!(values.len() >= 10 && values.iter().any(|v| *v > 0.0), "{csv}");
    }
    let page = space.read("out/index.html");
    assert!(page.contains("nDCG@10 by collection") && page.contains("robust04"), "{}", page.len());
    assert_eq!(server.asked().len(), asked, "the run asks for nothing");

    let again = with(&["run", "study.xpipe", "--json", "--offline", "--output", "out"]);
    assert_eq!((again.counts().0, again.code), (0, Some(0)));
    let report = with(&["report", "study.xpipe", "--output", "again"]);
    assert_eq!(report.code, Some(0), "{report:#?}");
    space.is_whole();
}
