//! Tensors of weight files.

use safetensors::Dtype;

/// A tensor without its numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TensorHeader {
    pub name: String,
    pub shape: Vec<usize>,
    pub kind: Dtype,
}
