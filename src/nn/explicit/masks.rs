//! The sites of a batch that drop elements. Which elements they drop: [`crate::layers::dropout`].

use crate::layers::dropout::Mask;

/// Dropout of one layer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LayerMasks {
    pub attention: Option<Mask>,
    pub attention_output: Option<Mask>,
    pub output: Option<Mask>,
}

/// Dropout of one batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct DropoutMasks {
    pub embeddings: Option<Mask>,
    pub pooled: Option<Mask>,
    pub classifier: Option<Mask>,
    pub layers: Vec<LayerMasks>,
    /// By layer: of the table of relative positions.
    pub relative: Vec<Option<Mask>>,
}
