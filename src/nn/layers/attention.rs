//! Self-attention within each pair: no padding, no mask except for local windows.

use candle_core::{Result, Tensor};

use super::ForwardGraph;
use super::dropout::{Mask, Site};
use super::norm::softmax;

impl ForwardGraph<'_> {
    /// `softmax(Q Kᵀ / √d) V` for every head of every pair; `q`, `k`, `v` and the result are `[tokens, width]`. With a
    /// window, a token sees tokens at most so far away. Dropout of the probabilities is addressed as
    /// [`Mask::attention`] says.
    ///
    /// **Source:** Vaswani et al. 2017; transformers `BertSelfAttention`, `ModernBertAttention`.
    ///
    /// # Errors
    /// When shapes do not fit.
    #[expect(clippy::too_many_arguments, reason = "an operation of a graph, called from two places")]
    pub fn attention(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        heads: usize,
        window: Option<usize>,
        site: Site,
        dropout: f64,
    ) -> Result<Tensor> {
        let scale = 1.0 / ((q.dim(1)? / heads) as f64).sqrt();
        self.attend([q, k, v], heads, site, dropout, |q, k| {
            let scores = (self.product(q, &k.t()?)? * scale)?;
            let Some(window) = window else { return Ok(scores) };
            let n = scores.dim(1)?;
            let outside = |e: usize| if (e / n).abs_diff(e % n) > window { f32::NEG_INFINITY } else { 0.0 };
            let mask = Tensor::from_iter((0..n * n).map(outside), q.device())?.reshape((n, n))?;
            scores.broadcast_add(&mask.to_dtype(q.dtype())?)
        })
    }

    /// `softmax(scores(Q, K)) V` for every head of every pair; `scores` takes `[heads, length, d]` of a pair.
    pub(super) fn attend(
        &self,
        [q, k, v]: [&Tensor; 3],
        heads: usize,
        site: Site,
        dropout: f64,
        scores: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let width = q.dim(1)?;
        let d = width / heads;
        let mask = self.mask(site, dropout);
        let mut contexts = Vec::with_capacity(self.batch.len());
        for pair in self.batch.starts.windows(2) {
            let (start, length) = (pair[0], pair[1] - pair[0]);
            let split = |x: &Tensor| {
                x.narrow(0, start, length)?.reshape((length, heads, d))?.transpose(0, 1)?.contiguous()
            };
            let mut p = softmax(&scores(&split(q)?, &split(k)?)?)?;
            if let Some(mask) = &mask {
                let factors = mask.attention(self.batch.first_token + start, length, heads);
                p = (p * Tensor::from_vec(factors, (heads, length, length), q.device())?
                    .to_dtype(q.dtype())?)?;
            }
            let context = self.product(&p, &split(v)?)?;
            contexts.push(context.transpose(0, 1)?.contiguous()?.reshape((length, width))?);
        }
        Tensor::cat(&contexts, 0)
    }

    fn mask(&self, site: Site, dropout: f64) -> Option<Mask> {
        self.dropout.filter(|_| dropout > 0.0).map(|stream| Mask::new(&stream, site, dropout))
    }

    /// Dropout of `x`: `[tokens, width]` everywhere but in the head, where it is `[pairs, width]`.
    ///
    /// # Errors
    /// A defect of the graph.
    pub fn dropout(&self, x: &Tensor, site: Site, probability: f64) -> Result<Tensor> {
        let pairs = matches!(site, Site::Classifier | Site::Pooled);
        self.drop_rows(
            x,
            if pairs { self.batch.first_pair } else { self.batch.first_token },
            site,
            probability,
        )
    }

    /// Dropout of a table, which all pairs share.
    ///
    /// # Errors
    /// A defect of the graph.
    pub fn table_dropout(&self, x: &Tensor, site: Site, probability: f64) -> Result<Tensor> {
        self.drop_rows(x, 0, site, probability)
    }

    fn drop_rows(&self, x: &Tensor, first: usize, site: Site, probability: f64) -> Result<Tensor> {
        let Some(mask) = self.mask(site, probability) else { return Ok(x.clone()) };
        let (rows, width) = x.dims2()?;
        let mut factors = vec![0.0; rows * width];
        mask.fill((first * width) as u64, &mut factors);
        x * Tensor::from_vec(factors, (rows, width), x.device())?.to_dtype(x.dtype())?
    }
}
