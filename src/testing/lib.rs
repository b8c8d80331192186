//! What the tests of all crates share: where committed and shared data lie, small files, and seeded mutations of texts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

pub mod archives;
pub mod cacm;
pub mod mutate;
mod skips;

pub use skips::skip;

use std::io::Write;
use std::path::{Path, PathBuf};

use xpipe_base::task::{Caveat, Progress};

/// The root of the checkout.
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.unwrap_or_else(|| unreachable!("this crate is src/testing")).to_owned()
}

/// Whether tests write what came out into their expectations (`XPIPE_UPDATE=1`).
pub fn updates() -> bool {
    std::env::var_os("XPIPE_UPDATE").is_some_and(|v| !v.is_empty() && v != "0")
}

/// A file or folder of the shared collections, below `$XPIPE_SHARED/data` or `../shared/data` beside the checkout.
/// `None`, and a note that the test was skipped, when it is not on this machine.
#[track_caller]
pub fn shared(path: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("XPIPE_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let found = shared.join("data").join(path);
    if found.exists() {
        return Some(found);
    }
    skips::missing(&format!("no shared data {path}"));
    None
}

/// What is committed beside the fixtures, in the same layout, made by `tests/data/made/make.py`.
pub const MADE: [&str; 6] =
    ["xlm-roberta", "deberta-v2-conv", "deberta-v2-own", "electra-wide", "two-labels", "sharded"];

/// The folder of a small model with expected numbers. `XPIPE_FIXTURES` names another folder of the same layout.
pub fn fixture(name: &str) -> PathBuf {
    if MADE.contains(&name) || name == "kinds" || name.ends_with("-masked") {
        return root().join("tests/data/made").join(name);
    }
    let fixtures = std::env::var_os("XPIPE_FIXTURES");
    fixtures.map_or_else(|| root().join("tests/data/fixtures"), PathBuf::from).join(name)
}

/// The folder of a real model, below `$XPIPE_TEST_MODELS` or `~/.cache/xpipe-test-models`. `None`, and a note that the
/// test was skipped, when it is not on this machine.
#[track_caller]
pub fn model(name: &str) -> Option<PathBuf> {
    let cache = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/xpipe-test-models"));
    let models = std::env::var_os("XPIPE_TEST_MODELS").map(PathBuf::from).or_else(cache);
    let folder = models.unwrap_or_default().join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    skips::missing(&format!("no model {name}"));
    None
}

/// Bytes as gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A progress that keeps what it is told.
#[derive(Default)]
pub struct CaveatLog(std::sync::Mutex<Vec<Caveat>>);

impl CaveatLog {
    /// The caveats as they are shown.
    pub fn caveats(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(Caveat::to_string).collect()
    }
}

impl Progress for CaveatLog {
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
pub fn file(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}
