//! `exec`: a stage that an external program carries out.
//!
//! **How a program is called.** `PROGRAM ARGS… --out DIR NAME=VALUE…` in an empty working folder, with one
//! `NAME=VALUE` for each field of `reads`, in order of the names: the path of a file for a collection or result, the
//! value itself for a number or text; fields of records are called `NAME.FIELD`. Stores are handed over in the
//! field's own formats (see [`inputs`]). The same as JSON is in the file that the variable `XPIPE_SPEC` names, and
//! `DIR` is in `XPIPE_OUT`. Of the environment a program sees `PATH`, `HOME`, `TMPDIR`, `LANG`, and what `env`
//! declares.
//!
//! **What it gives back.** Files in `DIR`, by the type in `gives` (see [`outputs`]). They are read by the same
//! readers as every input, so a bad line is an error with program, file and line.
//!
//! **Its key** holds the digest of the program's file, of every file in `files`, of everything in `reads`, and
//! `args`, `gives`, `env` as they are. A program inside this binary (`self:NAME`) has no file: [`builtin`] says
//! what stands for it.

pub mod builtin;
#[cfg(feature = "models")]
pub mod inputs;
#[cfg(feature = "models")]
pub mod outputs;
#[cfg(feature = "models")]
mod process;

use crate::types::Op;
use crate::value::{Record, Value};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "exec",
        VERSION,
        "Any",
        "Runs an external program that makes a collection, a run or scores.",
    )
    .needs("program", "Path", "The program's file, or `self:NAME` for one that is part of xpipe.")
    .takes("args", "List<String>", Value::list(Vec::new()), "Arguments, before `--out DIR` and `NAME=VALUE`.")
    .takes("reads", "Record", Value::Record(Record::default()), "What the program reads, by name.")
    .needs(
        "gives",
        "String",
        "The type of what it writes: Corpus, Queries, Qrels, Run, Scores, TestCollection or Model.",
    )
    .takes("env", "Record", Value::Record(Record::default()), "Variables of its environment.")
    .takes("files", "List<Path>", Value::list(Vec::new()), "Other files it uses: they are in the key.");
    #[cfg(feature = "models")]
    let op = op.runs(run::run);
    op
}

#[cfg(feature = "models")]
mod run {
    use std::path::Path;

    use super::builtin::{self, Builtin};
    use super::{inputs, outputs, process};
    use crate::data::place;
    use crate::ops::importing;
    use crate::task::{Failure, Job, Outcome};
    use crate::value::Value;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        run_among(job, builtin::all())
    }

    pub(super) fn run_among(job: &Job<'_>, builtins: &[Builtin]) -> Result<Outcome, Failure> {
        let work = job.spec.scratch.join("exec");
        fresh(&work)?;
        let (raw, given, here) = (work.join("out"), work.join("in"), work.join("work"));
        for folder in [&raw, &given, &here] {
            fresh(folder)?;
        }
        let args = importing::words(job, "args")?;
        let reads = inputs::hand_over(job, &given)?;
        let name = match job.arg("program") {
            Value::Located(program) => match builtin::name(&program.label) {
                Some(name) => name.to_owned(),
                None => {
                    let call = process::Call {
                        program: &program.path,
                        args: &args,
                        reads: &reads,
                        spec: &given.join("spec.json"),
                        out: &raw,
                        folder: &here,
                    };
                    process::run(job, &call)?;
                    return finish(job, &program.label, &raw, &work);
                }
            },
            _ => {
                let text = job.text("program")?;
                let expected = "expected the path of a program or `self:NAME`";
                builtin::name(text)
                    .ok_or_else(|| {
                        Failure::wrong(format!("program: found {}, {expected}", place::quote(text)))
                    })?
                    .to_owned()
            }
        };
        let builtin = builtin::find(&name, builtins)?;
        (builtin.run)(job, &builtin::Call { args: &args, reads: &reads, out: &raw })?;
        finish(job, &format!("self:{name}"), &raw, &work)
    }

    fn finish(job: &Job<'_>, program: &str, raw: &Path, work: &Path) -> Result<Outcome, Failure> {
        let outcome = outputs::import(job, raw).map_err(|mut failure| {
            if failure.kind == crate::task::FailureKind::Wrong {
                let files = format!("{}/", raw.display());
                let message = failure.message.replace(&files, "");
                failure.message =
                    format!("the program {} wrote a bad output: {message}", place::quote(program));
            }
            failure
        })?;
        std::fs::remove_dir_all(work).map_err(|e| place::io(work, e))?;
        Ok(outcome)
    }

    /// An empty folder.
    fn fresh(folder: &Path) -> Result<(), Failure> {
        match std::fs::remove_dir_all(folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(place::io(folder, e)),
            _ => {}
        }
        std::fs::create_dir_all(folder).map_err(|e| place::io(folder, e))
    }
}

#[cfg(test)]
#[cfg(feature = "models")]
mod tests;
