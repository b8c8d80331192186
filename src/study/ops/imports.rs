//! Arguments that the imports share, so that they read the same everywhere.

use xpipe_base::value::Value;
use xpipe_lang::types::Op;

/// An import from a file in one of several formats.
pub(super) fn import(
    name: &'static str,
    version: u32,
    returns: &str,
    doc: &'static str,
    formats: &'static str,
) -> Op {
    Op::stage(name, version, returns, doc)
        .needs(
            "source",
            "Path | List<Path>",
            "The file, folder or archive, plain or packed by gzip, bzip2 or zstd; or several, read in their order.",
        )
        .takes("format", "String", Value::str("auto"), formats)
        .added(
            "include",
            "List<String>",
            Value::Null,
            "Files of a folder or archive to read, all others left out: patterns with `*` for a name (`FT*`) or a path \
             (`FT/*/FT*`). Without it all but read-me files and the like, which are told.",
        )
        .added("exclude", "List<String>", Value::Null, "Files of a folder or archive to leave out, by such patterns.")
}

/// What becomes of ids that are there more than once.
pub(super) fn duplicates(op: Op) -> Op {
    op.takes(
        "duplicates",
        "'error' | 'first' | 'drop'",
        Value::str("error"),
        "Ids there more than once: an error, keep the first text, or leave out all texts with such an id.",
    )
}

/// The collection that ids are checked against, and what becomes of lines with other ids.
pub(super) fn checked(op: Op) -> Op {
    op.optional("queries", "Queries", "The queries that ids are checked against.")
        .optional("corpus", "Corpus", "The documents that ids are checked against.")
        .takes(
            "unknown",
            "'error' | 'drop' | 'keep'",
            Value::str("error"),
            "Lines with an id outside the collection: an error, leave them out, or keep them.",
        )
}

/// What becomes of a document that is there more than once for a query.
pub(super) fn repeated(op: Op) -> Op {
    op.added(
        "duplicates",
        "'error' | 'first' | 'max'",
        Value::Null,
        "A document there more than once for a query: an error without it, keep its first line, or its highest score \
         (MaxP).",
    )
}

/// Ids with blanks.
pub(super) fn blanks(op: Op) -> Op {
    op.added(
        "blanks",
        "String",
        Value::Null,
        "What a blank inside an id becomes, for instance `_`; columns are then separated by tabs alone. Without it blanks \
         separate columns, and an id with a blank is an error.",
    )
}

/// Where ids and texts are in tables, and what becomes of blanks in ids.
pub(super) fn tables(op: Op, id: &'static str) -> Op {
    let op = op
        .added("id", "String", Value::Null, id)
        .added(
            "header",
            "Bool",
            Value::Null,
            "Tables: whether the first line names the columns. Without it, a line of usual names does, and what may be \
             either is an error.",
        )
        .added(
            "tabs",
            "'error' | 'text'",
            Value::Null,
            "Tables: `text` takes everything after the first tab as the text; without it each tab ends a column.",
        );
    blanks(op)
}
