//! Where files of a study come from: the disk in the program, a map of strings in tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Access to files for the passes, which do no input or output themselves.
pub trait World: Sync {
    /// The text of a file.
    ///
    /// # Errors
    /// Errors of the system, for instance "No such file or directory".
    fn read(&self, path: &Path) -> std::io::Result<String>;
    /// Whether a file or folder exists.
    fn exists(&self, path: &Path) -> bool;
    /// The `config.json` of a model by hub name, when the model is on this machine.
    fn model_config(&self, name: &str) -> Option<String>;
}

/// Maximum size of a study or table of numbers, in bytes.
pub const LARGEST: u64 = 64 << 20;

/// The content of a regular file of at most `most` bytes; reading a pipe or device could block.
///
/// # Errors
/// Errors of the system, and files that are not regular or too large.
pub fn read_file(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let wrong = |what: String| Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, what));
    let about = std::fs::metadata(path)?;
    if about.is_dir() {
        return wrong("it is a folder, not a file".to_owned());
    }
    if !about.is_file() {
        return wrong("it is a pipe or a device, not a file".to_owned());
    }
    if about.len() > most {
        return wrong(format!("it has {} bytes, and {most} are the most", about.len()));
    }
    std::fs::read(path)
}

/// The text of a file, as [`read_file`] reads it.
///
/// # Errors
/// Errors of the system, and files that are not regular or too large.
pub fn read_text(path: &Path, most: u64) -> std::io::Result<String> {
    crate::syntax::source::decoded(read_file(path, most)?)
}

/// The disk of this machine.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Folders that hold models by name (`--models`).
    pub models: Vec<PathBuf>,
}

impl World for Disk {
    fn read(&self, path: &Path) -> std::io::Result<String> {
        read_text(path, LARGEST)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn model_config(&self, name: &str) -> Option<String> {
        let last = name.rsplit('/').next()?;
        self.models
            .iter()
            .flat_map(|m| [m.join(name), m.join(last)])
            .find_map(|folder| read_text(&folder.join("config.json"), LARGEST).ok())
    }
}

/// Files in memory, for tests.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles(pub BTreeMap<PathBuf, String>);

impl World for MemoryFiles {
    fn read(&self, path: &Path) -> std::io::Result<String> {
        self.0.get(path).cloned().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
    }

    fn exists(&self, path: &Path) -> bool {
        self.0.keys().any(|p| p.starts_with(path))
    }

    fn model_config(&self, _: &str) -> Option<String> {
        None
    }
}

macro_rules! std_modules {
    ($($name:literal)*) => {
        /// The standard library, embedded: module name and text.
        pub const STD: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../../pipelines/std/", $name, ".xpipe"))),)*
        ];
    };
}

std_modules! { "msmarco" "trec" "beir" "lotte" "sparse" "dense" "retrieval" "teachers" }

/// Architecture and number of positions of the known backbones: `name,architecture,positions`.
pub const BACKBONES: &str = include_str!("../../../pipelines/std/backbones.csv");
