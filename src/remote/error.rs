//! Why something about a remote cache did not work. A run never fails because of it.

use xpipe_engine::cache;

/// Why a remote cache cannot be used, or why one result could not be sent or taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings, a key or the credentials are wrong.
    #[error("{message}")]
    Settings {
        /// What is wrong.
        message: String,
        /// What to do, if there is something.
        help: Option<String>,
    },
    /// The object store did not answer as it should.
    #[error("{doing} {path}: {why}")]
    Store {
        /// The operation: `reading`, `writing`, …
        doing: &'static str,
        /// The path in the object store.
        path: String,
        /// What it answered, without credentials.
        why: String,
    },
    /// The store no longer has the parts of an upload that was begun.
    #[error("{doing} {path}: the store no longer has the parts that were sent")]
    UploadGone {
        /// The operation.
        doing: &'static str,
        /// The path in the object store.
        path: String,
    },
    /// What the remote cache holds is not used.
    #[error("{0}")]
    Refused(String),
    /// It was stopped before it ended.
    #[error("stopped")]
    Stopped,
    /// The cache of this machine failed.
    #[error(transparent)]
    Cache(#[from] cache::Error),
}

impl Error {
    /// Wrong settings.
    pub(crate) fn settings(message: impl Into<String>) -> Self {
        Self::Settings { message: message.into(), help: None }
    }

    /// Wrong settings, with advice.
    #[must_use]
    pub(crate) fn help(self, advice: impl Into<String>) -> Self {
        match self {
            Self::Settings { message, .. } => Self::Settings { message, help: Some(advice.into()) },
            other => other,
        }
    }
}
