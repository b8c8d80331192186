//! Texts to weighted terms by a masked language model: learned sparse encoding.
//!
//! The weight of a term in a text is max over its tokens of log(1 + relu(logit)), special tokens included. A text's
//! weights do not depend on what is in its batch.
//!
//! **Source:** Formal et al. 2021, "SPLADE v2"; sentence-transformers `SpladePooling` (max, relu).

use std::ops::Range;

use rayon::prelude::*;

use super::scoring::Batching;
use super::texts::{self, Encoded, Reading, Take};
use xpipe_base::task::{Failure, Progress};
use xpipe_data::store::TextStore;
use xpipe_nn::masked_lm::MaskedLm;
use xpipe_nn::tokenizer::Tokenizer;

/// Limits of an encoding.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    /// Maximum number of tokens per text, special tokens included.
    pub input: usize,
    /// Maximum number of terms per text, by weight; `None`: all.
    pub terms: Option<usize>,
    /// Batching; does not change the result.
    pub batching: Batching,
}

/// A text's terms, rising, each with its weight.
pub type Terms = Vec<(u32, f32)>;

/// Encodes the texts of a range and gives each, in order, to `take`.
///
/// # Errors
/// Cancellation; errors of the tokenizer, the model and `take`.
pub fn encode(
    model: &mut dyn MaskedLm,
    tokenizer: &Tokenizer,
    texts: (&TextStore, Range<usize>),
    encoding: &Encoding,
    progress: &dyn Progress,
    take: &mut Take<'_, Terms>,
) -> Result<Encoded, Failure> {
    let Encoding { input, terms: most, batching } = *encoding;
    let reading = Reading { input, batching, ..Reading::default() };
    let mut weigh = |packed: &_| -> Result<Vec<Terms>, Failure> {
        let peaks = model.peaks(packed)?;
        Ok(peaks.par_chunks_exact(model.vocabulary()).map(|peaks| terms(peaks, most)).collect())
    };
    texts::encode(tokenizer, texts, &reading, progress, &mut weigh, take)
}

/// The terms that a text's largest logits give weight, the `most` heaviest; of equals those of smaller number.
fn terms(peaks: &[f32], most: Option<usize>) -> Terms {
    let above = peaks.iter().zip(0u32..).filter(|(x, _)| **x > 0.0);
    // In double precision and rounded once, so that no library's logarithm shows.
    let weighted = above.map(|(x, term)| (term, f64::from(*x).ln_1p() as f32));
    let mut all: Terms = weighted.filter(|(_, w)| *w > 0.0).collect();
    if let Some(most) = most.filter(|most| *most < all.len()) {
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(most);
        all.sort_unstable_by_key(|(term, _)| *term);
    }
    all
}

#[cfg(test)]
mod tests;
