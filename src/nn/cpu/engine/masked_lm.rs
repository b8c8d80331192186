//! A masked language model: the encoder, and for each text the largest logit of each token of the vocabulary over the
//! text's tokens.
//!
//! Logits are computed for a block of the vocabulary at a time and only their largest is kept, so a batch needs no
//! `[tokens, vocabulary]`.

use std::ops::Range;

use super::{CpuReranker, GROUP_TOKENS};
use crate::arch::masked_lm::MaskedLmHead;
use crate::cpu::activation_fn::ActivateInPlace;
use crate::cpu::buffers::grow;
use crate::cpu::gemm::Gemm;
use crate::cpu::gemm::dispatch::Level;
use crate::cpu::gemm::isa::{Isa, Kernel, LANES, Vector};
use crate::cpu::gemm::layout::Layout;
use crate::cpu::group::{Group, by_pair};
use crate::cpu::norm::Norm;
use crate::cpu::packed::{Direction, PackedLinear, with_bias};
use crate::explicit::params::{ByName, LinearParams};
use crate::explicit::shape::Shape;
use crate::masked_lm::{MaskedLm, check_finite};
use crate::weights::Checkpoint;
use crate::{Packed, Reranker as _};
use xpipe_base::task::Failure;

/// Tokens of the vocabulary in a block: whole panels of a product.
const VOCABULARY_BLOCK: usize = 256;

/// The explicit CPU engine of a masked language model.
#[derive(Debug)]
pub struct CpuMaskedLm {
    encoder: CpuReranker,
    head: MaskedLmHead,
    dense: LinearParams,
    norm: LinearParams,
    bias: Range<usize>,
    packed_dense: PackedLinear,
    packed_table: PackedLinear,
}

impl CpuMaskedLm {
    /// The engine of a checkpoint read by [`Checkpoint::load_masked_lm`], with a number of threads.
    ///
    /// # Errors
    /// As [`CpuReranker::new`].
    pub fn new(checkpoint: Checkpoint, threads: usize, level: Level) -> Result<Self, Failure> {
        let (head, table) = checkpoint.masked_lm()?;
        let by_name = ByName(&checkpoint.parameters);
        let (dense, norm) = (by_name.linear(head.dense)?, by_name.linear(head.norm)?);
        let bias = by_name.range(head.bias)?;
        let mut encoder = CpuReranker::new(checkpoint, threads)?.at_level(level);
        encoder.pack(Direction::Forward);
        let hidden = encoder.spec.shape.hidden;
        let (mut packed_dense, mut packed_table) = (PackedLinear::default(), PackedLinear::default());
        packed_dense.pack(&encoder.weights[dense.weight.clone()], hidden, Direction::Forward, level);
        packed_table.pack(&encoder.weights[table], hidden, Direction::Forward, level);
        Ok(Self { encoder, head, dense, norm, bias, packed_dense, packed_table })
    }

    /// What the output table is multiplied with, for all tokens of a group: `[tokens, hidden]`.
    fn transform(&self, states: &[f32]) -> Vec<f32> {
        let level = self.encoder.level;
        let Shape { hidden, .. } = self.encoder.spec.shape;
        let weights = &self.encoder.weights;
        let mut x = vec![0.0; states.len()];
        level.gemm(Gemm {
            a: states,
            layout: Layout::RowMajor(hidden),
            rows: states.len() / hidden,
            b: self.packed_dense.forward.panels(),
            depth: hidden,
            columns: hidden,
            c: &mut x,
            c_stride: hidden,
            store: with_bias(&weights[self.dense.bias.clone()]),
        });
        level.run(ActivateInPlace { activation: self.head.activation, x: &mut x });
        level.run(Norm {
            x: &mut x,
            z: None,
            dropout: None,
            gamma: &weights[self.norm.weight.clone()],
            beta: &weights[self.norm.bias.clone()],
            epsilon: self.head.epsilon as f32,
            save: None,
        });
        x
    }

    /// Gives the logits of tokens in blocks of the vocabulary: the block, and `[tokens, block]`.
    fn for_each_block(&self, x: &[f32], memory: &mut Vec<f32>, mut f: impl FnMut(Range<usize>, &[f32])) {
        let level = self.encoder.level;
        let Shape { hidden, .. } = self.encoder.spec.shape;
        let bias = &self.encoder.weights[self.bias.clone()];
        let rows = x.len() / hidden;
        for first in (0..bias.len()).step_by(VOCABULARY_BLOCK) {
            let block = first..(first + VOCABULARY_BLOCK).min(bias.len());
            let c = grow(memory, rows * block.len());
            level.gemm(Gemm {
                a: x,
                layout: Layout::RowMajor(hidden),
                rows,
                b: self.packed_table.forward.panels().skip_columns(first, hidden),
                depth: hidden,
                columns: block.len(),
                c,
                c_stride: block.len(),
                store: with_bias(&bias[block.clone()]),
            });
            f(block, c);
        }
    }

    /// Calls `f` with each group's `[tokens, hidden]` before the output table, memory, and the group's slice of `out`,
    /// which has `width` numbers for each text.
    fn for_each_group(
        &mut self,
        batch: &Packed,
        out: &mut [f32],
        width: usize,
        f: impl Fn(&Self, &Group<'_>, &[f32], &mut Vec<f32>, &mut [f32]) + Sync,
    ) -> Result<(), Failure> {
        self.encoder.prepare(batch)?;
        let lookups = self.encoder.model.lookups(batch);
        let groups = Group::split(batch, GROUP_TOKENS);
        let this = &*self;
        let tasks = groups.iter().zip(by_pair(out, width, &groups)).collect();
        this.encoder.pool.each(tasks, |(group, out), scratch| {
            let x = this.transform(&this.encoder.states(&lookups, group, false, scratch));
            f(this, group, &x, &mut scratch.sublayer, out);
            // The larger of two would lose NaN.
            if check_finite(&x).is_err() {
                out.fill(f32::NAN);
            }
        });
        Ok(())
    }
}

impl MaskedLm for CpuMaskedLm {
    fn vocabulary(&self) -> usize {
        self.bias.len()
    }

    fn position_limit(&self) -> usize {
        self.encoder.model.position_limit()
    }

    fn peaks(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure> {
        let width = self.vocabulary();
        let mut peaks = vec![f32::NEG_INFINITY; batch.len() * width];
        self.for_each_group(batch, &mut peaks, width, |this, group, x, memory, peaks| {
            this.for_each_block(x, memory, |block, logits| {
                for (text, peaks) in group.pair_ranges().zip(peaks.chunks_exact_mut(width)) {
                    for row in logits.chunks_exact(block.len()).take(text.end).skip(text.start) {
                        let peaks = &mut peaks[block.clone()];
                        this.encoder.level.run(Larger { x: peaks, than: row });
                    }
                }
            });
        })?;
        check_finite(&peaks)?;
        Ok(peaks)
    }

    #[cfg(test)]
    fn logits(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure> {
        let width = self.vocabulary();
        let mut all = Vec::new();
        // A text at a time, which is a group of its own.
        for i in 0..batch.len() {
            let tokens = batch.pair(i).len();
            let mut out = vec![0.0; tokens * width];
            self.for_each_group(
                &batch.slice(i..i + 1),
                &mut out,
                tokens * width,
                |this, _, x, memory, out| {
                    this.for_each_block(x, memory, |block, logits| {
                        for (row, logits) in out.chunks_exact_mut(width).zip(logits.chunks_exact(block.len()))
                        {
                            row[block.clone()].copy_from_slice(logits);
                        }
                    });
                },
            )?;
            all.extend(out);
        }
        Ok(all)
    }

    fn kernels(&self) -> &'static str {
        self.encoder.kernels()
    }
}

/// `x` = the larger of `x` and `than`, number by number.
struct Larger<'a> {
    x: &'a mut [f32],
    than: &'a [f32],
}

impl Kernel for Larger<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let mut whole = self.x.chunks_exact_mut(LANES);
        let mut than = self.than.chunks_exact(LANES);
        for (x, y) in (&mut whole).zip(&mut than) {
            isa.load(x).max(isa.load(y)).store(x);
        }
        for (x, y) in whole.into_remainder().iter_mut().zip(than.remainder()) {
            *x = if *x > *y { *x } else { *y };
        }
    }
}
