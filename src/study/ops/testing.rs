//! Runs one operation for its tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use xpipe_base::task::{Failure, Job, Outcome, Policy, Progress, Silent, Spec};
use xpipe_base::value::{Digest, Located, Name, Record, Value};
use xpipe_lang::types::Op;

/// A found file or folder.
pub(crate) fn at(path: impl Into<PathBuf>) -> Value {
    let path = path.into();
    let label = path.display().to_string();
    Value::Located(Arc::new(Located { path, digest: Digest::of(b""), label }))
}

/// Runs an operation with arguments after defaults, into a folder.
pub(crate) fn run(op: &Op, args: &[(&str, Value)], out: &Path) -> Result<Outcome, Failure> {
    run_with(op, args, out, &Silent)
}

/// The same with a progress to ask.
pub(crate) fn run_with(
    op: &Op,
    args: &[(&str, Value)],
    out: &Path,
    progress: &dyn Progress,
) -> Result<Outcome, Failure> {
    let mut all: Vec<(Name, Value)> =
        op.params.iter().filter_map(|p| Some((Name::from(p.name), p.default.clone()?))).collect();
    for (name, value) in args {
        assert!(op.param(name).is_some(), "{} has no argument {name}", op.name);
        all.push((Name::from(*name), value.clone()));
    }
    let scratch = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(out).unwrap();
    let spec = Spec {
        version: op.version,
        args: Record::new(all),
        out: out.to_owned(),
        ..spec(op.name, scratch.path())
    };
    op.run.unwrap()(&Job { spec: &spec, progress })
}

/// What a job of an operation without arguments is given.
pub(crate) fn spec(op: &str, scratch: &Path) -> Spec {
    Spec {
        op: op.into(),
        version: 1,
        key: "0".into(),
        address: "test".into(),
        args: Record::default(),
        policy: Policy::default(),
        out: scratch.join("out"),
        temp: scratch.join("temp"),
        log: scratch.join("log"),
        scratch: scratch.to_owned(),
        answers: scratch.join("answers"),
        threads: 1,
        device: "cpu".into(),
        kernels: xpipe_base::task::Kernels::Auto,
    }
}
