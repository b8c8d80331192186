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
        "Whether a document with the id of the query may be ranked for that query. Default: what the data set of the queries \
         declares, which is `drop` for `beir(…)`.",
    )
    .taken_from(from)
}

/// The same as a property of queries, for what is made from them.
pub(super) fn declared(op: Op) -> Op {
    op.added(
        NAME,
        TYPE,
        Value::str("keep"),
        "Whether searches, evaluations and samples of these queries may contain a document with the id of the query. BEIR \
         drops it.",
    )
}

/// Whether such documents are left out.
pub(super) fn dropped(job: &xpipe_base::task::Job<'_>) -> bool {
    job.arg(NAME).as_str() == Some("drop")
}
