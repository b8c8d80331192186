//! The bytes of a weight file.

use std::io::Read;
use std::path::Path;

use xpipe_base::task::Failure;

/// A file's bytes in pages of their own, which the system gets back at once on drop. (glibc would raise its threshold for
/// such pages after freeing an allocated block of this size, and a training would need up to twice its memory.)
#[derive(Debug)]
pub(super) struct FileBytes {
    pages: memmap2::MmapMut,
    len: usize,
}

impl std::ops::Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.pages[..self.len]
    }
}

/// Reads a file. It is not mapped: truncating a mapped file kills the process by SIGBUS.
pub(super) fn whole(path: &Path) -> Result<FileBytes, Failure> {
    let failed = |e: std::io::Error| {
        let failure = Failure::from(e);
        Failure { message: format!("{}: {}", path.display(), failure.message), ..failure }
    };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let room = usize::try_from(size).ok();
    // Empty maps are an error.
    let room = room.and_then(|len| Some((memmap2::MmapMut::map_anon(len.max(1)).ok()?, len)));
    let (mut pages, len) = room
        .ok_or_else(|| Failure::missing(format!("{}: {size} bytes do not fit in memory", path.display())))?;
    let whole = match file.read_exact(&mut pages[..len]) {
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => false,
        read => {
            read.map_err(failed)?;
            file.metadata().map_err(failed)?.len() == size
        }
    };
    if whole {
        return Ok(FileBytes { pages, len });
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
        assert_eq!(&*whole(&path).unwrap(), b"hello");
        std::fs::write(&path, "").unwrap();
        assert!(whole(&path).unwrap().is_empty());
        assert!(whole(&dir.path().join("none")).unwrap_err().message.contains("none"));
    }
}
