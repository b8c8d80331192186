//! `exec`: a stage that an external program carries out.
//!
//! **How a program is called.** `PROGRAM ARGS… --out DIR NAME=VALUE…` in an empty working folder, with one
//! `NAME=VALUE` for each field of `reads`, in order of the names: the path of a file for a collection or result, the
//! value itself for a number or text; fields of records are called `NAME.FIELD`. Stores are passed in the
//! field's own formats (see [`inputs`]). The same as JSON is in the file that the variable `XPIPE_SPEC` names, and
//! `DIR` is in `XPIPE_OUT`. Of the environment a program sees `PATH`, `HOME`, `TMPDIR`, `LANG`, and what `env`
//! declares. An argument that names a file of `files` as the study writes it is replaced by that file's path.
//!
//! **Its folders** are those of one attempt: no other attempt, of this run or of another, ever uses them. When the
//! program ends, what it started is ended ([`xpipe_engine::process`]) before its output is read.
//!
//! **Its output.** Files in `DIR`, by the type in `gives` (see [`outputs`]). They are read by the same
//! readers as every input, so a bad line is an error with program, file and line.
//!
//! **Its log** is kept with the run, in bounded size (see [`output`]).
//!
//! **Its key** holds the digest of the program's file, of every file in `files`, of everything in `reads`, and
//! `args`, `gives`, `env` as they are; a `secret` is its variable's name. A program inside this binary (`self:NAME`) has no file: [`builtin`] says
//! what stands for it. A program on `PATH` is in the key by its name and the version that the study declares.
//!
//! **When it fails.** A program that ends with another code than 0, or by a signal, may succeed another time: it is
//! retried up to `with { retries }` times. Output that violates the contract is an error at once.

pub mod builtin;
mod contract;
pub mod inputs;
mod output;
pub mod outputs;
mod process;
mod redact;

pub use contract::advice;

use xpipe_base::value::{Record, Value};
use xpipe_lang::types::{Op, Type};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    Op::stage(
        "exec",
        VERSION,
        "Any",
        "Runs an external program that produces a collection, a run, scores or a model.",
    )
    .example("exec { program = \"tool.py\", reads = { run }, gives = \"Run\" }")
    .gives(|args| args.get("gives").and_then(Value::as_str).and_then(Type::parse).unwrap_or(Type::Any))
    .inherits(&["reads"])
    .counts(&["documents", "pairs", "queries"])
    .starts("program")
    .parts(super::exec_part::NAME)
    .needs(
        "program",
        "Program",
        "The program's file; `self:NAME` for one that is part of xpipe; or, with `version`, the name of one on PATH.",
    )
    .takes(
        "args",
        "List<String>",
        Value::list(Vec::new()),
        "Command-line arguments, before `--out DIR` and `NAME=VALUE`. The name of a file in `files` is replaced by its path.",
    )
    .takes("reads", "Record", Value::Record(Record::default()), "Inputs of the program, by name.")
    .needs(
        "gives",
        "String",
        "The type of the output: Corpus, Queries, Qrels, Run, Scores, TestCollection or Model.",
    )
    .takes("env", "Record", Value::Record(Record::default()), "Environment variables: text, numbers, and passwords as `secret(\"VARIABLE\")`.")
    .takes("files", "List<Path>", Value::list(Vec::new()), "Other files that the program uses; their content is part of the key.")
    .added(
        "version",
        "String",
        Value::Null,
        "The version of a program on PATH, as precisely as the result depends on it: `\"3.11\"`. It is part of the key, and \
         is compared with the output of `PROGRAM --version`.",
    )
    .checks(contract::check)
    .ready(contract::ready)
    .runs(run::run)
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
    use super::{inputs, outputs, process, redact};
    use crate::ops::imports;
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
            let args = imports::words(job, "args")?;
            (builtin.run)(job, &builtin::BuiltinCall { args: &args, reads: &reads, out: &raw })?;
            return read_output(job, &label, &raw);
        }
        let program = match &installed {
            Some(installed) => &installed.path,
            None => job.path("program")?,
        };
        let secrets = process::secrets(job)?;
        let call = process::ProgramCall {
            program,
            args: &arguments(job)?,
            reads: &reads,
            spec: &given.join("spec.json"),
            out: &raw,
            folder: &here,
            secrets: &secrets,
        };
        process::run(job, &call)?;
        redact::refuse_secrets(&raw, &secrets)?;
        let progress = redact::Redacting { inner: job.progress, secrets: &secrets };
        let mut outcome = read_output(&Job { spec: job.spec, progress: &progress }, &label, &raw)
            .map_err(|failure| redact::redacted(failure, &secrets))?;
        // What was escaped is plain now.
        redact::refuse_secrets(&job.spec.out, &secrets)?;
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
        Ok(imports::words(job, "args")?.iter().map(|word| path(word)).collect())
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
