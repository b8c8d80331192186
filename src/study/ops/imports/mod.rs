//! The operations that import files of the field's formats, as one table.

mod arguments;
mod read;
mod run;
#[cfg(test)]
mod tests;

pub(super) use read::{run as write_run, scores as write_scores, words};

use super::own_document;
use xpipe_base::task::RunFn;
use xpipe_base::value::Value;
use xpipe_lang::types::Op;

/// One import: a row is everything about it but how it runs.
struct Import {
    name: &'static str,
    version: u32,
    returns: &'static str,
    /// The field of `local { … }` that names its files.
    field: &'static str,
    doc: &'static str,
    /// The formats that the argument `format` takes.
    formats: &'static str,
    /// Adds its arguments behind those of every import.
    arguments: fn(Op) -> Op,
    counts: &'static [&'static str],
    run: RunFn,
}

const IMPORTS: [Import; 6] = [
    Import {
        name: "import.corpus",
        // 2: tags with attributes, headers of tables, and what is between documents.
        version: 2,
        returns: "Corpus",
        field: "docs",
        doc: "Reads documents: JSON lines of BEIR, MS MARCO and others, tables separated by tabs or commas, TREC SGML, \
              HTML or Parquet; from files, folders or tar archives.",
        formats: "`jsonl`, `tsv`, `csv`, `trec`, `html` or `parquet`. `auto` detects it from suffix and content.",
        arguments: corpus,
        counts: &[],
        run: run::corpus,
    },
    Import {
        name: "import.queries",
        // 2: tags with attributes, headers of tables, and what is between topics.
        version: 2,
        returns: "Queries",
        field: "queries",
        doc: "Reads queries: JSON lines of BEIR and others, tables separated by tabs or commas, Parquet, or TREC topics in \
              `<top>`, `<topic>` or `<DOC>` form.",
        formats: "`jsonl`, `tsv`, `csv`, `parquet`, `topics` or `trec`. `auto` detects it from suffix and content.",
        arguments: queries,
        counts: &[],
        run: run::queries,
    },
    Import {
        name: "import.qrels",
        // 2: ids that begin with `#`, the names of a first line.
        version: 2,
        returns: "Qrels",
        field: "qrels",
        doc: "Reads relevance judgements: TREC's four columns, BEIR's three with or without a header line, LoTTE's answers \
              as JSON lines, or Parquet.",
        formats: "`trec`, `beir`, `csv`, `jsonl` or `parquet`. `auto` detects it from content.",
        arguments: |op| arguments::blanks(arguments::checked(op)),
        counts: &["queries"],
        run: run::qrels,
    },
    Import {
        name: "import.run",
        // 2: ranks of MS MARCO's three columns are no scores. 3: they are detected from the whole file.
        version: 3,
        returns: "Run",
        field: "run",
        doc: "Reads a run in TREC's six columns, MS MARCO's three (query, document, rank), or Parquet with columns by name. \
              Documents are ordered by score, then by document id, as trec_eval does; ranks that contradict the scores are \
              reported.",
        formats: "`trec`, `msmarco` for query, document, rank, `tsv` for query, document, score, or `parquet`. `auto` \
                  detects it from the columns and, with three columns, from all numbers of the file.",
        arguments: |op| arguments::blanks(arguments::repeated(arguments::checked(op))),
        counts: &["documents", "queries"],
        run: run::run,
    },
    Import {
        name: "import.scores",
        // 2: ranks 1, 2, 3, … are no scores.
        version: 2,
        returns: "Scores",
        field: "scores",
        doc: "Reads scores of query-document pairs: three columns (query, document, score), a TREC run, or Parquet with \
              columns by name.",
        formats: "`tsv`, `trec`, `parquet`, or `msmarco` for 1 / rank. `auto` detects it from the columns.",
        arguments: |op| arguments::blanks(arguments::repeated(arguments::checked(op))),
        counts: &["pairs", "queries"],
        run: run::scores,
    },
    Import {
        name: "import.triples",
        version: 1,
        returns: "Source",
        field: "triples",
        doc: "Reads training triples: query, positive, negative; or positive score, negative score, query, positive, \
              negative; or Parquet with columns by name.",
        formats: "`triples`, `scored_triples`, `csv` or `parquet`. `auto` detects it from the number of columns.",
        arguments: triples,
        counts: &[],
        run: run::triples,
    },
];

/// All imports.
pub(crate) fn ops() -> impl Iterator<Item = Op> {
    IMPORTS.iter().map(|import| {
        let op = Op::stage(import.name, import.version, import.returns, import.doc)
            .imports(import.field)
            .counts(import.counts);
        (import.arguments)(arguments::files(op, import.formats)).runs(import.run)
    })
}

/// An import by its name, for tests.
#[cfg(test)]
pub(super) fn op(name: &str) -> Op {
    ops().find(|op| op.name == name).unwrap_or_else(|| panic!("no import {name}"))
}

fn corpus(op: Op) -> Op {
    let op = op.optional(
        "fields",
        "List<String>",
        "JSON, Parquet and tables: the fields that form the text, by name; columns also by number (\"2\" is the second). \
         Default: title and text. TREC: the tags whose text is taken. Default: all.",
    );
    arguments::tables(
        arguments::duplicates(op),
        "The field with the document id; columns also by number, in TREC documents a tag or attribute. Default: the first of \
         `_id`, `id`, `pid` or `passage_id`, `docno` or `docid` or `doc_id`; in tables without names the first column.",
    )
}

fn queries(op: Op) -> Op {
    let op = op.optional(
        "field",
        "String",
        "The field with the query text, or several joined by `+`: `title+desc`. Default: `title` in topics, `text` or \
         `query` in JSON.",
    );
    let op = arguments::tables(
        arguments::duplicates(op),
        "The field with the query id; columns also by number. Default: the first of `_id`, `id`, `query_id` or `qid`; in \
         tables without names the first column.",
    )
    .added(
        "empty",
        "'error' | 'drop' | 'keep'",
        Value::Null,
        "Queries without text: refuse the file, drop them, or keep them (they retrieve nothing). Default: `error`.",
    )
    .added(
        "judged_by",
        "Path | List<Path>",
        Value::Null,
        "Relevance judgements; queries without any are dropped. Default: all queries are kept.",
    )
    .added("judged_format", "String", Value::str("auto"), "The format of `judged_by`, as in `import.qrels`.");
    own_document::declared(op)
}

fn triples(op: Op) -> Op {
    let op = op
        .needs("queries", "Queries", "The queries of the triples.")
        .needs("corpus", "Corpus", "The documents of the triples.")
        .takes(
            "unknown",
            "'error' | 'drop'",
            Value::str("error"),
            "Lines with an id that is not in the collection: refuse the file, or drop them.",
        )
        .supervises(|args, _| {
            // Other formats are detected from the number of columns.
            super::sampling::triples(match args.get("format").and_then(Value::as_str) {
                Some("triples") => Some(false),
                Some("scored_triples") => Some(true),
                _ => None,
            })
        });
    arguments::blanks(op)
}
