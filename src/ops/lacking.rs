//! What the signatures of operations that run a model promise and this build has not. It is no mistake of a study:
//! `check` and `plan` accept it, `run` names it before it starts anything.

use super::fit::issue;
use crate::diag::Code;
use crate::types::op::{Facts, Issue};
use crate::value::Record;

/// The architecture of the model in the argument `model`.
pub(super) fn of(args: &Record, model: &'static str, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = Vec::new();
    if let Some(name) = args.get(model).and_then(|m| facts.architecture(m))
        && !implemented(&name)
    {
        let message = format!("the architecture `{name}`");
        issues.push(issue(Code::NotImplemented, model, message, "take a model of another architecture"));
    }
    issues
}

/// A masked language model of the architecture of the model in the argument `model`.
pub(super) fn of_masked(args: &Record, model: &'static str, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = Vec::new();
    if let Some(name) = args.get(model).and_then(|m| facts.architecture(m))
        && !masked(&name)
    {
        let message = format!("a masked language model of `{name}`");
        issues.push(issue(Code::NotImplemented, model, message, "take a model of another architecture"));
    }
    issues
}

#[cfg(feature = "models")]
fn masked(architecture: &str) -> bool {
    crate::nn::arch::MASKED.contains(&architecture)
}

#[cfg(not(feature = "models"))]
fn masked(_: &str) -> bool {
    true
}

#[cfg(feature = "models")]
fn implemented(architecture: &str) -> bool {
    crate::nn::arch::is_implemented(architecture)
}

/// Without models no operation that runs one is there at all, which is told by itself.
#[cfg(not(feature = "models"))]
fn implemented(_: &str) -> bool {
    true
}
