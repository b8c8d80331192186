//! The explicit CPU engine: forward and backward written out over packed batches and flat buffers, no graph.
//!
//! Owns the vector kernels and the order of work. Must not know: files of models, tokenizers, objectives.
//!
//! - [`lanes`] is eight numbers at a time, `avx2` its fast form; [`math`], [`product`], [`norm`], [`softmax`],
//!   [`activate`] and [`mask`] are kernels over it;
//! - [`attention`] is one pair's attention, [`layer`] one layer over a group of pairs, [`gradients`] the sums over
//!   all tokens, [`head`] pooler and classifier, [`bert`] the whole.
//!
//! **What is the same bits.** At one [`Level`] a pair's score depends on the pair alone: not on the batch, its place,
//! or threads. Gradients depend on the batch and its order, not on threads.
//!
//! Tested against the fixtures, the reference engine (with the same dropout), plain loops and finite differences.

mod activate;
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod bert;
mod gradients;
mod head;
mod keep;
mod lanes;
mod layer;
mod mask;
mod math;
mod norm;
mod pool;
mod product;
mod softmax;
#[cfg(test)]
mod tests;
mod weights;

pub use bert::{Bert, supports};
pub use lanes::Level;
