//! The explicit engines' view of a model, without a device: what is computed, where each parameter is, and which elements
//! are dropped.
//!
//! Must not know: instruction sets, kernels, memory layouts of an engine, model files. An engine over it ([`crate::cpu`])
//! adds buffers and the order of work.
//!
//! - [`spec`]: layers, head and dropout rates of a model, with the sizes that all layers share ([`shape`]);
//! - [`params`]: the parameters' places in the flat buffers of weights and gradients;
//! - [`masks`]: the dropout of a batch; [`rotary`]: tables of rotary angles;
//! - [`footprint`]: the memory that an engine needs.

pub(crate) mod footprint;
pub(crate) mod masks;
pub(crate) mod params;
pub(crate) mod rotary;
pub(crate) mod shape;
pub(crate) mod spec;

pub use footprint::{BatchSize, Footprint};
