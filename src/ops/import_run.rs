//! `import.run`: a TREC run.

use crate::types::Op;
use crate::value::Value;

// 2: ranks of MS MARCO's three columns are no scores.
const VERSION: u32 = 2;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "import.run",
        VERSION,
        "Run",
        "Reads a run in TREC's six columns, or MS MARCO's three (query, document, rank); plain or gzip. The order is by \
         score, then document id, as trec_eval has it; the rank column of TREC is not used.",
    )
    .needs("source", "Path", "The file, folder or archive.")
    .takes("format", "String", Value::str("auto"), "`trec`, `msmarco` for query, document, rank, or `tsv` for query, document, score; `auto` tells.")
    .optional("queries", "Queries", "The queries that ids are checked against.")
    .optional("corpus", "Corpus", "The documents that ids are checked against.")
    .takes(
        "unknown",
        "'error' | 'drop' | 'keep'",
        Value::str("error"),
        "Lines with an id outside the collection: an error, leave them out, or keep them.",
    );
    #[cfg(feature = "models")]
    let op = op.runs(run::run);
    op
}

#[cfg(feature = "models")]
mod run {
    use super::super::importing;
    use crate::task::{Failure, Job, Outcome};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let known = importing::known(job)?;
        let done =
            importing::run(job.path("source")?, job.text("format")?, &known, &job.spec.out, job.progress)?;
        Ok(importing::outcome([
            ("queries", done.queries),
            ("documents", done.pairs),
            ("unknown", done.unknown),
        ]))
    }
}
