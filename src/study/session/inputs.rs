//! The inputs of a job that cannot be used: files that are not there, models that cannot be found or computed.

use std::collections::BTreeSet;
use std::path::Path;

use super::load::Loaded;
use super::runner::LocalRunner;
use xpipe_base::task::Failure;
use xpipe_base::value::{ActionId, Input, Value, inputs_of};
use xpipe_engine::{Found, Job, Reach, Runner as _};
use xpipe_lang::types::{ModelUse, Op};

/// An input that is not on this machine, or a model that this build cannot compute.
pub(super) struct MissingInput {
    /// What is wrong with it.
    pub(super) failure: Failure,
    /// Whether it is a file of this machine, which nothing can fetch.
    pub(super) is_file: bool,
    /// Whether it is a download.
    pub(super) is_remote: bool,
    /// The cell that reads it first, and where that is written.
    reader: String,
}

impl MissingInput {
    /// What is wrong, and for which cell.
    pub(super) fn message(&self) -> String {
        format!("{} (for {})", self.failure.message, self.reader)
    }
}

/// Every input of needed actions that cannot be used, each once.
pub(super) fn missing(loaded: &Loaded, job: &Job, runner: &LocalRunner, reach: Reach) -> Vec<MissingInput> {
    let registry = crate::ops::registry();
    let mut seen = BTreeSet::new();
    let mut missing = Vec::new();
    for id in needed(job) {
        let action = job.action(id);
        let op = registry.get(action.op);
        let program = op.and_then(|op| action.args.get(op.program?));
        let generates = op.is_some_and(generates);
        inputs_of(&action.args, &mut |input| {
            if !seen.insert(input.clone()) {
                return;
            }
            let Err(failure) =
                runner.find_input(input, reach).and_then(|found| usable(generates, input, &found))
            else {
                return;
            };
            let failure = match program_advice(program, input) {
                Some(help) => failure.help(help),
                None => failure,
            };
            missing.push(MissingInput {
                failure,
                is_file: matches!(**input, Input::File(_)),
                is_remote: matches!(**input, Input::Remote { .. }),
                reader: loaded.reader(id),
            });
        });
    }
    missing
}

/// The actions of a job that are needed.
pub(super) fn needed(job: &Job) -> impl Iterator<Item = ActionId> {
    (0u32..).map(ActionId).zip(job.needed()).filter(|(_, needed)| *needed).map(|(id, _)| id)
}

/// Whether an operation lets its model generate text.
pub(super) fn generates(op: &Op) -> bool {
    op.model.is_some_and(|(_, how)| how == ModelUse::Generate)
}

/// What to do about an input that is the program of an action.
fn program_advice(program: Option<&Value>, input: &Input) -> Option<String> {
    let Input::File(path) = input else { return None };
    let is_program = matches!(program, Some(Value::Input(i)) if **i == *input);
    if is_program { crate::ops::exec::advice(path) } else { None }
}

/// Whether this build can compute a model that was found, as far as its folder tells.
fn usable(generates: bool, input: &Input, found: &Found) -> Result<(), Failure> {
    match input {
        Input::Model { .. } if generates => usable_language_model(&found.path),
        Input::Model { .. } => xpipe_nn::arch::read(&found.path).map(|_| ()),
        Input::File(_) | Input::Remote { .. } => Ok(()),
    }
}

#[cfg(feature = "llm")]
fn usable_language_model(folder: &Path) -> Result<(), Failure> {
    crate::llm::local::usable(folder)
}

/// A build that runs no language models says so before this.
#[cfg(not(feature = "llm"))]
fn usable_language_model(_: &Path) -> Result<(), Failure> {
    Ok(())
}
