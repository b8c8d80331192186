//! Sizes that all layers of an encoder share.

use crate::layers::activation::Activation;

/// Sizes and settings of every layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub embedding_width: usize,
    pub hidden: usize,
    pub heads: usize,
    /// Width of the feed-forward network behind activation and gate.
    pub intermediate: usize,
    /// Whether the activation is multiplied by a gate.
    pub gated: bool,
    /// ε of the norms.
    pub epsilon: f32,
    pub activation: Activation,
}

impl Shape {
    /// Width of the feed-forward network before activation and gate.
    pub(crate) fn ffn_width(&self) -> usize {
        if self.gated { 2 * self.intermediate } else { self.intermediate }
    }

    /// Width of one attention head.
    pub(crate) fn head_size(&self) -> usize {
        self.hidden / self.heads
    }
}
