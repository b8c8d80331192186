//! A masked language model: the encoder, and for each text the largest logit of each word over its tokens.
//!
//! Logits are made for a block of words at a time and only their largest is kept, so a batch needs no
//! `[tokens, vocabulary]`.

use std::ops::Range;

use super::{Encoder, GROUP, Group, Lies, Packed, Pair, Product, Shape, by_pair, groups, longest};
use super::{room, with_bias};
use crate::Reranker as _;
use crate::arch::masked::Masked as Head;
use crate::cpu::activate::ActivateInPlace;
use crate::cpu::lanes::{Kernel, Lanes, Level, N};
use crate::cpu::norm::Norm;
use crate::cpu::weights::Linear;
use crate::masked::{MaskedModel, finite};
use crate::weights::Checkpoint;
use xpipe_base::task::Failure;

/// Words of a block: whole panels of a product.
const WORDS: usize = 256;

/// The explicit engine of a masked language model.
#[derive(Debug)]
pub struct Masked {
    encoder: Encoder,
    head: Head,
    dense: Pair,
    norm: Pair,
    bias: Range<usize>,
    packed_dense: Linear,
    packed_table: Linear,
}

impl Masked {
    /// The engine of a checkpoint read by [`Checkpoint::load_masked`], with a number of threads.
    ///
    /// # Errors
    /// As [`Encoder::new`].
    pub fn new(checkpoint: Checkpoint, threads: usize, level: Level) -> Result<Self, Failure> {
        let (head, table) = checkpoint.masked()?;
        let find = |name: &str| {
            let found = checkpoint.parameters.iter().find(|p| p.name == name);
            found
                .map(|p| p.offset..p.offset + p.len())
                .ok_or_else(|| Failure::bug(format!("the layout has no parameter `{name}`")))
        };
        let pair = |stem: &str| {
            let (weight, bias) = (find(&format!("{stem}.weight"))?, find(&format!("{stem}.bias"))?);
            Ok::<_, Failure>(Pair { weight, bias })
        };
        let (dense, norm, bias) = (pair(head.dense)?, pair(head.norm)?, find(head.bias)?);
        let mut encoder = Encoder::new(checkpoint, threads)?.at_level(level);
        encoder.refresh(false);
        let hidden = encoder.spec.shape.hidden;
        let (mut packed_dense, mut packed_table) = (Linear::default(), Linear::default());
        packed_dense.pack(&encoder.weights[dense.weight.clone()], hidden, false, level);
        packed_table.pack(&encoder.weights[table], hidden, false, level);
        Ok(Self { encoder, head, dense, norm, bias, packed_dense, packed_table })
    }

    /// What the words' table is multiplied with, of all tokens of a group, `[tokens, hidden]`.
    fn transformed(&self, states: &[f32]) -> Vec<f32> {
        let Shape { level, hidden, .. } = self.encoder.spec.shape;
        let weights = &self.encoder.weights;
        let mut x = vec![0.0; states.len()];
        level.run(Product {
            a: states,
            lies: Lies::Rows(hidden),
            rows: states.len() / hidden,
            b: &self.packed_dense.forward,
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
            dropped: None,
            gamma: &weights[self.norm.weight.clone()],
            beta: &weights[self.norm.bias.clone()],
            epsilon: self.head.epsilon as f32,
            keep: None,
        });
        x
    }

    /// Gives the logits of tokens in blocks of words: the words, and `[tokens, words]`.
    fn blocks(&self, x: &[f32], block: &mut Vec<f32>, mut f: impl FnMut(Range<usize>, &[f32])) {
        let Shape { level, hidden, .. } = self.encoder.spec.shape;
        let bias = &self.encoder.weights[self.bias.clone()];
        let rows = x.len() / hidden;
        for first in (0..bias.len()).step_by(WORDS) {
            let words = first..(first + WORDS).min(bias.len());
            let c = room(block, rows * words.len());
            level.run(Product {
                a: x,
                lies: Lies::Rows(hidden),
                rows,
                b: &self.packed_table.forward[first * hidden..],
                depth: hidden,
                columns: words.len(),
                c,
                c_stride: words.len(),
                store: with_bias(&bias[words.clone()]),
            });
            f(words, c);
        }
    }

    /// Does something with each group's `[tokens, hidden]` before the words' table, and its slice of `out`, which has
    /// `width` numbers for each text.
    fn each(
        &mut self,
        batch: &Packed,
        out: &mut [f32],
        width: usize,
        f: impl Fn(&Self, &Group<'_>, &[f32], &mut Vec<f32>, &mut [f32]) + Sync,
    ) -> Result<(), Failure> {
        let encoder = &mut self.encoder;
        encoder.model.check(batch)?;
        encoder.angles.reach(longest(batch), &encoder.spec);
        let lookups = encoder.model.lookups(batch);
        let groups = groups(batch, GROUP);
        let this = &*self;
        let tasks = groups.iter().zip(by_pair(out, width, &groups)).collect();
        this.encoder.pool.each(tasks, |(group, out), scratch| {
            let x = this.transformed(&this.encoder.states(&lookups, group, false, scratch));
            f(this, group, &x, &mut scratch.z, out);
            // The larger of two would lose what is not a number.
            if finite(&x).is_err() {
                out.fill(f32::NAN);
            }
        });
        Ok(())
    }
}

impl MaskedModel for Masked {
    fn vocabulary(&self) -> usize {
        self.bias.len()
    }

    fn position_limit(&self) -> usize {
        self.encoder.model.position_limit()
    }

    fn peaks(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure> {
        let width = self.vocabulary();
        let mut peaks = vec![f32::NEG_INFINITY; batch.len() * width];
        self.each(batch, &mut peaks, width, |this, group, x, block, peaks| {
            this.blocks(x, block, |words, logits| {
                for (text, peaks) in group.each().zip(peaks.chunks_exact_mut(width)) {
                    for row in logits.chunks_exact(words.len()).take(text.end).skip(text.start) {
                        this.encoder.spec.shape.level.run(Larger { x: &mut peaks[words.clone()], than: row });
                    }
                }
            });
        })?;
        finite(&peaks)?;
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
            self.each(&batch.slice(i..i + 1), &mut out, tokens * width, |this, _, x, block, out| {
                this.blocks(x, block, |words, logits| {
                    for (row, logits) in out.chunks_exact_mut(width).zip(logits.chunks_exact(words.len())) {
                        row[words.clone()].copy_from_slice(logits);
                    }
                });
            })?;
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
    fn run<L: Lanes>(self) {
        let mut whole = self.x.chunks_exact_mut(N);
        let mut than = self.than.chunks_exact(N);
        for (x, y) in (&mut whole).zip(&mut than) {
            L::load(x).max(L::load(y)).store(x);
        }
        for (x, y) in whole.into_remainder().iter_mut().zip(than.remainder()) {
            *x = if *x > *y { *x } else { *y };
        }
    }
}
