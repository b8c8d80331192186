//! The forward pass: groups of pairs through the whole model.

use super::CpuReranker;
use crate::Packed;
use crate::arch::head::HeadPooling;
use crate::cpu::activations::{Activations, LayerActivationsMut};
use crate::cpu::attention::positions::RelativePositions;
use crate::cpu::buffers::grow;
use crate::cpu::group::{Group, by_pair, by_token};
use crate::cpu::head::HeadView;
use crate::cpu::layer::{AttentionContext, LayerView};
use crate::cpu::pool::Scratch;
use crate::explicit::masks::DropoutMasks;
use crate::explicit::shape::Shape;
use crate::layers::EmbeddingRows;

/// What a group's forward pass saves for backward.
pub(super) struct GroupActivations<'a> {
    x_hat: &'a mut [f32],
    rstd: &'a mut [f32],
    /// Of every layer; with recomputation of none.
    layers: Vec<LayerActivationsMut<'a>>,
    /// The layers' inputs, with recomputation.
    inputs: Vec<&'a mut [f32]>,
    final_x_hat: &'a mut [f32],
    final_rstd: &'a mut [f32],
    pooled: &'a mut [f32],
    dense: &'a mut [f32],
}

impl CpuReranker {
    /// A layer; `projected` are its relative positions.
    pub(super) fn layer_view<'a>(
        &'a self,
        l: usize,
        masks: &DropoutMasks,
        projected: &'a [f32],
    ) -> LayerView<'a> {
        let attention = self.spec.layer_attention.get(l);
        LayerView {
            level: self.level,
            shape: self.spec.shape,
            params: &self.params.layers[l],
            weights: &self.weights,
            packed: &self.packed.layers[l],
            zeros: &self.zeros[..self.spec.shape.hidden],
            masks: masks.layers[l],
            attention_context: attention
                .map(|a| AttentionContext { window: a.window, angles: self.rotary.of(a.theta) }),
            positions: self.spec.relative.as_ref().map(|relative| RelativePositions { relative, projected }),
            first_token_only: self.spec.first_token_only(l),
        }
    }

    pub(super) fn head_view<'a>(&'a self, masks: &'a DropoutMasks) -> HeadView<'a> {
        let level = self.level;
        let Shape { hidden, .. } = self.spec.shape;
        let epsilon = self.spec.head.norm.map_or(0.0, |n| n.epsilon as f32);
        HeadView {
            level,
            hidden,
            dense: self.params.dense.as_ref().zip(self.spec.head.dense.map(|d| d.activation)),
            norm: self.params.head_norm.as_ref().map(|n| (n, epsilon)),
            classifier: &self.params.classifier,
            packed: &self.packed.dense,
            weights: &self.weights,
            zeros: &self.zeros[..hidden],
            pooled_mask: masks.pooled.as_ref(),
            classifier_mask: masks.classifier.as_ref(),
        }
    }

    /// Whether the last layer's output has a row for each pair only.
    pub(super) fn output_is_by_pair(&self) -> bool {
        self.spec.layers > 0 && self.spec.first_token_only(self.spec.layers - 1)
    }

    /// What the head reads of each pair.
    fn pool(&self, group: &Group<'_>, states: &[f32], pooled: &mut [f32]) {
        let hidden = self.spec.shape.hidden;
        if self.output_is_by_pair() {
            return pooled.copy_from_slice(&states[..pooled.len()]);
        }
        for (pair, row) in group.pair_ranges().zip(pooled.chunks_exact_mut(hidden)) {
            let states = &states[pair.start * hidden..pair.end * hidden];
            row.copy_from_slice(&states[..hidden]);
            if self.spec.head.pooling == HeadPooling::Mean {
                for x in states.chunks_exact(hidden).skip(1) {
                    row.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
                }
                let inverse = 1.0 / pair.len() as f32;
                row.iter_mut().for_each(|x| *x *= inverse);
            }
        }
    }

    /// A group through the whole model; its logits.
    pub(super) fn forward_group(
        &self,
        (batch, lookups): (&Packed, &[EmbeddingRows]),
        group: &Group<'_>,
        masks: &DropoutMasks,
        dropped_positions: &[&[f32]],
        saved: Option<GroupActivations<'_>>,
        scratch: &mut Scratch,
        logits: &mut [f32],
    ) {
        let Shape { embedding_width, hidden, .. } = self.spec.shape;
        let tokens = group.tokens().len();
        let (mut own_pooled, mut own_dense) = (Vec::new(), Vec::new());
        let (embedding_norm, layers, inputs, final_norm, pooled, dense) = match saved {
            Some(s) => {
                let final_norm = Some((s.final_x_hat, s.final_rstd));
                (Some((s.x_hat, s.rstd)), s.layers, s.inputs, final_norm, s.pooled, s.dense)
            }
            None => {
                own_pooled.resize(logits.len() * hidden, 0.0);
                own_dense.resize(logits.len() * hidden, 0.0);
                (None, Vec::new(), Vec::new(), None, &mut own_pooled[..], &mut own_dense[..])
            }
        };
        let mut x = std::mem::take(&mut scratch.states);
        let embedded = grow(&mut x, tokens * embedding_width);
        self.embed(lookups, group, embedded);
        self.norm(&self.params.norm, embedded, embedding_norm);
        self.drop_embeddings(masks, group, embedded);
        if let Some(projected) = self.project(embedded) {
            grow(&mut x, tokens * hidden).copy_from_slice(&projected);
        }
        let states = &mut x[..tokens * hidden];
        let (mut layers, mut inputs) = (layers.into_iter(), inputs.into_iter());
        for l in 0..self.spec.layers {
            if let Some(input) = inputs.next() {
                input.copy_from_slice(states);
            }
            let dropped = dropped_positions.get(l).copied().unwrap_or_default();
            let layer = self.layer_view(l, masks, self.projected(l, masks, dropped));
            layer.forward(group, states, scratch, layers.next());
        }
        if let Some(norm) = &self.params.final_norm {
            self.norm(norm, states, final_norm);
        }
        self.pool(group, states, pooled);
        self.head_view(masks).forward(batch.first_pair + group.pairs.start, pooled, dense, logits);
        scratch.states = x;
    }

    /// All groups through the whole model, saving activations; the logits.
    pub(super) fn forward_batch(
        &self,
        batch: &Packed,
        masks: &DropoutMasks,
        activations: &mut Activations,
    ) -> Vec<f32> {
        self.drop_positions(masks, activations);
        let lookups = self.model.lookups(batch);
        let groups = Group::split(batch, self.training_group_tokens(batch.tokens()));
        let mut logits = vec![0.0; batch.len()];
        let positions: Vec<Vec<f32>> =
            activations.layers.iter_mut().map(|l| std::mem::take(&mut l.projected)).collect();
        let dropped: Vec<&[f32]> = positions.iter().map(|p| &p[..]).collect();
        let saved = self.split_activations(activations, &groups);
        let tasks = groups.iter().zip(saved).zip(by_pair(&mut logits, 1, &groups)).collect();
        self.pool.each(tasks, |((group, saved), logits), scratch| {
            self.forward_group((batch, &lookups), group, masks, &dropped, Some(saved), scratch, logits);
        });
        for (layer, positions) in activations.layers.iter_mut().zip(positions) {
            layer.projected = positions;
        }
        logits
    }

    /// The groups' shares of the saved activations.
    fn split_activations<'a>(
        &self,
        activations: &'a mut Activations,
        groups: &[Group<'_>],
    ) -> Vec<GroupActivations<'a>> {
        let Shape { embedding_width, hidden, .. } = self.spec.shape;
        let Activations { x_hat, rstd, layers, inputs, final_x_hat, final_rstd, pooled, dense } = activations;
        let saved_layers = if inputs.is_empty() { &mut layers[..] } else { &mut [] };
        let mut layers: Vec<_> = saved_layers
            .iter_mut()
            .enumerate()
            .map(|(l, saved)| {
                saved.split(&self.spec.shape, groups, self.spec.first_token_only(l)).into_iter()
            })
            .collect();
        let mut inputs: Vec<_> = inputs.iter_mut().map(|x| by_token(x, hidden, groups).into_iter()).collect();
        let mut x_hat = by_token(x_hat, embedding_width, groups).into_iter();
        let mut rstd = by_token(rstd, 1, groups).into_iter();
        let has_final_norm = self.params.final_norm.is_some();
        let of_final_norm =
            |v, width| if has_final_norm { by_token(v, width, groups) } else { Vec::new() }.into_iter();
        let mut final_x_hat = of_final_norm(final_x_hat, hidden);
        let mut final_rstd = of_final_norm(final_rstd, 1);
        let mut pooled = by_pair(pooled, hidden, groups).into_iter();
        let mut dense = by_pair(dense, hidden, groups).into_iter();
        groups
            .iter()
            .map(|_| GroupActivations {
                x_hat: x_hat.next().unwrap_or_default(),
                rstd: rstd.next().unwrap_or_default(),
                layers: layers.iter_mut().filter_map(Iterator::next).collect(),
                inputs: inputs.iter_mut().filter_map(Iterator::next).collect(),
                final_x_hat: final_x_hat.next().unwrap_or_default(),
                final_rstd: final_rstd.next().unwrap_or_default(),
                pooled: pooled.next().unwrap_or_default(),
                dense: dense.next().unwrap_or_default(),
            })
            .collect()
    }

    /// The last hidden states of a group, without dropout: `[tokens, hidden]`. With `first_token_only` those of each
    /// text's first token stand at the front, `[texts, hidden]`, and what follows is not defined.
    pub(super) fn states(
        &self,
        lookups: &[EmbeddingRows],
        group: &Group<'_>,
        first_token_only: bool,
        scratch: &mut Scratch,
    ) -> Vec<f32> {
        let masks = self.spec.masks(None);
        let mut x = vec![0.0; group.tokens().len() * self.spec.shape.embedding_width];
        self.embed(lookups, group, &mut x);
        self.norm(&self.params.norm, &mut x, None);
        let mut x = self.project(&x).unwrap_or(x);
        let hidden = self.spec.shape.hidden;
        // A pre-norm encoder, or a post-norm one without layers, computes the states of all tokens.
        let skips = first_token_only && !self.spec.is_pre_norm() && self.spec.layers > 0;
        for l in 0..self.spec.layers {
            let mut layer = self.layer_view(l, &masks, &self.packed.layers[l].projected);
            layer.first_token_only = skips && l + 1 == self.spec.layers;
            layer.forward(group, &mut x, scratch, None);
        }
        if let Some(norm) = &self.params.final_norm {
            self.norm(norm, &mut x, None);
        }
        if first_token_only && !skips {
            for (i, text) in group.pair_ranges().enumerate() {
                x.copy_within(text.start * hidden..(text.start + 1) * hidden, i * hidden);
            }
        }
        x
    }

    /// Hidden states `[tokens, hidden]` without dropout, of the embeddings and after each layer.
    #[cfg(test)]
    pub(crate) fn hidden_states(
        &mut self,
        batch: &Packed,
    ) -> Result<Vec<Vec<f32>>, xpipe_base::task::Failure> {
        self.prepare(batch)?;
        let group = Group::of(batch, 0..batch.len());
        let (masks, mut scratch) = (self.spec.masks(None), Scratch::default());
        let mut x = vec![0.0; batch.tokens() * self.spec.shape.embedding_width];
        self.embed(&self.model.lookups(batch), &group, &mut x);
        self.norm(&self.params.norm, &mut x, None);
        let mut states = vec![self.project(&x).unwrap_or(x)];
        for l in 0..self.spec.layers {
            let mut x = states[l].clone();
            let mut layer = self.layer_view(l, &masks, &self.packed.layers[l].projected);
            layer.first_token_only = false;
            layer.forward(&group, &mut x, &mut scratch, None);
            states.push(x);
        }
        Ok(states)
    }
}
