//! Programs that are part of this binary, called `self:NAME` in a study.
//!
//! **Their key.** An external program's key holds the digest of its file. A built-in program has none, and the
//! digest of the whole binary would change with every build. So before keys are made the argument
//! `program = "self:NAME"` is replaced by [`located`]: its digest is what [`Builtin::identity`] gives, which must
//! change whenever the output may: the version of the program, and the content of whatever it reads outside of its
//! declared inputs (for a program that reads the sources of this package's dependencies: the lock file and the
//! checksums of the sources).

mod rust_docs;

use std::path::{Path, PathBuf};

use crate::task::{Failure, Job};
use crate::value::{Digest, Located};

/// A program inside this binary.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// What follows `self:`.
    pub name: &'static str,
    /// One sentence for people.
    pub doc: &'static str,
    /// Writes files into [`Call::out`], as an external program does.
    pub run: fn(&Job<'_>, &Call<'_>) -> Result<(), Failure>,
    /// What stands for the program in keys.
    pub identity: fn() -> Result<Digest, Failure>,
}

/// How a program is called.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The study's arguments.
    pub args: &'a [String],
    /// What it reads: names, and paths or values as text.
    pub reads: &'a [(String, String)],
    /// The folder it writes to; empty.
    pub out: &'a Path,
}

/// The built-in programs of this binary.
pub fn all() -> &'static [Builtin] {
    &[rust_docs::PROGRAM]
}

/// The name in `self:NAME`.
pub fn name(program: &str) -> Option<&str> {
    program.strip_prefix("self:")
}

/// What stands for `self:NAME` in recipes: no file, the label as written, the program's identity as digest. `None`
/// when `program` is not of that form.
///
/// # Errors
/// There is no such program, or its identity cannot be found on this machine.
pub fn located(program: &str) -> Result<Option<Located>, Failure> {
    let Some(name) = name(program) else { return Ok(None) };
    let digest = (find(name, all())?.identity)()?;
    Ok(Some(Located { path: PathBuf::new(), digest, label: program.to_owned() }))
}

pub(super) fn find<'b>(name: &str, among: &'b [Builtin]) -> Result<&'b Builtin, Failure> {
    among.iter().find(|b| b.name == name).ok_or_else(|| {
        let names: Vec<String> = among.iter().map(|b| format!("`self:{}`", b.name)).collect();
        let expected = if names.is_empty() {
            "this binary has none".into()
        } else {
            format!("expected {}", names.join(", "))
        };
        Failure::missing(format!("program: found `self:{name}`, {expected}"))
            .help("use a program of this version of xpipe, or the path of an external one")
    })
}
