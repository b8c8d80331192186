//! The reference engine: an architecture's plain candle operations behind [`Reranker`].
//!
//! Scoring runs each pair alone, so a score has the same bits in any batch. Training runs the blocks of a batch side by
//! side on the threads of this engine; gradients are added from the last block to the first, so threads change no bit.
//! Embedding rows are gathered and their gradients scattered here, outside the graph: a table's gradient stays as sparse
//! as the batch.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use rayon::prelude::*;

use super::arch::Architecture;
use super::layers::{EmbeddingRows, ForwardGraph};
use super::optimiser::{self, AdamW, Moments};
use super::weights::{self, Checkpoint};
use super::{Packed, Parameter, Reranker, replace_weights};
use xpipe_base::task::Failure;
use xpipe_base::value::rng::Stream;

/// Stack size of a thread; candle walks its graph recursively.
const STACK_BYTES: usize = 16 << 20;

/// The reference engine.
#[derive(Debug)]
pub struct Reference {
    model: Arc<dyn Architecture>,
    parameters: Vec<Parameter>,
    weights: Vec<f32>,
    gradients: Vec<f32>,
    moments: Moments,
    device: Device,
    pool: rayon::ThreadPool,
    /// How many blocks run at the same time.
    together: usize,
    /// Candle's copies of the weights, until they may have changed.
    variables: Option<Arc<Variables>>,
    /// Whether operands of matrix products are rounded to bfloat16.
    bf16: bool,
    /// Whether backward builds the graph of a block again, so that only one exists at a time.
    recompute: bool,
    /// The last forward pass, until its backward pass.
    last: Option<Forward>,
}

/// A forward pass and the variables of its graph.
#[derive(Debug)]
struct Forward {
    variables: Arc<Variables>,
    pairs: usize,
    blocks: SavedBlocks,
}

/// What backward starts from.
#[derive(Debug)]
enum SavedBlocks {
    /// The graphs of all blocks.
    Graphs(Vec<BlockGraph>),
    /// The variables of the graphs.
    Again(Packed, Option<Stream>),
}

/// Candle's copies of all parameters but the embedding tables.
#[derive(Debug)]
struct Variables {
    places: Vec<(usize, Var)>,
    tracked: BTreeMap<String, Tensor>,
    detached: BTreeMap<String, Tensor>,
}

/// The graph of one block, until its backward pass.
#[derive(Debug)]
struct BlockGraph {
    pairs: Range<usize>,
    logits: Tensor,
    embedded: Var,
    lookups: Vec<EmbeddingRows>,
}

/// The gradients of one block.
struct BlockGradients {
    dense: Vec<(usize, Vec<f32>)>,
    embedded: Vec<f32>,
    lookups: Vec<EmbeddingRows>,
}

impl Reference {
    /// The engine of a checkpoint on a device, with a number of threads (0: all cores).
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn new(checkpoint: Checkpoint, threads: usize, device: Device) -> Result<Self, Failure> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .stack_size(STACK_BYTES)
            .thread_name(|i| format!("reference-{i}"))
            .build()
            .map_err(Failure::no_threads)?;
        let Checkpoint { model, parameters, weights, .. } = checkpoint;
        let gradients = vec![0.0; weights.len()];
        // candle spreads every small operation over a pool of its own, one per process, which waits by spinning: two
        // blocks side by side would only wait for each other. With CANDLE_NUM_THREADS=1 in the environment that pool is
        // empty, and blocks side by side use the cores better.
        let spins = candle_core::utils::barrier_pool().n_workers() > 0;
        let together = if device.is_cpu() && !spins { pool.current_num_threads() } else { 1 };
        Ok(Self {
            model,
            parameters,
            weights,
            gradients,
            moments: Moments::default(),
            device,
            pool,
            together,
            bf16: false,
            recompute: false,
            variables: None,
            last: None,
        })
    }

    /// The same with the operands of matrix products rounded to bfloat16, or not.
    #[must_use]
    pub fn rounding(self, bf16: bool) -> Self {
        Self { bf16, ..self }
    }

    /// The same with the graphs of blocks built again in backward, or kept. It changes no bit.
    #[must_use]
    pub fn recomputing(self, recompute: bool) -> Self {
        Self { recompute, ..self }
    }

    /// The graph of a forward pass over some pairs.
    pub(super) fn graph<'a>(
        &self,
        tensors: &'a BTreeMap<String, Tensor>,
        batch: &'a Packed,
        dropout: Option<Stream>,
    ) -> ForwardGraph<'a> {
        ForwardGraph { tensors, batch, dropout, bf16: self.bf16, kept: None }
    }

    /// The model.
    pub fn model(&self) -> &dyn Architecture {
        &*self.model
    }

    /// Hidden states without dropout, `[tokens, width]` row-major: after the embeddings, then after each layer.
    ///
    /// # Errors
    /// As [`Reranker::score`].
    pub fn hidden(&mut self, batch: &Packed) -> Result<Vec<Vec<f32>>, Failure> {
        self.model.check(batch)?;
        let variables = self.refresh()?;
        let mut all = vec![Vec::new(); self.model.layers() + 1];
        for i in 0..batch.len() {
            let one = batch.slice(i..i + 1);
            let embedded = self.embed(&one, &self.model.lookups(&one)).map_err(off)?;
            let kept = Some(RefCell::default());
            let graph = ForwardGraph { kept, ..self.graph(&variables.detached, &one, None) };
            self.model.logits(&graph, embedded).map_err(off)?;
            let kept = graph.kept.map(RefCell::into_inner).unwrap_or_default();
            for (all, x) in all.iter_mut().zip(&kept) {
                all.extend(numbers(x).map_err(off)?);
            }
        }
        Ok(all)
    }

    /// Candle's copies of all weights but the embedding tables, by name.
    ///
    /// # Errors
    /// When the device lacks memory for them.
    pub fn tensors(&mut self) -> Result<BTreeMap<String, Tensor>, Failure> {
        Ok(self.refresh()?.detached.clone())
    }

    /// Candle's copies of the weights, made again if the weights may have changed.
    fn refresh(&mut self) -> Result<Arc<Variables>, Failure> {
        if let Some(variables) = &self.variables {
            return Ok(variables.clone());
        }
        let tables: Vec<&str> = self.model.lookups(&Packed::new()).iter().map(|l| l.parameter).collect();
        let mut v = Variables { places: Vec::new(), tracked: BTreeMap::new(), detached: BTreeMap::new() };
        for (place, p) in
            self.parameters.iter().enumerate().filter(|(_, p)| !tables.contains(&p.name.as_str()))
        {
            let numbers = &self.weights[p.offset..p.offset + p.len()];
            let var = Tensor::from_slice(numbers, p.shape.as_slice(), &self.device)
                .and_then(|t| Var::from_tensor(&t))
                .map_err(off)?;
            v.tracked.insert(p.name.clone(), var.as_tensor().clone());
            v.detached.insert(p.name.clone(), var.as_detached_tensor());
            v.places.push((place, var));
        }
        Ok(self.variables.insert(Arc::new(v)).clone())
    }

    /// The sum of the embedding rows of each token, `[tokens, width]`.
    fn embed(&self, batch: &Packed, lookups: &[EmbeddingRows]) -> candle_core::Result<Tensor> {
        let width = self.table(lookups[0].parameter).map_or(0, |p| p.shape[1]);
        let mut sum = vec![0.0f32; batch.tokens() * width];
        for lookup in lookups {
            let Some(table) = self.table(lookup.parameter) else { continue };
            for (x, &row) in sum.chunks_exact_mut(width).zip(&lookup.rows) {
                let from = table.offset + row as usize * width;
                x.iter_mut().zip(&self.weights[from..from + width]).for_each(|(x, w)| *x += w);
            }
        }
        Tensor::from_vec(sum, (batch.tokens(), width), &self.device)
    }

    fn table(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|p| p.name == name)
    }

    /// Calls a function with each item on the threads of this engine. Results are in the order of items.
    fn each<I: Send, T: Send>(
        &self,
        items: Vec<I>,
        f: impl Fn(I) -> Result<T, Failure> + Sync + Send,
    ) -> Result<Vec<T>, Failure> {
        self.pool.install(|| {
            if self.together > 1 {
                items.into_par_iter().map(f).collect()
            } else {
                items.into_iter().map(f).collect()
            }
        })
    }

    fn piece(
        &self,
        variables: &Variables,
        batch: &Packed,
        pairs: Range<usize>,
        dropout: Option<Stream>,
    ) -> candle_core::Result<BlockGraph> {
        let part = batch.slice(pairs.clone());
        let lookups = self.model.lookups(&part);
        let embedded = Var::from_tensor(&self.embed(&part, &lookups)?)?;
        let graph = self.graph(&variables.tracked, &part, dropout);
        let logits = self.model.logits(&graph, embedded.as_tensor().clone())?;
        Ok(BlockGraph { pairs, logits, embedded, lookups })
    }

    fn gradient(
        &self,
        variables: &Variables,
        piece: BlockGraph,
        dlogits: &[f32],
    ) -> Result<BlockGradients, Failure> {
        let part = &dlogits[piece.pairs.clone()];
        let store = Tensor::from_slice(part, part.len(), &self.device)
            .and_then(|d| (piece.logits * d)?.sum_all()?.backward())
            .map_err(off)?;
        let of = |var: &Var, name: &str| match store.get(var) {
            Some(g) => numbers(g).map_err(off),
            None => Err(Failure::bug(format!("no gradient reaches `{name}`"))),
        };
        let embedded = of(&piece.embedded, "embeddings")?;
        let dense = variables
            .places
            .iter()
            .map(|(place, var)| Ok((*place, of(var, &self.parameters[*place].name)?)))
            .collect::<Result<Vec<_>, Failure>>()?;
        Ok(BlockGradients { dense, embedded, lookups: piece.lookups })
    }

    /// Adds the gradients of all blocks, from the last to the first, for as many blocks at a time as run side by side:
    /// each holds a gradient of the whole model.
    fn add_from_last<I: Send>(
        &mut self,
        blocks: Vec<I>,
        gradient: impl Fn(&Self, I) -> Result<BlockGradients, Failure> + Sync + Send,
    ) -> Result<(), Failure> {
        let mut rest = blocks.into_iter().rev();
        loop {
            let now: Vec<I> = rest.by_ref().take(self.together).collect();
            if now.is_empty() {
                return Ok(());
            }
            let gradients = self.each(now, |block| gradient(self, block))?;
            gradients.iter().for_each(|g| self.add(g));
        }
    }

    fn add(&mut self, gradient: &BlockGradients) {
        let Self { parameters, gradients, .. } = self;
        for (place, numbers) in &gradient.dense {
            let p = &parameters[*place];
            gradients[p.offset..p.offset + p.len()].iter_mut().zip(numbers).for_each(|(g, x)| *g += x);
        }
        for lookup in &gradient.lookups {
            let Some(table) = parameters.iter().find(|p| p.name == lookup.parameter) else { continue };
            let width = table.shape[1];
            for (x, &row) in gradient.embedded.chunks_exact(width).zip(&lookup.rows) {
                let to = table.offset + row as usize * width;
                gradients[to..to + width].iter_mut().zip(x).for_each(|(g, x)| *g += x);
            }
        }
    }
}

fn numbers(x: &Tensor) -> candle_core::Result<Vec<f32>> {
    x.flatten_all()?.to_vec1::<f32>()
}

#[expect(clippy::needless_pass_by_value, reason = "passed to map_err")]
fn off(e: candle_core::Error) -> Failure {
    let text = e.to_string();
    if text.to_ascii_lowercase().contains("out of memory") {
        return Failure::missing(format!("the device is out of memory: {text}"))
            .help("use a smaller micro-batch");
    }
    Failure::bug(format!("reference engine: {text}"))
}

impl Reranker for Reference {
    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn weights(&self) -> &[f32] {
        &self.weights
    }

    fn set_weights(&mut self, weights: &[f32]) -> Result<(), Failure> {
        self.variables = None;
        self.last = None;
        replace_weights(&mut self.weights, weights)
    }

    fn gradients(&mut self) -> Result<&[f32], Failure> {
        Ok(&self.gradients)
    }

    fn clear_gradients(&mut self) -> Result<(), Failure> {
        self.gradients.fill(0.0);
        Ok(())
    }

    fn step(&mut self, adamw: &AdamW, rate: f64) -> Result<f64, Failure> {
        self.variables = None;
        self.last = None;
        let buffers = (&mut self.gradients[..], &mut self.weights[..]);
        optimiser::step(adamw, rate, &self.parameters, &mut self.moments, buffers)
    }

    fn moments(&self) -> Result<Cow<'_, Moments>, Failure> {
        Ok(Cow::Borrowed(&self.moments))
    }

    fn set_moments(&mut self, moments: Moments) -> Result<(), Failure> {
        moments.check(self.weights.len())?;
        self.moments = moments;
        Ok(())
    }

    fn score(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure> {
        self.model.check(batch)?;
        let variables = self.refresh()?;
        let one = |i: usize| -> candle_core::Result<f32> {
            let pair = batch.slice(i..i + 1);
            let graph = self.graph(&variables.detached, &pair, None);
            let embedded = self.embed(&pair, &self.model.lookups(&pair))?;
            self.model.logits(&graph, embedded)?.squeeze(0)?.to_scalar::<f32>()
        };
        self.each((0..batch.len()).collect(), |i| one(i).map_err(off))
    }

    fn forward(&mut self, batch: &Packed, dropout: Option<Stream>) -> Result<Vec<f32>, Failure> {
        self.model.check(batch)?;
        self.last = None;
        let variables = self.refresh()?;
        let list = self.each(batch.blocks(), |pairs| {
            let piece = self.piece(&variables, batch, pairs, dropout).map_err(off)?;
            Ok((numbers(&piece.logits).map_err(off)?, (!self.recompute).then_some(piece)))
        })?;
        let (logits, list): (Vec<_>, Vec<_>) = list.into_iter().unzip();
        let blocks = if self.recompute {
            SavedBlocks::Again(batch.clone(), dropout)
        } else {
            SavedBlocks::Graphs(list.into_iter().flatten().collect())
        };
        self.last = Some(Forward { variables, pairs: batch.len(), blocks });
        Ok(logits.concat())
    }

    fn backward(&mut self, dlogits: &[f32]) -> Result<(), Failure> {
        let Some(Forward { variables, pairs, blocks }) = self.last.take() else {
            return Err(Failure::bug("backward without a forward"));
        };
        if pairs != dlogits.len() {
            return Err(Failure::bug(format!("{} gradients for another number of logits", dlogits.len())));
        }
        match blocks {
            SavedBlocks::Graphs(list) => {
                self.add_from_last(list, |engine, piece| engine.gradient(&variables, piece, dlogits))
            }
            SavedBlocks::Again(batch, dropout) => self.add_from_last(batch.blocks(), |engine, pairs| {
                let piece = engine.piece(&variables, &batch, pairs, dropout).map_err(off)?;
                engine.gradient(&variables, piece, dlogits)
            }),
        }
    }

    fn save(&self, folder: &Path) -> Result<(), Failure> {
        weights::save(&*self.model, &self.parameters, &self.weights, folder)
    }

    fn kernels(&self) -> &'static str {
        "reference"
    }
}

#[cfg(test)]
mod tests;
