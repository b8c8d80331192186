//! What a session has to say while it works, beside the events of a run: downloads of models, new pins of the lock file.
//! It is told to a [`Listener`], since nothing here prints.

use std::fmt;
use std::sync::Arc;

use xpipe_base::value::human;

/// Takes notices, from any thread.
pub type Listener = Arc<dyn Fn(&Notice) + Send + Sync>;

/// A listener that ignores everything.
pub fn ignore() -> Listener {
    Arc::new(|_| ())
}

/// Something that a person may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A model is fetched from the hub.
    FetchingModel {
        /// The model's name.
        model: String,
        /// The revision of its repository.
        revision: String,
        /// The address of the hub.
        hub: String,
    },
    /// How far the download of a model's file is.
    Progress {
        /// The file.
        file: String,
        /// Bytes received.
        done: u64,
        /// Bytes in all; 0 when the server does not say.
        total: u64,
    },
    /// A remark about the file that is fetched.
    OfFile(String),
    /// A remark about a remote cache.
    OfRemote(String),
    /// A download without a declared digest was pinned in the lock file.
    Pinned {
        /// Its address.
        url: String,
        /// Its digest.
        digest: String,
        /// The name of the lock file.
        lock: String,
    },
    /// It is unknown whether a model's repository has more files than are in the hub's cache.
    FilesUnknown {
        /// The model's name.
        model: String,
        /// The files.
        files: String,
        /// Why the hub did not answer.
        why: String,
    },
    /// Somebody was not told of the run.
    NotNotified {
        /// Who.
        to: &'static str,
        /// Why not.
        why: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FetchingModel { model, revision, hub } => {
                write!(f, "fetching {model} at `{revision}` from {hub}")
            }
            Self::Progress { file, done, total } => {
                write!(f, "  {file}: {}", human::size(*done))?;
                if *total > 0 { write!(f, " of {}", human::size(*total)) } else { Ok(()) }
            }
            Self::OfFile(text) => write!(f, "  {text}"),
            Self::OfRemote(text) => write!(f, "note: {text}"),
            Self::Pinned { url, digest, lock } => {
                write!(f, "pinned {url} at {digest} in {lock}: the study declares no digest")
            }
            Self::FilesUnknown { model, files, why } => {
                write!(f, "note: {model}: cannot ask the hub whether it has {files}: {why}")
            }
            Self::NotNotified { to, why } => write!(f, "note: {to} was not told: {why}"),
        }
    }
}
