//! Layers of the reference engine: plain differentiable candle operations over a packed part of a batch.
//!
//! candle's fused layer norm, softmax, rotary embedding and attention silently cut the gradient and are not used. A
//! [`ForwardGraph`] is one forward pass over a few pairs: it finds parameters by name, knows where pairs begin, and draws dropout.
//! Must not know: architectures, files, the flat buffer.

pub mod activation;
pub mod attention;
pub mod convolution;
pub mod disentangled;
pub mod dropout;
pub mod norm;
pub mod rotary;

use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::{DType, Error, Result, Tensor};

use crate::Packed;
use xpipe_base::value::rng::Stream;

/// Rows of one embedding table, one per token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingRows {
    /// Parameter name of the table.
    pub parameter: &'static str,
    /// The row of each token.
    pub rows: Vec<u32>,
}

/// One forward pass over some pairs of a batch.
#[derive(Debug)]
pub struct ForwardGraph<'a> {
    /// Parameters by name.
    pub tensors: &'a BTreeMap<String, Tensor>,
    /// The pairs.
    pub batch: &'a Packed,
    /// The stream of the whole batch, if there is dropout.
    pub dropout: Option<Stream>,
    /// Whether the operands of matrix products are rounded to bfloat16.
    pub bf16: bool,
    /// Recorded hidden states, if they are asked for.
    pub kept: Option<RefCell<Vec<Tensor>>>,
}

impl ForwardGraph<'_> {
    /// The parameter of a name.
    ///
    /// # Errors
    /// When there is none: a defect of the architecture's file.
    pub fn parameter(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| Error::Msg(format!("no parameter `{name}`")))
    }

    /// `x · Wᵀ + b` with `name.weight` `[out, in]` and `name.bias`, if the model declares one.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn linear(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let weight = self.parameter(&format!("{name}.weight"))?;
        let y = self.product(x, &weight.t()?)?;
        match self.tensors.get(&format!("{name}.bias")) {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }

    /// The matrix product `a · b`, of operands rounded to bfloat16 if the graph says so. The CPU sums such products in f32,
    /// as the explicit engine does. A GPU returns them in bfloat16, as its libraries do.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn product(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        if !self.bf16 {
            return a.matmul(b);
        }
        let [x, y] = [a.to_dtype(DType::BF16)?, b.to_dtype(DType::BF16)?];
        if a.device().is_cpu() {
            x.to_dtype(a.dtype())?.matmul(&y.to_dtype(b.dtype())?)
        } else {
            x.matmul(&y)?.to_dtype(a.dtype())
        }
    }

    /// The hidden state of each pair's first token, `[pairs, width]`.
    ///
    /// # Errors
    /// A defect of the graph.
    pub fn first_tokens(&self, x: &Tensor) -> Result<Tensor> {
        let starts = &self.batch.starts[..self.batch.len()];
        let rows = starts.iter().map(|&s| x.narrow(0, s, 1)).collect::<Result<Vec<_>>>()?;
        Tensor::cat(&rows, 0)
    }

    /// The mean of each pair's hidden states, `[pairs, width]`.
    ///
    /// # Errors
    /// A defect of the graph.
    pub fn mean_tokens(&self, x: &Tensor) -> Result<Tensor> {
        let pair = |w: &[usize]| x.narrow(0, w[0], w[1] - w[0])?.mean_keepdim(0);
        let rows = self.batch.starts.windows(2).map(pair).collect::<Result<Vec<_>>>()?;
        Tensor::cat(&rows, 0)
    }

    /// Records a hidden state `[tokens, width]`, for tests.
    pub fn keep(&self, x: &Tensor) {
        if let Some(kept) = &self.kept {
            kept.borrow_mut().push(x.detach());
        }
    }
}
