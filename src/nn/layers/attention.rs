//! Self-attention of each pair alone: no padding, no mask.

use candle_core::{Result, Tensor};

use super::Graph;
use super::dropout::{Mask, Site};
use super::norm::softmax;

impl Graph<'_> {
    /// `softmax(Q Kᵀ / √d) V` for every head of every pair; `q`, `k`, `v` and the result are `[tokens, width]`.
    /// Dropout of the probabilities is addressed as [`Mask::attention`] says.
    ///
    /// **Source:** Vaswani et al. 2017; transformers `BertSelfAttention`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn attention(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        heads: usize,
        site: Site,
        dropout: f64,
    ) -> Result<Tensor> {
        let width = q.dim(1)?;
        let d = width / heads;
        let mask = self.mask(site, dropout);
        let mut contexts = Vec::with_capacity(self.starts.len() - 1);
        for pair in self.starts.windows(2) {
            let (start, length) = (pair[0], pair[1] - pair[0]);
            let split = |x: &Tensor| {
                x.narrow(0, start, length)?.reshape((length, heads, d))?.transpose(0, 1)?.contiguous()
            };
            let scores = (split(q)?.matmul(&split(k)?.t()?)? * (1.0 / (d as f64).sqrt()))?;
            let mut p = softmax(&scores)?;
            if let Some(mask) = &mask {
                let factors = mask.attention(self.first_token + start, length, heads);
                p = (p * Tensor::from_vec(factors, (heads, length, length), q.device())?
                    .to_dtype(q.dtype())?)?;
            }
            let context = p.matmul(&split(v)?)?;
            contexts.push(context.transpose(0, 1)?.contiguous()?.reshape((length, width))?);
        }
        Tensor::cat(&contexts, 0)
    }

    fn mask(&self, site: Site, dropout: f64) -> Option<Mask> {
        self.dropout.filter(|_| dropout > 0.0).map(|stream| Mask::new(&stream, site, dropout))
    }

    /// Dropout of `x`: `[tokens, width]` everywhere but at [`Site::Classifier`], where it is `[pairs, width]`.
    ///
    /// # Errors
    /// A defect of the graph.
    pub fn dropout(&self, x: &Tensor, site: Site, probability: f64) -> Result<Tensor> {
        let Some(mask) = self.mask(site, probability) else { return Ok(x.clone()) };
        let (rows, width) = x.dims2()?;
        let first = if site == Site::Classifier { self.first_pair } else { self.first_token };
        let mut factors = vec![0.0; rows * width];
        mask.fill((first * width) as u64, &mut factors);
        x * Tensor::from_vec(factors, (rows, width), x.device())?.to_dtype(x.dtype())?
    }
}
