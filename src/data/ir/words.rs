//! Files of consecutive little-endian numbers.

use std::fs;
use std::io::Write;
use std::path::Path;

use xpipe_base::task::Failure;

/// Reads `count` numbers of `N` bytes.
///
/// # Errors
/// An unreadable file, or one of another length.
pub(crate) fn read<const N: usize, T>(
    path: &Path,
    count: usize,
    of: fn([u8; N]) -> T,
) -> Result<Vec<T>, Failure> {
    let bytes = fs::read(path)?;
    if bytes.len() != count * N {
        return Err(damaged(path, &format!("{} bytes, expected {}", bytes.len(), count * N)));
    }
    let (words, _) = bytes.as_chunks::<N>();
    Ok(words.iter().map(|w| of(*w)).collect())
}

/// Writes numbers.
///
/// # Errors
/// A full disk.
pub(crate) fn write<const N: usize>(
    path: &Path,
    words: impl Iterator<Item = [u8; N]>,
) -> Result<(), Failure> {
    let mut out = std::io::BufWriter::new(fs::File::create(path)?);
    for w in words {
        out.write_all(&w)?;
    }
    Ok(out.flush()?)
}

/// A file of a result that is not as it was written.
pub(crate) fn damaged(path: &Path, what: &str) -> Failure {
    Failure::wrong(format!("{}: the index is damaged: {what}", path.display()))
        .help("remove the index and build it again")
}
