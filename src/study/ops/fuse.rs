//! `fuse.linear` and `fuse.rrf`: one run from several.

use super::compatibility::{at_least, issue};
use xpipe_base::diag::Code;
use xpipe_base::value::human;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const VERSION: u32 = 1;

fn fusion(name: &'static str, doc: &'static str) -> Op {
    Op::stage(name, VERSION, "Run", doc)
        .inherits(&["runs"])
        .counts(&["queries"])
        .needs("runs", "List<Run>", "The runs to fuse (≥ 1), over the same collection.")
        .derived("depth", "Int", "runs", Some(Value::Null), "Maximum number of documents per query (≥ 1).")
}

/// `fuse.linear`
/// Says that there are not as many weights as runs.
fn mismatch(weights: usize, runs: usize) -> String {
    format!("{} for {}", human::counted(weights, "weights"), human::counted(runs, "runs"))
}

pub(crate) fn linear() -> Op {
    fusion(
        "fuse.linear",
        "Fuses runs by the weighted sum of their scores. A document that is missing from a run gets that run's lowest score \
         of the query.",
    )
    .example("fuse.linear { runs = [run, second] }")
    .optional("weights", "List<Float>", "The weight of each run. Default: 1 for all.")
    .takes(
        "normalise",
        "'min_max' | 'z' | 'raw'",
        Value::str("min_max"),
        "Score normalisation per query: to [0, 1], to zero mean and unit variance, or none.",
    )
    .checks(check_linear).runs(run::linear)
}

/// `fuse.rrf`
pub(crate) fn rrf() -> Op {
    fusion(
        "fuse.rrf",
        "Fuses runs by reciprocal rank fusion: the sum of 1 / (k + rank) over the runs (Cormack, Clarke and Büttcher, 2009).",
    )
    .example("fuse.rrf { runs = [run, second] }")
    .takes("k", "Float", Value::Float(60.0), "The constant added to ranks (> -1).")
    .checks(check_rrf).runs(run::rrf)
}

fn count(args: &Record, name: &str) -> Option<usize> {
    args.get(name)?.as_list().map(<[Value]>::len)
}

fn check(args: &Record) -> Vec<Issue> {
    let mut issues = Vec::new();
    if count(args, "runs") == Some(0) {
        issues.push(issue(Code::OutOfRange, "runs", "there are no runs to fuse", "give at least one run"));
    }
    issues.extend(at_least(args, "depth", 1));
    issues
}

fn check_linear(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    let mut issues = check(args);
    if let (Some(runs), Some(weights)) = (count(args, "runs"), count(args, "weights"))
        && runs != weights
    {
        let message = mismatch(weights, runs);
        issues.push(issue(
            Code::OutOfRange,
            "weights",
            message,
            "give one weight per run, in the order of `runs`",
        ));
    }
    issues
}

fn check_rrf(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    let mut issues = check(args);
    if args.get("k").and_then(Value::as_f64).is_some_and(|k| k <= -1.0) {
        issues.push(issue(Code::OutOfRange, "k", "`k` is not above -1", "write `k = 60`"));
    }
    issues
}

mod run {
    use serde_json::json;

    use super::super::models;
    use xpipe_base::task::{Caveat, CaveatKind, Failure, Job, Outcome, located};
    use xpipe_base::value::Value;
    use xpipe_data::ir::fuse::{self, Scale};
    use xpipe_data::run::{Run, RunQuery, RunWriter};

    pub(super) fn linear(job: &Job<'_>) -> Result<Outcome, Failure> {
        let runs = read(job)?;
        let weights: Vec<f64> = match job.arg("weights") {
            Value::List(list) => list.iter().filter_map(Value::as_f64).collect(),
            _ => vec![1.0; runs.len()],
        };
        if weights.len() != runs.len() {
            let message = super::mismatch(weights.len(), runs.len());
            return Err(Failure::wrong(message).help("give one weight a run, in their order"));
        }
        let scale = match job.text("normalise")? {
            "raw" => Scale::Raw,
            "z" => Scale::Z,
            _ => Scale::MinMax,
        };
        write(job, &runs, |query, rankings| fuse::linear(query, rankings, &weights, scale))
    }

    pub(super) fn rrf(job: &Job<'_>) -> Result<Outcome, Failure> {
        let k = job.arg("k").as_f64().ok_or_else(|| Failure::bug("`k` is no number"))?;
        write(job, &read(job)?, |query, rankings| fuse::reciprocal_rank(query, rankings, k))
    }

    fn read(job: &Job<'_>) -> Result<Vec<Run>, Failure> {
        let list = match job.arg("runs") {
            Value::List(list) => list.iter().collect(),
            one => vec![one],
        };
        let path = |run: &Value| {
            located(run).map(|l| l.path.clone()).ok_or_else(|| Failure::bug(format!("{run:?} is no run")))
        };
        list.into_iter().map(|run| Run::read(&path(run)?)).collect()
    }

    /// Fuses query by query: those of the first run in its order, then those that only later runs have.
    fn write(
        job: &Job<'_>,
        runs: &[Run],
        fuse: impl Fn(&str, &[Option<&RunQuery>]) -> Result<RunQuery, Failure>,
    ) -> Result<Outcome, Failure> {
        let depth = models::depth(job);
        let mut writer = RunWriter::create(&job.spec.out)?;
        let (mut queries, mut partly) = (0u64, 0u64);
        for (i, run) in runs.iter().enumerate() {
            for query in run.queries().iter().filter(|q| runs[..i].iter().all(|r| r.get(&q.id).is_none())) {
                let rankings: Vec<_> = runs.iter().map(|r| r.get(&query.id)).collect();
                partly += u64::from(rankings.iter().any(Option::is_none));
                let mut fused = fuse(&query.id, &rankings)?;
                fused.hits.truncate(depth);
                writer.push(&fused)?;
                queries += 1;
            }
        }
        writer.finish()?;
        if partly > 0 {
            let cause = "queries are fused from some of the runs only, since the others do not rank them";
            job.progress.caveat(&Caveat::counted(CaveatKind::Doubt, partly, cause));
        }
        let mut outcome = Outcome::default();
        outcome.facts.insert("queries".into(), json!(queries));
        outcome.facts.insert("runs".into(), json!(runs.len()));
        Ok(outcome)
    }
}
