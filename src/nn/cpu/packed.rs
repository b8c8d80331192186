//! Weights packed for matrix products, forward and backward.

use std::ops::Range;

use super::gemm::dispatch::Level;
use super::gemm::layout::Store;
use super::gemm::pack::{PackedRhs, Rhs};
use crate::explicit::params::{LayerParams, LinearParams};
use crate::explicit::shape::Shape;

/// Which products weights are packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// x · Wᵀ.
    Forward,
    /// dy · W.
    Backward,
}

/// How a product with this bias, which may be empty, is stored.
pub(super) fn with_bias(bias: &[f32]) -> Store<'_> {
    if bias.is_empty() { Store::Set } else { Store::Bias(bias) }
}

/// A linear layer's weight as right operand.
#[derive(Debug, Default)]
pub(super) struct PackedLinear {
    pub forward: PackedRhs,
    pub backward: PackedRhs,
}

impl PackedLinear {
    /// Packs a weight `[out, in]` for one direction.
    pub(super) fn pack(&mut self, weight: &[f32], inputs: usize, direction: Direction, level: Level) {
        let outputs = weight.len() / inputs;
        match direction {
            Direction::Forward => {
                self.forward.pack(level, &Rhs::transposed(weight, inputs, inputs, outputs));
            }
            Direction::Backward => {
                self.backward.pack(level, &Rhs::new(weight, inputs, outputs, inputs));
            }
        }
    }

    /// Elements held.
    pub(super) fn held(&self) -> usize {
        self.forward.len() + self.backward.len()
    }
}

/// Linear layers of one input, packed as one.
#[derive(Debug, Default)]
pub(super) struct FusedLinear {
    pub linear: PackedLinear,
    pub bias: Vec<f32>,
}

impl FusedLinear {
    fn pack(
        &mut self,
        layers: &[LinearParams],
        weights: &[f32],
        inputs: usize,
        direction: Direction,
        level: Level,
    ) {
        let concat = |ranges: &mut dyn Iterator<Item = Range<usize>>| -> Vec<f32> {
            ranges.flat_map(|r| &weights[r]).copied().collect()
        };
        if let [one] = layers {
            self.linear.pack(&weights[one.weight.clone()], inputs, direction, level);
        } else {
            let all = concat(&mut layers.iter().map(|p| p.weight.clone()));
            self.linear.pack(&all, inputs, direction, level);
        }
        if direction == Direction::Forward {
            self.bias = concat(&mut layers.iter().map(|p| p.bias.clone()));
        }
    }
}

/// The packed weights of one layer.
#[derive(Debug, Default)]
pub(super) struct PackedLayer {
    pub qkv: FusedLinear,
    /// The layer's own projections of relative positions.
    pub positions: Option<FusedLinear>,
    /// Projected relative positions without dropout, `[2 span, 2 · hidden]`.
    pub projected: Vec<f32>,
    pub output: PackedLinear,
    pub up: PackedLinear,
    pub down: PackedLinear,
}

impl PackedLayer {
    /// Packs all of a layer for one direction.
    pub(super) fn pack(
        &mut self,
        params: &LayerParams,
        weights: &[f32],
        shape: &Shape,
        direction: Direction,
        level: Level,
    ) {
        let Shape { hidden, intermediate, .. } = *shape;
        self.qkv.pack(&params.qkv, weights, hidden, direction, level);
        if let Some(own) = &params.positions {
            self.positions.get_or_insert_default().pack(own, weights, hidden, direction, level);
        }
        let weight = |p: &LinearParams| &weights[p.weight.clone()];
        self.output.pack(weight(&params.output), hidden, direction, level);
        self.up.pack(weight(&params.up), hidden, direction, level);
        self.down.pack(weight(&params.down), intermediate, direction, level);
    }

    /// What relative positions are projected by: queries and keys come first.
    pub(super) fn position_projection(&self) -> &FusedLinear {
        self.positions.as_ref().unwrap_or(&self.qkv)
    }
}

/// The table of relative positions after its norm, with what the norm's backward needs.
#[derive(Debug, Default)]
pub(super) struct NormedTable {
    pub x_hat: Vec<f32>,
    pub rstd: Vec<f32>,
    pub rows: Vec<f32>,
}

/// All packed weights. They are packed again when the weights may have changed.
#[derive(Debug, Default)]
pub(super) struct PackedWeights {
    pub layers: Vec<PackedLayer>,
    pub dense: PackedLinear,
    pub projection: PackedLinear,
    pub position_table: NormedTable,
    forward_is_fresh: bool,
    backward_is_fresh: bool,
}

impl PackedWeights {
    /// Marks a direction as packed; whether it was before.
    pub(super) fn mark_fresh(&mut self, direction: Direction) -> bool {
        let fresh = match direction {
            Direction::Forward => &mut self.forward_is_fresh,
            Direction::Backward => &mut self.backward_is_fresh,
        };
        std::mem::replace(fresh, true)
    }

    /// Marks both directions as out of date.
    pub(super) fn mark_stale(&mut self) {
        (self.forward_is_fresh, self.backward_is_fresh) = (false, false);
    }

    /// Numbers held.
    pub(super) fn held(&self) -> usize {
        let fused = |s: &FusedLinear| s.linear.held() + s.bias.len();
        let layer = |l: &PackedLayer| {
            fused(&l.qkv)
                + l.positions.as_ref().map_or(0, fused)
                + l.projected.len()
                + l.output.held()
                + l.up.held()
                + l.down.held()
        };
        let NormedTable { x_hat, rstd, rows } = &self.position_table;
        self.layers.iter().map(layer).sum::<usize>()
            + self.dense.held()
            + self.projection.held()
            + x_hat.len()
            + rstd.len()
            + rows.len()
    }
}
