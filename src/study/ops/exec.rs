//! `exec`: a stage that an external program carries out.
//!
//! **How a program is called.** `PROGRAM ARGS… --out DIR NAME=VALUE…` in an empty working folder, with one
//! `NAME=VALUE` for each field of `reads`, in order of the names: the path of a file for a collection or result, the
//! value itself for a number or text; fields of records are called `NAME.FIELD`. Stores are handed over in the
//! field's own formats (see [`inputs`]). The same as JSON is in the file that the variable `XPIPE_SPEC` names, and
//! `DIR` is in `XPIPE_OUT`. Of the environment a program sees `PATH`, `HOME`, `TMPDIR`, `LANG`, and what `env`
//! declares. An argument that names a file of `files` as the study writes it is handed over as that file's path.
//!
//! **Its folders** are those of one attempt: no other attempt, of this run or of another, ever uses them. When the
//! program ends, what it started is ended ([`xpipe_engine::process`]) before its output is read.
//!
//! **What it gives back.** Files in `DIR`, by the type in `gives` (see [`outputs`]). They are read by the same
//! readers as every input, so a bad line is an error with program, file and line.
//!
//! **What it says** goes to a log of the run, within bounds (see [`output`]).
//!
//! **Its key** holds the digest of the program's file, of every file in `files`, of everything in `reads`, and
//! `args`, `gives`, `env` as they are. A program inside this binary (`self:NAME`) has no file: [`builtin`] says
//! what stands for it. A program that `PATH` leads to is in the key by its name and by the version that the study
//! declares.
//!
//! **When it fails.** A program that ends with another code than 0, or by a signal, may go well another time: it is
//! tried again as often as `with { retries }` says. What it wrote against the contract is an error at once.

pub mod builtin;
mod contract;
pub mod inputs;
mod output;
pub mod outputs;
mod process;

pub use contract::advice;

use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "exec",
        VERSION,
        "Any",
        "Runs an external program that makes a collection, a run or scores.",
    )
    .example("exec { program = \"tool.py\", reads = { run }, gives = \"Run\" }")
    .needs(
        "program",
        "Program",
        "The program's file; `self:NAME` for one that is part of xpipe; or, with `version`, the name of one that PATH \
         leads to.",
    )
    .takes(
        "args",
        "List<String>",
        Value::list(Vec::new()),
        "Arguments, before `--out DIR` and `NAME=VALUE`. One that names a file of `files` becomes that file's path.",
    )
    .takes("reads", "Record", Value::Record(Record::default()), "What the program reads, by name.")
    .needs(
        "gives",
        "String",
        "The type of what it writes: Corpus, Queries, Qrels, Run, Scores, TestCollection or Model.",
    )
    .takes("env", "Record", Value::Record(Record::default()), "Variables of its environment.")
    .takes("files", "List<Path>", Value::list(Vec::new()), "Other files it uses: they are in the key.")
    .added(
        "version",
        "String",
        Value::Null,
        "The version of a program that PATH leads to, as far as the result depends on it: `\"3.11\"`. It is in the \
         key, and compared with what `PROGRAM --version` says.",
    )
    .checks(contract::check)
    .ready(contract::ready);
    let op = op.runs(run::run);
    op
}

/// A simple value as text: durations in seconds, sizes in bytes.
fn plain(value: &Value) -> Option<String> {
    Some(match value {
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(x) | Value::Seconds(x) | Value::Percent(x) => x.to_string(),
        Value::Bytes(n) => n.to_string(),
        Value::Str(s) => s.to_string(),
        _ => return None,
    })
}

mod run {
    use std::ffi::OsString;
    use std::path::Path;

    use super::builtin::{self, Builtin};
    use super::contract::{self, Installed};
    use super::{inputs, outputs, process};
    use crate::ops::importing;
    use xpipe_base::place;
    use xpipe_base::task::{Caveat, CaveatKind, Failure, Job, Outcome, located};
    use xpipe_base::value::Value;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        run_among(job, builtin::all())
    }

    pub(super) fn run_among(job: &Job<'_>, builtins: &[Builtin]) -> Result<Outcome, Failure> {
        let work = &job.spec.temp;
        let (raw, given, here) = (work.join("out"), work.join("in"), work.join("work"));
        for folder in [&raw, &given, &here] {
            std::fs::create_dir_all(folder).map_err(|e| place::io(folder, e))?;
        }
        let reads = inputs::hand_over(job, &given)?;
        let (label, installed) = match job.arg("program") {
            Value::Located(program) => (program.label.clone(), None),
            _ => {
                let name = job.text("program")?;
                let installed = match (builtin::name(name), job.arg("version").as_str()) {
                    (None, Some(version)) => Some(contract::on_path(name, version)?),
                    (None, None) => {
                        let expected =
                            "expected the path of a program, `self:NAME`, or a name with `version`";
                        return Err(Failure::wrong(format!(
                            "program: found {}, {expected}",
                            place::quote(name)
                        )));
                    }
                    (Some(_), _) => None,
                };
                (name.to_owned(), installed)
            }
        };
        if let Some(name) = builtin::name(&label) {
            let builtin = builtin::find(name, builtins)?;
            let args = importing::words(job, "args")?;
            (builtin.run)(job, &builtin::Call { args: &args, reads: &reads, out: &raw })?;
            return read_output(job, &label, &raw);
        }
        let program = match &installed {
            Some(installed) => &installed.path,
            None => job.path("program")?,
        };
        let call = process::Call {
            program,
            args: &arguments(job)?,
            reads: &reads,
            spec: &given.join("spec.json"),
            out: &raw,
            folder: &here,
        };
        process::run(job, &call)?;
        let mut outcome = read_output(job, &label, &raw)?;
        if let Some(installed) = &installed {
            tell(job, installed, &mut outcome);
        }
        Ok(outcome)
    }

    /// What was really run stays with the result.
    fn tell(job: &Job<'_>, installed: &Installed, outcome: &mut Outcome) {
        let Installed { path, says } = installed;
        let facts = serde_json::json!({ "path": path.to_string_lossy(), "says": says });
        outcome.facts.insert("program".into(), facts);
        if says.is_none() {
            let cause = "the program does not say which version it is; the declared one was not compared";
            job.progress.caveat(&Caveat::sentence(CaveatKind::Doubt, cause));
        }
    }

    /// The arguments; one that names a file of `files` as the study writes it becomes that file's path.
    fn arguments(job: &Job<'_>) -> Result<Vec<OsString>, Failure> {
        let files: Vec<&Path> = match job.arg("files") {
            Value::List(files) => files.iter().filter_map(located).map(|l| l.path.as_path()).collect(),
            _ => Vec::new(),
        };
        let path = |word: &str| -> OsString {
            let named = word.trim_start_matches("./");
            let mut ends = files.iter().filter(|f| !named.is_empty() && f.ends_with(named));
            match (ends.next(), ends.next()) {
                (Some(file), None) => file.as_os_str().to_owned(),
                _ => word.into(),
            }
        };
        Ok(importing::words(job, "args")?.iter().map(|word| path(word)).collect())
    }

    fn read_output(job: &Job<'_>, program: &str, raw: &Path) -> Result<Outcome, Failure> {
        outputs::import(job, raw).map_err(|mut failure| {
            if failure.kind == xpipe_base::task::FailureKind::Wrong {
                let files = format!("{}/", raw.display());
                let message = failure.message.replace(&files, "");
                failure.message =
                    format!("the program {} wrote a bad output: {message}", place::quote(program));
            }
            failure
        })
    }
}

#[cfg(test)]
mod tests;
