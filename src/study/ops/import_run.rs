//! `import.run`: a TREC run.

use super::imports::{blanks, checked, import, repeated};
use xpipe_lang::types::Op;

// 2: ranks of MS MARCO's three columns are no scores. 3: they are told from the whole file.
const VERSION: u32 = 3;

pub(crate) fn op() -> Op {
    let op = import(
        "import.run",
        VERSION,
        "Run",
        "Reads a run in TREC's six columns, MS MARCO's three (query, document, rank), or Parquet with columns by name. The \
         order is by score, then document id, as trec_eval has it; ranks that contradict the scores are told.",
        "`trec`, `msmarco` for query, document, rank, `tsv` for query, document, score, or `parquet`; `auto` tells by the \
         columns and, where there are three, by all numbers of the file.",
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
        let done = importing::run(
            &importing::source(job)?,
            &importing::pair_options(job)?,
            &known,
            &job.spec.out,
            job.progress,
        )?;
        Ok(importing::outcome([
            ("queries", done.queries),
            ("documents", done.pairs),
            ("unknown", done.unknown),
        ]))
    }
}
