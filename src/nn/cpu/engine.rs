//! The engine of a model: embeddings, layers, head, and the order of work over a batch.
//!
//! Groups of whole pairs go through the whole model on one thread each (forward), or through one layer at a time
//! (backward, where the sums over tokens of a layer follow its groups). With relative positions the groups of backward
//! are the batch's blocks, as each sums gradients of the positions.

mod backward;
mod masked;
mod pooled;
mod states;

use std::path::Path;
use std::sync::Arc;

pub use masked::Masked;
pub use pooled::Pooled;

use super::attention::{Positions, room};
use super::head::Head;
use super::keep::{Keep, Work, by_pair, by_token};
use super::lanes::Level;
use super::layer::{Group, Kept, Parts, Sees, Shape};
use super::mask::Drop;
use super::norm::{Affine, Norm};
use super::pool::{Pool, Scratch};
use super::product::{Lies, Product};
use super::spec::{Angles, Dropout, Spec};
use super::weights::{PackedLayer, PackedWeights, Pair, Places, with_bias};
use crate::arch::Architecture;
use crate::arch::head::Pooling;
use crate::layers::Lookup;
use crate::weights::{self, Checkpoint};
use crate::{Packed, Parameter, Reranker};
use xpipe_base::task::Failure;
use xpipe_base::value::rng::Stream;

/// Tokens of a group when scoring.
pub(super) const GROUP: usize = 512;
/// Least tokens of a group when training, where groups are made smaller so that threads end together.
pub(super) const SMALL_GROUP: usize = 128;

/// The explicit engine of a model.
#[derive(Debug)]
pub struct Encoder {
    model: Arc<dyn Architecture>,
    spec: Spec,
    parameters: Vec<Parameter>,
    places: Places,
    weights: Vec<f32>,
    gradients: Vec<f32>,
    packed: PackedWeights,
    angles: Angles,
    /// As wide as any norm: β of those that have none.
    zeros: Vec<f32>,
    pool: Pool,
    keep: Keep,
    work: Work,
    last: Option<(Packed, Dropout)>,
    recompute: bool,
}

/// What a group keeps of a forward pass.
struct KeptGroup<'a> {
    hat: &'a mut [f32],
    rho: &'a mut [f32],
    /// Of every layer, or with recomputation of none.
    layers: Vec<Kept<'a>>,
    /// The layers' inputs, with recomputation.
    inputs: Vec<&'a mut [f32]>,
    last_hat: &'a mut [f32],
    last_rho: &'a mut [f32],
    pooled: &'a mut [f32],
    before: &'a mut [f32],
}

/// Whether this engine runs a model: widths are multiples of eight, and there is no convolution.
pub fn supports(model: &dyn Architecture) -> bool {
    Spec::of(model).is_some()
}

impl Encoder {
    /// The engine of a checkpoint with a number of threads, at the fastest level this machine has.
    ///
    /// # Errors
    /// When the engine does not run this model (see [`supports`]), or threads cannot be started.
    pub fn new(checkpoint: Checkpoint, threads: usize) -> Result<Self, Failure> {
        let Checkpoint { model, parameters, weights, .. } = checkpoint;
        let Some(spec) = Spec::of(&*model) else {
            return Err(Failure::missing(format!(
                "the explicit engine has no implementation of this `{}` model",
                model.name()
            ))
            .help("use the reference engine"));
        };
        Ok(Self {
            gradients: vec![0.0; weights.len()],
            zeros: vec![0.0; spec.shape.hidden.max(spec.shape.width)],
            packed: PackedWeights::default(),
            angles: Angles::default(),
            pool: Pool::new(threads)?,
            keep: Keep::default(),
            work: Work::default(),
            last: None,
            recompute: false,
            places: Places::find(&*model, &parameters)?,
            spec,
            model,
            parameters,
            weights,
        })
    }

    /// The same with another kernel level.
    #[must_use]
    pub fn at_level(mut self, level: Level) -> Self {
        self.spec.shape.level = level;
        self
    }

    /// The same, keeping only each layer's input of a forward pass and making the rest again in backward: less memory,
    /// a third more work, the same bits.
    #[must_use]
    pub fn recomputing(mut self, recompute: bool) -> Self {
        self.recompute = recompute;
        self
    }

    /// Numbers held: of the model (weights, gradients, packed weights), and of batches.
    pub fn held(&self) -> [usize; 2] {
        let model = self.weights.len() + self.gradients.len() + self.packed.held();
        [model, self.keep.held() + self.work.held() + self.pool.held()]
    }

    /// Hidden states `[tokens, hidden]` without dropout, of the embeddings and after each layer: for tests.
    #[cfg(test)]
    pub(crate) fn hidden_states(&mut self, batch: &Packed) -> Result<Vec<Vec<f32>>, Failure> {
        self.model.check(batch)?;
        self.refresh(false);
        self.angles.reach(longest(batch), &self.spec);
        let group = Group { pairs: 0..batch.len(), starts: &batch.starts, base: 0 };
        let (dropout, mut scratch) = (self.spec.dropout(None), Scratch::default());
        let mut x = vec![0.0; batch.tokens() * self.spec.shape.width];
        self.embed(&self.model.lookups(batch), &group, &mut x);
        self.norm(&self.places.norm, &mut x, None);
        let mut out = vec![self.project(&x).unwrap_or(x)];
        for l in 0..self.spec.layers {
            let mut x = out[l].clone();
            let mut parts = self.parts(l, &dropout, &self.packed.layers[l].projected);
            parts.first_only = false;
            if self.spec.pre_norm() {
                parts.forward_pre(&group, &mut x, &mut scratch, None);
            } else {
                parts.forward(&group, &mut x, &mut scratch, None);
            }
            out.push(x);
        }
        Ok(out)
    }

    fn beta(&self, norm: &Pair) -> &[f32] {
        if norm.bias.is_empty() { &self.zeros[..norm.weight.len()] } else { &self.weights[norm.bias.clone()] }
    }

    fn affine(&self, x: &mut [f32], norm: &Pair) {
        let (gamma, beta) = (&self.weights[norm.weight.clone()], self.beta(norm));
        self.spec.shape.level.run(Affine { x, gamma, beta });
    }

    fn norm(&self, norm: &Pair, x: &mut [f32], keep: Option<(&mut [f32], &mut [f32])>) {
        let (gamma, beta) = (&self.weights[norm.weight.clone()], self.beta(norm));
        let Shape { level, epsilon, .. } = self.spec.shape;
        level.run(Norm { x, z: None, dropped: None, gamma, beta, epsilon, keep });
    }

    /// Packs the weights for a direction if they may have changed.
    fn refresh(&mut self, back: bool) {
        if std::mem::replace(&mut self.packed.fresh[usize::from(back)], true) {
            return;
        }
        let shape @ Shape { level, hidden, width, .. } = self.spec.shape;
        let (weights, places) = (&self.weights, &self.places);
        self.packed.layers.resize_with(self.spec.layers, PackedLayer::default);
        if let Some(dense) = &places.dense {
            self.packed.dense.pack(&weights[dense.weight.clone()], hidden, back, level);
        }
        if let Some(p) = &places.projection {
            self.packed.projection.pack(&weights[p.weight.clone()], width, back, level);
        }
        let tasks = self.packed.layers.iter_mut().zip(&places.layers).collect();
        self.pool.each(tasks, |(packed, places), _| packed.pack(places, weights, &shape, back));
        if !back {
            self.refresh_positions();
        }
    }

    /// Norms and projects the table of relative positions.
    fn refresh_positions(&mut self) {
        let Some(table) = &self.places.table else { return };
        let rows = table.rows.len() / self.spec.shape.hidden;
        let mut normed = std::mem::take(&mut self.packed.table);
        normed.rows.clear();
        normed.rows.extend_from_slice(&self.weights[table.rows.clone()]);
        if let Some(norm) = &table.norm {
            normed.hat.resize(normed.rows.len(), 0.0);
            normed.rho.resize(rows, 0.0);
            self.norm(norm, &mut normed.rows, Some((&mut normed.hat, &mut normed.rho)));
        }
        let mut layers = std::mem::take(&mut self.packed.layers);
        let tasks = layers.iter_mut().collect();
        self.pool.each(tasks, |layer, _| {
            let mut projected = std::mem::take(&mut layer.projected);
            self.project_positions(layer, &normed.rows, &mut projected);
            layer.projected = projected;
        });
        self.packed.table = normed;
        self.packed.layers = layers;
    }

    /// A layer's projected relative positions: queries and keys of the table's rows.
    fn project_positions(&self, layer: &PackedLayer, table: &[f32], projected: &mut Vec<f32>) {
        let Shape { level, hidden, .. } = self.spec.shape;
        let rows = table.len() / hidden;
        // Queries and keys come first in the stack of queries, keys and values.
        let stack = layer.positions.as_ref().unwrap_or(&layer.qkv);
        projected.resize(rows * 2 * hidden, 0.0);
        level.run(Product {
            a: table,
            lies: Lies::Rows(hidden),
            rows,
            b: &stack.linear.forward,
            depth: hidden,
            columns: 2 * hidden,
            c: projected,
            c_stride: 2 * hidden,
            store: with_bias(&stack.bias),
        });
    }

    /// A layer; `projected` are its relative positions.
    fn parts<'a>(&'a self, l: usize, dropout: &Dropout, projected: &'a [f32]) -> Parts<'a> {
        let sight =
            self.spec.sights.get(l).map(|s| Sees { window: s.window, angles: self.angles.of(s.theta) });
        Parts {
            shape: self.spec.shape,
            places: &self.places.layers[l],
            weights: &self.weights,
            packed: &self.packed.layers[l],
            zeros: &self.zeros[..self.spec.shape.hidden],
            masks: dropout.layers[l],
            sight,
            positions: self.spec.relative.as_ref().map(|relative| Positions { relative, projected }),
            first_only: self.spec.first_only(l),
        }
    }

    /// A layer's relative positions in a forward pass: those kept when they were dropped.
    fn projected<'a>(&'a self, l: usize, dropout: &Dropout, dropped: &'a [f32]) -> &'a [f32] {
        match dropout.relative.get(l) {
            Some(Some(_)) => dropped,
            _ => &self.packed.layers[l].projected,
        }
    }

    /// Projects dropped relative positions where they are dropped.
    fn drop_positions(&self, dropout: &Dropout, keep: &mut Keep) {
        let tasks: Vec<_> = keep.layers.iter_mut().zip(&self.packed.layers).zip(&dropout.relative).collect();
        self.pool.each(tasks, |((keep, layer), mask), scratch| {
            let Some(mask) = mask else { return };
            let table = room(&mut scratch.y, self.packed.table.rows.len());
            table.copy_from_slice(&self.packed.table.rows);
            self.spec.shape.level.run(Drop { mask, first: 0, x: table });
            self.project_positions(layer, table, &mut keep.projected);
        });
    }

    fn head<'a>(&'a self, dropout: &'a Dropout) -> Head<'a> {
        let Shape { level, hidden, .. } = self.spec.shape;
        let epsilon = self.spec.head.norm.map_or(0.0, |n| n.epsilon as f32);
        Head {
            level,
            hidden,
            dense: self.places.dense.as_ref().zip(self.spec.head.dense.map(|d| d.activation)),
            norm: self.places.head_norm.as_ref().map(|n| (n, epsilon)),
            classifier: &self.places.classifier,
            packed: &self.packed.dense,
            weights: &self.weights,
            zeros: &self.zeros[..hidden],
            dropped: [dropout.pooled.as_ref(), dropout.classifier.as_ref()],
        }
    }

    /// Sums of the embedding rows of a group.
    fn embed(&self, lookups: &[Lookup], group: &Group<'_>, x: &mut [f32]) {
        let width = self.spec.shape.width;
        for (i, (lookup, table)) in lookups.iter().zip(&self.places.tables).enumerate() {
            for (x, row) in x.chunks_exact_mut(width).zip(&lookup.rows[group.tokens()]) {
                let row = &self.weights[table.start + *row as usize * width..][..width];
                if i == 0 {
                    x.copy_from_slice(row);
                } else {
                    x.iter_mut().zip(row).for_each(|(x, w)| *x += w);
                }
            }
        }
    }

    /// The embeddings `[tokens, width]` projected to hidden states, where the model does that.
    fn project(&self, embedded: &[f32]) -> Option<Vec<f32>> {
        let place = self.places.projection.as_ref()?;
        let Shape { level, width, hidden, .. } = self.spec.shape;
        let rows = embedded.len() / width;
        let mut x = vec![0.0; rows * hidden];
        level.run(Product {
            a: embedded,
            lies: Lies::Rows(width),
            rows,
            b: &self.packed.projection.forward,
            depth: width,
            columns: hidden,
            c: &mut x,
            c_stride: hidden,
            store: with_bias(&self.weights[place.bias.clone()]),
        });
        Some(x)
    }

    fn drop_embeddings(&self, dropout: &Dropout, group: &Group<'_>, x: &mut [f32]) {
        if let Some(mask) = &dropout.embeddings {
            let first = (group.place() * self.spec.shape.width) as u64;
            self.spec.shape.level.run(Drop { mask, first, x });
        }
    }

    /// What the head reads of each pair.
    fn pool(&self, group: &Group<'_>, states: &[f32], pooled: &mut [f32]) {
        let hidden = self.spec.shape.hidden;
        if self.spec.layers > 0 && self.spec.first_only(self.spec.layers - 1) {
            return pooled.copy_from_slice(&states[..pooled.len()]);
        }
        for (pair, row) in group.each().zip(pooled.chunks_exact_mut(hidden)) {
            let states = &states[pair.start * hidden..pair.end * hidden];
            row.copy_from_slice(&states[..hidden]);
            if self.spec.head.pooling == Pooling::Mean {
                for x in states.chunks_exact(hidden).skip(1) {
                    row.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
                }
                let share = 1.0 / pair.len() as f32;
                row.iter_mut().for_each(|x| *x *= share);
            }
        }
    }

    /// A group through the whole model; its logits.
    fn run(
        &self,
        (batch, lookups): (&Packed, &[Lookup]),
        group: &Group<'_>,
        dropout: &Dropout,
        dropped_positions: &[&[f32]],
        kept: Option<KeptGroup<'_>>,
        scratch: &mut Scratch,
        logits: &mut [f32],
    ) {
        let Shape { width, hidden, .. } = self.spec.shape;
        let tokens = group.tokens().len();
        let (mut own_pooled, mut own_before) = (Vec::new(), Vec::new());
        let (embeddings, layers, inputs, last, pooled, before) = match kept {
            Some(k) => {
                let last = Some((k.last_hat, k.last_rho));
                (Some((k.hat, k.rho)), k.layers, k.inputs, last, k.pooled, k.before)
            }
            None => {
                own_pooled.resize(logits.len() * hidden, 0.0);
                own_before.resize(logits.len() * hidden, 0.0);
                (None, Vec::new(), Vec::new(), None, &mut own_pooled[..], &mut own_before[..])
            }
        };
        let mut x = std::mem::take(&mut scratch.x);
        let embedded = room(&mut x, tokens * width);
        self.embed(lookups, group, embedded);
        self.norm(&self.places.norm, embedded, embeddings);
        self.drop_embeddings(dropout, group, embedded);
        if let Some(projected) = self.project(embedded) {
            room(&mut x, tokens * hidden).copy_from_slice(&projected);
        }
        let states = &mut x[..tokens * hidden];
        let (mut layers, mut inputs) = (layers.into_iter(), inputs.into_iter());
        for l in 0..self.spec.layers {
            let kept = layers.next();
            if let Some(input) = inputs.next() {
                input.copy_from_slice(states);
            }
            let dropped = dropped_positions.get(l).copied().unwrap_or_default();
            let parts = self.parts(l, dropout, self.projected(l, dropout, dropped));
            if self.spec.pre_norm() {
                parts.forward_pre(group, states, scratch, kept);
            } else {
                parts.forward(group, states, scratch, kept);
            }
        }
        if let Some(norm) = &self.places.last {
            self.norm(norm, states, last);
        }
        self.pool(group, states, pooled);
        self.head(dropout).forward(batch.first_pair + group.pairs.start, pooled, before, logits);
        scratch.x = x;
    }

    /// All groups through the whole model into `keep`; the logits.
    fn forward_all(&self, batch: &Packed, dropout: &Dropout, keep: &mut Keep) -> Vec<f32> {
        let Shape { width, hidden, .. } = self.spec.shape;
        self.drop_positions(dropout, keep);
        let lookups = self.model.lookups(batch);
        let groups = groups(batch, self.small(batch.tokens()));
        let mut logits = vec![0.0; batch.len()];
        let positions: Vec<Vec<f32>> =
            keep.layers.iter_mut().map(|l| std::mem::take(&mut l.projected)).collect();
        let dropped: Vec<&[f32]> = positions.iter().map(|p| &p[..]).collect();
        let kept_layers = if keep.inputs.is_empty() { &mut keep.layers[..] } else { &mut [] };
        let mut layers: Vec<_> = kept_layers
            .iter_mut()
            .enumerate()
            .map(|(l, kept)| kept.split(&self.spec.shape, &groups, self.spec.first_only(l)).into_iter())
            .collect();
        let mut inputs: Vec<_> =
            keep.inputs.iter_mut().map(|x| by_token(x, hidden, &groups).into_iter()).collect();
        let mut hat = by_token(&mut keep.hat, width, &groups).into_iter();
        let mut rho = by_token(&mut keep.rho, 1, &groups).into_iter();
        let has_last = self.places.last.is_some();
        let last = |v, width| if has_last { by_token(v, width, &groups) } else { Vec::new() };
        let mut last_hat = last(&mut keep.last_hat, hidden).into_iter();
        let mut last_rho = last(&mut keep.last_rho, 1).into_iter();
        let mut pooled = by_pair(&mut keep.pooled, hidden, &groups).into_iter();
        let mut before = by_pair(&mut keep.before, hidden, &groups).into_iter();
        let kept: Vec<_> = groups
            .iter()
            .map(|_| KeptGroup {
                hat: hat.next().unwrap_or_default(),
                rho: rho.next().unwrap_or_default(),
                layers: layers.iter_mut().filter_map(Iterator::next).collect(),
                inputs: inputs.iter_mut().filter_map(Iterator::next).collect(),
                last_hat: last_hat.next().unwrap_or_default(),
                last_rho: last_rho.next().unwrap_or_default(),
                pooled: pooled.next().unwrap_or_default(),
                before: before.next().unwrap_or_default(),
            })
            .collect();
        let tasks = groups.iter().zip(kept).zip(by_pair(&mut logits, 1, &groups)).collect();
        self.pool.each(tasks, |((group, kept), logits), scratch| {
            self.run((batch, &lookups), group, dropout, &dropped, Some(kept), scratch, logits);
        });
        for (layer, positions) in keep.layers.iter_mut().zip(positions) {
            layer.projected = positions;
        }
        logits
    }

    /// Tokens of a group when training: a few groups for each thread.
    fn small(&self, tokens: usize) -> usize {
        (tokens / (4 * self.pool.threads())).clamp(SMALL_GROUP, GROUP)
    }
}

/// Pairs in groups of about `tokens` tokens, in order; a longer pair is a group of its own.
fn groups(batch: &Packed, tokens: usize) -> Vec<Group<'_>> {
    let (starts, base) = (&batch.starts[..], batch.first_token);
    let mut out = Vec::new();
    let mut first = 0;
    for i in 1..starts.len() {
        let last = i + 1 == starts.len();
        if last || starts[i + 1] - starts[first] > tokens {
            out.push(Group { pairs: first..i, starts, base });
            first = i;
        }
    }
    out
}

/// Tokens of the longest pair.
fn longest(batch: &Packed) -> usize {
    batch.starts.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0)
}

impl Reranker for Encoder {
    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn weights(&self) -> &[f32] {
        &self.weights
    }

    fn weights_mut(&mut self) -> &mut [f32] {
        self.packed.fresh = [false; 2];
        self.last = None;
        &mut self.weights
    }

    fn gradients_mut(&mut self) -> (&mut [f32], &mut [f32]) {
        self.packed.fresh = [false; 2];
        (&mut self.gradients, &mut self.weights)
    }

    fn score(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure> {
        self.model.check(batch)?;
        self.refresh(false);
        self.angles.reach(longest(batch), &self.spec);
        let (lookups, dropout) = (self.model.lookups(batch), self.spec.dropout(None));
        let groups = groups(batch, GROUP);
        let mut logits = vec![0.0; batch.len()];
        let tasks = groups.iter().zip(by_pair(&mut logits, 1, &groups)).collect();
        self.pool.each(tasks, |(group, logits), scratch| {
            self.run((batch, &lookups), group, &dropout, &[], None, scratch, logits);
        });
        Ok(logits)
    }

    fn forward(&mut self, batch: &Packed, dropout: Option<Stream>) -> Result<Vec<f32>, Failure> {
        self.model.check(batch)?;
        self.refresh(false);
        self.angles.reach(longest(batch), &self.spec);
        let dropout = self.spec.dropout(dropout);
        let mut keep = std::mem::take(&mut self.keep);
        let last = self.places.last.is_some();
        keep.size(batch, &self.spec, last, self.recompute);
        let logits = self.forward_all(batch, &dropout, &mut keep);
        self.keep = keep;
        self.last = Some((batch.clone(), dropout));
        Ok(logits)
    }

    fn backward(&mut self, dlogits: &[f32]) -> Result<(), Failure> {
        let Some((batch, dropout)) = self.last.take() else {
            return Err(Failure::bug("a backward pass without a forward pass before it"));
        };
        if dlogits.len() != batch.len() {
            return Err(Failure::bug(format!("{} gradients for {} logits", dlogits.len(), batch.len())));
        }
        self.refresh(true);
        let (mut keep, mut work) = (std::mem::take(&mut self.keep), std::mem::take(&mut self.work));
        let mut gradients = std::mem::take(&mut self.gradients);
        work.size(batch.tokens(), batch.len(), &self.spec.shape);
        if !batch.is_empty() {
            self.backward_all(&batch, &dropout, dlogits, &mut keep, &mut work, &mut gradients);
        }
        (self.keep, self.work, self.gradients) = (keep, work, gradients);
        Ok(())
    }

    fn save(&self, folder: &Path) -> Result<(), Failure> {
        weights::save(&*self.model, &self.parameters, &self.weights, folder)
    }

    fn kernels(&self) -> &'static str {
        self.spec.shape.level.name()
    }
}
