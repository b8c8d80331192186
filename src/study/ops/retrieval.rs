//! What the operations that retrieve share: arguments, and from hits to rankings.

use super::{compatibility, own_document};
use xpipe_base::value::{Record, Value};
use xpipe_data::ir::top;
use xpipe_data::run::{Hit, RunQuery};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::Issue;

/// The number of documents to retrieve.
pub(super) fn depth(op: Op) -> Op {
    op.takes("depth", "Int", Value::Int(1000), "Maximum number of documents per query (≥ 1).")
}

/// Whether the document with the id of a query is retrieved for it.
pub(super) fn own_documents(op: Op) -> Op {
    own_document::argument(op, "queries|queries.queries")
}

/// Checks [`depth`].
pub(super) fn check_depth(args: &Record) -> Option<Issue> {
    compatibility::at_least(args, "depth", 1)
}

/// The top `depth` documents of a query; without the document of the query's id if `drop_own`, for which the search
/// has to return one more.
pub(super) fn ranking<'a>(
    query: &str,
    found: &[top::Hit],
    depth: usize,
    drop_own: bool,
    id: impl Fn(u32) -> &'a str,
) -> RunQuery {
    let hits = found.iter().map(|h| (id(h.document), h.score)).filter(|(d, _)| !drop_own || *d != query);
    let hits = hits.take(depth).map(|(d, score)| Hit { document: d.to_owned(), score });
    RunQuery { id: query.to_owned(), hits: hits.collect() }
}
