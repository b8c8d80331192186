//! The bytes of a weight file.

use std::io::Read;
use std::path::Path;

use crate::task::Failure;

/// A file's bytes. It is read and not mapped, since a map of a file that is cut meanwhile ends the process.
pub(super) fn whole(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |e: std::io::Error| {
        let failure = Failure::from(e);
        Failure { message: format!("{}: {}", path.display(), failure.message), ..failure }
    };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let mut bytes = Vec::new();
    let room = usize::try_from(size).ok().and_then(|n| bytes.try_reserve_exact(n).ok());
    room.ok_or_else(|| Failure::missing(format!("{}: {size} bytes do not fit in memory", path.display())))?;
    let read = (&mut file).take(size).read_to_end(&mut bytes).map_err(failed)?;
    if read as u64 == size && file.metadata().map_err(failed)?.len() == size {
        return Ok(bytes);
    }
    Err(Failure::missing(format!("{} changed while it was being read", path.display()))
        .help("run again when nothing writes to it any more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_cut_while_it_is_read_is_an_error_and_ends_nothing() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let file = std::fs::File::create(&path).unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    file.set_len(16 << 20).unwrap();
                    file.set_len(10).unwrap();
                }
            });
            for _ in 0..20 {
                match whole(&path) {
                    Ok(bytes) => assert!([0, 10, 16 << 20].contains(&bytes.len())),
                    Err(e) => assert!(e.message.ends_with("changed while it was being read"), "{e}"),
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        std::fs::write(&path, "hello").unwrap();
        assert_eq!(whole(&path).unwrap(), b"hello");
        assert!(whole(&dir.path().join("none")).unwrap_err().message.contains("none"));
    }
}
