//! What can go wrong with the store itself. A damaged result is no error: it is a miss ([`super::Miss`]).

use std::io;
use std::path::{Path, PathBuf};

/// A store that cannot be used, or a step of it that could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The root cannot be created or written.
    #[error("the cache folder {} cannot be written: {source}", path.display())]
    NotWritable {
        /// The root.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The root was made by another version of the store.
    #[error("the cache folder {} has format {found}, and this program writes format {expected}", path.display())]
    OtherVersion {
        /// The root.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// No space.
    #[error("the disk is full: {} cannot be written", path.display())]
    Full {
        /// What was being written.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file may not become so large.
    #[error("{} would be larger than files may be", path.display())]
    TooLarge {
        /// What was being written.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Reading or writing failed in another way.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done: `reading`, `writing`, …
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file or folder that a recipe reads is not there.
    #[error("{} does not exist", path.display())]
    NoInput {
        /// The file or folder.
        path: PathBuf,
    },
    /// Something in a result folder or an input folder that is neither a file nor a folder, or has a name that is no
    /// UTF-8.
    #[error("{} is {what}; only files and folders with UTF-8 names can be kept", path.display())]
    Odd {
        /// It.
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
        /// When, as the end of a sentence.
        when: &'static str,
    },
    /// A published number is not finite.
    #[error("the published value `{name}` is not a finite number")]
    NotFinite {
        /// Its name.
        name: String,
    },
}

impl Error {
    /// An input or output error, told apart by its kind.
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, source },
            io::ErrorKind::FileTooLarge => Self::TooLarge { path, source },
            _ => Self::Io { doing, path, source },
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotWritable { .. } => "choose another folder with `--cache DIR` or XPIPE_CACHE",
            Self::OtherVersion { .. } => {
                "choose another folder with `--cache DIR`, or run the version of xpipe that made it"
            }
            Self::TooLarge { .. } => {
                "raise the limit (`ulimit -f`), or choose a cache where larger files may be with `--cache DIR`"
            }
            Self::Full { .. } => "free space and run again; nothing that was finished is lost",
            Self::Io { .. } => "`xpipe cache verify` finds what is damaged",
            Self::NoInput { .. } => {
                "check the path; relative paths are relative to the file that writes them"
            }
            Self::Changing { .. } => "run again when nothing writes to it any more",
            Self::Changed { .. } => {
                "what was read is not known, so nothing of it was stored; run again when nothing writes to it any more"
            }
            Self::Odd { .. } | Self::NotFinite { .. } => return None,
        })
    }

    /// The exit code of the command line: 4 for what is missing on this machine (space, permission, a file), 5 for
    /// a store that is damaged or unreadable.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotWritable { .. }
            | Self::TooLarge { .. }
            | Self::Full { .. }
            | Self::NoInput { .. }
            | Self::Changing { .. }
            | Self::Changed { .. } => 4,
            Self::OtherVersion { .. } | Self::Io { .. } | Self::Odd { .. } | Self::NotFinite { .. } => 5,
        }
    }
}

/// Adds the place to input and output errors.
pub(crate) trait At<T> {
    /// The same with what was being done, and to what.
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
