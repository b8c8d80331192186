//! What the signatures of operations that run a model promise and this build has not. It is no mistake of a study:
//! `check` and `plan` accept it, `run` names it before it starts anything.

use super::fit::issue;
use xpipe_base::diag::Code;
use xpipe_base::value::Record;
use xpipe_lang::types::op::{Facts, Issue};

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

fn masked(architecture: &str) -> bool {
    xpipe_nn::arch::has_masked_lm(architecture)
}

fn implemented(architecture: &str) -> bool {
    xpipe_nn::arch::is_implemented(architecture)
}
