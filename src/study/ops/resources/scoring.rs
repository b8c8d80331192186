//! Memory and work of `score.cross_encoder` and `rerank.cross_encoder`.

use super::{Model, PROCESS, count, lengths, model, pairs_of_run};
use crate::train::samples::Shape;
use crate::train::scoring::{Batching, WINDOW};
use xpipe_base::task::{Estimate, EstimateRequest, Memory, Work};
use xpipe_base::value::Value;
use xpipe_nn::cpu::footprint;
use xpipe_nn::explicit::BatchSize;

/// Peak memory: while loading the weights or while scoring a batch.
pub(in crate::ops) fn memory(ask: &EstimateRequest<'_>) -> Result<Estimate<Memory>, String> {
    let model = model(ask, "model")?;
    let lengths = lengths(ask, &model)?;
    let pairs = pairs(ask).map_or(usize::MAX, |p| p.amount as usize);
    let bytes = bytes(&model, &lengths.amount, pairs, ask.policy.batch, ask.threads)?;
    Ok(Estimate { amount: Memory { bytes, less: Vec::new() }, upper_bound: lengths.upper_bound })
}

/// Bytes for scoring this many pairs of these lengths in batches.
fn bytes(
    model: &Model,
    lengths: &[usize],
    pairs: usize,
    batch: Option<usize>,
    threads: usize,
) -> Result<u64, String> {
    let longest = lengths.iter().copied().max().unwrap_or(1);
    let default = Batching::default();
    let tokens =
        batch.map_or(default.tokens.min(default.pairs * longest), |n| n.min(pairs).saturating_mul(longest));
    let load = BatchSize { tokens, pairs: tokens.div_ceil(longest), longest };
    let all = footprint::scoring(&*model.architecture, load, threads)
        .ok_or("this model runs in the reference engine, whose memory is not estimated")?;
    // While it is loaded, the file is mapped beside the weights.
    let loading = 8 * model.weights();
    // Two windows of pairs, one scored and one tokenised.
    let window = (2 * WINDOW).min(pairs) as u64 * (8 * longest as u64 + 64);
    Ok(all.total().max(loading) + window + PROCESS + model.tokenizer_bytes())
}

/// Forward passes over all pairs.
pub(in crate::ops) fn work(ask: &EstimateRequest<'_>) -> Result<Estimate<Vec<Work>>, String> {
    let model = model(ask, "model")?;
    let pairs = pairs(ask)?;
    let lengths = lengths(ask, &model)?;
    let work = model.work(ask, false, pairs.amount, &lengths.amount, 1.0);
    Ok(Estimate { amount: vec![work], upper_bound: pairs.upper_bound || lengths.upper_bound })
}

/// Number of pairs to score.
pub(super) fn pairs(ask: &EstimateRequest<'_>) -> Result<Estimate<f64>, String> {
    let samples = ask.arg("samples");
    if *samples == Value::Null {
        let depth = count(Some(ask.arg("depth")));
        return pairs_of_run(ask.known, ask.arg("run"), depth, ask.arg("queries"));
    }
    let count = count(ask.known.argument(samples, "count").as_ref());
    let shape = ask.known.argument(samples, "shape");
    let shape = shape.as_ref().and_then(Value::as_call).and_then(|c| Shape::read(c).ok());
    let documents = shape.map(|s| s.documents());
    let unknown = "the number of samples depends on a result that does not exist yet";
    // Pairs of several samples are scored once.
    let amount = count.zip(documents).map(|(n, d)| (n * d) as f64).ok_or(unknown)?;
    Ok(Estimate { amount, upper_bound: true })
}
