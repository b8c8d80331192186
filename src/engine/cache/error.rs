//! Errors of the store itself. A damaged result is a miss ([`super::Miss`]), not an error.

use std::io;
use std::path::{Path, PathBuf};

use xpipe_base::task::Failure;

/// A store that cannot be used, or an operation on it that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The root cannot be created or written.
    #[error("the cache folder {} cannot be written: {source}", path.display())]
    NotWritable {
        /// The cache root.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The root has another format version.
    #[error("the cache folder {} has format {found}, and this program writes format {expected}", path.display())]
    OtherVersion {
        /// The cache root.
        path: PathBuf,
        /// The version found.
        found: String,
        /// The version of this program.
        expected: &'static str,
    },
    /// No disk space.
    #[error("the disk is full: {} cannot be written", path.display())]
    Full {
        /// The file that was being written.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A file reached the size limit.
    #[error("{} would exceed the file-size limit", path.display())]
    TooLarge {
        /// The file that was being written.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Any other I/O error.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// The operation: `reading`, `writing`, …
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// An input does not exist.
    #[error("{} does not exist", path.display())]
    NoInput {
        /// The file or folder.
        path: PathBuf,
    },
    /// Something in a folder that is neither a file nor a folder, or has a name that is not UTF-8.
    #[error("{} is {what}; only files and folders with UTF-8 names can be kept", path.display())]
    Unsupported {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A file changed while it was being read.
    #[error("{} changed while it was being read", path.display())]
    Changing {
        /// The file.
        path: PathBuf,
    },
    /// An input changed between being digested and the end of its use.
    #[error("{} was changed {when}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// When it changed, as the end of a sentence.
        when: &'static str,
    },
    /// The files of a result from another cache are not those that its manifest names.
    #[error("`{name}` is not what the manifest of the result records")]
    NotAsRecorded {
        /// The first such file.
        name: String,
    },
    /// A result that is asked for is damaged.
    #[error("the result of {address} is damaged: {why}")]
    DamagedResult {
        /// Its address.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// A folder that should be empty is not.
    #[error("{} exists and is not empty", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// A bundle that cannot be used.
    #[error("{} is no bundle that can be used: {why}; nothing was changed", path.display())]
    BadBundle {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A published number is not finite.
    #[error("the published value `{name}` is not a finite number")]
    NotFinite {
        /// The name of the number.
        name: String,
    },
}

impl Error {
    /// Classifies an I/O error.
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, source },
            io::ErrorKind::FileTooLarge => Self::TooLarge { path, source },
            _ => Self::Io { doing, path, source },
        }
    }

    /// An error of writing a file.
    pub fn writing(path: &Path, source: io::Error) -> Self {
        Self::io("writing", path, source)
    }

    /// What the user can do.
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotWritable { .. } => "choose another folder with `--cache DIR` or XPIPE_CACHE",
            Self::OtherVersion { .. } => {
                "choose another folder with `--cache DIR`, or use the version of xpipe that created it"
            }
            Self::TooLarge { .. } => {
                "raise the limit (`ulimit -f`), or choose a cache on a file system that allows larger files with `--cache DIR`"
            }
            Self::Full { .. } => "free space and run again; finished results are kept",
            Self::Io { .. } => {
                "see the disk, the permissions and the number of open files; `xpipe cache verify` looks at the rest"
            }
            Self::NoInput { .. } => {
                "check the path; relative paths are relative to the file that contains them"
            }
            Self::Changing { .. } => "run again when no program writes to it",
            Self::Changed { .. } => {
                "what was read is unknown, so nothing was stored; run again when no program writes to it"
            }
            Self::DamagedResult { .. } => "run the study again, which makes it again",
            Self::Occupied { .. } => "give another folder",
            Self::BadBundle { .. } => "get the file again, from whoever made it with `xpipe bundle`",
            Self::Unsupported { .. } | Self::NotFinite { .. } | Self::NotAsRecorded { .. } => return None,
        })
    }

    /// The exit code: 4 for something missing on this machine (space, permission, a file), 5 for a damaged or unreadable
    /// store.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotWritable { .. }
            | Self::TooLarge { .. }
            | Self::Full { .. }
            | Self::NoInput { .. }
            | Self::Changing { .. }
            | Self::BadBundle { .. }
            | Self::Changed { .. } => 4,
            Self::Occupied { .. } => 2,
            Self::OtherVersion { .. }
            | Self::DamagedResult { .. }
            | Self::Io { .. }
            | Self::Unsupported { .. }
            | Self::NotAsRecorded { .. }
            | Self::NotFinite { .. } => 5,
        }
    }
}

impl From<&Error> for Failure {
    /// The failure of an action that met this error.
    fn from(e: &Error) -> Self {
        let failure = match e {
            Error::NotWritable { .. }
            | Error::OtherVersion { .. }
            | Error::Full { .. }
            | Error::TooLarge { .. }
            | Error::Io { .. }
            | Error::NoInput { .. }
            | Error::Changing { .. }
            | Error::DamagedResult { .. }
            | Error::Occupied { .. }
            | Error::BadBundle { .. }
            | Error::Changed { .. } => Self::missing(e.to_string()),
            Error::Unsupported { .. } | Error::NotFinite { .. } | Error::NotAsRecorded { .. } => {
                Self::wrong(e.to_string())
            }
        };
        match e.help() {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::from(&e)
    }
}

/// Adds the path to I/O errors.
pub(crate) trait At<T> {
    /// Adds the operation and the path.
    fn at(self, doing: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|e| Error::io(doing, path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_errors() {
        let full = Error::io("writing", Path::new("/x"), io::ErrorKind::StorageFull.into());
        assert!(matches!(full, Error::Full { .. }));
        assert_eq!(
            (full.exit_code(), full.to_string()),
            (4, "the disk is full: /x cannot be written".into())
        );
        let other = Error::io("reading", Path::new("/x"), io::ErrorKind::InvalidData.into());
        assert_eq!(other.exit_code(), 5);
    }
}
