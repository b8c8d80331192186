//! What the operations that run a model share: loading, threads, batching, and what has no implementation yet.

use super::{two_labels, untrained};
use crate::train::ranker::Ranker;
use crate::train::scoring::Batching;
use xpipe_base::task::{Caveat, CaveatKind, Failure, Job, Outcome, located};
use xpipe_base::value::Value;
use xpipe_nn::load::Options;
use xpipe_nn::preflight;
use xpipe_nn::tokenizer::Limits;
use xpipe_nn::weights::Labels;

/// Loads the model in the argument `name` that is to score pairs. One without a head of its own is an error, unless it is
/// declared `untrained`: then the result says so.
pub(super) fn scorer(job: &Job<'_>, name: &str) -> Result<Ranker, Failure> {
    let declared = untrained::seed(job.arg(name));
    let ranker = open(job, name, declared.unwrap_or(0))?;
    preflight::ranks(ranker.facts.drawn.first().map(String::as_str), declared.is_some())?;
    if declared.is_some() {
        job.progress.caveat(&Caveat::sentence(
            CaveatKind::Doubt,
            "the head of the model was drawn at random (`untrained`): its scores are as good as chance",
        ));
    }
    Ok(ranker)
}

/// Loads the model in the argument `name` with the input limits in `input`; `seed` draws a head that it lacks.
pub(super) fn open(job: &Job<'_>, name: &str, seed: u64) -> Result<Ranker, Failure> {
    let mut options = options(job)?;
    let argument = job.arg(name);
    let softmax = two_labels::softmax(argument);
    if softmax.is_some() {
        options.labels = Labels::Two;
    }
    let folder = located(two_labels::model(untrained::model(argument)))
        .ok_or_else(|| Failure::bug(format!("{}: `{name}` is no model: {argument:?}", job.spec.op)))?;
    let mut ranker = Ranker::open(&folder.path, seed, job.call("input")?, &options)?;
    ranker.probability = softmax == Some(true);
    other_lengths(job, &ranker)?;
    Ok(ranker)
}

/// Tells when a study reads another number of tokens than a folder says that its model was made for.
fn other_lengths(job: &Job<'_>, ranker: &Ranker) -> Result<(), Failure> {
    let Some([query, document]) = ranker.facts.lengths else { return Ok(()) };
    let read = Limits::of(job.call("input")?, ranker.facts.position_limit)?;
    if (read.query, read.document) != (query, document) {
        job.progress.caveat(&Caveat::sentence(
            CaveatKind::Doubt,
            format!(
                "the checkpoint was made for {query} tokens of the query and {document} of the document; this study reads \
                 {} and {}",
                read.query, read.document
            ),
        ));
    }
    Ok(())
}

/// How the job wants models run.
pub(super) fn options(job: &Job<'_>) -> Result<Options, Failure> {
    let recompute = match job.spec.policy.get("activation_checkpointing") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(on)) => *on,
        Some(value) => {
            let message = format!("`activation_checkpointing` in `with` is {value:?}");
            return Err(Failure::wrong(message).help("write true or false"));
        }
    };
    Ok(Options {
        threads: job.spec.threads,
        device: job.spec.device.clone(),
        kernels: job.spec.kernels,
        bf16: job.text("precision")? == "bf16",
        recompute,
        ..Options::default()
    })
}

/// Adds as facts what a model computed, from which later estimates are made, and the seconds that threads spent on its
/// tokens.
pub(super) fn add_work(job: &Job<'_>, ranker: &Ranker, outcome: &mut Outcome) -> Result<(), Failure> {
    let work = ranker.model.work(job.text("precision")?);
    let work = serde_json::to_value(work).map_err(|e| Failure::bug(format!("work: {e}")))?;
    outcome.facts.insert("work".into(), work);
    outcome.facts.insert("tokenising_seconds".into(), ranker.reader.tokenizer.seconds().into());
    Ok(())
}

/// Runs `f` on a pool of the action's own size.
pub(super) fn with_threads<T: Send>(
    job: &Job<'_>,
    f: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(job.spec.threads.max(1))
        .build()
        .map_err(Failure::no_threads)?
        .install(f)
}

/// A count in the `with` block.
pub(super) fn policy(job: &Job<'_>, name: &str) -> Result<Option<usize>, Failure> {
    match job.spec.policy.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let n = value.as_int().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
            let message = || format!("`{name}` in `with` is {value:?}, and must be a whole number above 0");
            n.map(Some).ok_or_else(|| Failure::wrong(message()))
        }
    }
}

/// Batches of scoring: `with { batch = n }` pairs at a time.
pub(super) fn batching(job: &Job<'_>) -> Result<Batching, Failure> {
    let default = Batching::default();
    Ok(match policy(job, "batch")? {
        // A batch that was asked for is not cut by the token budget.
        Some(pairs) => Batching { pairs, tokens: usize::MAX },
        None => default,
    })
}

/// The depth in an argument; everything without it.
pub(super) fn depth(job: &Job<'_>) -> usize {
    job.arg("depth").as_int().and_then(|d| usize::try_from(d).ok()).unwrap_or(usize::MAX)
}
