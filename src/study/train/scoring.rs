//! The scoring loop: many (query, document) pairs through a model, tokenised ahead, sorted by length, packed.
//!
//! A pair's score does not depend on what else is in its batch (packed sequences, no padding), so neither the batch
//! size nor the number of threads changes a bit; results have the order of the input.

use rayon::prelude::*;

use super::trainer::Tokens;
use xpipe_base::task::{Failure, Progress};
use xpipe_nn::{Packed, Reranker};

/// Pairs that are tokenised, and sorted by length, together.
pub const WINDOW: usize = 2048;

/// How pairs are batched; changes no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Most pairs in a batch.
    pub pairs: usize,
    /// Most tokens in a batch; a longer pair is a batch of its own.
    pub tokens: usize,
}

impl Default for Batching {
    fn default() -> Self {
        Self { pairs: 256, tokens: 8192 }
    }
}

/// Scores the pairs 0..count, where `encode` gives the tokens of a pair and `name` names it in messages.
///
/// # Errors
/// A score that is not finite; cancellation; errors of `encode` and the model.
pub fn score(
    model: &mut dyn Reranker,
    count: usize,
    encode: &(dyn Fn(usize) -> Result<Tokens, Failure> + Sync),
    name: &dyn Fn(usize) -> String,
    batching: Batching,
    progress: &dyn Progress,
) -> Result<Vec<f32>, Failure> {
    let read = |from: usize| -> Result<Vec<Tokens>, Failure> {
        (from..(from + WINDOW).min(count)).into_par_iter().map(encode).collect()
    };
    let start = std::time::Instant::now();
    let mut scores = Vec::with_capacity(count);
    let mut next = read(0)?;
    while scores.len() < count {
        let window = next;
        let done = scores.len();
        let following = done + window.len();
        // The next window is tokenised while this one is scored.
        let (ahead, part) =
            rayon::join(|| read(following), || score_window(model, &window, batching, done, progress));
        next = ahead?;
        let part = part?;
        if let Some(bad) = part.iter().position(|s| !s.is_finite()) {
            return Err(Failure::wrong(format!("the score of {} is {}", name(done + bad), part[bad]))
                .help("the model's weights are damaged or its training diverged"));
        }
        scores.extend(part);
        let rate = scores.len() as f64 / start.elapsed().as_secs_f64().max(1e-9);
        progress.progress(scores.len() as u64, count as u64, "pairs", &format!("{rate:.0} pairs/s"));
    }
    Ok(scores)
}

fn score_window(
    model: &mut dyn Reranker,
    window: &[Tokens],
    batching: Batching,
    done: usize,
    progress: &dyn Progress,
) -> Result<Vec<f32>, Failure> {
    let mut order: Vec<usize> = (0..window.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(window[*i].ids.len()));
    let mut scores = vec![0.0; window.len()];
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        if progress.cancelled() {
            return Err(Failure::interrupted());
        }
        let mut packed = Packed::new();
        let mut n = 0;
        for &i in rest.iter().take(batching.pairs.max(1)) {
            if n > 0 && packed.tokens() + window[i].ids.len() > batching.tokens {
                break;
            }
            packed.push(&window[i].ids, &window[i].types);
            n += 1;
        }
        let (batch, tail) = rest.split_at(n);
        let part = model.score(&packed)?;
        if part.len() != n {
            return Err(Failure::bug(format!("{} scores for {n} pairs after pair {done}", part.len())));
        }
        batch.iter().zip(part).for_each(|(i, s)| scores[*i] = s);
        rest = tail;
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::trainer::toy::Toy;
    use std::borrow::Cow;
    use xpipe_base::task::Silent;
    use xpipe_nn::optimiser::{AdamW, Moments};

    fn encode(i: usize) -> Result<Tokens, Failure> {
        let n = 1 + (i * 31) % 17;
        Ok(Tokens { ids: (0..n as u32).map(|k| (k * k + i as u32) % 9).collect(), types: vec![0; n] })
    }

    fn toy() -> Toy {
        let mut model = Toy::new(9, 0.5);
        model.weights.iter_mut().enumerate().for_each(|(i, w)| *w = i as f32 / 7.0 - 0.5);
        model
    }

    #[test]
    fn results_do_not_depend_on_batches_and_keep_their_order() {
        let mut model = toy();
        let count = WINDOW + 100;
        let alone: Vec<f32> = (0..count)
            .map(|i| {
                let tokens = encode(i).unwrap();
                let mut packed = Packed::new();
                packed.push(&tokens.ids, &tokens.types);
                model.score(&packed).unwrap()[0]
            })
            .collect();
        for batching in
            [Batching::default(), Batching { pairs: 1, tokens: 1 }, Batching { pairs: 7, tokens: 40 }]
        {
            let scores = score(&mut model, count, &encode, &|i| i.to_string(), batching, &Silent).unwrap();
            assert_eq!(scores, alone, "{batching:?}");
        }
        assert_eq!(
            score(&mut model, 0, &encode, &|i| i.to_string(), Batching::default(), &Silent),
            Ok(vec![])
        );
    }

    #[test]
    fn a_score_that_is_not_finite_names_the_pair() {
        let mut model = toy();
        model.weights[3] = f32::NAN;
        let first = (0..50).find(|i| encode(*i).unwrap().ids.contains(&3)).unwrap();
        let failure = score(&mut model, 50, &encode, &|i| format!("pair {i}"), Batching::default(), &Silent)
            .unwrap_err();
        assert!(failure.message.contains(&format!("pair {first} is NaN")), "{failure}");
    }

    /// Scores only once a pair behind the first window is being tokenised.
    struct Patient<'a>(Toy, &'a std::sync::atomic::AtomicUsize);

    impl Reranker for Patient<'_> {
        fn parameters(&self) -> &[xpipe_nn::Parameter] {
            self.0.parameters()
        }
        fn weights(&self) -> &[f32] {
            self.0.weights()
        }
        fn set_weights(&mut self, weights: &[f32]) -> Result<(), Failure> {
            self.0.set_weights(weights)
        }
        fn gradients(&mut self) -> Result<&[f32], Failure> {
            self.0.gradients()
        }
        fn clear_gradients(&mut self) -> Result<(), Failure> {
            self.0.clear_gradients()
        }
        fn step(&mut self, adamw: &AdamW, rate: f64) -> Result<f64, Failure> {
            self.0.step(adamw, rate)
        }
        fn moments(&self) -> Result<Cow<'_, Moments>, Failure> {
            self.0.moments()
        }
        fn set_moments(&mut self, moments: Moments) -> Result<(), Failure> {
            self.0.set_moments(moments)
        }
        fn score(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure> {
            let begun = std::time::Instant::now();
            while self.1.load(std::sync::atomic::Ordering::SeqCst) < WINDOW {
                if begun.elapsed().as_secs() > 60 {
                    return Err(Failure::bug("the next window is not tokenised meanwhile"));
                }
                std::thread::yield_now();
            }
            self.0.score(batch)
        }
        fn forward(
            &mut self,
            batch: &Packed,
            dropout: Option<xpipe_base::value::rng::Stream>,
        ) -> Result<Vec<f32>, Failure> {
            self.0.forward(batch, dropout)
        }
        fn backward(&mut self, dlogits: &[f32]) -> Result<(), Failure> {
            self.0.backward(dlogits)
        }
        fn save(&self, folder: &std::path::Path) -> Result<(), Failure> {
            self.0.save(folder)
        }
        fn kernels(&self) -> &'static str {
            self.0.kernels()
        }
    }

    #[test]
    fn the_next_window_is_tokenised_while_one_is_scored() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let farthest = AtomicUsize::new(0);
        let encode = |i: usize| {
            farthest.fetch_max(i, Ordering::SeqCst);
            encode(i)
        };
        let mut model = Patient(toy(), &farthest);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let count = WINDOW + 10;
        let name = |i: usize| i.to_string();
        let run = || score(&mut model, count, &encode, &name, Batching::default(), &Silent);
        assert_eq!(pool.install(run).map(|s| s.len()), Ok(count));
    }

    #[test]
    fn it_stops_when_asked() {
        struct Stop;
        impl Progress for Stop {
            fn progress(&self, _: u64, _: u64, _: &str, _: &str) {}
            fn note(&self, _: &str) {}
            fn cancelled(&self) -> bool {
                true
            }
        }
        let failure =
            score(&mut toy(), 5, &encode, &|i| i.to_string(), Batching::default(), &Stop).unwrap_err();
        assert_eq!(failure.kind, xpipe_base::task::FailureKind::Interrupted);
    }
}
