//! `import.run`: a TREC run.

use super::imports::{checked, import};
use crate::types::Op;

// 2: ranks of MS MARCO's three columns are no scores.
const VERSION: u32 = 2;

pub(crate) fn op() -> Op {
    let op = import(
        "import.run",
        VERSION,
        "Run",
        "Reads a run in TREC's six columns, or MS MARCO's three (query, document, rank); plain or gzip. The order is by \
         score, then document id, as trec_eval has it; the rank column of TREC is not used.",
        "`trec`, `msmarco` for query, document, rank, or `tsv` for query, document, score; `auto` tells.",
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
            importing::run(job.path("source")?, job.text("format")?, &known, &job.spec.out, job.progress)?;
        Ok(importing::outcome([
            ("queries", done.queries),
            ("documents", done.pairs),
            ("unknown", done.unknown),
        ]))
    }
}
