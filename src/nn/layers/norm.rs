//! Layer norm and softmax, written out so that candle differentiates them.

use candle_core::{D, Result, Tensor};

use super::ForwardGraph;

impl ForwardGraph<'_> {
    /// `(x - mean) / √(variance + ε) · name.weight + name.bias` over the last dimension, with the biased variance; without
    /// a bias if the model declares none.
    ///
    /// **Source:** Ba, Kiros, Hinton 2016; torch `LayerNorm`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn layer_norm(&self, name: &str, x: &Tensor, epsilon: f64) -> Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt()?;
        let y =
            centred.broadcast_div(&deviation)?.broadcast_mul(self.parameter(&format!("{name}.weight"))?)?;
        match self.tensors.get(&format!("{name}.bias")) {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// Softmax over the last dimension. The maximum that is subtracted is a constant for the gradient.
///
/// # Errors
/// A defect of the graph.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    let e = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?.exp()?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
}
