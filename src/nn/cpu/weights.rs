//! Where each parameter of BERT lies in the flat buffers, and the weights packed for products both ways.

use std::ops::Range;

use super::attention::room;
use super::product::{pack, pack_transposed, packed_len};
use crate::nn::Parameter;
use crate::task::Failure;

/// A weight and its bias (or γ and β).
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub weight: Range<usize>,
    pub bias: Range<usize>,
}

/// The parameters of one layer.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Query, key, value.
    pub qkv: [Pair; 3],
    pub output: Pair,
    pub norm1: Pair,
    pub up: Pair,
    pub down: Pair,
    pub norm2: Pair,
}

/// The parameters of a model.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub words: Range<usize>,
    pub positions: Range<usize>,
    pub types: Range<usize>,
    pub norm: Pair,
    pub layers: Vec<Layer>,
    pub pooler: Pair,
    pub classifier: Pair,
}

impl Places {
    /// Finds the parameters by their names.
    pub(super) fn find(parameters: &[Parameter], layers: usize) -> Result<Self, Failure> {
        let one = |name: &str| {
            let p = parameters.iter().find(|p| p.name == name);
            p.map(|p| p.offset..p.offset + p.len())
                .ok_or_else(|| Failure::bug(format!("the layout has no parameter `{name}`")))
        };
        let pair = |name: &str| {
            Ok::<_, Failure>(Pair {
                weight: one(&format!("{name}.weight"))?,
                bias: one(&format!("{name}.bias"))?,
            })
        };
        let layer = |l: usize| {
            let at = |name: &str| pair(&format!("bert.encoder.layer.{l}.{name}"));
            Ok::<_, Failure>(Layer {
                qkv: [at("attention.self.query")?, at("attention.self.key")?, at("attention.self.value")?],
                output: at("attention.output.dense")?,
                norm1: at("attention.output.LayerNorm")?,
                up: at("intermediate.dense")?,
                down: at("output.dense")?,
                norm2: at("output.LayerNorm")?,
            })
        };
        Ok(Self {
            words: one("bert.embeddings.word_embeddings.weight")?,
            positions: one("bert.embeddings.position_embeddings.weight")?,
            types: one("bert.embeddings.token_type_embeddings.weight")?,
            norm: pair("bert.embeddings.LayerNorm")?,
            layers: (0..layers).map(layer).collect::<Result<_, _>>()?,
            pooler: pair("bert.pooler.dense")?,
            classifier: pair("classifier")?,
        })
    }
}

/// A linear layer's weight as right operand: of x · Wᵀ going forward, of dy · W going back.
#[derive(Debug, Default)]
pub(super) struct Linear {
    pub forward: Vec<f32>,
    pub backward: Vec<f32>,
}

impl Linear {
    /// Packs a weight `[out, in]` for one direction.
    fn pack(&mut self, weight: &[f32], inputs: usize, back: bool) {
        let outputs = weight.len() / inputs;
        if back {
            pack(weight, inputs, outputs, inputs, room(&mut self.backward, packed_len(outputs, inputs)));
        } else {
            let to = room(&mut self.forward, packed_len(inputs, outputs));
            pack_transposed(weight, inputs, inputs, outputs, to);
        }
    }
}

/// The packed weights of one layer.
#[derive(Debug, Default)]
pub(super) struct PackedLayer {
    pub qkv: Linear,
    pub qkv_bias: Vec<f32>,
    pub output: Linear,
    pub up: Linear,
    pub down: Linear,
}

impl PackedLayer {
    /// Packs all of a layer for one direction.
    pub(super) fn pack(&mut self, places: &Layer, weights: &[f32], hidden: usize, inner: usize, back: bool) {
        let stacked: Vec<f32> = places.qkv.iter().flat_map(|p| &weights[p.weight.clone()]).copied().collect();
        self.qkv.pack(&stacked, hidden, back);
        if !back {
            self.qkv_bias = places.qkv.iter().flat_map(|p| &weights[p.bias.clone()]).copied().collect();
        }
        self.output.pack(&weights[places.output.weight.clone()], hidden, back);
        self.up.pack(&weights[places.up.weight.clone()], hidden, back);
        self.down.pack(&weights[places.down.weight.clone()], inner, back);
    }
}

/// All packed weights, made when the weights may have changed.
#[derive(Debug, Default)]
pub(super) struct PackedWeights {
    pub layers: Vec<PackedLayer>,
    pub pooler: Linear,
    /// Which directions are up to date: forward, backward.
    pub fresh: [bool; 2],
}

impl PackedWeights {
    /// Packs the pooler for one direction.
    pub(super) fn pack_pooler(&mut self, places: &Places, weights: &[f32], hidden: usize, back: bool) {
        self.pooler.pack(&weights[places.pooler.weight.clone()], hidden, back);
    }
}
