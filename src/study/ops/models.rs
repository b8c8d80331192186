//! What the operations that run a model share: loading, threads, batching, and what they need of a model.

use super::model_value;
use crate::train::ranker::Ranker;
use crate::train::scoring::Batching;
use xpipe_base::task::{Caveat, CaveatKind, Failure, Job, Outcome, located};
use xpipe_base::value::{Input, Record, Value};
use xpipe_lang::types::{ModelUse, Op};
use xpipe_nn::load::Options;
use xpipe_nn::preflight::{self, ModelPurpose};
use xpipe_nn::tokenizer::Limits;
use xpipe_nn::weights::Labels;

/// Loads the model in the argument `name` that is to score pairs. One without a head of its own is an error, unless it is
/// declared `untrained`: then the result has a caveat.
pub(super) fn scorer(job: &Job<'_>, name: &str) -> Result<Ranker, Failure> {
    let declared = model_value::random_head(job.arg(name));
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
    let softmax = model_value::softmax(argument);
    if softmax.is_some() {
        options.labels = Labels::Two;
    }
    let folder = located(model_value::inner(argument))
        .ok_or_else(|| Failure::bug(format!("{}: `{name}` is no model: {argument:?}", job.spec.op)))?;
    let mut ranker = Ranker::open(&folder.path, seed, job.call("input")?, &options)?;
    ranker.probability = softmax == Some(true);
    other_lengths(job, &ranker)?;
    Ok(ranker)
}

/// Adds a caveat if the study reads other lengths than the model folder declares.
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

/// How models run in this job.
pub(super) fn options(job: &Job<'_>) -> Result<Options, Failure> {
    Ok(Options {
        threads: job.spec.threads,
        device: job.spec.device.clone(),
        kernels: job.spec.kernels,
        bf16: job.text("precision")? == "bf16",
        recompute: job.spec.policy.activation_checkpointing.unwrap_or(false),
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

/// Batches of scoring: `with { batch = n }` pairs at a time.
pub(super) fn batching(job: &Job<'_>) -> Batching {
    // The token budget does not limit a batch size that the study gives.
    job.spec.policy.batch.map_or_else(Batching::default, |pairs| Batching { pairs, tokens: usize::MAX })
}

/// The argument `depth`. Default: unlimited.
pub(super) fn depth(job: &Job<'_>) -> usize {
    job.arg("depth").as_int().and_then(|d| usize::try_from(d).ok()).unwrap_or(usize::MAX)
}

/// What an action of an operation reads a model for; `None` where it is not the operation's model.
pub fn use_of(op: &Op, args: &Record, model: &Input) -> Option<ModelPurpose> {
    let (argument, how) = op.model?;
    let value = args.get(argument)?;
    let Value::Input(input) = model_value::inner(value) else { return None };
    if **input != *model {
        return None;
    }
    let labels = if model_value::softmax(value).is_some() { Labels::Two } else { Labels::One };
    match how {
        ModelUse::Rank if model_value::random_head(value).is_some() => Some(ModelPurpose::Untrained),
        ModelUse::Rank => Some(ModelPurpose::Ranking(labels)),
        ModelUse::Train => Some(ModelPurpose::Training(labels)),
        ModelUse::EncodeSparse => Some(ModelPurpose::Weighing),
        ModelUse::EncodeDense => Some(ModelPurpose::Encoding),
        ModelUse::Generate => None,
    }
}
