//! The training loop: batches of examples, micro-batches, loss over the whole batch, update, validation, selection,
//! checkpoints.
//!
//! Everything a step does is a function of (recipe, step): so a training that was stopped and resumed, at any step,
//! ends with the same bits as one that was not. Must not know: where examples come from, what a validation measures.

mod batch;
mod record;

use std::path::Path;
use std::time::{Duration, Instant};

pub use batch::{Example, Tokens};
pub use record::{CurvePoint, State, ValidationPoint};

use super::checkpoint;
use super::objectives::Objective;
use super::schedule::Schedule;
use xpipe_base::task::{Failure, FailureKind, Progress};
use xpipe_base::value::rng::Stream;
use xpipe_nn::Reranker;
use xpipe_nn::optimiser::{AdamW, Moments};

/// Default number of tokens in a micro-batch.
pub const MICRO_BATCH: usize = 4096;

/// What one training is.
#[derive(Clone, Copy, Debug)]
pub struct TrainingPlan<'a> {
    /// The key of the action, which checkpoints carry.
    pub key: &'a str,
    /// The seed of dropout.
    pub seed: u64,
    /// Optimiser steps in all.
    pub steps: u64,
    /// Samples in a step.
    pub batch: u64,
    /// The objective.
    pub objective: &'a Objective,
    /// The optimiser.
    pub optimiser: AdamW,
    /// The learning-rate schedule.
    pub schedule: Schedule,
    /// Validate every so many steps and keep the best; `None` keeps the last weights.
    pub every: Option<u64>,
    /// Most tokens in a micro-batch; a longer block of pairs is a micro-batch of its own. Splitting changes no bit.
    pub micro_batch: usize,
    /// Where checkpoints are kept.
    pub scratch: &'a Path,
    /// Checkpoint every so many steps, besides every minute.
    pub checkpoint: Option<u64>,
}

/// What a validation measures: the figure of each collection. Their mean decides.
pub type Validate<'a> = dyn FnMut(&mut dyn Reranker) -> Result<Vec<(String, f64)>, Failure> + Send + 'a;

/// Gives the example at a position of the endless stream.
pub type Feed<'a> = dyn Fn(u64) -> Result<Example, Failure> + Sync + 'a;

/// Default seconds between checkpoints.
const CHECKPOINT_SECONDS: u64 = 60;

/// Trains `model` and leaves the selected weights in it; resumes from a checkpoint when there is one.
///
/// # Errors
/// [`xpipe_base::task::FailureKind::Interrupted`] after cancellation, with a checkpoint written; a loss or gradient
/// that is not finite; what the feed, the model and the validation report.
pub fn train(
    plan: &TrainingPlan<'_>,
    model: &mut dyn Reranker,
    feed: &Feed<'_>,
    validate: &mut Validate<'_>,
    progress: &dyn Progress,
) -> Result<State, Failure> {
    let path = plan.scratch.join("checkpoint");
    let mut run = Run::start(plan, model, &path, progress)?;
    let first = run.state.step;
    let mut clock = Instant::now();
    let mut shown: Option<Instant> = None;
    let (mut rate_since, mut rate_documents) = (Instant::now(), run.state.documents);
    let mut next = batch_at(plan, feed, run.state.step)?;
    loop {
        if run.validation_due(plan)
            && let Err(failure) = run.validate(model, validate, progress)
        {
            if failure.kind == FailureKind::Interrupted {
                run.save(plan, model, &path)?;
            }
            return Err(failure);
        }
        if run.state.step >= plan.steps {
            break;
        }
        if progress.cancelled() {
            run.save(plan, model, &path)?;
            return Err(Failure::interrupted());
        }
        let due = plan.checkpoint.is_some_and(|n| run.state.step.is_multiple_of(n.max(1)));
        if run.state.step > first && (due || clock.elapsed().as_secs() >= CHECKPOINT_SECONDS) {
            run.save(plan, model, &path)?;
            clock = Instant::now();
        }
        let examples = next;
        // The next batch is read and tokenised while this one is computed.
        let coming = run.state.step + 1;
        let (ahead, loss) = rayon::join(|| batch_at(plan, feed, coming), || run.step(plan, model, &examples));
        next = ahead?;
        let loss = loss?;
        let step = run.state.step;
        if step == plan.steps || shown.is_none_or(|at| at.elapsed() > Duration::from_millis(500)) {
            let seconds = rate_since.elapsed().as_secs_f64().max(1e-9);
            let pairs = (run.state.documents - rate_documents) as f64 / seconds;
            progress.progress(step, plan.steps, "steps", &format!("loss {loss:.4}, {pairs:.0} pairs/s"));
            (rate_since, rate_documents) = (Instant::now(), run.state.documents);
            shown = Some(Instant::now());
        }
    }
    run.finish(plan, model)
}

/// The examples of a step; none past the end.
fn batch_at(plan: &TrainingPlan<'_>, feed: &Feed<'_>, step: u64) -> Result<Vec<Example>, Failure> {
    use rayon::prelude::*;
    if step >= plan.steps {
        return Ok(Vec::new());
    }
    let first = step * plan.batch;
    (first..first + plan.batch).into_par_iter().map(feed).collect()
}

/// A training under way.
struct Run {
    state: State,
    best: Option<Vec<f32>>,
    dropout: Stream,
}

impl Run {
    fn start(
        plan: &TrainingPlan<'_>,
        model: &mut dyn Reranker,
        path: &Path,
        progress: &dyn Progress,
    ) -> Result<Self, Failure> {
        let dropout = Stream::new(plan.seed, &["train.cross_encoder", "dropout"]);
        let len = model.weights().len();
        model.clear_gradients()?;
        match checkpoint::load::<State>(path, plan.key, len) {
            Some(saved) if saved.state.step <= plan.steps => {
                model.set_weights(&saved.weights)?;
                model.set_moments(saved.moments)?;
                progress.note(&format!("goes on from step {} of {}", saved.state.step, plan.steps));
                Ok(Self { state: saved.state, best: saved.best, dropout })
            }
            _ => {
                model.set_moments(Moments::new(len))?;
                Ok(Self { state: State::default(), best: None, dropout })
            }
        }
    }

    fn save(&self, plan: &TrainingPlan<'_>, model: &dyn Reranker, path: &Path) -> Result<(), Failure> {
        let moments = model.moments()?;
        checkpoint::save(path, plan.key, &self.state, model.weights(), &moments, self.best.as_deref())
    }

    /// One optimiser step over `examples`; the loss.
    fn step(
        &mut self,
        plan: &TrainingPlan<'_>,
        model: &mut dyn Reranker,
        examples: &[Example],
    ) -> Result<f64, Failure> {
        let step = self.state.step;
        let stream = self.dropout.sub(step);
        let loss = batch::accumulate(plan, model, examples, stream)?;
        let rate = plan.optimiser.learning_rate * plan.schedule.factor(step);
        let norm = model.step(&plan.optimiser, rate)?;
        if !norm.is_finite() || !loss.is_finite() {
            let queries: Vec<&str> = examples.iter().map(|e| e.query.as_str()).collect();
            return Err(Failure::wrong(format!(
                "the {} of {} is not finite at step {} (queries {})",
                if loss.is_finite() { "gradient" } else { "loss" },
                plan.objective,
                step + 1,
                queries.join(", ")
            ))
            .help(
                "lower the learning rate, warm up longer, or look at the teacher scores of these queries",
            ));
        }
        let pairs = examples.iter().map(|e| e.pairs.len() as u64).sum();
        let tokens = examples.iter().flat_map(|e| &e.pairs).map(|p| p.ids.len() as u64).sum();
        self.state.add(plan.steps, CurvePoint { step: step + 1, loss, rate, norm }, pairs, tokens);
        self.state.samples += examples.len() as u64;
        Ok(loss)
    }

    /// Whether the step just done is to be validated and was not yet (a stop may have come between).
    fn validation_due(&self, plan: &TrainingPlan<'_>) -> bool {
        let step = self.state.step;
        let done = self.state.validation.last().is_some_and(|v| v.step == step);
        step > 0 && !done && plan.every.is_some_and(|n| step.is_multiple_of(n.max(1)) || step == plan.steps)
    }

    fn validate(
        &mut self,
        model: &mut dyn Reranker,
        validate: &mut Validate<'_>,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let collections = validate(model)?;
        let mean = collections.iter().map(|(_, x)| x).sum::<f64>() / collections.len().max(1) as f64;
        let step = self.state.step;
        progress.note(&format!("step {step}: validation {mean:.4}"));
        self.state.validation.push(ValidationPoint { step, mean, collections });
        // Only a higher mean wins: a tie stays with the earlier step.
        if self.state.best.is_none_or(|(_, best)| mean > best) {
            self.state.best = Some((step, mean));
            self.best = Some(model.weights().to_vec());
        }
        Ok(())
    }

    fn finish(mut self, plan: &TrainingPlan<'_>, model: &mut dyn Reranker) -> Result<State, Failure> {
        self.state.selected = plan.steps;
        if let (Some((step, _)), Some(best)) = (self.state.best, &self.best) {
            self.state.selected = step;
            model.set_weights(best)?;
        }
        Ok(self.state)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod toy;
