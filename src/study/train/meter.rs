//! Counts what a model computes and how long that takes: what later estimates are made from.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use xpipe_base::task::{Failure, Work};
use xpipe_base::value::rng::Stream;
use xpipe_nn::arch::Architecture;
use xpipe_nn::optimiser::{AdamW, Moments};
use xpipe_nn::{Packed, Parameter, Reranker, flops};

/// What was computed in one direction.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    pairs: f64,
    tokens: f64,
    flops: f64,
    seconds: f64,
    between: f64,
}

/// A model that counts. Seconds are those between the ends of calls of one kind, so waiting for tokens and the
/// optimiser's step count too; loading, and what lies between training and scoring, do not.
pub struct Metered {
    inner: Box<dyn Reranker>,
    architecture: Arc<dyn Architecture>,
    /// Whether backward computes the layers again.
    recompute: bool,
    /// Scoring, training.
    spent: [Spent; 2],
    /// The end of the last call, and whether it was one of training.
    last: Option<(Instant, bool)>,
    /// Pairs, tokens and operations of the last forward pass that a backward pass may follow.
    forward: Spent,
}

impl std::fmt::Debug for Metered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Metered({}, {:?})", self.architecture.name(), self.spent)
    }
}

impl Metered {
    /// Counts the calls of an engine of this architecture.
    pub fn new(inner: Box<dyn Reranker>, architecture: Arc<dyn Architecture>, recompute: bool) -> Self {
        let (spent, forward) = Default::default();
        Self { inner, architecture, recompute, spent, last: None, forward }
    }

    /// What was computed so far: training, then scoring, where there was any.
    pub fn work(&self, precision: &str) -> Vec<Work> {
        let of = |training: bool| {
            let spent = self.spent[usize::from(training)];
            (spent.pairs > 0.0).then(|| Work {
                shape: flops::shape(&*self.architecture),
                width: self.architecture.hidden(),
                reference: self.inner.kernels() == "reference",
                precision: precision.to_owned(),
                training,
                pairs: spent.pairs,
                tokens: spent.tokens,
                flops: spent.flops,
                seconds: spent.seconds,
                between: spent.between,
            })
        };
        [true, false].into_iter().filter_map(of).collect()
    }

    /// Pairs, tokens and operations of a forward pass.
    fn size(&self, batch: &Packed) -> Spent {
        let flops = (0..batch.len()).map(|i| flops::forward(&*self.architecture, batch.pair(i).len())).sum();
        Spent { pairs: batch.len() as f64, tokens: batch.tokens() as f64, flops, ..Spent::default() }
    }

    /// Adds a call that has just ended.
    fn add(&mut self, training: bool, begun: Instant, size: Spent) {
        let end = Instant::now();
        let since = self.last.filter(|(_, kind)| *kind == training).map_or(begun, |(at, _)| at);
        let spent = &mut self.spent[usize::from(training)];
        spent.pairs += size.pairs;
        spent.tokens += size.tokens;
        spent.flops += size.flops;
        spent.seconds += end.duration_since(since).as_secs_f64();
        spent.between += begun.duration_since(since).as_secs_f64();
        self.last = Some((end, training));
    }
}

impl Reranker for Metered {
    fn parameters(&self) -> &[Parameter] {
        self.inner.parameters()
    }

    fn weights(&self) -> &[f32] {
        self.inner.weights()
    }

    fn set_weights(&mut self, weights: &[f32]) -> Result<(), Failure> {
        self.inner.set_weights(weights)
    }

    fn gradients(&mut self) -> Result<&[f32], Failure> {
        self.inner.gradients()
    }

    fn clear_gradients(&mut self) -> Result<(), Failure> {
        self.inner.clear_gradients()
    }

    fn step(&mut self, adamw: &AdamW, rate: f64) -> Result<f64, Failure> {
        self.inner.step(adamw, rate)
    }

    fn moments(&self) -> Result<Cow<'_, Moments>, Failure> {
        self.inner.moments()
    }

    fn set_moments(&mut self, moments: Moments) -> Result<(), Failure> {
        self.inner.set_moments(moments)
    }

    fn score(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure> {
        let begun = Instant::now();
        let scores = self.inner.score(batch)?;
        let size = self.size(batch);
        self.add(false, begun, size);
        Ok(scores)
    }

    fn forward(&mut self, batch: &Packed, dropout: Option<Stream>) -> Result<Vec<f32>, Failure> {
        let begun = Instant::now();
        let logits = self.inner.forward(batch, dropout)?;
        self.forward = self.size(batch);
        // A pair counts once, with its backward pass; it may be computed forward more often.
        self.add(true, begun, Spent { flops: self.forward.flops, ..Spent::default() });
        Ok(logits)
    }

    fn backward(&mut self, dlogits: &[f32]) -> Result<(), Failure> {
        let begun = Instant::now();
        self.inner.backward(dlogits)?;
        let passes = if self.recompute { 3.0 } else { 2.0 };
        self.add(true, begun, Spent { flops: passes * self.forward.flops, ..self.forward });
        Ok(())
    }

    fn save(&self, folder: &Path) -> Result<(), Failure> {
        self.inner.save(folder)
    }

    fn kernels(&self) -> &'static str {
        self.inner.kernels()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::trainer::toy::Toy;
    use xpipe_nn::arch;
    use xpipe_nn::config::Fields;

    #[test]
    fn what_is_computed_is_counted_once_and_by_kind() {
        let config = r#"{"model_type": "bert", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 16}"#;
        let model = arch::from_fields(&Fields::parse("config.json", config.as_bytes()).unwrap()).unwrap();
        let one = |n| flops::forward(&*model, n);
        let mut batch = Packed::new();
        batch.push(&[1, 2, 3], &[0, 0, 1]);
        batch.push(&[4, 5], &[0, 1]);
        for recompute in [false, true] {
            let mut metered = Metered::new(Box::new(Toy::new(9, 0.0)), model.clone(), recompute);
            assert!(metered.work("fp32").is_empty());
            metered.score(&batch).unwrap();
            metered.score(&batch).unwrap();
            metered.forward(&batch, None).unwrap();
            metered.forward(&batch, None).unwrap();
            metered.backward(&[0.5, 0.5]).unwrap();
            let work = metered.work("bf16");
            let [training, scoring] = &work[..] else { panic!("{work:?}") };
            assert!(training.training && !scoring.training);
            assert_eq!(
                (training.pairs, training.tokens, scoring.pairs, scoring.tokens),
                (2.0, 5.0, 4.0, 10.0)
            );
            let passes = if recompute { 5.0 } else { 4.0 };
            assert_eq!(training.flops, passes * (one(3) + one(2)));
            assert_eq!(scoring.flops, 2.0 * (one(3) + one(2)));
            assert!(training.seconds > 0.0 && scoring.seconds > 0.0);
            assert_eq!((&*training.precision, &*training.shape), ("bf16", "bert 1x8/2/16"));
        }
    }
}
