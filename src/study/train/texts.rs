//! The loop over texts that a model reads one by one: tokenised ahead, sorted by length, packed.
//!
//! The result for a text must not depend on its batch, so neither the batch size nor the number of threads
//! changes anything; results come in the order of the texts.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use super::scoring::Batching;
use xpipe_base::task::{Failure, Progress};
use xpipe_data::store::TextStore;
use xpipe_nn::Packed;
use xpipe_nn::tokenizer::Tokenizer;

/// Texts that are tokenised, and sorted by length, together.
pub const WINDOW: usize = 2048;

/// How texts are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading<'a> {
    /// Tokens of a text that are read, special tokens included.
    pub input: usize,
    /// Text put before each text.
    pub prefix: &'a str,
    /// Whether texts become lower case first.
    pub lower_case: bool,
    /// How texts are batched; changes no result.
    pub batching: Batching,
}

impl Reading<'_> {
    fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match (self.prefix, self.lower_case) {
            ("", false) => Cow::Borrowed(text),
            (prefix, false) => Cow::Owned(format!("{prefix}{text}")),
            (prefix, true) => Cow::Owned(format!("{prefix}{text}").to_lowercase()),
        }
    }
}

/// What an encoding came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Tokens read.
    pub tokens: u64,
    /// Texts longer than the input limit.
    pub cut: u64,
}

/// Makes one thing of each text of a batch.
pub type Compute<'a, T> = dyn FnMut(&Packed) -> Result<Vec<T>, Failure> + Send + 'a;

/// Takes what was made of a text, with its place.
pub type Take<'a, T> = dyn FnMut(usize, &T) -> Result<(), Failure> + 'a;

/// Makes something of the texts of a range and gives it, in order, to `take`.
///
/// # Errors
/// Cancellation; errors of the tokenizer, `compute` and `take`.
pub fn encode<T: Clone + Default + Send>(
    tokenizer: &Tokenizer,
    (texts, range): (&TextStore, Range<usize>),
    reading: &Reading<'_>,
    progress: &dyn Progress,
    compute: &mut Compute<'_, T>,
    take: &mut Take<'_, T>,
) -> Result<Encoded, Failure> {
    let count = range.len();
    let start = std::time::Instant::now();
    let read = |from: usize| -> Result<Vec<Vec<u32>>, Failure> {
        // One token more than the limit shows that the text was cut.
        let ids = |i: usize| tokenizer.ids(&reading.text(texts.text(range.start + i)), reading.input + 1);
        (from..(from + WINDOW).min(count)).into_par_iter().map(ids).collect()
    };
    let (mut done, mut encoded, mut next) = (0, Encoded::default(), read(0)?);
    while done < count {
        let window = next;
        let following = done + window.len();
        // The next window is tokenised while this one is encoded.
        let (ahead, part) = rayon::join(
            || read(following),
            || encode_window(tokenizer, &window, reading, (done, count), progress, compute),
        );
        next = ahead?;
        let (part, of_window) = part?;
        for (i, made) in part.iter().enumerate() {
            take(range.start + done + i, made)?;
        }
        encoded.tokens += of_window.tokens;
        encoded.cut += of_window.cut;
        done = following;
        let rate = done as f64 / start.elapsed().as_secs_f64().max(1e-9);
        progress.progress(done as u64, count as u64, "texts", &format!("{rate:.0} texts/s"));
    }
    Ok(encoded)
}

fn encode_window<T: Clone + Default>(
    tokenizer: &Tokenizer,
    window: &[Vec<u32>],
    reading: &Reading<'_>,
    (done, count): (usize, usize),
    progress: &dyn Progress,
    compute: &mut Compute<'_, T>,
) -> Result<(Vec<T>, Encoded), Failure> {
    let mut order: Vec<usize> = (0..window.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(window[*i].len()));
    let mut all = vec![T::default(); window.len()];
    let (mut encoded, mut ready) = (Encoded::default(), 0);
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        if progress.cancelled() {
            return Err(Failure::interrupted());
        }
        let (mut packed, mut n) = (Packed::new(), 0);
        for &i in rest.iter().take(reading.batching.pairs.max(1)) {
            if n > 0 && packed.tokens() + window[i].len().min(reading.input) > reading.batching.tokens {
                break;
            }
            tokenizer.push_single(&window[i], reading.input, &mut packed);
            encoded.cut += u64::from(packed.pair(n).len() < window[i].len() + tokenizer.single_specials());
            n += 1;
        }
        let (batch, tail) = rest.split_at(n);
        encoded.tokens += packed.tokens() as u64;
        for (i, made) in batch.iter().zip(compute(&packed)?) {
            all[*i] = made;
        }
        rest = tail;
        ready += n;
        progress.progress((done + ready) as u64, count as u64, "texts", "");
    }
    Ok((all, encoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_and_case() {
        let text = |prefix, lower_case| {
            Reading { prefix, lower_case, ..Reading::default() }.text("Ä b").into_owned()
        };
        assert_eq!(text("", false), "Ä b");
        assert_eq!(text("Query: ", false), "Query: Ä b");
        assert_eq!(text("Query: ", true), "query: ä b");
    }
}
