//! `import.queries`: queries or topics of any of the field's formats into a store of texts.

use super::imports::{duplicates, import};
use crate::types::Op;

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = import(
        "import.queries",
        VERSION,
        "Queries",
        "Reads queries: BEIR or other JSON lines, TSV, Parquet, TREC topics in `<top>`, `<topic>` or `<DOC>` form; plain or \
         gzip.",
        "`jsonl`, `tsv`, `parquet`, `topics` or `trec`; `auto` tells by suffix and content.",
    )
    .optional(
        "field",
        "String",
        "The field that holds the query, or several joined: `title+desc`. Topics: `title` without it; JSON: `text` \
         or `query`.",
    );
    let op = duplicates(op);
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
