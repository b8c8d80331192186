//! How the engine reaches operations, files and models of this machine.

use super::args::Common;
use super::lock::Lock;
use super::models::Models;
use crate::engine::{Found, Reach, Runner};
use crate::task::{Demands, Failure, ReadyFn, RunFn};
use crate::types::Registry;
use crate::value::Input;

/// The operations of this build over the files of this machine.
pub(super) struct Local {
    registry: Registry,
    models: Models,
}

impl Local {
    /// With a study's lock file, which pins the revisions of hub models.
    pub(super) fn new(common: &Common, lock: Lock) -> Self {
        Self {
            registry: crate::ops::registry(),
            models: Models::new(super::study::model_folders(common), lock),
        }
    }

    /// Writes pins that are new to the lock file.
    pub(super) fn save_lock(&self) -> Result<(), Failure> {
        self.models.save_lock()
    }
}

impl Runner for Local {
    fn implementation(&self, op: &str) -> Option<RunFn> {
        self.registry.get(op)?.run
    }

    fn demands(&self, op: &str) -> Option<Demands> {
        self.registry.get(op)?.demands
    }

    fn ready(&self, op: &str) -> Option<ReadyFn> {
        self.registry.get(op)?.ready
    }

    fn find_input(&self, input: &Input, reach: Reach) -> Result<Found, Failure> {
        match input {
            Input::File(path) => match path.exists() {
                true => Ok(Found { path: path.clone(), label: path.display().to_string(), digest: None }),
                false => Err(Failure::missing(format!("there is no file {}", path.display()))
                    .help("paths are relative to the file that writes them, in `--set` to the working directory")),
            },
            Input::Model { name, revision } => self.models.find(name, revision.as_deref(), reach),
            Input::Remote { url, .. } => Err(Failure::missing(format!("{url} is not on this machine")).help(
                "this version does not download collections: fetch it yourself and declare it with `local { … }`",
            )),
        }
    }
}
