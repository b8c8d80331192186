//! `query_document(…)`: maximum lengths of query and document.

use super::compatibility::at_least;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

/// The constructor of input limits.
pub(crate) fn op() -> Op {
    Op::constructor(
        "query_document",
        "InputLimits",
        "Maximum lengths of query and document in tokens, without special tokens; each is truncated separately. If a model \
         has fewer positions than a pair needs, the document is truncated further.",
    )
    .takes("query", "Int", Value::Int(32), "Maximum query length in tokens (≥ 1).")
    .takes("document", "Int", Value::Int(256), "Maximum document length in tokens (≥ 1).")
    .checks(check)
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    ["query", "document"].into_iter().filter_map(|name| at_least(args, name, 1)).collect()
}
