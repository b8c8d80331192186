//! The query's own document: in some collections queries are documents (ArguAna, Quora), and the document of a query's id
//! is the query itself.

use xpipe_base::value::Value;
use xpipe_lang::types::Op;

const NAME: &str = "own";
const TYPE: &str = "'keep' | 'drop'";

/// Adds the argument to an operation; without it, it is as the queries found by `from` were declared.
pub(super) fn argument(op: Op, from: &'static str) -> Op {
    op.added(
        NAME,
        TYPE,
        Value::str("keep"),
        "A document whose id is the query's: keep it, or leave it out as BEIR does. Without it as the data set of the \
         queries says, which is `drop` for `beir(…)`.",
    )
    .taken_from(from)
}

/// The same as a property of queries, for what is made from them.
pub(super) fn declared(op: Op) -> Op {
    op.added(
        NAME,
        TYPE,
        Value::str("keep"),
        "What searches, evaluations and samples of these queries do with a document whose id is the query's: keep it, or \
         leave it out as BEIR does.",
    )
}

/// Whether such documents are left out.
pub(super) fn dropped(job: &xpipe_base::task::Job<'_>) -> bool {
    job.arg(NAME).as_str() == Some("drop")
}
