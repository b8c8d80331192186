//! Pooling: from the hidden states of a text's tokens to one vector.
//!
//! **Source:** sentence-transformers `Pooling` and `Normalize`. Special tokens are pooled too, as they are there.

/// How the hidden states of a text become a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolingMode {
    /// State of the first token.
    First,
    /// Element-wise maximum.
    Max,
    /// Mean.
    Mean,
    /// Sum, divided by the square root of the number of tokens.
    MeanSqrt,
    /// Mean weighted by the position of the token, from 1.
    WeightedMean,
    /// State of the last token.
    Last,
}

/// Every kind with its name in sentence-transformers, in the order in which it concatenates several.
pub const NAMED: [(&str, PoolingMode); 6] = [
    ("cls", PoolingMode::First),
    ("max", PoolingMode::Max),
    ("mean", PoolingMode::Mean),
    ("mean_sqrt_len_tokens", PoolingMode::MeanSqrt),
    ("weightedmean", PoolingMode::WeightedMean),
    ("lasttoken", PoolingMode::Last),
];

/// The pooling of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// Kinds whose vectors are concatenated; at least one.
    pub kinds: Vec<PoolingMode>,
    /// Whether the vector is L2-normalised.
    pub normalise: bool,
}

impl Pooling {
    /// Dimensions of a vector for hidden states of this width.
    pub fn width(&self, hidden: usize) -> usize {
        self.kinds.len() * hidden
    }

    /// Whether only the first token is read.
    pub fn first_token_only(&self) -> bool {
        self.kinds.iter().all(|k| *k == PoolingMode::First)
    }

    /// The vector of a text from the hidden states of its tokens (at least one), `[tokens, hidden]`.
    pub fn pool(&self, states: &[f32], hidden: usize, out: &mut [f32]) {
        for (kind, out) in self.kinds.iter().zip(out.chunks_exact_mut(hidden)) {
            kind.pool(states, hidden, out);
        }
        if self.normalise {
            normalise(out);
        }
    }
}

impl PoolingMode {
    fn pool(self, states: &[f32], hidden: usize, out: &mut [f32]) {
        let tokens = states.chunks_exact(hidden);
        let n = tokens.len();
        let sum = |out: &mut [f32]| {
            out.fill(0.0);
            for x in states.chunks_exact(hidden) {
                out.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
            }
        };
        let divide = |out: &mut [f32], by: f32| out.iter_mut().for_each(|x| *x /= by);
        match self {
            Self::First => out.copy_from_slice(&states[..hidden]),
            Self::Last => out.copy_from_slice(&states[(n - 1) * hidden..]),
            Self::Max => {
                out.copy_from_slice(&states[..hidden]);
                for x in tokens.skip(1) {
                    // Keeps NaN.
                    let larger = |most: f32, x: f32| if most >= x || most.is_nan() { most } else { x };
                    out.iter_mut().zip(x).for_each(|(most, x)| *most = larger(*most, *x));
                }
            }
            Self::Mean => {
                sum(out);
                divide(out, n as f32);
            }
            Self::MeanSqrt => {
                sum(out);
                divide(out, (n as f32).sqrt());
            }
            Self::WeightedMean => {
                out.fill(0.0);
                for (place, x) in tokens.enumerate() {
                    let weight = (place + 1) as f32;
                    out.iter_mut().zip(x).for_each(|(sum, x)| *sum += weight * x);
                }
                divide(out, (n * (n + 1) / 2) as f32);
            }
        }
    }
}

/// L2-normalises in double precision. A vector of zeros stays as it is.
fn normalise(x: &mut [f32]) {
    let length = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
    x.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_by_hand() {
        let states = [1.0, -2.0, 3.0, 5.0, 2.0, -1.0, 2.0, 2.0];
        let expected = [
            (PoolingMode::First, [1.0, -2.0]),
            (PoolingMode::Max, [3.0, 5.0]),
            (PoolingMode::Mean, [2.0, 1.0]),
            (PoolingMode::MeanSqrt, [4.0, 2.0]),
            (PoolingMode::WeightedMean, [2.1, 1.3]),
            (PoolingMode::Last, [2.0, 2.0]),
        ];
        for (kind, expected) in expected {
            let mut out = [f32::NAN; 2];
            kind.pool(&states, 2, &mut out);
            assert_eq!(out, expected, "{kind:?}");
            kind.pool(&states[..2], 2, &mut out);
            assert_eq!(out, [1.0, -2.0], "{kind:?} of one token");
        }
        assert_eq!(expected.map(|e| e.0), NAMED.map(|n| n.1));
    }

    #[test]
    fn several_kinds_are_one_vector_of_length_one() {
        let pooling = Pooling { kinds: vec![PoolingMode::First, PoolingMode::Mean], normalise: true };
        assert_eq!((pooling.width(2), pooling.first_token_only()), (4, false));
        let mut out = [0.0; 4];
        pooling.pool(&[1.0, 1.0, 3.0, 5.0], 2, &mut out);
        let length = (1.0f32 + 1.0 + 4.0 + 9.0).sqrt();
        assert!(out.iter().zip([1.0, 1.0, 2.0, 3.0]).all(|(x, y)| (x - y / length).abs() < 1e-7), "{out:?}");
        let mut none = [0.0; 4];
        pooling.pool(&[0.0; 4], 2, &mut none);
        assert_eq!(none, [0.0; 4]);
    }

    #[test]
    fn what_is_not_a_number_stays() {
        for kind in NAMED.map(|n| n.1) {
            for states in [[0.0, f32::NAN], [f32::NAN, 0.0]] {
                let mut out = [0.0];
                kind.pool(&states, 1, &mut out);
                let read = !matches!(
                    (kind, states[0].is_nan()),
                    (PoolingMode::First, false) | (PoolingMode::Last, true)
                );
                assert_eq!(out[0].is_nan(), read, "{kind:?}");
            }
        }
    }
}
