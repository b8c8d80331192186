//! How `train.cross_encoder` runs: from files and arguments to the trainer's plan, and from its state to `training.json`.

use std::time::Instant;
use xpipe_base::value::human;

use serde_json::json;

use super::super::models;
use super::super::threads::with_threads;
use crate::train::objectives::{Objective, Teacher};
use crate::train::ranker::Reader;
use crate::train::samples::Samples;
use crate::train::schedule::{self, Schedule};
use crate::train::scoring::Batching;
use crate::train::source::{self, Stores};
use crate::train::trainer::{self, Example, MICRO_BATCH, State, TrainingPlan};
use crate::train::validation::Collection;
use xpipe_base::task::{Failure, Job, Outcome, Progress, located};
use xpipe_base::value::{Budget, Call, Record, Value};
use xpipe_data::ir::metrics::Measure;
use xpipe_nn::Reranker;
use xpipe_nn::optimiser::AdamW;

pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
    with_threads(job, || train(job))
}

fn train(job: &Job<'_>) -> Result<Outcome, Failure> {
    let started = Instant::now();
    let seed = job.seed()?;
    let call = job.call("objective")?;
    let objective = Objective::read(call)?;
    let stores = Stores::open(job.path("corpus")?, job.path("queries")?)?;
    let samples = source::stream(job.arg("data"), job.arg("source"), &stores)?;
    check_forms(&objective, &samples)?;
    let batch = batch(job.call("batch")?)?;
    let epoch = samples.epoch() as f64 / batch as f64;
    let steps = match job.budget("steps")? {
        Budget::Steps(n) => n,
        epochs @ Budget::Epochs(_) => schedule::steps(&Value::Budget(epochs), 0, epoch)?.unwrap_or(0),
    };
    let mut ranker = models::open(job, "backbone", seed)?;
    note_ignored(job, &ranker.facts.ignored);
    let select = Select::read(job.arg("select"), steps, epoch)?;
    let plan = TrainingPlan {
        key: &job.spec.key,
        seed,
        steps,
        batch,
        objective: &objective,
        optimiser: AdamW::read(job.call("optimiser")?)?,
        schedule: Schedule::read(job.call("schedule")?, steps, epoch)?,
        every: select.as_ref().map(|s| s.every),
        micro_batch: job.spec.policy.micro_batch.unwrap_or(MICRO_BATCH),
        scratch: &job.spec.scratch,
        checkpoint: schedule::steps(
            job.spec.policy.checkpoint.as_ref().unwrap_or(&Value::Null),
            steps,
            epoch,
        )?,
    };
    std::fs::create_dir_all(plan.scratch)?;
    let (reader, batching) = (&ranker.reader, models::batching(job));
    let feed = |position: u64| example(&samples, position, &stores, reader);
    let mut validate = |model: &mut dyn Reranker| match &select {
        Some(select) => select.measure(model, reader, batching, job.progress),
        None => Ok(Vec::new()),
    };
    let state = trainer::train(&plan, &mut *ranker.model, &feed, &mut validate, job.progress)?;
    ranker.model.save(&job.spec.out)?;
    ranker.reader.tokenizer.save(&job.spec.out, ranker.facts.position_limit)?;
    let record = record(call, &plan, &state, select.as_ref(), &samples, &ranker.facts.drawn);
    let mut text = serde_json::to_vec_pretty(&record).map_err(|e| Failure::bug(e.to_string()))?;
    text.push(b'\n');
    std::fs::write(job.spec.out.join("training.json"), text)?;
    let mut outcome = outcome(&state, select.as_ref(), ranker.model.kernels(), started);
    models::add_work(job, &ranker, &mut outcome)?;
    Ok(outcome)
}

/// Notes tensors of the checkpoint that the model does not use.
fn note_ignored(job: &Job<'_>, ignored: &[String]) {
    if let Some(first) = ignored.first() {
        job.progress.note(&format!(
            "{} no use here, such as the heads of other tasks: `{first}`",
            human::counted(ignored.len(), "tensors of the checkpoint are of")
        ));
    }
}

/// The checks of the arguments, repeated on the data.
fn check_forms(objective: &Objective, samples: &Samples) -> Result<(), Failure> {
    let form = samples.shape().form();
    if !objective.forms().contains(&form) {
        let message = format!("{objective} cannot learn from samples of shape `{}`", form.name());
        return Err(Failure::wrong(message));
    }
    let lacking = match objective.asks() {
        Teacher::Nothing => false,
        Teacher::Order => samples.at(0).teacher.is_none(),
        Teacher::Scores => !samples.scored(),
    };
    if lacking {
        return Err(Failure::wrong(format!("{objective} needs teacher scores, and the samples have none"))
            .help("give the source `scores`, for instance of `score.cross_encoder`"));
    }
    Ok(())
}

/// Samples in a step.
fn batch(call: &Call) -> Result<u64, Failure> {
    let n = call.args.get("n").and_then(Value::as_int).unwrap_or(0);
    u64::try_from(n)
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| Failure::wrong(format!("the batch is {n}, and must be at least 1")))
}

fn example(samples: &Samples, position: u64, stores: &Stores, reader: &Reader) -> Result<Example, Failure> {
    let sample = samples.at(position);
    let documents: Vec<&str> = sample.documents.iter().map(|d| stores.corpus.text(*d as usize)).collect();
    Ok(Example {
        query: stores.queries.id(sample.query as usize).to_owned(),
        pairs: reader.pairs(stores.queries.text(sample.query as usize), &documents)?,
        teacher: sample.teacher,
        positives: sample.positives,
    })
}

/// A selection rule, opened.
struct Select {
    every: u64,
    measure: Measure,
    collections: Vec<Collection>,
}

impl Select {
    /// Reads `select`; `None` for `last`.
    fn read(value: &Value, steps: u64, epoch: f64) -> Result<Option<Self>, Failure> {
        let Some(call) = value.as_call() else { return Ok(None) };
        let off = |what: &str| Failure::bug(format!("{}: `{what}` is {:?}", call.name, call.args.get(what)));
        let every = schedule::steps(call.args.get("every").unwrap_or(&Value::Null), steps, epoch)?;
        let metric = call.args.get("metric").and_then(Value::as_call).ok_or_else(|| off("metric"))?;
        let on: Vec<&Record> = match call.args.get("on") {
            Some(Value::List(list)) => list.iter().filter_map(Value::as_record).collect(),
            Some(Value::Record(one)) => vec![one],
            _ => Vec::new(),
        };
        if on.is_empty() {
            return Err(off("on"));
        }
        let mut collections = Vec::new();
        for (i, record) in on.into_iter().enumerate() {
            let folder = |name: &str| {
                let found = record.get(name).and_then(located);
                found.map(|l| l.path.as_path()).ok_or_else(|| {
                    Failure::bug(format!("{}: validation collection {i} has no `{name}`", call.name))
                })
            };
            let number = i.to_string();
            let name = record.get("name").and_then(Value::as_str).unwrap_or(&number);
            let (corpus, queries) = (folder("corpus")?, folder("queries")?);
            collections.push(Collection::open(name, corpus, queries, folder("qrels")?, folder("run")?)?);
        }
        let every = every.ok_or_else(|| off("every"))?.max(1);
        Ok(Some(Self { every, measure: Measure::from_call(metric)?, collections }))
    }

    /// The measure on each collection, by name.
    fn measure(
        &self,
        model: &mut dyn Reranker,
        reader: &Reader,
        batching: Batching,
        progress: &dyn Progress,
    ) -> Result<Vec<(String, f64)>, Failure> {
        let each = self
            .collections
            .iter()
            .map(|c| Ok((c.name.clone(), c.measure(self.measure, model, reader, batching, progress)?)));
        each.collect()
    }
}

/// `training.json`: no times and no paths, so that equal recipes give equal bytes.
fn record(
    call: &Call,
    plan: &TrainingPlan<'_>,
    state: &State,
    select: Option<&Select>,
    samples: &Samples,
    drawn: &[String],
) -> serde_json::Value {
    let skipped: serde_json::Map<_, _> =
        samples.skipped().iter().map(|(why, n)| ((*why).to_owned(), json!(n))).collect();
    json!({
        "version": 1,
        "objective": source::describe(&Value::Call(std::sync::Arc::new(call.clone()))),
        "steps": state.step,
        "batch": plan.batch,
        "epochs": state.samples as f64 / samples.epoch() as f64,
        "samples": state.samples,
        "documents": state.documents,
        "tokens": state.tokens,
        "skipped": skipped,
        "drawn": drawn,
        "selected_step": state.selected,
        "metric": select.map(|s| s.measure.to_string()),
        "curve": state.curve,
        "validation": state.validation,
    })
}

fn outcome(state: &State, select: Option<&Select>, kernels: &str, started: Instant) -> Outcome {
    let mut outcome = Outcome::default();
    let last = state.curve.last().map(|p| p.loss);
    for (name, value) in [
        ("steps", json!(state.step)),
        ("samples", json!(state.samples)),
        ("documents", json!(state.documents)),
        ("tokens", json!(state.tokens)),
        ("loss", json!(last)),
        ("selected_step", json!(state.selected)),
        ("best", json!(select.and(state.best).map(|(_, mean)| mean))),
        ("kernels", json!(kernels)),
        ("seconds", json!(started.elapsed().as_secs_f64())),
    ] {
        outcome.facts.insert(name.into(), value);
    }
    outcome
}
