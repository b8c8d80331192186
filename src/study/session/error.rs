//! Why a session ends before its work is done: what is wrong, what to do, and the exit code of a program that ends with
//! it.

use std::fmt;

use xpipe_base::diag::Diagnostics;
use xpipe_base::task::{Failure, FailureKind};
use xpipe_lang::syntax::source::SourceMap;

/// Exit codes of the program.
pub mod exit {
    /// A claim failed, or nothing succeeded.
    pub const FAILED: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// The study is wrong.
    pub const STUDY: u8 = 3;
    /// A file, a model, a program or memory is missing.
    pub const MISSING: u8 = 4;
    /// A result in the cache is damaged.
    pub const DAMAGED: u8 = 5;
    /// Part of what was asked for has no result.
    pub const INCOMPLETE: u8 = 7;
    /// A defect of xpipe.
    pub const BUG: u8 = 70;
    /// Interrupted by a signal.
    pub const INTERRUPTED: u8 = 130;
}

/// Why a session ends early.
#[derive(Debug)]
pub enum Error {
    /// The study is wrong.
    Study {
        /// What is wrong with it.
        diagnostics: Box<Diagnostics>,
        /// The texts that they point into.
        sources: Box<SourceMap>,
    },
    /// Anything else.
    Other {
        /// The exit code, see [`exit`].
        code: u8,
        /// What is wrong.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
}

impl Error {
    /// A wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Other { code: exit::USAGE, message: message.into(), help: None }
    }

    /// Something that this machine lacks.
    pub fn missing(message: impl Into<String>) -> Self {
        Self::Other { code: exit::MISSING, message: message.into(), help: None }
    }

    /// The same error with advice.
    #[must_use]
    pub fn help(self, advice: impl Into<String>) -> Self {
        match self {
            Self::Other { code, message, .. } => Self::Other { code, message, help: Some(advice.into()) },
            study @ Self::Study { .. } => study,
        }
    }

    /// The same error with why it matters.
    #[must_use]
    pub fn because(self, reason: &str) -> Self {
        match self {
            Self::Other { code, message, help } => {
                Self::Other { code, message: format!("{message}; {reason}"), help }
            }
            study @ Self::Study { .. } => study,
        }
    }

    /// The exit code of a program that ends with it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Study { .. } => exit::STUDY,
            Self::Other { code, .. } => *code,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Study { .. } => "the study is wrong",
            Self::Other { message, .. } => message,
        })
    }
}

impl std::error::Error for Error {}

impl From<xpipe_engine::cache::Error> for Error {
    fn from(e: xpipe_engine::cache::Error) -> Self {
        Self::Other { code: e.exit_code(), message: e.to_string(), help: e.help().map(str::to_owned) }
    }
}

impl From<Failure> for Error {
    fn from(f: Failure) -> Self {
        let code = match f.kind {
            FailureKind::Missing => exit::MISSING,
            FailureKind::Bug => exit::BUG,
            FailureKind::Interrupted => exit::INTERRUPTED,
            FailureKind::Wrong | FailureKind::Transient => exit::FAILED,
        };
        Self::Other { code, message: f.message, help: f.help }
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Self::from(Failure::from(e))
    }
}

/// The messages of several failures as one error, with the advice of the first; `None` without failures. At most eight
/// are named.
pub(crate) fn combined(messages: &[String], help: Option<String>) -> Option<Error> {
    const SHOWN: usize = 8;
    let (first, others) = messages.split_first()?;
    let mut message = first.clone();
    for other in others.iter().take(SHOWN - 1) {
        message.push_str(&format!("\n       {other}"));
    }
    if messages.len() > SHOWN {
        message.push_str(&format!("\n       and {} more", messages.len() - SHOWN));
    }
    Some(Error::Other { code: exit::MISSING, message, help })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_failures_are_named_and_the_rest_is_counted() {
        let messages: Vec<String> = (0..10).map(|i| format!("m{i}")).collect();
        let text = |n: usize| combined(&messages[..n], None).map(|e| e.to_string());
        assert_eq!(text(0), None);
        assert_eq!(text(2).unwrap(), "m0\n       m1");
        let all = text(10).unwrap();
        assert!(all.ends_with("m7\n       and 2 more"), "{all}");
        assert!(text(8).unwrap().ends_with("m7"));
    }
}
