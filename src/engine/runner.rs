//! The one trait through which the engine reaches operations and inputs.

use std::path::PathBuf;

use super::remote::RemoteCache;
use xpipe_base::task::{Estimators, Failure, ReadyFn, RunFn};
use xpipe_base::value::{Digest, Input, Located};

/// An input on this machine.
#[derive(Clone, Debug)]
pub struct Found {
    /// The file or folder.
    pub path: PathBuf,
    /// Its name in messages.
    pub label: String,
    /// Its content digest, when the runner knows it; the engine reads the content otherwise.
    pub digest: Option<Digest>,
    /// Which files of a folder are read, when the runner knows it: all others are no part of its content.
    pub parts: Option<Parts>,
}

/// The files of a folder that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Files relative to it, with `/`.
    pub files: Vec<String>,
    /// How they are read, when that has changed since folders of this kind were first read: another content then.
    pub reading: Option<&'static str>,
}

/// Whether finding an input may download it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Downloads are allowed: a run.
    Fetch,
    /// Only what is on this machine: a plan.
    Local,
}

/// How the engine reaches operations and inputs.
pub trait Runner: Sync {
    /// The implementation of an operation; `None` when this build has none.
    fn implementation(&self, op: &str) -> Option<RunFn>;
    /// Finds an input on this machine.
    ///
    /// # Errors
    /// When it is not there, or cannot be downloaded.
    fn find_input(&self, input: &Input, reach: Reach) -> Result<Found, Failure>;
    /// How an operation estimates its needs; `None` when it does not.
    fn estimators(&self, op: &str) -> Option<Estimators> {
        let _ = op;
        None
    }
    /// Whether this build computes on GPUs.
    fn computes_on_gpus(&self) -> bool {
        false
    }
    /// The program inside this binary that has an identity; `None` when there is none.
    fn built_in(&self, identity: &Digest) -> Option<Located> {
        let _ = identity;
        None
    }
    /// How an operation checks that it can start on this machine; `None` when it always can.
    fn ready(&self, op: &str) -> Option<ReadyFn> {
        let _ = op;
        None
    }
    /// The cache on another machine that is asked for results which the store lacks; `None` when none is used.
    fn remote(&self) -> Option<&dyn RemoteCache> {
        None
    }
}
