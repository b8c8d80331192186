//! `import.scores`: a teacher's scores from elsewhere.

use crate::types::Op;
use crate::value::Value;

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "import.scores",
        VERSION,
        "Scores",
        "Reads scores of pairs: query, document, score in three columns, or a TREC run; plain or gzip.",
    )
    .needs("source", "Path", "The file, folder or archive.")
    .takes("format", "String", Value::str("auto"), "`tsv` or `trec`; `auto` tells by the number of columns.")
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
            importing::scores(job.path("source")?, job.text("format")?, &known, &job.spec.out, job.progress)?;
        Ok(importing::outcome([("queries", done.queries), ("pairs", done.pairs), ("unknown", done.unknown)]))
    }
}
