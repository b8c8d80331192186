//! A bi-encoder: the encoder, and for each text one vector pooled over its tokens.

use super::{Encoder, GROUP, Packed, by_pair, groups, longest};
use crate::Reranker as _;
use crate::bi::{BiEncoder, finite};
use crate::cpu::lanes::Level;
use crate::pooling::Pooling;
use crate::weights::Checkpoint;
use xpipe_base::task::Failure;

/// The explicit engine of a bi-encoder.
#[derive(Debug)]
pub struct Pooled {
    encoder: Encoder,
    pooling: Pooling,
}

impl Pooled {
    /// The engine of a checkpoint with a number of threads.
    ///
    /// # Errors
    /// As [`Encoder::new`].
    pub fn new(
        checkpoint: Checkpoint,
        pooling: Pooling,
        threads: usize,
        level: Level,
    ) -> Result<Self, Failure> {
        Ok(Self { encoder: Encoder::new(checkpoint, threads)?.at_level(level), pooling })
    }
}

impl BiEncoder for Pooled {
    fn width(&self) -> usize {
        self.pooling.width(self.encoder.spec.shape.hidden)
    }

    fn position_limit(&self) -> usize {
        self.encoder.model.position_limit()
    }

    fn vectors(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure> {
        let (width, encoder) = (self.width(), &mut self.encoder);
        encoder.model.check(batch)?;
        encoder.refresh(false);
        encoder.angles.reach(longest(batch), &encoder.spec);
        let (encoder, pooling) = (&*encoder, &self.pooling);
        let (lookups, hidden) = (encoder.model.lookups(batch), encoder.spec.shape.hidden);
        let groups = groups(batch, GROUP);
        let mut vectors = vec![0.0; batch.len() * width];
        let tasks = groups.iter().zip(by_pair(&mut vectors, width, &groups)).collect();
        let first_only = pooling.first_only();
        encoder.pool.each(tasks, |(group, vectors), scratch| {
            let states = encoder.states(&lookups, group, first_only, scratch);
            for (i, (text, vector)) in group.each().zip(vectors.chunks_exact_mut(width)).enumerate() {
                let text = if first_only { i..i + 1 } else { text };
                pooling.pool(&states[text.start * hidden..text.end * hidden], hidden, vector);
            }
        });
        finite(&vectors)?;
        Ok(vectors)
    }

    fn kernels(&self) -> &'static str {
        self.encoder.kernels()
    }
}
