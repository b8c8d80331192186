//! MedQuAD with bert-tiny and InfoNCE, as the trial with PyTorch: RR@20 from .16 to about .86 on the test queries
//! whose answer is in BM25's top 20. Takes minutes.

use std::io::Read;

use super::*;
use xpipe_data::ir::analysis::Analysis;
use xpipe_data::ir::bm25::{Bm25, Scratch, Searcher};
use xpipe_data::ir::index;

fn jsonl(path: &Path) -> Vec<(String, String)> {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text.lines()
        .map(|line| {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            let field = |name: &str| json[name].as_str().unwrap_or("").to_owned();
            (field("_id"), format!("{} {}", field("title"), field("text")).trim().to_owned())
        })
        .collect()
}

pub(super) fn judgements(path: &Path) -> Qrels {
    let mut qrels = Qrels::new();
    for line in std::fs::read_to_string(path).unwrap().lines().skip(1) {
        let mut parts = line.split('\t');
        let (q, d, g) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        qrels.insert(q, d, g.parse().unwrap());
    }
    qrels
}

/// Its documents and questions.
#[expect(clippy::type_complexity, reason = "ids and texts, twice")]
pub(super) fn collection(folder: &Path) -> (Vec<(String, String)>, Vec<(String, String)>) {
    let (documents, queries) =
        (jsonl(&folder.join("corpus.jsonl.gz")), jsonl(&folder.join("queries.jsonl.gz")));
    // A few query ids are used twice, for different questions: neither is known to be the one that was judged.
    let times = |id: &str| queries.iter().filter(|(other, _)| other == id).count();
    let queries = queries.iter().filter(|(id, _)| times(id) == 1).cloned().collect();
    (documents, queries)
}

#[test]
#[ignore = "takes minutes"]
fn bert_tiny_learns_medquad() {
    // long: one experiment from texts to figures
    let (Some(medquad), Some(backbone)) =
        (xpipe_testing::shared("medquad"), xpipe_testing::model("bert-tiny"))
    else {
        return;
    };
    let bench = Bench::new(2);
    let (documents, queries) = collection(&medquad);
    store(&bench.path("corpus"), documents.iter().cloned());
    store(&bench.path("queries"), queries.iter().cloned());
    let of = documents.iter().map(|(id, text)| (id.as_str(), text.as_str()));
    let folder = bench.path("index");
    let index = index::build(of, documents.len() as u64, &folder, Analysis::English, &Silent).unwrap();
    let searcher = Searcher::new(&index, Bm25::default()).unwrap();
    let mut scratch = Scratch::default();
    let mut rank = |split: &str, only_found: bool, folder: &str| {
        let qrels = judgements(&medquad.join(format!("qrels/{split}.tsv")));
        qrels.write(&bench.path(&format!("qrels_{folder}"))).unwrap();
        let mut run = Vec::new();
        for (id, text) in queries.iter().filter(|(id, _)| qrels.get(id).is_some()) {
            let hits = searcher.search(text, 20, &mut scratch).unwrap();
            let hits: Vec<Hit> = hits
                .iter()
                .map(|h| Hit { document: index.id(h.document).to_owned(), score: h.score })
                .collect();
            let found = hits.iter().any(|h| qrels.grade(id, &h.document).is_some_and(|g| g > 0));
            if found || !only_found {
                run.push(RunQuery::new(id.clone(), hits).unwrap());
            }
        }
        let run = Run::new(run).unwrap();
        run.write(&bench.path(folder)).unwrap();
        rr(&run, &qrels)
    };
    rank("train", false, "run");
    std::fs::rename(bench.path("qrels_run"), bench.path("qrels")).unwrap();
    let bm25 = rank("test", true, "test");
    let input = call("query_document", &[("query", Value::Int(32)), ("document", Value::Int(61))]);
    let data = bench.samples("data", &group(3), None, 1);
    let train = |steps: u64, out: &str| {
        let mut args = vec![
            ("backbone", located(&backbone)),
            ("objective", call("objective.infonce", &[])),
            ("steps", Value::Budget(Budget::Steps(steps))),
            ("batch", call("queries", &[("n", Value::Int(8))])),
            ("optimiser", adamw(5e-4)),
            ("input", input.clone()),
            ("seed", Value::Int(1)),
        ];
        args.extend(data.iter().cloned());
        let outcome = bench.ok("train.cross_encoder", out, &args);
        let args = [
            ("model", bench.at(out)),
            ("run", bench.at("test")),
            ("input", input.clone()),
            ("corpus", bench.at("corpus")),
            ("queries", bench.at("queries")),
        ];
        let ranked = bench.ok("rerank.cross_encoder", &format!("{out}.run"), &args);
        let run = Run::read(&bench.path(&format!("{out}.run"))).unwrap();
        println!("{out}: {:?}\n{:?}", outcome.facts, ranked.facts);
        rr(&run, &Qrels::read(&bench.path("qrels_test")).unwrap())
    };
    let (before, after) = (train(0, "untrained"), train(300, "trained"));
    println!("RR@20: BM25 {bm25:.3}, untrained {before:.3}, trained {after:.3}");
    assert!(after >= 0.80 && after - before > 0.2);
    keep(&bench);
}

/// Copies the trained model and its run to the folder in `XPIPE_KEEP`.
fn keep(bench: &Bench) {
    if let Some(keep) = std::env::var_os("XPIPE_KEEP") {
        let keep = PathBuf::from(keep);
        std::fs::create_dir_all(&keep).unwrap();
        for folder in ["trained", "trained.run"] {
            for file in std::fs::read_dir(bench.path(folder)).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), keep.join(file.file_name())).unwrap();
            }
        }
    }
}
