//! Convolution over the tokens within each pair.

use candle_core::{Result, Tensor};

use super::ForwardGraph;

impl ForwardGraph<'_> {
    /// out(t) = b + Σₖ W[·, ·, k] x(t + k − ⌊kernel/2⌋) with zeros beyond a pair's ends; `name.weight` is
    /// `[out, in, kernel]` and the kernel odd.
    ///
    /// **Source:** torch `Conv1d` with `padding = (kernel − 1) / 2`; transformers `ConvLayer` of DeBERTa-v2.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn convolution(&self, name: &str, x: &Tensor, kernel: usize) -> Result<Tensor> {
        let weight = self.parameter(&format!("{name}.weight"))?;
        let bias = self.parameter(&format!("{name}.bias"))?;
        let taps = (0..kernel)
            .map(|k| weight.narrow(2, k, 1)?.squeeze(2)?.t()?.contiguous())
            .collect::<Result<Vec<_>>>()?;
        let (half, width) = (kernel / 2, x.dim(1)?);
        let ends = Tensor::zeros((half, width), x.dtype(), x.device())?;
        let mut out = Vec::with_capacity(self.batch.len());
        for pair in self.batch.starts.windows(2) {
            let length = pair[1] - pair[0];
            let padded = Tensor::cat(&[&ends, &x.narrow(0, pair[0], length)?, &ends], 0)?;
            let mut sum = self.product(&padded.narrow(0, 0, length)?, &taps[0])?;
            for (k, tap) in taps.iter().enumerate().skip(1) {
                sum = (sum + self.product(&padded.narrow(0, k, length)?, tap)?)?;
            }
            out.push(sum);
        }
        Tensor::cat(&out, 0)?.broadcast_add(bias)
    }
}
