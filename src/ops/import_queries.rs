//! `import.queries`: queries or topics of any of the field's formats into a store of texts.

use crate::types::Op;
use crate::value::Value;

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "import.queries",
        VERSION,
        "Queries",
        "Reads queries: BEIR or other JSON lines, TSV, Parquet, TREC topics in `<top>`, `<topic>` or `<DOC>` form; plain or \
         gzip.",
    )
    .needs("source", "Path", "The file, folder or archive.")
    .takes("format", "String", Value::str("auto"), "`jsonl`, `tsv`, `parquet`, `topics` or `trec`; `auto` tells by suffix and content.")
    .optional(
        "field",
        "String",
        "The field that holds the query, or several joined: `title+desc`. Topics: `title` without it; JSON: `text` \
         or `query`.",
    )
    .takes(
        "duplicates",
        "'error' | 'first' | 'drop'",
        Value::str("error"),
        "Ids there more than once: an error, keep the first text, or leave out all texts with such an id.",
    );
    #[cfg(feature = "models")]
    let op = op.runs(run::run);
    op
}

#[cfg(feature = "models")]
mod run {
    use super::super::importing;
    use crate::data::texts::What;
    use crate::task::{Failure, Job, Outcome};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let fields = if job.has("field") {
            job.text("field")?.split('+').map(|f| f.trim().to_owned()).filter(|f| !f.is_empty()).collect()
        } else {
            Vec::new()
        };
        importing::texts(job, What::Queries, fields)
    }
}
