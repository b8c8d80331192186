//! Arguments that the imports share.

use xpipe_base::value::Value;
use xpipe_lang::types::Op;

/// The files to read, and their format.
pub(super) fn files(op: Op, formats: &'static str) -> Op {
    op.needs(
        "source",
        "Path | List<Path>",
        "The file, folder or archive, also compressed by gzip, bzip2 or zstd; or a list of them, read in this order.",
    )
    .takes("format", "String", Value::str("auto"), formats)
    .added(
        "include",
        "List<String>",
        Value::Null,
        "The files of a folder or archive to read: patterns with `*` for a name (`FT*`) or a path (`FT/*/FT*`). Default: all \
         but read-me files and the like, which are reported.",
    )
    .added(
        "exclude",
        "List<String>",
        Value::Null,
        "The files of a folder or archive to skip, by the same patterns. Default: none.",
    )
}

/// Duplicate ids of texts.
pub(super) fn duplicates(op: Op) -> Op {
    op.takes(
        "duplicates",
        "'error' | 'first' | 'drop'",
        Value::str("error"),
        "Duplicate ids: refuse the file, keep the first text, or drop all texts with such an id.",
    )
}

/// The collection that ids are checked against, and lines with other ids.
pub(super) fn checked(op: Op) -> Op {
    op.optional("queries", "Queries", "The queries that query ids are checked against. Default: no check.")
        .optional(
            "corpus",
            "Corpus",
            "The documents that document ids are checked against. Default: no check.",
        )
        .takes(
            "unknown",
            "'error' | 'drop' | 'keep'",
            Value::str("error"),
            "Lines with an id that is not in the collection: refuse the file, drop them, or keep them.",
        )
}

/// Duplicate documents of a query.
pub(super) fn repeated(op: Op) -> Op {
    op.added(
        "duplicates",
        "'error' | 'first' | 'max'",
        Value::Null,
        "Duplicate documents of a query: refuse the file, keep the first line, or keep the maximum score (MaxP). Default: \
         `error`.",
    )
}

/// Spaces inside ids.
pub(super) fn blanks(op: Op) -> Op {
    op.added(
        "blanks",
        "String",
        Value::Null,
        "The replacement for a space inside an id, for instance `_`; columns are then separated by tabs only. Default: \
         spaces separate columns, and an id with a space is an error.",
    )
}

/// Where tables and records have ids and texts.
pub(super) fn tables(op: Op, id: &'static str) -> Op {
    let op = op
        .added("id", "String", Value::Null, id)
        .added(
            "header",
            "Bool",
            Value::Null,
            "Tables: whether the first line has the column names. Default: detected from the usual names; a line that may be \
             either is an error.",
        )
        .added(
            "tabs",
            "'error' | 'text'",
            Value::Null,
            "Tables: with `text`, everything after the first tab is the text. Default: each tab separates columns.",
        );
    blanks(op)
}
