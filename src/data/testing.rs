//! What tests of this area share: the real collections, when they are there, and small files.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::task::{Caveat, Progress};

/// A file of the shared collections; prints and gives `None` when they are not on this machine.
pub(crate) fn shared(test: &str, path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("XPIPE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join("data").join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {test} (no shared data)");
    None
}

/// Bytes as gzip.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A progress that keeps what it is told.
#[derive(Default)]
pub(crate) struct Told(std::sync::Mutex<Vec<Caveat>>);

impl Told {
    /// The caveats as they are shown.
    pub(crate) fn caveats(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(Caveat::to_string).collect()
    }
}

impl Progress for Told {
    fn progress(&self, _: u64, _: u64, _: &str, _: &str) {}
    fn note(&self, _: &str) {}
    fn caveat(&self, caveat: &Caveat) {
        self.0.lock().unwrap().push(caveat.clone());
    }
    fn cancelled(&self) -> bool {
        false
    }
}

/// Writes a file and gives back its path.
pub(crate) fn file(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}
