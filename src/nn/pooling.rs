//! From the hidden states of a text's tokens to one vector.
//!
//! **Source:** sentence-transformers `Pooling` and `Normalize`. Special tokens count as tokens, as they do there.

/// How the tokens of a text become a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The first token's.
    First,
    /// The largest of each number.
    Max,
    /// The mean.
    Mean,
    /// The sum divided by the root of the number of tokens.
    MeanSqrt,
    /// The mean with the tokens' places, from 1, as weights.
    WeightedMean,
    /// The last token's.
    Last,
}

/// Every kind with its name in sentence-transformers, in the order in which it puts several one after the other.
pub const NAMED: [(&str, Pool); 6] = [
    ("cls", Pool::First),
    ("max", Pool::Max),
    ("mean", Pool::Mean),
    ("mean_sqrt_len_tokens", Pool::MeanSqrt),
    ("weightedmean", Pool::WeightedMean),
    ("lasttoken", Pool::Last),
];

/// What is made of hidden states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// Kinds, whose vectors are put one after the other; at least one.
    pub kinds: Vec<Pool>,
    /// Whether the whole is divided by its length.
    pub normalise: bool,
}

impl Pooling {
    /// Numbers of a vector, for hidden states this wide.
    pub fn width(&self, hidden: usize) -> usize {
        self.kinds.len() * hidden
    }

    /// Whether only the first token is read.
    pub fn first_only(&self) -> bool {
        self.kinds.iter().all(|k| *k == Pool::First)
    }

    /// The vector of a text, from the states of its tokens (at least one), `[tokens, hidden]`.
    pub fn pool(&self, states: &[f32], hidden: usize, out: &mut [f32]) {
        for (kind, out) in self.kinds.iter().zip(out.chunks_exact_mut(hidden)) {
            kind.pool(states, hidden, out);
        }
        if self.normalise {
            normalise(out);
        }
    }
}

impl Pool {
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
                    // Written so that what is not a number stays.
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

/// Divides by the length, in double precision; a vector of zeros stays.
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
            (Pool::First, [1.0, -2.0]),
            (Pool::Max, [3.0, 5.0]),
            (Pool::Mean, [2.0, 1.0]),
            (Pool::MeanSqrt, [4.0, 2.0]),
            (Pool::WeightedMean, [2.1, 1.3]),
            (Pool::Last, [2.0, 2.0]),
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
        let pooling = Pooling { kinds: vec![Pool::First, Pool::Mean], normalise: true };
        assert_eq!((pooling.width(2), pooling.first_only()), (4, false));
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
                let read = !matches!((kind, states[0].is_nan()), (Pool::First, false) | (Pool::Last, true));
                assert_eq!(out[0].is_nan(), read, "{kind:?}");
            }
        }
    }
}
