//! The backward pass of a batch: layer by layer over groups, then the sums over tokens by blocks.

use std::ops::Range;

use super::CpuReranker;
use super::embeddings::add_pairs;
use crate::Packed;
use crate::arch::head::HeadPooling;
use crate::cpu::activations::{Activations, LayerActivations};
use crate::cpu::buffers::zeroed;
use crate::cpu::grad_outputs::BackwardBuffers;
use crate::cpu::group::Group;
use crate::cpu::weight_grads::{LinearGrads, accumulate};
use crate::explicit::masks::DropoutMasks;
use crate::explicit::params::LinearParams;
use crate::explicit::shape::Shape;

/// A batch with its dropout, and how backward cuts it.
pub(super) struct BackwardBatch<'a> {
    pub batch: &'a Packed,
    pub masks: &'a DropoutMasks,
    /// What threads take one at a time.
    pub groups: Vec<Group<'a>>,
    /// Pairs of each block over which gradients are summed.
    pub pair_blocks: Vec<Range<usize>>,
    /// Tokens of each block.
    pub blocks: Vec<Range<usize>>,
}

/// The input of a layer, for the sums over tokens.
#[derive(Clone, Copy)]
struct LayerInput<'a> {
    states: &'a [f32],
    /// If `states` are x̂ of a norm: that norm.
    norm: Option<&'a LinearParams>,
}

impl CpuReranker {
    /// Adds the gradients of a batch to `gradients`.
    pub(super) fn backward_batch(
        &self,
        batch: &Packed,
        masks: &DropoutMasks,
        dlogits: &[f32],
        saved: &mut Activations,
        buffers: &mut BackwardBuffers,
        gradients: &mut [f32],
    ) {
        let b = self.cut_batch(batch, masks);
        self.head_backward(&b, dlogits, saved, buffers, gradients);
        if let Some(norm) = &self.params.final_norm {
            let grads = (&mut buffers.d[..], &mut buffers.norms[..]);
            let states = (&saved.final_x_hat[..], &saved.final_rstd[..]);
            self.norm_backward(norm, states, (batch, &b.groups), grads, gradients);
        }
        self.embed_again(masks, batch, saved, buffers);
        let table = self.spec.relative_rows() * self.spec.shape.hidden;
        zeroed(&mut buffers.position_table, b.groups.len() * table);
        for l in (0..self.spec.layers).rev() {
            self.layer_backward(l, &b, saved, buffers);
            self.layer_sums(l, &b, &saved.layers[l], buffers, gradients);
        }
        if let ([first, .., last_but_one, _], false) = (&mut saved.layers[..], saved.inputs.is_empty()) {
            // Where the next forward pass looks for it.
            last_but_one.take_memory(first);
        }
        self.table_backward(buffers, gradients);
        let cut = (batch, &b.groups[..], &b.blocks[..]);
        self.embeddings_backward(masks, cut, saved, buffers, gradients);
    }

    fn cut_batch<'a>(&self, batch: &'a Packed, masks: &'a DropoutMasks) -> BackwardBatch<'a> {
        let pair_blocks = batch.blocks();
        let blocks = pair_blocks.iter().map(|b| batch.starts[b.start]..batch.starts[b.end]).collect();
        let groups = if self.spec.relative.is_some() {
            pair_blocks.iter().map(|b| Group::of(batch, b.clone())).collect()
        } else {
            Group::split(batch, self.training_group_tokens(batch.tokens()))
        };
        BackwardBatch { batch, masks, groups, pair_blocks, blocks }
    }

    /// From the logits to the gradient of the last layer's output.
    fn head_backward(
        &self,
        b: &BackwardBatch<'_>,
        dlogits: &[f32],
        saved: &Activations,
        buffers: &mut BackwardBuffers,
        gradients: &mut [f32],
    ) {
        let (batch, hidden) = (b.batch, self.spec.shape.hidden);
        let mut dpooled = vec![0.0; batch.len() * hidden];
        let states = (&saved.pooled[..], &saved.dense[..]);
        let head = self.head_view(b.masks);
        head.backward(batch.first_pair, &b.pair_blocks, states, dlogits, gradients, &mut dpooled);
        buffers.d.fill(0.0);
        for group in &b.groups {
            let front = group.tokens().start;
            for (i, pair) in group.pairs.clone().enumerate() {
                let dpooled = &dpooled[pair * hidden..(pair + 1) * hidden];
                let (start, end) = (batch.starts[pair], batch.starts[pair + 1]);
                match self.spec.head.pooling {
                    HeadPooling::First => {
                        let row = if self.output_is_by_pair() { front + i } else { start };
                        buffers.d[row * hidden..(row + 1) * hidden].copy_from_slice(dpooled);
                    }
                    HeadPooling::Mean => {
                        let inverse = 1.0 / (end - start) as f32;
                        for d in buffers.d[start * hidden..end * hidden].chunks_exact_mut(hidden) {
                            d.iter_mut().zip(dpooled).for_each(|(d, p)| *d = p * inverse);
                        }
                    }
                }
            }
        }
    }

    /// Numbers in a row of the gradients of a layer's projected relative positions: those of the fused projection that
    /// they come from.
    pub(super) fn position_grad_stride(&self, l: usize) -> usize {
        let own = self.params.layers[l].positions.is_some();
        if own { 2 * self.spec.shape.hidden } else { 3 * self.spec.shape.hidden }
    }

    /// From the gradient of a layer's output to that of its input, by groups; leaves the gradients of its sub-layers'
    /// outputs in `buffers`.
    fn layer_backward(
        &self,
        l: usize,
        b: &BackwardBatch<'_>,
        saved: &mut Activations,
        buffers: &mut BackwardBuffers,
    ) {
        let shape = self.spec.shape;
        let hidden = shape.hidden;
        if !saved.inputs.is_empty() && l + 2 < self.spec.layers {
            let (before, after) = saved.layers.split_at_mut(l + 1);
            before[l].take_memory(&mut after[0]);
        }
        let recomputed_from = saved.inputs.get(l).map(|x| &x[..]);
        let (before, this) = saved.layers.split_at_mut(l);
        let projected = std::mem::take(&mut this[0].projected);
        let layer = self.layer_view(l, b.masks, self.projected(l, b.masks, &projected));
        let input = self.layer_input(l, before.last(), recomputed_from);
        buffers.norms.fill(0.0);
        let positions = self.spec.relative_rows() * self.position_grad_stride(l);
        zeroed(&mut buffers.positions, b.groups.len() * positions);
        let first_token_only = self.spec.first_token_only(l);
        let activations = this[0].split(&shape, &b.groups, first_token_only);
        let grads = buffers.split(&shape, &b.groups, b.batch.len(), first_token_only);
        let tasks = b.groups.iter().zip(activations).zip(grads).collect();
        self.pool.each(tasks, |((group, mut activations), (mut grads, d, x)), scratch| {
            let at = group.tokens().start * hidden..group.tokens().end * hidden;
            if let Some(input) = recomputed_from {
                // What the forward pass did not save. The states pass through a buffer that is written later.
                let states = &mut grads.qkv[..at.len()];
                states.copy_from_slice(&input[at.clone()]);
                layer.forward(group, states, scratch, Some(activations.reborrow()));
            }
            layer.backward(group, d, scratch, &mut activations, &mut grads);
            if let Some(LayerInput { states, norm }) = input {
                x.copy_from_slice(&states[at]);
                if let Some(norm) = norm {
                    self.affine(x, norm);
                }
            }
        });
        this[0].projected = projected;
    }

    /// The input of a layer that [`Self::layer_sums`] reads from a buffer: of a post-norm layer the output of the norm
    /// before it. Pre-norm layers save what they read, and the first layer's input is made from the embeddings.
    fn layer_input<'a>(
        &'a self,
        l: usize,
        before: Option<&'a LayerActivations>,
        recomputed_from: Option<&'a [f32]>,
    ) -> Option<LayerInput<'a>> {
        let before = before.filter(|_| !self.spec.is_pre_norm())?;
        Some(match recomputed_from {
            Some(states) => LayerInput { states, norm: None },
            None => LayerInput { states: &before.x_hat2, norm: Some(&self.params.layers[l - 1].norm2) },
        })
    }

    /// Adds the gradients of a layer's parameters.
    fn layer_sums(
        &self,
        l: usize,
        b: &BackwardBatch<'_>,
        saved: &LayerActivations,
        buffers: &mut BackwardBuffers,
        gradients: &mut [f32],
    ) {
        if self.spec.relative.is_some() {
            // Content and positions may share projections: both go block by block, so that a split changes no bit.
            let table = self.dropped_table(l, b.masks);
            for (i, block) in b.blocks.iter().enumerate().rev() {
                let (blocks, pairs) = (std::slice::from_ref(block), std::slice::from_ref(&b.pair_blocks[i]));
                self.linear_sums(l, saved, buffers, (blocks, pairs), gradients);
                self.position_sums(l, &table, (&b.groups[i], i), buffers, gradients);
            }
            self.table_sums(l, b.masks, &b.groups, buffers);
        } else {
            self.linear_sums(l, saved, buffers, (&b.blocks, &b.pair_blocks), gradients);
        }
        let (hidden, params) = (self.spec.shape.hidden, &self.params.layers[l]);
        let none = LinearParams { weight: 0..0, bias: 0..0 };
        let norms = [params.norm1.as_ref().unwrap_or(&none), &params.norm2];
        let parts: Vec<_> = norms.iter().flat_map(|n| [n.weight.clone(), n.bias.clone()]).collect();
        add_pairs(&buffers.norms[..b.batch.len() * 4 * hidden], hidden, gradients, &parts);
    }

    /// Adds the gradients of a layer's linear layers.
    fn linear_sums(
        &self,
        l: usize,
        saved: &LayerActivations,
        buffers: &mut BackwardBuffers,
        (blocks, pair_blocks): (&[Range<usize>], &[Range<usize>]),
        gradients: &mut [f32],
    ) {
        let (shape, params) = (self.spec.shape, &self.params.layers[l]);
        let level = self.level;
        let Shape { hidden, intermediate, .. } = shape;
        // Inputs of the projections of queries, keys and values, and of the feed-forward network.
        let (qkv_input, ffn_input) = match (self.spec.is_pre_norm(), l) {
            (false, 0) => (&buffers.embedded, &saved.x_hat1),
            (false, _) => (&buffers.x, &saved.x_hat1),
            (true, 0) => (&buffers.embedded, &saved.x_hat2),
            (true, _) => (&saved.x_hat1, &saved.x_hat2),
        };
        let linear = |(inputs, width, input_stride), (grads, grad_stride), params| LinearGrads {
            inputs,
            width,
            input_stride,
            grads,
            grad_stride,
            params,
        };
        let ffn_width = shape.ffn_width();
        let all = [
            linear(
                (&saved.pre_activation, intermediate, ffn_width),
                (&buffers.output, hidden),
                vec![&params.down],
            ),
            linear((ffn_input, hidden, hidden), (&buffers.pre_activation, ffn_width), vec![&params.up]),
            linear((&saved.context, hidden, hidden), (&buffers.attention, hidden), vec![&params.output]),
            linear((qkv_input, hidden, hidden), (&buffers.qkv, 3 * hidden), params.qkv.iter().collect()),
        ];
        let panels = &mut buffers.panels;
        if self.spec.first_token_only(l) {
            // All but queries, keys and values by pair.
            accumulate(level, &self.pool, pair_blocks, &all[..3], panels, gradients);
            accumulate(level, &self.pool, blocks, &all[3..], panels, gradients);
        } else {
            accumulate(level, &self.pool, blocks, &all, panels, gradients);
        }
    }
}
