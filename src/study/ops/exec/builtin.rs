//! Programs that are part of this binary, called `self:NAME` in a study.
//!
//! **Their key.** An external program's key holds the digest of its file. A built-in program has none, and the
//! digest of the whole binary would change with every build. So before keys are made the argument
//! `program = "self:NAME"` is replaced by [`located`]: its digest is what [`Builtin::identity`] gives, which must
//! change whenever the output may: the version of the program, and the content of whatever it reads outside of its
//! declared inputs (for a program that reads the sources of this package's dependencies: the lock file and the
//! checksums of the sources).

use std::path::PathBuf;
use std::sync::OnceLock;

use xpipe_base::task::Failure;
pub use xpipe_base::task::builtin::{Builtin, BuiltinCall};
use xpipe_base::value::Located;

static REGISTERED: OnceLock<&'static [Builtin]> = OnceLock::new();

/// The built-in programs of this binary.
pub fn all() -> &'static [Builtin] {
    REGISTERED.get().copied().unwrap_or_default()
}

/// Tells which programs this binary holds; called once, before a study is read. A second call changes nothing.
pub fn register(programs: &'static [Builtin]) {
    let _ = REGISTERED.set(programs);
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
