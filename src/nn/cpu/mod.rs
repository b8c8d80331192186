//! The explicit CPU engine: forward and backward written out over packed batches and flat buffers, no graph.
//!
//! Owns the vector kernels and the order of work. Must not know: files of models, tokenizers, objectives.
//!
//! - [`lanes`] is eight numbers at a time, `avx2` its fast form; [`math`], [`product`], [`norm`], [`softmax`],
//!   [`activate`] and [`mask`] are kernels over it;
//! - [`attention`] is one pair's attention ([`relative`]: with relative positions), [`layer`] and [`pre_layer`] one layer
//!   over a group of pairs, [`gradients`] the sums over all tokens, [`head`] what follows the layers, [`engine`] the
//!   whole (and masked language models and bi-encoders), [`spec`] what it is told of a model, [`footprint`] the memory
//!   that all this needs, [`dots`] products of vectors kept as binary16.
//!
//! **What is the same bits.** At one [`Level`] a pair's score depends on the pair alone: not on the batch, its place,
//! or threads. Gradients depend on the batch and its order, not on threads nor on a split between its blocks.
//!
//! Tested against the fixtures, the reference engine (with the same dropout), plain loops and finite differences.

mod activate;
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod dots;
mod engine;
mod footprint;
mod gradients;
mod head;
mod keep;
mod lanes;
mod layer;
mod mask;
mod math;
mod norm;
mod pool;
mod pre_layer;
mod probe;
mod product;
mod relative;
mod softmax;
mod spec;
#[cfg(test)]
mod tests;
mod weights;
#[cfg(target_arch = "x86_64")]
mod wide;

pub use dots::Dots;
pub use engine::{Encoder, Masked, Pooled, supports};
pub use footprint::{Footprint, Load};
pub use lanes::Level;
pub use probe::probe;
