//! Encoding that several jobs of one action share, by chunks of texts.
//!
//! The bytes of a chunk: tokens read and texts cut (`u64`), then each text's numbers: how many (`u32`), and these.

use std::ops::Range;

use super::chunks::Chunks;
use crate::train::texts::{Encoded, Take, WINDOW};
use xpipe_base::task::{Failure, Job, Progress};

/// The most texts of a chunk.
const LARGEST: usize = 16 * WINDOW;

/// What is made of a text, as numbers of four bytes.
pub(super) trait Numbers: Clone + Default {
    /// One entry as little-endian bytes.
    type Bytes: AsRef<[u8]>;
    /// Bytes of an entry.
    const SIZE: usize;
    /// All entries as bytes.
    fn entries(&self) -> impl ExactSizeIterator<Item = Self::Bytes>;
    /// Adds the entry of these bytes.
    fn add(&mut self, entry: &[u8]);
}

fn four(bytes: &[u8]) -> [u8; 4] {
    bytes.first_chunk().copied().unwrap_or_default()
}

impl Numbers for Vec<f32> {
    type Bytes = [u8; 4];
    const SIZE: usize = 4;

    fn entries(&self) -> impl ExactSizeIterator<Item = Self::Bytes> {
        self.iter().map(|x| x.to_le_bytes())
    }

    fn add(&mut self, entry: &[u8]) {
        self.push(f32::from_le_bytes(four(entry)));
    }
}

impl Numbers for Vec<(u32, f32)> {
    type Bytes = [u8; 8];
    const SIZE: usize = 8;

    fn entries(&self) -> impl ExactSizeIterator<Item = Self::Bytes> {
        self.iter().map(|(term, weight)| {
            let mut bytes = [0; 8];
            bytes[..4].copy_from_slice(&term.to_le_bytes());
            bytes[4..].copy_from_slice(&weight.to_le_bytes());
            bytes
        })
    }

    fn add(&mut self, entry: &[u8]) {
        self.push((u32::from_le_bytes(four(entry)), f32::from_le_bytes(four(&entry[4..]))));
    }
}

/// Encodes texts of a range, and gives each to `take` with its place.
pub(super) type Encode<'a, T> =
    dyn FnMut(Range<usize>, &dyn Progress, &mut Take<'_, T>) -> Result<Encoded, Failure> + 'a;

/// Encodes so many texts, alone or with other jobs of the same action, and gives each, in order, to `take`. Returns what
/// it came to, and the number of texts that other jobs, or an earlier attempt, have encoded.
///
/// # Errors
/// Those of `encode` and `take`; files of the other jobs cannot be read or written.
pub(super) fn encode<T: Numbers>(
    job: &Job<'_>,
    kernels: &str,
    texts: usize,
    encode: &mut Encode<'_, T>,
    take: &mut Take<'_, T>,
) -> Result<(Encoded, usize), Failure> {
    let Some(chunks) = Chunks::of(job, kernels, texts, LARGEST) else {
        return Ok((encode(0..texts, job.progress, take)?, 0));
    };
    let mine = chunks.share(job.progress, ExactSizeIterator::len, |range, progress| {
        let mut body = Vec::new();
        let mut keep = |_: usize, made: &T| {
            let entries = made.entries();
            body.extend_from_slice(&(entries.len() as u32).to_le_bytes());
            entries.for_each(|entry| body.extend_from_slice(entry.as_ref()));
            Ok(())
        };
        let Encoded { tokens, cut } = encode(range.clone(), progress, &mut keep)?;
        Ok([&tokens.to_le_bytes()[..], &cut.to_le_bytes(), &body].concat())
    })?;
    let mut all = Encoded::default();
    for range in chunks.ranges() {
        let of_chunk = unpack(&chunks.read(range)?, range, take)?;
        all.tokens += of_chunk.tokens;
        all.cut += of_chunk.cut;
    }
    Ok((all, texts - mine))
}

/// Gives the texts of a chunk to `take`.
fn unpack<T: Numbers>(
    bytes: &[u8],
    range: &Range<usize>,
    take: &mut Take<'_, T>,
) -> Result<Encoded, Failure> {
    let broken =
        || Failure::bug(format!("texts {} to {}: their chunk has another layout", range.start, range.end));
    let (tokens, rest) = bytes.split_first_chunk().ok_or_else(broken)?;
    let (cut, mut rest) = rest.split_first_chunk().ok_or_else(broken)?;
    for i in range.clone() {
        let (count, after) = rest.split_first_chunk().ok_or_else(broken)?;
        let size = u32::from_le_bytes(*count) as usize * T::SIZE;
        let (entries, after) = after.split_at_checked(size).ok_or_else(broken)?;
        let mut made = T::default();
        entries.chunks_exact(T::SIZE).for_each(|entry| made.add(entry));
        take(i, &made)?;
        rest = after;
    }
    if !rest.is_empty() {
        return Err(broken());
    }
    Ok(Encoded { tokens: u64::from_le_bytes(*tokens), cut: u64::from_le_bytes(*cut) })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::testing;
    use super::*;
    use xpipe_base::task::Silent;

    /// Texts 0 to 9: text `i` has `i % 4` numbers.
    fn numbers(i: usize) -> Vec<(u32, f32)> {
        (0..i % 4).map(|n| ((10 * i + n) as u32, [-0.0, f32::MIN_POSITIVE, f32::NAN, 3e30][n])).collect()
    }

    fn run<T: Numbers>(
        spec: &xpipe_base::task::Spec,
        of: impl Fn(usize) -> T,
        made: &Mutex<Vec<usize>>,
    ) -> Vec<(usize, T)> {
        let job = Job { spec, progress: &Silent };
        let mut all = Vec::new();
        let mut encode_range = |range: Range<usize>, _: &dyn Progress, take: &mut Take<'_, T>| {
            let tokens = range.clone().map(|i| i as u64).sum();
            for i in range {
                made.lock().unwrap().push(i);
                take(i, &of(i))?;
            }
            Ok(Encoded { tokens, cut: 1 })
        };
        let mut keep = |i: usize, made: &T| {
            all.push((i, made.clone()));
            Ok(())
        };
        let (encoded, _) = encode(&job, "avx2", 10, &mut encode_range, &mut keep).unwrap();
        assert_eq!(encoded.tokens, 45);
        all
    }

    #[test]
    fn jobs_that_share_texts_encode_each_once_and_all_have_all() {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = testing::spec("dense.encode", dir.path());
        let bits = |all: Vec<(usize, Vec<(u32, f32)>)>| {
            let bits =
                |made: Vec<(u32, f32)>| made.into_iter().map(|(t, w)| (t, w.to_bits())).collect::<Vec<_>>();
            all.into_iter().map(|(i, made)| (i, bits(made))).collect::<Vec<_>>()
        };
        let alone = bits(run(&spec, numbers, &Mutex::default()));
        assert_eq!(alone, bits((0..10).map(|i| (i, numbers(i))).collect()));
        spec.policy.jobs = Some(2);
        let made = Mutex::default();
        let (one, two) = std::thread::scope(|scope| {
            let two = scope.spawn(|| run(&spec, numbers, &made));
            (run(&spec, numbers, &made), two.join().unwrap())
        });
        assert_eq!((bits(one), bits(two)), (alone.clone(), alone));
        let mut made = made.into_inner().unwrap();
        made.sort_unstable();
        assert_eq!(made, (0..10).collect::<Vec<_>>());
        // Another action in the same folder.
        spec.key = "1".into();
        let vectors = run(&spec, |i| vec![i as f32; 3], &Mutex::default());
        assert_eq!(vectors, (0..10).map(|i| (i, vec![i as f32; 3])).collect::<Vec<_>>());
    }
}
