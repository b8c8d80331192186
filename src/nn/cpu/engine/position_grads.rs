//! Gradients of relative positions: of the weights that project them, of their table and of its norm.

use std::ops::Range;

use super::CpuReranker;
use crate::cpu::buffers::{disjoint_slices, grow};
use crate::cpu::dropout::ApplyDropout;
use crate::cpu::gemm::Gemm;
use crate::cpu::gemm::layout::{Layout, Store};
use crate::cpu::grad_outputs::BackwardBuffers;
use crate::cpu::group::Group;
use crate::cpu::norm::NormBackward;
use crate::cpu::weight_grads::{LinearGrads, accumulate};
use crate::explicit::masks::DropoutMasks;
use crate::explicit::shape::Shape;

impl CpuReranker {
    /// The table of relative positions as a layer of this batch reads it.
    pub(super) fn dropped_table(&self, l: usize, masks: &DropoutMasks) -> Vec<f32> {
        let mut table = self.packed.position_table.rows.clone();
        if let Some(mask) = &masks.relative[l] {
            self.level.run(ApplyDropout { mask, first: 0, x: &mut table });
        }
        table
    }

    /// Rows of the table that distances in a group have. The others have no gradient.
    fn table_rows(&self, group: &Group<'_>) -> Range<usize> {
        let farthest = group.pair_ranges().map(|p| p.len()).max().unwrap_or(1) as i64 - 1;
        self.spec.relative.as_ref().map_or(0..0, |r| r.row(-farthest)..r.row(farthest) + 1)
    }

    /// Adds what group `i`'s relative positions give to the weights that a layer projects them by.
    pub(super) fn position_sums(
        &self,
        l: usize,
        table: &[f32],
        (group, i): (&Group<'_>, usize),
        buffers: &mut BackwardBuffers,
        gradients: &mut [f32],
    ) {
        let level = self.level;
        let Shape { hidden, .. } = self.spec.shape;
        let (stride, rows) = (self.position_grad_stride(l), self.table_rows(group));
        let first = i * table.len() / hidden;
        let params = &self.params.layers[l];
        let linear = LinearGrads {
            inputs: &table[rows.start * hidden..rows.end * hidden],
            width: hidden,
            input_stride: hidden,
            grads: &buffers.positions[(first + rows.start) * stride..(first + rows.end) * stride],
            grad_stride: stride,
            params: match &params.positions {
                Some(own) => own.iter().collect(),
                None => params.qkv[..2].iter().collect(),
            },
        };
        let block = 0..rows.len();
        let blocks = std::slice::from_ref(&block);
        accumulate(level, &self.pool, blocks, &[linear], &mut buffers.panels, gradients);
    }

    /// Adds what a layer's relative positions give to the groups' gradients of the table.
    pub(super) fn table_sums(
        &self,
        l: usize,
        masks: &DropoutMasks,
        groups: &[Group<'_>],
        buffers: &mut BackwardBuffers,
    ) {
        let level = self.level;
        let Shape { hidden, .. } = self.spec.shape;
        let (stride, layer) = (self.position_grad_stride(l), &self.packed.layers[l]);
        let numbers = self.packed.position_table.rows.len();
        let backward = layer.position_projection().linear.backward.panels();
        let positions = buffers.positions.chunks_exact(numbers / hidden * stride);
        let tables = buffers.position_table.chunks_exact_mut(numbers);
        let tasks = groups.iter().zip(positions.zip(tables)).collect();
        self.pool.each(tasks, |(group, (d, table)), scratch| {
            let rows = self.table_rows(group);
            let dropped = grow(&mut scratch.normed, rows.len() * hidden);
            level.gemm(Gemm {
                a: &d[rows.start * stride..rows.end * stride],
                layout: Layout::RowMajor(stride),
                rows: rows.len(),
                b: backward,
                depth: stride,
                columns: hidden,
                c: dropped,
                c_stride: hidden,
                store: Store::Set,
            });
            if let Some(mask) = &masks.relative[l] {
                level.run(ApplyDropout { mask, first: (rows.start * hidden) as u64, x: dropped });
            }
            for (t, d) in table[rows.start * hidden..].iter_mut().zip(dropped) {
                *t += *d;
            }
        });
    }

    /// Adds the gradients of the table of relative positions and its norm, group by group from the last to the first.
    pub(super) fn table_backward(&self, buffers: &mut BackwardBuffers, gradients: &mut [f32]) {
        let Some(table) = &self.params.position_table else { return };
        let level = self.level;
        let (gamma, beta) = table.norm.as_ref().map_or((0..0, 0..0), |n| (n.weight.clone(), n.bias.clone()));
        let mut slices = disjoint_slices(gradients, &[table.rows.clone(), gamma.clone(), beta]);
        for d in buffers.position_table.chunks_exact_mut(table.rows.len()).rev() {
            if let [_, dgamma, dbeta] = &mut slices[..]
                && table.norm.is_some()
            {
                level.run(NormBackward {
                    d,
                    dz: None,
                    dropout: None,
                    x_hat: &self.packed.position_table.x_hat,
                    rstd: &self.packed.position_table.rstd,
                    gamma: &self.weights[gamma.clone()],
                    dgamma,
                    dbeta,
                });
            }
            slices[0].iter_mut().zip(d).for_each(|(g, d)| *g += *d);
        }
    }
}
