//! What a job needs to carry out an action on another machine: no study is read there, nothing is looked for, and every
//! content that it reads is named by its digest.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cache::{Error, ExpectedInput, InputNote, Recipe, Store};
use crate::recipes::Prepared;
use xpipe_base::task::{Failure, Kernels, Policy};
use xpipe_base::value::{Digest, Record};

/// The version of xpipe that a job must have.
pub(crate) const TOOL: &str = concat!("xpipe ", env!("CARGO_PKG_VERSION"));

/// A result that an action reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadResult {
    pub(crate) key: Digest,
    /// The content that it had when the recipe was made.
    pub(crate) digest: Digest,
    /// The action that produced it.
    pub(crate) label: String,
}

/// An attempt at an action: `spec.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AttemptSpec {
    /// The program that wrote it.
    pub(crate) tool: String,
    /// The root of the cache.
    pub(crate) cache: PathBuf,
    pub(crate) study: String,
    pub(crate) address: String,
    pub(crate) key: Digest,
    pub(crate) op: String,
    pub(crate) version: u32,
    /// Arguments after defaults; nothing is pending.
    pub(crate) args: Record,
    pub(crate) policy: Policy,
    /// The number of the attempt, from 1.
    pub(crate) attempt: u32,
    /// Whether it runs although the cache has its result.
    pub(crate) forced: bool,
    pub(crate) threads: usize,
    /// Whether it computes on a GPU where the program of the job can.
    pub(crate) gpu: bool,
    /// Whether it must.
    pub(crate) gpu_required: bool,
    pub(crate) kernels: Kernels,
    /// Seconds after which it stops and keeps a checkpoint.
    pub(crate) seconds: Option<f64>,
    pub(crate) log: PathBuf,
    pub(crate) notes: Vec<InputNote>,
    pub(crate) inputs: Vec<ExpectedInput>,
    pub(crate) reads: Vec<ReadResult>,
    pub(crate) verify_always: bool,
    /// Seconds that files of other machines may take to appear.
    pub(crate) patience: f64,
}

impl AttemptSpec {
    /// The action with its key, after a check that this program computes the same one.
    ///
    /// # Errors
    /// It is another version of xpipe, whose results may differ.
    pub(crate) fn prepared(&self) -> Result<Prepared, Failure> {
        if self.tool != TOOL {
            return Err(Failure::missing(format!(
                "the job runs {TOOL}, and its run was started by {}",
                self.tool
            ))
            .help("let `program` in the cluster's settings name the same version, or leave it out"));
        }
        let recipe = Recipe::new(&self.op, self.version, self.args.clone())
            .map_err(|e| Failure::bug(format!("{}: {e}", self.op)))?;
        let key = recipe.key();
        if key != self.key {
            return Err(Failure::bug(format!(
                "the specification of {} has another key than its recipe",
                self.address
            )));
        }
        let (reads, inputs) = (Vec::new(), Vec::new());
        Ok(Prepared { recipe, key, notes: self.notes.clone(), reads, inputs })
    }

    /// The inputs, read on this machine and compared with what the run found.
    ///
    /// # Errors
    /// One has another content here, or is missing.
    pub(crate) fn find_inputs(&self, store: &Store, prepared: &mut Prepared) -> Result<(), Error> {
        for expected in &self.inputs {
            prepared.inputs.push(Arc::new(store.find_expected(expected)?));
        }
        Ok(())
    }
}
