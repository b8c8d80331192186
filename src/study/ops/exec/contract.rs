//! Checks of an `exec` stage before anything starts: of its arguments when the study is checked; of this machine (the
//! program's file, its interpreter, its version) before a run.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::compatibility::issue;
use super::super::secret;
use super::outputs::types;
use xpipe_base::diag::Code;
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_base::place;
use xpipe_base::task::{Failure, Policy};
use xpipe_base::value::{Input, Record, Value};
use xpipe_lang::types::op::{Facts, Issue};

/// Checks the arguments.
pub(super) fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    let mut issues = Vec::new();
    if let Some(gives) =
        args.get("gives").and_then(Value::as_str).filter(|g| !types().any(|known| known == *g))
    {
        let list =
            format!("write one of {}", types().map(|g| format!("`{g}`")).collect::<Vec<_>>().join(", "));
        let same = types().find(|g| g.eq_ignore_ascii_case(gives));
        let help = same.map(|g| format!("did you mean `{g}`?")).or_else(|| did_you_mean(gives, types()));
        issues.push(issue(
            Code::Mismatch,
            "gives",
            format!("a program cannot give {}", place::quote(gives)),
            help.unwrap_or(list),
        ));
    }
    if let Some(reads) = args.get("reads").and_then(Value::as_record)
        && let Some(name) = strange("reads", reads, true)
    {
        issues.push(issue(
            Code::Mismatch,
            "reads",
            format!("`{name}` has no form that a program could read"),
            "hand over files, results, models, numbers or text",
        ));
    }
    if let Some(env) = args.get("env").and_then(Value::as_record)
        && let Some(name) = strange("env", env, false)
    {
        issues.push(issue(
            Code::Mismatch,
            "env",
            format!("`{name}` is no text and no number"),
            "write it as text, a password as `secret(\"VARIABLE\")`; files belong into `reads` or `files`",
        ));
    }
    issues.extend(version(args));
    issues
}

/// A program on PATH needs a version; the content of a file is in the key.
fn version(args: &Record) -> Option<Issue> {
    let version = args.get("version").filter(|v| **v != Value::Null);
    match (args.get("program")?, version) {
        (Value::Str(name), Some(_)) if super::builtin::name(name).is_some() => {
            Some(of_a_file("a program of xpipe has its own version"))
        }
        (Value::Str(_), Some(version)) if version.as_str().is_some_and(|v| !has_digit(v)) => Some(issue(
            Code::OutOfRange,
            "version",
            "this is no version",
            "write as much of the version as the result depends on, for instance `version = \"3.11\"`",
        )),
        (Value::Input(_) | Value::Located(_), Some(_)) => {
            Some(of_a_file("the program is a file, whose content is in the key"))
        }
        _ => None,
    }
}

fn of_a_file(why: &str) -> Issue {
    let help = "remove `version`; it is for a program that PATH leads to, `program = \"python3\"`";
    issue(Code::UnknownArgument, "version", format!("`version` has no effect here: {why}"), help)
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit())
}

/// The first field that cannot be passed on; files and results can if `found`.
fn strange(prefix: &str, record: &Record, found: bool) -> Option<String> {
    record.iter().find_map(|(field, value)| {
        let name = format!("{prefix}.{field}");
        match value {
            Value::Record(inside) if found => strange(&name, inside, found),
            Value::Input(_) | Value::Artifact(_) | Value::Located(_) => (!found).then_some(name),
            Value::Null | Value::Pending(_) => None,
            Value::Call(_) if !found && secret::is(value) => None,
            other => super::plain(other).is_none().then_some(name),
        }
    })
}

/// Whether the program can start on this machine.
pub(super) fn ready(args: &Record, _: &Policy) -> Result<(), Failure> {
    if let Some(env) = args.get("env").and_then(Value::as_record) {
        env.values().try_for_each(|value| secret::read(value).map(|_| ()))?;
    }
    match (args.get("program"), args.get("version").and_then(Value::as_str)) {
        (Some(Value::Input(input)), _) => match &**input {
            // One that is not there is named with the other inputs that are missing.
            Input::File(path) if path.exists() => startable(path),
            _ => Ok(()),
        },
        (Some(Value::Located(l)), _) if super::builtin::name(&l.label).is_none() => startable(&l.path),
        (Some(Value::Str(name)), Some(version)) => on_path(name, version).map(|_| ()),
        _ => Ok(()),
    }
}

fn executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// The program of a name on PATH.
fn look_up(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|p| executable(p))?;
    // The program gets another working folder.
    std::path::absolute(found).ok()
}

/// Advice on a missing program file; none if PATH has no program of that name.
pub fn advice(missing: &Path) -> Option<String> {
    let name = missing.file_name()?.to_str()?;
    let path = look_up(name)?;
    Some(format!(
        "correct the path; or, to run {}, add `version = \"…\"`, which stands for the program in the key",
        path.display()
    ))
}

/// Whether a program's file can be started: it is executable, and so is what its first line names.
pub(super) fn startable(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let start = format!("the program {shown} cannot be started");
    if path.is_dir() {
        return Err(Failure::missing(format!("{start}: it is a folder")).help("name the file in it"));
    }
    if !path.exists() {
        return Err(Failure::missing(format!("{start}: there is no such file")).help("check the path"));
    }
    if !executable(path) {
        return Err(Failure::missing(format!("{start}: it is not executable"))
            .help(format!("run `chmod +x {shown}`")));
    }
    let mut head = Vec::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(256).read_to_end(&mut head));
    // A file that may be executed but not read: its interpreter is unknown.
    if read.is_err() {
        return Ok(());
    }
    let Some(line) = head.strip_prefix(b"#!") else {
        let text = std::str::from_utf8(&head).is_ok_and(|t| !t.contains('\0'));
        return if text {
            Err(Failure::missing(format!("{start}: its first line names no interpreter"))
                .help("a script needs a first line such as `#!/usr/bin/env python3`"))
        } else {
            Ok(())
        };
    };
    let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    if line.ends_with('\r') {
        return Err(Failure::missing(format!("{start}: its first line ends in a carriage return"))
            .help(format!("write it with Unix line ends: `sed -i 's/\\r$//' {shown}`")));
    }
    let mut words = line.split_ascii_whitespace();
    let interpreter = Path::new(words.next().unwrap_or_default());
    let absent = |name: &str| {
        Failure::missing(format!(
            "{start}: its first line names {}, which is not on this machine",
            place::quote(name)
        ))
        .help("install the interpreter, or correct the line that starts with `#!`")
    };
    if !executable(interpreter) {
        return Err(absent(&interpreter.display().to_string()));
    }
    if interpreter.file_name() == Some(OsStr::new("env"))
        && let Some(name) = words.find(|w| !w.starts_with('-') && !w.contains('='))
        && !name.contains('/')
        && look_up(name).is_none()
    {
        return Err(absent(name));
    }
    Ok(())
}

/// A program of this machine.
#[derive(Clone, Debug)]
pub(super) struct Installed {
    /// Its file.
    pub(super) path: PathBuf,
    /// The version that it reports; `None` if its output has no version.
    pub(super) says: Option<String>,
}

/// The program of a name that PATH leads to, when its version is the declared one.
pub(super) fn on_path(name: &str, version: &str) -> Result<Installed, Failure> {
    let path = look_up(name).ok_or_else(|| {
        Failure::missing(format!("there is no program {} on this machine", place::quote(name)))
            .help("install it, or add its folder to PATH")
    })?;
    let says = told_version(&path);
    if let Some(says) = &says
        && !says.split_ascii_whitespace().any(|word| is_of(word, version))
    {
        return Err(Failure::missing(format!(
            "the study declares version {version} of {}, and {} says {}",
            place::quote(name),
            path.display(),
            place::quote(says)
        ))
        .help("install the declared version first in PATH, or declare this one, which makes new results"));
    }
    Ok(Installed { path, says })
}

/// Whether a word is a version, and of the declared one: `3.11.9` and `v3.11` are of 3.11, `3.110` is not.
fn is_of(word: &str, version: &str) -> bool {
    let bare = |text: &str| {
        text.trim_matches(|c: char| !c.is_ascii_alphanumeric()).trim_start_matches('v').to_owned()
    };
    let (word, version) = (bare(word), bare(version));
    word.strip_prefix(&version).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

/// The line of `PROGRAM --version` that has a number; asked once per process.
fn told_version(program: &Path) -> Option<String> {
    static TOLD: Mutex<BTreeMap<PathBuf, Option<String>>> = Mutex::new(BTreeMap::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    told.entry(program.to_owned()).or_insert_with(|| ask_version(program)).clone()
}

fn ask_version(program: &Path) -> Option<String> {
    let mut child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let begun = Instant::now();
    // The output fits into a pipe; a program that does not end is killed.
    while matches!(child.try_wait(), Ok(None)) && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill();
    let output = child.wait_with_output().ok().filter(|o| o.status.success())?;
    [output.stdout, output.stderr].iter().find_map(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        text.lines().map(str::trim).find(|line| has_digit(line)).map(|line| line.chars().take(200).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_of_the_declared_one_when_it_begins_so() {
        for (word, version) in
            [("3.11.9", "3.11"), ("3.11", "3.11"), ("v20.1", "20"), ("(1.2.3)", "1.2"), ("3.11-rc1", "3.11")]
        {
            assert!(is_of(word, version), "{word} {version}");
        }
        for (word, version) in
            [("3.110", "3.11"), ("3.1", "3.11"), ("13.11", "3.11"), ("Python", "3"), ("3.11rc1", "3.11")]
        {
            assert!(!is_of(word, version), "{word} {version}");
        }
    }
}
