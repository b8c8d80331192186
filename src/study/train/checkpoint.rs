//! Checkpoints: everything that a training needs to go on as if it had never stopped.
//!
//! One file, written beside its final name and moved there, with a digest at its end: a torn or foreign file is not
//! a checkpoint, and the training starts over. The data order and the dropout masks are functions of the step, so no
//! generator state is saved.
//!
//! Layout: magic, length of the JSON head, the head, the f32 arrays in little-endian order, blake3 of all before.

use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use xpipe_base::task::Failure;
use xpipe_base::value::Digest;
use xpipe_base::{modes, place};
use xpipe_nn::optimiser::Moments;

/// Names the format and its version.
const MAGIC: &[u8; 16] = b"xpipe training 1";

/// The part of a checkpoint that is not arrays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckpointHeader<T> {
    /// The key of the action: a checkpoint of another recipe is refused.
    pub key: String,
    /// What the trainer keeps: steps done, counts, curves, the best so far.
    pub state: T,
}

/// A checkpoint read back.
#[derive(Debug)]
pub struct SavedCheckpoint<T> {
    /// What the trainer kept.
    pub state: T,
    /// Weights after the last step.
    pub weights: Vec<f32>,
    /// The optimiser's moments.
    pub moments: Moments,
    /// The best weights so far, when a selection rule has seen some.
    pub best: Option<Vec<f32>>,
}

#[derive(Serialize, Deserialize)]
struct Full<T> {
    head: CheckpointHeader<T>,
    len: usize,
    optimiser_steps: u64,
    best: bool,
}

/// Writes a checkpoint atomically.
///
/// # Errors
/// When the file cannot be written; the previous checkpoint is then still there.
pub fn save<T: Serialize>(
    path: &Path,
    key: &str,
    state: T,
    weights: &[f32],
    moments: &Moments,
    best: Option<&[f32]>,
) -> Result<(), Failure> {
    let head = CheckpointHeader { key: key.to_owned(), state };
    let full = Full { head, len: weights.len(), optimiser_steps: moments.steps, best: best.is_some() };
    let json = serde_json::to_vec(&full).map_err(|e| Failure::bug(format!("checkpoint head: {e}")))?;
    // On a network file system another host may carry out the same action.
    let host = Digest::of(rustix::system::uname().nodename().to_bytes()).hex();
    let temporary = path.with_extension(format!("{}.partial", &host[..8]));
    let arrays = [Some(weights), Some(&moments.first), Some(&moments.second), best];
    // That host removes the folder when it has finished.
    let folder = path.parent().map_or(Ok(()), modes::make_folder);
    folder
        .and_then(|()| write(&temporary, &json, arrays.into_iter().flatten()))
        .and_then(|()| modes::inherit_file(&temporary))
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|e| {
            // Half a file helps nobody, least of all on a full disk.
            let _ = std::fs::remove_file(&temporary);
            place::io(path, e)
        })
}

fn write<'a>(path: &Path, json: &[u8], arrays: impl Iterator<Item = &'a [f32]>) -> std::io::Result<()> {
    let file = std::fs::File::create(path)?;
    let mut out = Hashed { inner: BufWriter::with_capacity(1 << 20, file), hasher: blake3::Hasher::new() };
    out.put(MAGIC)?;
    out.put(&(json.len() as u64).to_le_bytes())?;
    out.put(json)?;
    for array in arrays {
        let mut bytes = Vec::with_capacity(1 << 16);
        for part in array.chunks(1 << 14) {
            bytes.clear();
            part.iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
            out.put(&bytes)?;
        }
    }
    let digest = out.hasher.finalize();
    out.inner.write_all(digest.as_bytes())?;
    let file = out.inner.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()
}

/// Reads the checkpoint of an action whose model has `len` weights; `None` when there is none that can be used.
pub fn load<T: for<'de> Deserialize<'de>>(path: &Path, key: &str, len: usize) -> Option<SavedCheckpoint<T>> {
    let file = std::fs::File::open(path).ok()?;
    let mut input = Hashed { inner: BufReader::with_capacity(1 << 20, file), hasher: blake3::Hasher::new() };
    if input.take(MAGIC.len())? != MAGIC {
        return None;
    }
    let size = u64::from_le_bytes(input.take(8)?.try_into().ok()?);
    let size = usize::try_from(size).ok().filter(|n| *n < 1 << 30)?;
    let full: Full<T> = serde_json::from_slice(&input.take(size)?).ok()?;
    if full.head.key != key || full.len != len {
        return None;
    }
    let mut array = || -> Option<Vec<f32>> {
        let bytes = input.take(4 * len)?;
        Some(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    };
    let weights = array()?;
    let moments = Moments { first: array()?, second: array()?, steps: full.optimiser_steps };
    let best = if full.best { Some(array()?) } else { None };
    let digest = input.hasher.finalize();
    let mut end = Vec::new();
    input.inner.read_to_end(&mut end).ok()?;
    (end == digest.as_bytes()).then_some(SavedCheckpoint { state: full.head.state, weights, moments, best })
}

/// A reader or writer that hashes what passes.
struct Hashed<I> {
    inner: I,
    hasher: blake3::Hasher,
}

impl<I: Write> Hashed<I> {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hasher.update(bytes);
        self.inner.write_all(bytes)
    }
}

impl<I: Read> Hashed<I> {
    fn take(&mut self, n: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; n];
        self.inner.read_exact(&mut bytes).ok()?;
        self.hasher.update(&bytes);
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, best: Option<&[f32]>) -> Moments {
        let moments = Moments { first: vec![0.1, 0.2, 0.3], second: vec![1.0, 2.0, 3.0], steps: 7 };
        save(path, "key", 42u64, &[1.0, -0.0, f32::MIN_POSITIVE], &moments, best).unwrap();
        moments
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        for best in [None, Some(&[4.0f32, 5.0, 6.0][..])] {
            let moments = write(&path, best);
            let saved: SavedCheckpoint<u64> = load(&path, "key", 3).unwrap();
            assert_eq!((saved.state, &saved.moments), (42, &moments));
            assert_eq!(saved.weights[1].to_bits(), (-0.0f32).to_bits());
            assert_eq!(saved.best.as_deref(), best);
        }
    }

    #[test]
    fn foreign_torn_and_damaged_files_are_not_checkpoints() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        assert!(load::<u64>(&path, "key", 3).is_none());
        write(&path, None);
        assert!(load::<u64>(&path, "other", 3).is_none());
        assert!(load::<u64>(&path, "key", 4).is_none());
        let bytes = std::fs::read(&path).unwrap();
        for cut in [0, 5, 20, bytes.len() - 33, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert!(load::<u64>(&path, "key", 3).is_none(), "cut at {cut}");
        }
        for at in [3, 30, bytes.len() - 40, bytes.len() - 2] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            assert!(load::<u64>(&path, "key", 3).is_none(), "damaged at {at}");
        }
    }
}
