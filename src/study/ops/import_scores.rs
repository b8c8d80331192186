//! `import.scores`: a teacher's scores from elsewhere.

use super::imports::{blanks, checked, import, repeated};
use xpipe_lang::types::Op;

// 2: ranks 1, 2, 3, … are no scores.
const VERSION: u32 = 2;

pub(crate) fn op() -> Op {
    let op = import(
        "import.scores",
        VERSION,
        "Scores",
        "Reads scores of pairs: query, document, score in three columns, a TREC run, or Parquet with columns by name.",
        "`tsv`, `trec`, `parquet`, or `msmarco` for 1 / rank; `auto` tells by the columns.",
    );
    let op = blanks(repeated(checked(op)));
    let op = op.runs(run::run);
    op
}

mod run {
    use super::super::importing;
    use xpipe_base::task::{Failure, Job, Outcome};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let known = importing::known(job)?;
        let done = importing::scores(
            &importing::source(job)?,
            &importing::pair_options(job)?,
            &known,
            &job.spec.out,
            job.progress,
        )?;
        Ok(importing::outcome([("queries", done.queries), ("pairs", done.pairs), ("unknown", done.unknown)]))
    }
}
