//! `exec.part`: one part of a collection that a program made, as an artifact of its own.

use xpipe_base::value::Value;
use xpipe_lang::types::{Op, Type};

pub(super) const NAME: &str = "exec.part";
const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    Op::stage(
        NAME,
        VERSION,
        "Any",
        "Extracts the documents, queries or judgements of a collection made by `exec`.",
    )
    .gives(|args| {
        let part = args.get("part").and_then(Value::as_str).unwrap_or_default();
        Type::of_collection_part(part).unwrap_or(Type::Any)
    })
    .inherits(&["of"])
    .example("exec.part { of = made, part = \"corpus\" }")
    .needs("of", "Any", "The collection.")
    .needs("part", "String", "`corpus`, `queries`, `qrels`, or `qrels.SPLIT`.")
    .runs(run::run)
}

mod run {
    use std::path::Path;

    use xpipe_base::place;
    use xpipe_base::task::{Failure, Job, Outcome};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let (of, part) = (job.path("of")?, job.text("part")?);
        let parts = names(of)?;
        if !parts.iter().any(|p| p == part) {
            let label = place::quote(&job.located("of")?.label);
            let has = if parts.is_empty() { "no parts".into() } else { parts.join(", ") };
            return Err(Failure::wrong(format!("{label} has no part {}; it has {has}", place::quote(part)))
                .help("let the program write it, or name another part"));
        }
        let from = of.join(part);
        for entry in std::fs::read_dir(&from).map_err(|e| place::io(&from, e))? {
            let entry = entry.map_err(|e| place::io(&from, e))?;
            let to = job.spec.out.join(entry.file_name());
            // Artifacts are read-only: both may share the file.
            if std::fs::hard_link(entry.path(), &to).is_err() {
                std::fs::copy(entry.path(), &to).map_err(|e| place::io(&to, e))?;
            }
        }
        Ok(Outcome::default())
    }

    fn names(of: &Path) -> Result<Vec<String>, Failure> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(of).map_err(|e| place::io(of, e))? {
            let entry = entry.map_err(|e| place::io(of, e))?;
            if entry.path().is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}
