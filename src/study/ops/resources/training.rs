//! Memory and work of `train.cross_encoder`.

use super::{Model, PROCESS, call, count, lengths, model, pairs_of_run};
use crate::train::ranker::CACHED;
use crate::train::samples::Shape;
use crate::train::schedule;
use crate::train::trainer::MICRO_BATCH;
use xpipe_base::task::{Estimate, EstimateRequest, Memory, Work};
use xpipe_base::value::{Budget, Value};
use xpipe_nn::cpu::footprint;
use xpipe_nn::explicit::BatchSize;

/// A training run, before it starts.
struct Training {
    model: Model,
    /// Lengths of a sample of its pairs, in tokens.
    lengths: Vec<usize>,
    /// Pairs per step.
    pairs: usize,
    /// Whether tokens or pairs are an upper bound.
    upper_bound: bool,
    micro_batch: usize,
    recompute: bool,
    selects: bool,
}

impl Training {
    fn of(ask: &EstimateRequest<'_>) -> Result<Self, String> {
        let model = model(ask, "backbone")?;
        let lengths = lengths(ask, &model)?;
        let shape = call(ask, "shape")?;
        let documents = Shape::read(shape).map_err(|e| e.message)?.documents();
        let batch = count(call(ask, "batch")?.args.get("n"))
            .ok_or("its batch size depends on a result that does not exist yet")?;
        Ok(Self {
            model,
            lengths: lengths.amount,
            pairs: batch * documents,
            // A list may be shorter than its maximum length.
            upper_bound: lengths.upper_bound || &*shape.name == "ranked_list",
            micro_batch: ask.policy.micro_batch.unwrap_or(MICRO_BATCH),
            recompute: ask.policy.activation_checkpointing == Some(true),
            selects: ask.arg("select").as_call().is_some(),
        })
    }

    fn mean(&self) -> f64 {
        self.lengths.iter().sum::<usize>() as f64 / self.lengths.len().max(1) as f64
    }

    /// Tokens per step.
    fn tokens(&self) -> usize {
        (self.pairs as f64 * self.mean()).ceil() as usize
    }

    /// Peak memory in bytes, which is reached within a step.
    fn bytes(&self, micro_batch: usize, recompute: bool, threads: usize) -> Option<u64> {
        let (all, longest) = (self.tokens(), self.lengths.iter().copied().max().unwrap_or(1));
        // A micro-batch is whole blocks.
        let tokens = micro_batch.max(xpipe_nn::BLOCK).max(longest).min(all);
        let pairs = ((tokens as f64 / self.mean()).ceil() as usize).max(1);
        let load = BatchSize { tokens, pairs, longest };
        let engine = footprint::training(&*self.model.architecture, load, threads, recompute)?;
        // Two moments, and the best weights so far.
        let kept = 4 * self.model.weights() * if self.selects { 3 } else { 2 };
        // This step's tokens and the next one's; ids of texts that come again.
        let read = 2 * all as u64 * 8 + (4 * CACHED as u64).min(64 * all as u64);
        Some(engine.total() + kept + read + PROCESS + self.model.tokenizer_bytes())
    }
}

/// Memory of a step, and the settings that reduce it.
pub(in crate::ops) fn memory(ask: &EstimateRequest<'_>) -> Result<Estimate<Memory>, String> {
    let training = Training::of(ask)?;
    let bytes = |micro_batch, recompute| training.bytes(micro_batch, recompute, ask.threads);
    let unknown = "this model runs in the reference engine, whose memory is not estimated";
    let now = bytes(training.micro_batch, training.recompute).ok_or(unknown)?;
    let smaller = [4096, 2048, 1024, 512].into_iter().filter(|n| *n < training.micro_batch);
    let mut less: Vec<(String, u64)> =
        smaller.filter_map(|n| Some((format!("micro_batch = {n}"), bytes(n, training.recompute)?))).collect();
    if !training.recompute {
        let on = "activation_checkpointing = true";
        less.extend(bytes(training.micro_batch, true).map(|b| (on.to_owned(), b)));
        less.extend(bytes(512, true).map(|b| (format!("{on}, micro_batch = 512"), b)));
    }
    less.retain(|(_, b)| *b < now);
    Ok(Estimate { amount: Memory { bytes: now, less }, upper_bound: training.upper_bound })
}

/// Forward and backward passes of all steps, and the forward passes of validation.
pub(in crate::ops) fn work(ask: &EstimateRequest<'_>) -> Result<Estimate<Vec<Work>>, String> {
    let training = Training::of(ask)?;
    let batch = count(call(ask, "batch")?.args.get("n")).unwrap_or(1).max(1) as f64;
    let known = ask.known;
    let data = ask.arg("data");
    let samples = known
        .fact(data, "samples_per_epoch")
        .or_else(|| count(known.argument(data, "count").as_ref()).map(|n| n as f64));
    let steps = match ask.arg("steps") {
        Value::Budget(Budget::Steps(n)) => *n as f64,
        Value::Budget(Budget::Epochs(x)) => {
            let samples =
                samples.ok_or("its samples do not exist yet, so the length of an epoch is unknown")?;
            (x * samples / batch).ceil()
        }
        _ => return Err("its number of steps depends on a result that does not exist yet".into()),
    };
    // Of several micro-batches all but the last are computed forward twice, with recomputation every layer once more.
    let micros = training.tokens().div_ceil(training.micro_batch.max(1)).max(1) as f64;
    let passes = (2.0 * micros - 1.0) / micros + 2.0 + f64::from(u8::from(training.recompute));
    let pairs = steps * training.pairs as f64;
    let mut most = training.upper_bound;
    let mut all = vec![training.model.work(ask, true, pairs, &training.lengths, passes)];
    if let Some(select) = ask.arg("select").as_call() {
        let every = select.args.get("every").unwrap_or(&Value::Null);
        let epoch = samples.map_or(f64::NAN, |n| n / batch);
        let every = schedule::steps(every, steps as u64, epoch).ok().flatten().filter(|n| *n > 0);
        let every = every.ok_or("its validation interval is unknown until its samples exist")?;
        let mut pairs = 0.0;
        let on = select.args.get("on");
        for collection in on.map(|v| v.as_list().unwrap_or(std::slice::from_ref(v))).unwrap_or_default() {
            let part = |name: &str| known.argument(collection, name).unwrap_or_default();
            let run = pairs_of_run(known, &part("run"), None, &Value::Null)?;
            // Only judged queries are re-ranked.
            most = true;
            pairs += run.amount;
        }
        let times = (steps / every as f64).ceil();
        all.push(training.model.work(ask, false, times * pairs, &training.lengths, 1.0));
    }
    Ok(Estimate { amount: all, upper_bound: most })
}
