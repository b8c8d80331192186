//! `import.scores`: a teacher's scores from elsewhere.

use super::imports::{checked, import};
use crate::types::Op;

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = import(
        "import.scores",
        VERSION,
        "Scores",
        "Reads scores of pairs: query, document, score in three columns, or a TREC run; plain or gzip.",
        "`tsv` or `trec`; `auto` tells by the number of columns.",
    );
    let op = checked(op);
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
