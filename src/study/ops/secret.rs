//! `secret(variable)`: a password or key from the environment, for the `env` of `exec`. Studies and keys have the name of
//! the variable only.

use super::compatibility::issue;
use xpipe_base::diag::Code;
use xpipe_base::place;
use xpipe_base::task::Failure;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const NAME: &str = "secret";

/// The shortest value that can be replaced in a log without replacing half of it.
pub(super) const SHORTEST: usize = 6;

/// The constructor.
pub(crate) fn op() -> Op {
    Op::constructor(
        NAME,
        "Secret",
        "The value that an environment variable has at the time of the run: a password or key, for the `env` of `exec`. The \
         study, the key and every record have the name of the variable only; in the log of the program the value is \
         replaced, and in its output it is an error, also in a compressed file. An encoding of the value (base64, \
         percent-encoding) and a part of it are not found. What changes a result is no secret: write it as \
         text in `env`.",
    )
    .example("secret(\"HF_TOKEN\")")
    .needs("variable", "String", "Name of the environment variable. Its value has at least six characters.")
    .checks(check)
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    let Some(name) = args.get("variable").and_then(Value::as_str) else { return Vec::new() };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.bytes().all(plain) && !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() {
        return Vec::new();
    }
    vec![issue(
        Code::OutOfRange,
        "variable",
        format!("{} is no name of an environment variable", place::quote(name)),
        "write its name, for instance `secret(\"HF_TOKEN\")`; the value stays in the environment",
    )]
}

/// A secret of a job.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret {
    /// The name of its variable.
    pub(super) variable: String,
    pub(super) value: String,
}

// The value must not be printed, also not by a failed test.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({})", self.variable)
    }
}

/// Whether a value is a `secret`.
pub(super) fn is(value: &Value) -> bool {
    value.as_call().is_some_and(|c| &*c.name == NAME)
}

/// The secret that a value names; `None` if it names none.
///
/// # Errors
/// The variable is not set, or has a value that cannot be kept secret.
pub(super) fn read(value: &Value) -> Result<Option<Secret>, Failure> {
    let Some(call) = value.as_call().filter(|_| is(value)) else { return Ok(None) };
    let variable = call.args.get("variable").and_then(Value::as_str).unwrap_or_default().to_owned();
    let value = match std::env::var(&variable) {
        Ok(value) if !value.is_empty() => value,
        Ok(_) | Err(std::env::VarError::NotPresent) => {
            return Err(Failure::missing(format!("the environment variable {variable} is not set"))
                .help("set it where `xpipe run` is started; its value is kept nowhere"));
        }
        Err(std::env::VarError::NotUnicode(_)) => {
            return Err(Failure::missing(format!(
                "the value of the environment variable {variable} is not UTF-8"
            ))
            .help("set it to a text"));
        }
    };
    if value.len() < SHORTEST {
        return Err(Failure::missing(format!(
            "the value of the environment variable {variable} has fewer than {SHORTEST} characters, so it cannot be \
             replaced in a log"
        ))
        .help("write what is no secret as text in `env`"));
    }
    Ok(Some(Secret { variable, value }))
}
