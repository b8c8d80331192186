//! The BERT architecture: embeddings, layers, head, and the order of work over a batch.
//!
//! Groups of whole pairs go through the whole model on one thread each (forward), or through one layer at a time
//! (backward, where the sums over tokens of a layer follow its groups).

use std::path::Path;
use std::sync::Arc;

use super::attention::room;
use super::gradients::{Shared, accumulate, carve};
use super::head::Head;
use super::keep::{Keep, Work, by_pair, by_token, left};
use super::lanes::Level;
use super::layer::{Group, Masks, Parts, Shape};
use super::mask::Drop;
use super::norm::{Affine, Dropped, Norm, NormBackward};
use super::pool::Pool;
use super::weights::{PackedLayer, PackedWeights, Places};
use crate::nn::arch::{Architecture, Form, post_norm::PostNorm as Config};
use crate::nn::layers::dropout::{Mask, Site};
use crate::nn::weights::{self, Checkpoint};
use crate::nn::{Packed, Parameter, Reranker};
use crate::task::Failure;
use crate::value::rng::Stream;

/// Tokens of a group when scoring.
const GROUP: usize = 512;
/// Least tokens of a group when training, where groups are made smaller so that threads end together.
const SMALL_GROUP: usize = 128;

/// The explicit engine of a BERT model.
#[derive(Debug)]
pub struct Bert {
    model: Arc<dyn Architecture>,
    config: Config,
    shape: Shape,
    parameters: Vec<Parameter>,
    places: Places,
    weights: Vec<f32>,
    gradients: Vec<f32>,
    packed: PackedWeights,
    pool: Pool,
    keep: Keep,
    work: Work,
    last: Option<(Packed, Dropout)>,
}

/// The factors of one micro-batch.
#[derive(Clone, Debug, Default)]
struct Dropout {
    embeddings: Option<Mask>,
    classifier: Option<Mask>,
    layers: Vec<Masks>,
}

/// Whether this engine runs a model: BERT, with widths that are multiples of eight.
pub fn supports(model: &dyn Architecture) -> bool {
    matches!(model.form(), Form::PostNorm(c)
        if model.name() == "bert" && c.hidden.is_multiple_of(8) && c.intermediate.is_multiple_of(8))
}

impl Bert {
    /// The engine of a checkpoint with a number of threads, at the fastest level this machine has.
    ///
    /// # Errors
    /// When it is another architecture, a width is not a multiple of eight (see [`supports`]), or threads cannot be
    /// started.
    pub fn new(checkpoint: Checkpoint, threads: usize) -> Result<Self, Failure> {
        let Checkpoint { model, parameters, weights, .. } = checkpoint;
        let form = model.form();
        let Some(config) = (match form {
            Form::PostNorm(config) if supports(&*model) => Some(config.clone()),
            _ => None,
        }) else {
            return Err(Failure::missing(format!(
                "the explicit engine has no implementation of this `{}` model",
                model.name()
            ))
            .help("use the reference engine"));
        };
        let places = Places::find(&parameters, config.layers)?;
        let shape = Shape {
            level: Level::detect(),
            hidden: config.hidden,
            heads: config.heads,
            inner: config.intermediate,
            epsilon: config.epsilon as f32,
            activation: config.activation,
        };
        Ok(Self {
            gradients: vec![0.0; weights.len()],
            packed: PackedWeights::default(),
            pool: Pool::new(threads)?,
            keep: Keep::default(),
            work: Work::default(),
            last: None,
            model,
            config,
            shape,
            parameters,
            places,
            weights,
        })
    }

    /// The same with another kernel level.
    #[must_use]
    pub fn at_level(mut self, level: Level) -> Self {
        self.shape.level = level;
        self
    }

    /// The embeddings and then each layer's output, `[tokens, hidden]`, without dropout: for tests.
    #[cfg(test)]
    pub(crate) fn hidden_states(&mut self, batch: &Packed) -> Result<Vec<Vec<f32>>, Failure> {
        self.forward(batch, None)?;
        let at = |hat: &[f32], norm: &super::weights::Pair| {
            let mut x = hat.to_vec();
            self.affine(&mut x, norm);
            x
        };
        let mut out = vec![at(&self.keep.hat, &self.places.norm)];
        for (l, places) in self.keep.layers.iter().zip(&self.places.layers) {
            out.push(at(&l.hat2, &places.norm2));
        }
        Ok(out)
    }

    fn affine(&self, x: &mut [f32], norm: &super::weights::Pair) {
        let (gamma, beta) = (&self.weights[norm.weight.clone()], &self.weights[norm.bias.clone()]);
        self.shape.level.run(Affine { x, gamma, beta });
    }

    /// Packs the weights for a direction if they may have changed.
    fn refresh(&mut self, back: bool) {
        if std::mem::replace(&mut self.packed.fresh[usize::from(back)], true) {
            return;
        }
        let (hidden, inner, weights) = (self.shape.hidden, self.shape.inner, &self.weights);
        self.packed.layers.resize_with(self.config.layers, PackedLayer::default);
        self.packed.pack_pooler(&self.places, weights, hidden, back);
        let tasks = self.packed.layers.iter_mut().zip(&self.places.layers).collect();
        self.pool.each(tasks, |(packed, places), _| packed.pack(places, weights, hidden, inner, back));
    }

    fn dropout(&self, stream: Option<Stream>) -> Dropout {
        let mask = |site, p: f64| stream.filter(|_| p > 0.0).map(|s| Mask::new(&s, site, p));
        let hidden = self.config.hidden_dropout;
        Dropout {
            embeddings: mask(Site::Embeddings, hidden),
            classifier: mask(Site::Classifier, self.config.head.dropout),
            layers: (0..self.config.layers)
                .map(|l| Masks {
                    attention: mask(Site::Attention(l), self.config.attention_dropout),
                    attention_output: mask(Site::AttentionOutput(l), hidden),
                    output: mask(Site::Output(l), hidden),
                })
                .collect(),
        }
    }

    fn parts(&self, l: usize, masks: Masks) -> Parts<'_> {
        Parts {
            shape: self.shape,
            places: &self.places.layers[l],
            weights: &self.weights,
            packed: &self.packed.layers[l],
            masks,
        }
    }

    fn head<'a>(&'a self, dropped: Option<&'a Mask>) -> Head<'a> {
        Head {
            level: self.shape.level,
            hidden: self.shape.hidden,
            pooler: &self.places.pooler,
            classifier: &self.places.classifier,
            packed: &self.packed.pooler,
            weights: &self.weights,
            dropped,
        }
    }

    /// Sums of the embedding rows of a group.
    fn embed(&self, batch: &Packed, group: &Group<'_>, x: &mut [f32]) {
        let hidden = self.shape.hidden;
        let row =
            |table: &std::ops::Range<usize>, i: usize| &self.weights[table.start + i * hidden..][..hidden];
        let tokens = group.tokens();
        let positions = group.each().flat_map(|p| 0..p.len());
        for ((t, position), x) in tokens.zip(positions).zip(x.chunks_exact_mut(hidden)) {
            let words = row(&self.places.words, batch.ids[t] as usize);
            let types = row(&self.places.types, batch.types[t] as usize);
            let places = row(&self.places.positions, position);
            for (x, ((w, t), p)) in x.iter_mut().zip(words.iter().zip(types).zip(places)) {
                *x = w + t + p;
            }
        }
    }

    /// A group through the whole model, keeping nothing; its logits.
    fn score_group(
        &self,
        batch: &Packed,
        group: &Group<'_>,
        scratch: &mut super::pool::Scratch,
        logits: &mut [f32],
    ) {
        let hidden = self.shape.hidden;
        let mut x = std::mem::take(&mut scratch.x);
        let states = room(&mut x, group.tokens().len() * hidden);
        self.embed(batch, group, states);
        self.shape.level.run(Norm {
            x: states,
            z: None,
            dropped: None,
            gamma: &self.weights[self.places.norm.weight.clone()],
            beta: &self.weights[self.places.norm.bias.clone()],
            epsilon: self.shape.epsilon,
            keep: None,
        });
        for l in 0..self.config.layers {
            self.parts(l, Masks::default()).forward(group, states, scratch, None);
        }
        let first: Vec<f32> =
            group.each().flat_map(|p| &states[p.start * hidden..][..hidden]).copied().collect();
        let mut pooled = vec![0.0; first.len()];
        self.head(None).forward(batch.first_pair + group.pairs.start, &first, &mut pooled, logits);
        scratch.x = x;
    }

    /// All groups through the whole model into `keep`; the logits.
    fn forward_all(&self, batch: &Packed, dropout: &Dropout, keep: &mut Keep) -> Vec<f32> {
        let Shape { level, hidden, heads, inner, epsilon, .. } = self.shape;
        let groups = groups(batch, self.small(batch.tokens()));
        let mut logits = vec![0.0; batch.len()];
        let mut layers: Vec<_> =
            keep.layers.iter_mut().map(|l| l.split(hidden, inner, heads, &groups).into_iter()).collect();
        let kept: Vec<Vec<_>> =
            groups.iter().map(|_| layers.iter_mut().filter_map(Iterator::next).collect()).collect();
        let tokens =
            by_token(&mut keep.hat, hidden, &groups).into_iter().zip(by_token(&mut keep.rho, 1, &groups));
        let pairs = by_pair(&mut keep.first, hidden, &groups).into_iter();
        let pairs =
            pairs.zip(by_pair(&mut keep.pooled, hidden, &groups)).zip(by_pair(&mut logits, 1, &groups));
        let tasks = groups.iter().zip(kept).zip(tokens).zip(pairs).collect();
        self.pool.each(tasks, |(((group, kept), (hat, rho)), ((first, pooled), logits)), scratch| {
            let mut x = std::mem::take(&mut scratch.x);
            let states = room(&mut x, group.tokens().len() * hidden);
            self.embed(batch, group, states);
            level.run(Norm {
                x: &mut *states,
                z: None,
                dropped: None,
                gamma: &self.weights[self.places.norm.weight.clone()],
                beta: &self.weights[self.places.norm.bias.clone()],
                epsilon,
                keep: Some((hat, rho)),
            });
            self.drop_embeddings(dropout, group, states);
            for ((l, masks), kept) in dropout.layers.iter().enumerate().zip(kept) {
                self.parts(l, *masks).forward(group, states, scratch, Some(kept));
            }
            for (pair, row) in group.each().zip(first.chunks_exact_mut(hidden)) {
                row.copy_from_slice(&states[pair.start * hidden..][..hidden]);
            }
            let pair = batch.first_pair + group.pairs.start;
            self.head(dropout.classifier.as_ref()).forward(pair, first, pooled, logits);
            scratch.x = x;
        });
        logits
    }

    fn drop_embeddings(&self, dropout: &Dropout, group: &Group<'_>, x: &mut [f32]) {
        if let Some(mask) = &dropout.embeddings {
            let first = (group.place() * self.shape.hidden) as u64;
            self.shape.level.run(Drop { mask, first, x });
        }
    }

    /// Tokens of a group when training: a few groups for each thread.
    fn small(&self, tokens: usize) -> usize {
        (tokens / (4 * self.pool.threads())).clamp(SMALL_GROUP, GROUP)
    }

    fn backward_all(
        &self,
        batch: &Packed,
        dropout: &Dropout,
        dlogits: &[f32],
        keep: &mut Keep,
        work: &mut Work,
        gradients: &mut [f32],
    ) {
        let Shape { level, hidden, heads, inner, .. } = self.shape;
        let (tokens, pairs) = (batch.tokens(), batch.len());
        let groups = groups(batch, self.small(tokens));
        let mut dfirst = vec![0.0; pairs * hidden];
        let head = self.head(dropout.classifier.as_ref());
        let blocks = batch.blocks();
        head.backward(batch.first_pair, &blocks, &keep.first, &keep.pooled, dlogits, gradients, &mut dfirst);
        let blocks: Vec<_> = blocks.iter().map(|b| batch.starts[b.start]..batch.starts[b.end]).collect();
        work.d.fill(0.0);
        for (start, d) in batch.starts.iter().zip(dfirst.chunks_exact(hidden)) {
            work.d[start * hidden..][..hidden].copy_from_slice(d);
        }
        for l in (0..self.config.layers).rev() {
            let parts = self.parts(l, dropout.layers[l]);
            let (before, this) = keep.layers.split_at_mut(l);
            // The layer's input: the norm before it, and dropout where that is the embeddings'.
            let (hat, norm) = match before.last() {
                Some(b) => (&b.hat2, &self.places.layers[l - 1].norm2),
                None => (&keep.hat, &self.places.norm),
            };
            work.norms.fill(0.0);
            let kept = this[0].split(hidden, inner, heads, &groups);
            let buffers =
                [&mut work.attention, &mut work.output, &mut work.inner, &mut work.qkv, &mut work.norms];
            let left = left(buffers.map(|b| &mut b[..]), hidden, inner, &groups);
            let hidden_wide = by_token(&mut work.d, hidden, &groups).into_iter();
            let inputs = by_token(&mut work.x, hidden, &groups);
            let tasks = groups.iter().zip(kept).zip(left).zip(hidden_wide.zip(inputs)).collect();
            self.pool.each(tasks, |(((group, mut kept), mut left), (d, x)), scratch| {
                parts.backward(group, d, scratch, &mut kept, &mut left);
                let at = group.tokens();
                x.copy_from_slice(&hat[at.start * hidden..at.end * hidden]);
                self.affine(x, norm);
                if l == 0 {
                    self.drop_embeddings(dropout, group, x);
                }
            });
            let (this, places) = (&this[0], &self.places.layers[l]);
            let shared = [
                Shared {
                    inputs: &this.inner,
                    wide: inner,
                    apart: inner,
                    outputs: &work.output,
                    places: vec![&places.down],
                },
                Shared {
                    inputs: &this.hat1,
                    wide: hidden,
                    apart: hidden,
                    outputs: &work.inner,
                    places: vec![&places.up],
                },
                Shared {
                    inputs: &this.context,
                    wide: hidden,
                    apart: hidden,
                    outputs: &work.attention,
                    places: vec![&places.output],
                },
                Shared {
                    inputs: &work.x,
                    wide: hidden,
                    apart: hidden,
                    outputs: &work.qkv,
                    places: places.qkv.iter().collect(),
                },
            ];
            accumulate(level, &self.pool, &blocks, &shared, &mut work.panels, gradients);
            let norms = [&places.norm1.weight, &places.norm1.bias, &places.norm2.weight, &places.norm2.bias];
            add_pairs(&work.norms, hidden, gradients, &norms.map(Clone::clone));
        }
        self.embeddings_backward(batch, dropout, &groups, keep, work, gradients);
    }

    fn embeddings_backward(
        &self,
        batch: &Packed,
        dropout: &Dropout,
        groups: &[Group<'_>],
        keep: &Keep,
        work: &mut Work,
        gradients: &mut [f32],
    ) {
        let hidden = self.shape.hidden;
        let norms = &mut work.norms[..2 * hidden * batch.len()];
        norms.fill(0.0);
        let shares =
            by_token(&mut work.d, hidden, groups).into_iter().zip(by_pair(norms, 2 * hidden, groups));
        let tasks = groups.iter().zip(shares).collect();
        self.pool.each(tasks, |(group, (d, norms)), _| {
            self.drop_embeddings(dropout, group, d);
            let first = group.tokens().start;
            for (pair, norms) in group.each().zip(norms.chunks_exact_mut(2 * hidden)) {
                let (dgamma, dbeta) = norms.split_at_mut(hidden);
                let here = first + pair.start..first + pair.end;
                self.shape.level.run(NormBackward {
                    d: &mut d[pair.start * hidden..pair.end * hidden],
                    dz: None,
                    dropped: None::<Dropped<'_>>,
                    hat: &keep.hat[here.start * hidden..here.end * hidden],
                    rho: &keep.rho[here],
                    gamma: &self.weights[self.places.norm.weight.clone()],
                    dgamma,
                    dbeta,
                });
            }
        });
        let places = [self.places.norm.weight.clone(), self.places.norm.bias.clone()];
        add_pairs(&work.norms[..2 * hidden * batch.len()], hidden, gradients, &places);
        // Tables take the rows from the last token to the first; only rows that occur are touched.
        let mut at = |table: &std::ops::Range<usize>, i: usize, d: &[f32]| {
            for (g, d) in gradients[table.start + i * hidden..][..hidden].iter_mut().zip(d) {
                *g += d;
            }
        };
        let positions: Vec<usize> = batch.starts.windows(2).flat_map(|w| 0..w[1] - w[0]).collect();
        for (t, (position, d)) in positions.into_iter().zip(work.d.chunks_exact(hidden)).enumerate().rev() {
            at(&self.places.words, batch.ids[t] as usize, d);
            at(&self.places.types, batch.types[t] as usize, d);
            at(&self.places.positions, position, d);
        }
    }
}

/// Adds the pairs' shares `[pairs, parts · width]` to the parts' gradients, from the last pair to the first.
fn add_pairs(shares: &[f32], width: usize, gradients: &mut [f32], places: &[std::ops::Range<usize>]) {
    for (i, part) in carve(gradients, places).into_iter().enumerate() {
        for share in shares.chunks_exact(width * places.len()).rev() {
            for (g, s) in part.iter_mut().zip(&share[i * width..]) {
                *g += s;
            }
        }
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

impl Reranker for Bert {
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
        let groups = groups(batch, GROUP);
        let mut logits = vec![0.0; batch.len()];
        let tasks = groups.iter().zip(by_pair(&mut logits, 1, &groups)).collect();
        self.pool.each(tasks, |(group, logits), scratch| self.score_group(batch, group, scratch, logits));
        Ok(logits)
    }

    fn forward(&mut self, batch: &Packed, dropout: Option<Stream>) -> Result<Vec<f32>, Failure> {
        self.model.check(batch)?;
        self.refresh(false);
        let dropout = self.dropout(dropout);
        let mut keep = std::mem::take(&mut self.keep);
        let Shape { hidden, inner, heads, .. } = self.shape;
        keep.size(batch.tokens(), batch.len(), self.config.layers, hidden, inner, heads);
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
        work.size(batch.tokens(), batch.len(), self.shape.hidden, self.shape.inner);
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
        self.shape.level.name()
    }
}
