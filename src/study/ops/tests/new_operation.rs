//! An operation is one file and one line of a registry: here the file is [`reversed`], and the line is in [`registry`].
//! Nothing else of xpipe knows its name, and it is checked, planned, run, costed and exported as the others are.

use std::path::Path;

use crate::report::{Results, costs};
use xpipe_base::diag::Diagnostics;
use xpipe_base::task::{Estimators, Failure, ReadyFn, RunFn};
use xpipe_base::value::{ActionId, Input};
use xpipe_data::run::Run;
use xpipe_engine::cache::Store;
use xpipe_engine::{CancelToken, Forecast, Found, Heavy, NoSink, Options, Reach, RunReport, Runner};
use xpipe_lang::graph::{Graph, expand};
use xpipe_lang::resolve::{Disk, load};
use xpipe_lang::types::{Export, Registry};
use xpipe_testing::file;

/// `tests.reversed`: a run with the documents of each query in reverse order.
mod reversed {
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_base::value::Value;
    use xpipe_data::run::{Hit, Run, RunQuery, RunWriter};
    use xpipe_lang::types::Op;

    pub(super) fn op() -> Op {
        Op::stage("tests.reversed", 1, "Run", "Reverses the ranking of each query.")
            .inherits(&["run"])
            .counts(&["documents", "queries"])
            .policy_keys(&["batch"])
            .needs("run", "Run", "The run to reverse.")
            .derived("depth", "Int", "run", Some(Value::Null), "Number of documents per query (≥ 1).")
            .runs(run)
    }

    fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let all = Run::read(job.path("run")?)?;
        let mut writer = RunWriter::create(&job.spec.out)?;
        let mut documents = 0u64;
        for query in all.queries() {
            let hits = query.hits.iter().rev().zip((1..).map(|rank| 1.0 / rank as f32));
            let hits = hits.map(|(hit, score)| Hit { document: hit.document.clone(), score });
            let reversed = RunQuery::new(&query.id, hits.collect())?;
            documents += reversed.hits.len() as u64;
            writer.push(&reversed)?;
        }
        writer.finish()?;
        let mut outcome = Outcome::default();
        outcome.facts.insert("documents".into(), documents.into());
        outcome.facts.insert("queries".into(), all.queries().len().into());
        // Not declared as a count: no column of the costs.
        outcome.facts.insert("pairs".into(), documents.into());
        Ok(outcome)
    }
}

fn registry() -> Registry {
    let known = crate::ops::registry();
    Registry::new(known.iter().cloned().chain([reversed::op()]))
}

const STUDY: &str = r#"edition 2026
dataset toy: TestCollection = local { docs = "d.tsv", queries = "q.tsv", qrels = "r.txt", role = train }
stage index = bm25.index { corpus = toy.corpus }
stage first = bm25.search { index, queries = toy.queries, depth = 20 }
stage back = tests.reversed { run = first } with { batch = 4 }
"#;

/// The study with more lines, expanded in a folder with its files.
fn expanded(folder: &Path, more: &str) -> (Graph, Vec<String>) {
    file(folder, "d.tsv", "a\tcell of life\nb\tcell wall of plants\nc\twater\n");
    file(folder, "q.tsv", "1\tcell\n2\tplants of life\n");
    file(folder, "r.txt", "1 0 a 1\n2 0 b 1\n");
    let path = folder.join("s.xpipe");
    std::fs::write(&path, format!("{STUDY}{more}")).unwrap();
    let (world, mut sources, mut sink) = (Disk::default(), Default::default(), Diagnostics::new());
    let study = load(&path, &world, &mut sources, &mut sink).unwrap();
    let graph = expand(&study, &registry(), &world, &Default::default(), &mut sink);
    (graph, sink.sorted().iter().map(|d| format!("{}: {}", d.code.as_str(), d.message)).collect())
}

#[test]
fn it_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let told = |more: &str| expanded(dir.path(), more).1;
    assert_eq!(told(""), [""; 0]);
    // Its corpus, queries and depth are those of its run, through which a source and a measure find them.
    assert_eq!(
        told("stage data = data.samples { source = back, shape = ranked_list(), seed = 1 }\n"),
        [""; 0]
    );
    assert_eq!(
        told("stage data = data.samples { source = back, shape = pairs(), seed = 1 }\n"),
        ["op::shape_fit: the source gives `ranked_list`, and not `pairs`"]
    );
    let deep = "stage scores = evaluate { run = back, qrels = toy.qrels, metrics = [ndcg(50)] }\n";
    assert_eq!(told(deep), ["op::cutoff_too_deep: `nDCG@50` looks at 50 ranks, but the run is 20 deep"]);
    assert_eq!(
        told("stage other = tests.reversed { run = back } with { micro_batch = 8 }\n"),
        ["op::unknown_argument: `tests.reversed` does not read `micro_batch`"]
    );
    assert_eq!(
        told("stage other = tests.reversed { run = toy.qrels }\n"),
        ["types::mismatch: `run` must be a Run"]
    );
}

/// The operations of the registry over files of this machine.
struct Here(Registry);

impl Runner for Here {
    fn implementation(&self, op: &str) -> Option<RunFn> {
        self.0.get(op)?.run
    }

    fn find_input(&self, input: &Input, _: Reach) -> Result<Found, Failure> {
        let Input::File(path) = input else { return Err(Failure::missing("no such input")) };
        Ok(Found { path: path.clone(), label: path.display().to_string(), digest: None, parts: None })
    }

    fn estimators(&self, op: &str) -> Option<Estimators> {
        self.0.get(op)?.resources
    }

    fn ready(&self, op: &str) -> Option<ReadyFn> {
        self.0.get(op)?.ready
    }
}

/// A finished run, as reports read it.
struct Finished(RunReport);

impl Results for Finished {
    fn number(&self, action: ActionId, member: &str) -> Option<f64> {
        self.0.number(action, member)
    }

    fn per_query(&self, _: ActionId, _: &str) -> Option<Vec<(String, f64)>> {
        None
    }

    fn facts(&self, action: ActionId) -> Option<serde_json::Map<String, serde_json::Value>> {
        Some(self.0.action(action).manifest.as_ref()?.facts.clone())
    }

    fn seconds(&self, action: ActionId) -> Option<f64> {
        self.0.action(action).manifest.as_ref().map(|m| m.seconds)
    }
}

fn job(graph: &Graph) -> xpipe_engine::Job {
    let wanted = (0..graph.actions.len() as u32).map(ActionId).collect();
    xpipe_engine::Job { study: "s.xpipe".into(), actions: graph.actions.clone(), wanted }
}

#[test]
fn it_is_planned_run_costed_and_exported() {
    let dir = tempfile::tempdir().unwrap();
    let (graph, told) = expanded(dir.path(), "");
    assert_eq!(told, [""; 0]);
    let (runner, job) = (Here(registry()), job(&graph));
    let options = Options::new(2, Heavy::Thread);
    let store = Store::open(&dir.path().join("cache")).unwrap().durable(false);
    let back = graph.rows.iter().find(|row| row.name == "back").unwrap().cells[0].action;
    let planned =
        |store: &Store| xpipe_engine::forecast(&job, &runner, store, &options).swap_remove(back.0 as usize);
    assert!(!matches!(planned(&store), Forecast::Cached { .. } | Forecast::NotNeeded));

    let report =
        xpipe_engine::run(&job, &runner, &store, &options, &mut NoSink, &CancelToken::new()).unwrap();
    assert_eq!(report.exit_code(false), 0, "{report:?}");
    assert!(matches!(planned(&store), Forecast::Cached { .. }));

    let results = Finished(report);
    let costs = costs("back", &graph, &results).unwrap();
    assert_eq!(costs.counted, ["documents", "queries"]);
    assert_eq!((costs.total(0), costs.total(1)), (4, 2));

    assert_eq!(graph.artifact(back).ty.export(), Export::Run);
    let manifest = results.0.action(back).manifest.clone().unwrap();
    let mut text = Vec::new();
    Run::read(&store.tree(&manifest).unwrap().unwrap()).unwrap().export(&mut text, "xpipe").unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("1 Q0 b 1 "), "{text}");
}
