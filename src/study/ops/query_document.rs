//! `query_document(…)`: how much of a query and of a document a model reads.

use super::fit::at_least;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

/// The constructor of input limits.
pub(crate) fn op() -> Op {
    Op::constructor(
        "query_document",
        "InputLimits",
        "How many tokens of the query and of the document a model reads, each cut by itself, special tokens not \
         counted. When a model has fewer positions than a pair needs, the document is cut further.",
    )
    .takes("query", "Int", Value::Int(32), "Tokens of the query, at least 1.")
    .takes("document", "Int", Value::Int(256), "Tokens of the document, at least 1.")
    .checks(check)
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    ["query", "document"].into_iter().filter_map(|name| at_least(args, name, 1)).collect()
}
