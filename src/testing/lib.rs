//! What the tests of all crates share: where committed and shared data lie, small files, and seeded mutations of texts.

pub mod archives;
pub mod cacm;
pub mod mutate;

use std::io::Write;
use std::path::{Path, PathBuf};

use xpipe_base::task::{Caveat, Progress};

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of the shared collections; prints and gives `None` when they are not on this machine.
pub fn shared(test: &str, path: &str) -> Option<PathBuf> {
    let path = shared_root().join("data").join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {test} (no shared data)");
    None
}

/// The folder of shared data and reference numbers: `XPIPE_SHARED`, or `../shared` beside the checkout.
pub fn shared_root() -> PathBuf {
    std::env::var_os("XPIPE_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from)
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

/// The folder of a real model, when this machine has it; says so when it has not.
pub fn model(name: &str, test: &str) -> Option<PathBuf> {
    let root = std::env::var_os("XPIPE_TEST_MODELS")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache/xpipe-test-models")))?;
    let folder = root.join(name);
    if folder.join("config.json").is_file() {
        return Some(folder);
    }
    println!("skipped: {test} (no model {name})");
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
pub struct Told(std::sync::Mutex<Vec<Caveat>>);

impl Told {
    /// The caveats as they are shown.
    pub fn caveats(&self) -> Vec<String> {
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
pub fn file(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}
