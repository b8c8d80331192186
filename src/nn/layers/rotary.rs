//! Rotary positions: pairs of columns of queries and keys are rotated by an angle that grows with the position.

use candle_core::{Result, Tensor};

use super::ForwardGraph;

/// cos and sin of position · θ^(−2i/d) for each position and i < d/2, in f32 as in transformers.
///
/// **Source:** Su et al. 2021; transformers `ModernBertRotaryEmbedding`.
pub fn angles(places: impl Iterator<Item = usize>, size: usize, theta: f64) -> (Vec<f32>, Vec<f32>) {
    let frequencies: Vec<f32> =
        (0..size / 2).map(|i| 1.0 / (theta as f32).powf((2 * i) as f32 / size as f32)).collect();
    let angle = |place: usize| frequencies.iter().map(move |f| f64::from(place as f32 * f));
    let all: Vec<f64> = places.flat_map(angle).collect();
    (all.iter().map(|a| a.cos() as f32).collect(), all.iter().map(|a| a.sin() as f32).collect())
}

impl ForwardGraph<'_> {
    /// Rotates `[tokens, heads · d]`: column i < d/2 of a head with column i + d/2.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn rotate(&self, x: &Tensor, heads: usize, theta: f64) -> Result<Tensor> {
        let (tokens, width) = x.dims2()?;
        let d = width / heads;
        let places = self.batch.starts.windows(2).flat_map(|w| 0..w[1] - w[0]);
        let (cos, sin) = angles(places, d, theta);
        let table = |v: Vec<f32>| Tensor::from_vec(v, (tokens, 1, d / 2), x.device())?.to_dtype(x.dtype());
        let (cos, sin) = (table(cos)?, table(sin)?);
        let x = x.reshape((tokens, heads, d))?;
        let (a, b) = (x.narrow(2, 0, d / 2)?, x.narrow(2, d / 2, d / 2)?);
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
        Tensor::cat(&[first, second], 2)?.reshape((tokens, width))
    }
}
