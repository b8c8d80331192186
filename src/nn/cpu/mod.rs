//! The explicit CPU engine: forward and backward written out over packed batches and flat buffers, without a graph.
//!
//! Owns the vector kernels and the order of work. Must not know: model files, tokenizers, objectives.
//!
//! - [`gemm`]: instruction sets and matrix products;
//! - kernels over them: [`math`], [`norm`], [`activation_fn`], [`dropout`], [`dots`] (vectors stored as binary16);
//! - [`attention`] of one pair, [`layer`] over a group of pairs ([`group`]), [`head`] after the layers;
//! - what they read and write beside the specification of a model ([`crate::explicit`]): packed weights ([`packed`]), saved activations ([`activations`]), gradients of outputs ([`grad_outputs`]) and of weights
//!   ([`weight_grads`]);
//! - [`engine`]: a whole cross-encoder, masked language model or bi-encoder; [`footprint`]: the memory they need.
//!
//! **What is bit-identical.** At one [`Level`] a pair's score depends on the pair alone: not on the batch, its place in
//! it, or threads. Gradients depend on the batch and its order, not on threads or a split between its blocks.
//!
//! Tested against the fixtures, the reference engine (with the same dropout), plain loops and finite differences.

mod activation_fn;
mod activations;
mod attention;
mod buffers;
mod dots;
mod dropout;
mod engine;
pub mod footprint;
mod gemm;
mod grad_outputs;
mod group;
mod head;
mod layer;
mod math;
mod norm;
mod packed;
mod pool;
mod probe;
#[cfg(test)]
mod tests;
mod weight_grads;

pub use dots::PackedVectors;
pub use engine::{CpuBiEncoder, CpuMaskedLm, CpuReranker, supports};
pub use gemm::dispatch::Level;
pub use probe::probe;
