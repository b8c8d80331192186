//! Texts to weighted terms by a masked language model: the loop of learned sparse encoding.
//!
//! The weight of a term in a text is max over its tokens of log(1 + relu(logit)), special tokens included. A text's
//! weights do not depend on what is in its batch.
//!
//! **Source:** Formal et al. 2021, "SPLADE v2"; sentence-transformers `SpladePooling` (max, relu).

use rayon::prelude::*;

use super::scoring::Batching;
use crate::data::store::TextStore;
use crate::nn::Packed;
use crate::nn::masked::MaskedModel;
use crate::nn::tokenizer::Tokenizer;
use crate::task::{Failure, Progress};

/// Texts that are tokenised, and sorted by length, together.
const WINDOW: usize = 2048;

/// What is read of a text, and what is kept.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    /// Tokens of a text that are read, special tokens included.
    pub input: usize,
    /// Terms kept of a text, the heaviest; all without.
    pub terms: Option<usize>,
    /// How texts are batched; changes no result.
    pub batching: Batching,
}

/// What an encoding came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Tokens read.
    pub tokens: u64,
    /// Texts longer than the input limit.
    pub cut: u64,
}

/// A text's terms, rising, each with its weight.
pub type Terms = Vec<(u32, f32)>;

/// Takes the vector of a text: its place, and the words with their weights.
pub type Take<'a> = dyn FnMut(usize, &[(u32, f32)]) -> Result<(), Failure> + 'a;

/// Encodes all texts and gives each, in order, to `take`.
///
/// # Errors
/// A stop that was asked for; what the tokenizer, the model and `take` report.
pub fn encode(
    model: &mut dyn MaskedModel,
    tokenizer: &Tokenizer,
    texts: &TextStore,
    encoding: &Encoding,
    progress: &dyn Progress,
    take: &mut Take<'_>,
) -> Result<Encoded, Failure> {
    let count = texts.len();
    let start = std::time::Instant::now();
    let read = |from: usize| -> Result<Vec<Vec<u32>>, Failure> {
        // One token more than fits says that there was more.
        let ids = |i: usize| tokenizer.ids(texts.text(i), encoding.input + 1);
        (from..(from + WINDOW).min(count)).into_par_iter().map(ids).collect()
    };
    let (mut done, mut encoded, mut next) = (0, Encoded::default(), read(0)?);
    while done < count {
        let window = next;
        let following = done + window.len();
        // The next window is tokenised while this one is encoded.
        let (ahead, part) = rayon::join(
            || read(following),
            || encode_window(model, tokenizer, &window, encoding, (done, count), progress),
        );
        next = ahead?;
        let (part, of_window) = part?;
        for (i, terms) in part.iter().enumerate() {
            take(done + i, terms)?;
        }
        encoded.tokens += of_window.tokens;
        encoded.cut += of_window.cut;
        done = following;
        let rate = done as f64 / start.elapsed().as_secs_f64().max(1e-9);
        progress.progress(done as u64, count as u64, "texts", &format!("{rate:.0} texts/s"));
    }
    Ok(encoded)
}

fn encode_window(
    model: &mut dyn MaskedModel,
    tokenizer: &Tokenizer,
    window: &[Vec<u32>],
    encoding: &Encoding,
    (done, count): (usize, usize),
    progress: &dyn Progress,
) -> Result<(Vec<Terms>, Encoded), Failure> {
    let mut order: Vec<usize> = (0..window.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(window[*i].len()));
    let mut all = vec![Terms::new(); window.len()];
    let (mut encoded, mut ready) = (Encoded::default(), 0);
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        if progress.cancelled() {
            return Err(Failure::interrupted());
        }
        let (mut packed, mut n) = (Packed::new(), 0);
        for &i in rest.iter().take(encoding.batching.pairs.max(1)) {
            if n > 0 && packed.tokens() + window[i].len().min(encoding.input) > encoding.batching.tokens {
                break;
            }
            tokenizer.push_alone(&window[i], encoding.input, &mut packed);
            encoded.cut += u64::from(packed.pair(n).len() < window[i].len() + tokenizer.specials_alone());
            n += 1;
        }
        let (batch, tail) = rest.split_at(n);
        encoded.tokens += packed.tokens() as u64;
        let peaks = model.peaks(&packed)?;
        let each = peaks.par_chunks_exact(model.vocabulary()).map(|peaks| terms(peaks, encoding.terms));
        for (i, terms) in batch.iter().zip(each.collect::<Vec<_>>()) {
            all[*i] = terms;
        }
        rest = tail;
        ready += n;
        progress.progress((done + ready) as u64, count as u64, "texts", "");
    }
    Ok((all, encoded))
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
