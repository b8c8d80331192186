//! A bi-encoder: the encoder, and for each text one vector pooled over its tokens.

use super::{CpuReranker, GROUP_TOKENS};
use crate::bi_encoder::{BiEncoder, check_finite};
use crate::cpu::gemm::dispatch::Level;
use crate::cpu::group::{Group, by_pair};
use crate::pooling::Pooling;
use crate::weights::Checkpoint;
use crate::{Packed, Reranker as _};
use xpipe_base::task::Failure;

/// The explicit CPU engine of a bi-encoder.
#[derive(Debug)]
pub struct CpuBiEncoder {
    encoder: CpuReranker,
    pooling: Pooling,
}

impl CpuBiEncoder {
    /// The engine of a checkpoint with a number of threads, at a kernel level.
    ///
    /// # Errors
    /// As [`CpuReranker::new`].
    pub fn new(
        checkpoint: Checkpoint,
        pooling: Pooling,
        threads: usize,
        level: Level,
    ) -> Result<Self, Failure> {
        Ok(Self { encoder: CpuReranker::new(checkpoint, threads)?.at_level(level), pooling })
    }
}

impl BiEncoder for CpuBiEncoder {
    fn width(&self) -> usize {
        self.pooling.width(self.encoder.spec.shape.hidden)
    }

    fn position_limit(&self) -> usize {
        self.encoder.model.position_limit()
    }

    fn vectors(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure> {
        let width = self.width();
        self.encoder.prepare(batch)?;
        let (encoder, pooling) = (&self.encoder, &self.pooling);
        let (lookups, hidden) = (encoder.model.lookups(batch), encoder.spec.shape.hidden);
        let groups = Group::split(batch, GROUP_TOKENS);
        let mut vectors = vec![0.0; batch.len() * width];
        let tasks = groups.iter().zip(by_pair(&mut vectors, width, &groups)).collect();
        let first_token_only = pooling.first_token_only();
        encoder.pool.each(tasks, |(group, vectors), scratch| {
            let states = encoder.states(&lookups, group, first_token_only, scratch);
            for (i, (text, vector)) in group.pair_ranges().zip(vectors.chunks_exact_mut(width)).enumerate() {
                let text = if first_token_only { i..i + 1 } else { text };
                pooling.pool(&states[text.start * hidden..text.end * hidden], hidden, vector);
            }
        });
        check_finite(&vectors)?;
        Ok(vectors)
    }

    fn kernels(&self) -> &'static str {
        self.encoder.kernels()
    }
}
