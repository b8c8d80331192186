//! Packing of the weights, and the table of relative positions that all pairs share.

use super::CpuReranker;
use crate::cpu::activations::Activations;
use crate::cpu::buffers::grow;
use crate::cpu::dropout::ApplyDropout;
use crate::cpu::gemm::Gemm;
use crate::cpu::gemm::layout::Layout;
use crate::cpu::packed::{Direction, PackedLayer, with_bias};
use crate::explicit::masks::DropoutMasks;
use crate::explicit::shape::Shape;

impl CpuReranker {
    /// Packs the weights for a direction if they may have changed.
    pub(super) fn pack(&mut self, direction: Direction) {
        if self.packed.mark_fresh(direction) {
            return;
        }
        let level = self.level;
        let shape @ Shape { hidden, embedding_width, .. } = self.spec.shape;
        let (weights, params) = (&self.weights, &self.params);
        self.packed.layers.resize_with(self.spec.layers, PackedLayer::default);
        if let Some(dense) = &params.dense {
            self.packed.dense.pack(&weights[dense.weight.clone()], hidden, direction, level);
        }
        if let Some(p) = &params.projection {
            self.packed.projection.pack(&weights[p.weight.clone()], embedding_width, direction, level);
        }
        let tasks = self.packed.layers.iter_mut().zip(&params.layers).collect();
        self.pool.each(tasks, |(packed, params), _| packed.pack(params, weights, &shape, direction, level));
        if direction == Direction::Forward {
            self.norm_and_project_positions();
        }
    }

    fn norm_and_project_positions(&mut self) {
        let Some(table) = &self.params.position_table else { return };
        let rows = table.rows.len() / self.spec.shape.hidden;
        let mut normed = std::mem::take(&mut self.packed.position_table);
        normed.rows.clear();
        normed.rows.extend_from_slice(&self.weights[table.rows.clone()]);
        if let Some(norm) = &table.norm {
            normed.x_hat.resize(normed.rows.len(), 0.0);
            normed.rstd.resize(rows, 0.0);
            self.norm(norm, &mut normed.rows, Some((&mut normed.x_hat, &mut normed.rstd)));
        }
        let mut layers = std::mem::take(&mut self.packed.layers);
        let tasks = layers.iter_mut().collect();
        self.pool.each(tasks, |layer, _| {
            let mut projected = std::mem::take(&mut layer.projected);
            self.project_positions(layer, &normed.rows, &mut projected);
            layer.projected = projected;
        });
        self.packed.position_table = normed;
        self.packed.layers = layers;
    }

    /// A layer's projected relative positions: queries and keys of the table's rows.
    fn project_positions(&self, layer: &PackedLayer, table: &[f32], projected: &mut Vec<f32>) {
        let level = self.level;
        let Shape { hidden, .. } = self.spec.shape;
        let rows = table.len() / hidden;
        let projection = layer.position_projection();
        projected.resize(rows * 2 * hidden, 0.0);
        level.gemm(Gemm {
            a: table,
            layout: Layout::RowMajor(hidden),
            rows,
            b: projection.linear.forward.panels(),
            depth: hidden,
            columns: 2 * hidden,
            c: projected,
            c_stride: 2 * hidden,
            store: with_bias(&projection.bias),
        });
    }

    /// Projects relative positions after dropout, for the layers that drop them.
    pub(super) fn drop_positions(&self, masks: &DropoutMasks, activations: &mut Activations) {
        let layers = activations.layers.iter_mut().zip(&self.packed.layers);
        let tasks: Vec<_> = layers.zip(&masks.relative).collect();
        self.pool.each(tasks, |((saved, layer), mask), scratch| {
            let Some(mask) = mask else { return };
            let table = grow(&mut scratch.normed, self.packed.position_table.rows.len());
            table.copy_from_slice(&self.packed.position_table.rows);
            self.level.run(ApplyDropout { mask, first: 0, x: table });
            self.project_positions(layer, table, &mut saved.projected);
        });
    }

    /// A layer's relative positions in a forward pass: those saved when they were dropped, or the packed ones.
    pub(super) fn projected<'a>(&'a self, l: usize, masks: &DropoutMasks, dropped: &'a [f32]) -> &'a [f32] {
        match masks.relative.get(l) {
            Some(Some(_)) => dropped,
            _ => &self.packed.layers[l].projected,
        }
    }
}
