//! Models that signatures accept and this build cannot run. That is no mistake of a study: `check` and `plan` accept it,
//! `run` reports it before it starts anything.

use super::compatibility::issue;
use xpipe_base::diag::Code;
use xpipe_base::value::Record;
use xpipe_lang::types::op::{Facts, Issue};
use xpipe_nn::arch;

/// The architecture of the model in an argument.
pub(super) fn model(args: &Record, argument: &'static str, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = Vec::new();
    if let Some(name) = args.get(argument).and_then(|m| facts.architecture(m))
        && !arch::is_implemented(&name)
    {
        let message = format!("the architecture `{name}`");
        issues.push(issue(Code::NotImplemented, argument, message, "use a model of another architecture"));
    }
    issues
}

/// A masked language model of the architecture of the model in an argument.
pub(super) fn masked_model(args: &Record, argument: &'static str, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = Vec::new();
    if let Some(name) = args.get(argument).and_then(|m| facts.architecture(m))
        && !arch::has_masked_lm(&name)
    {
        let message = format!("a masked language model of `{name}`");
        issues.push(issue(Code::NotImplemented, argument, message, "use a model of another architecture"));
    }
    issues
}
