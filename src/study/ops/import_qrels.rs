//! `import.qrels`: relevance judgements, checked against the collection they are of.

use super::imports::{blanks, checked, import};
use xpipe_lang::types::Op;

// 2: ids that begin with `#`, the names of a first line.
const VERSION: u32 = 2;

pub(crate) fn op() -> Op {
    let op = import(
        "import.qrels",
        VERSION,
        "Qrels",
        "Reads relevance judgements: TREC's four columns, BEIR's three, with or without a line of names, LoTTE's answers as \
         JSON lines, or Parquet.",
        "`trec`, `beir`, `csv`, `jsonl` or `parquet`; `auto` tells by content.",
    );
    let op = blanks(checked(op));
    let op = op.runs(run::run);
    op
}

mod run {
    use super::super::importing;
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::judgements::{self, QrelOptions};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let known = importing::known(job)?;
        let qrels = {
            let options =
                QrelOptions { format: job.text("format")?.to_owned(), blanks: importing::blanks(job)? };
            judgements::import(&importing::source(job)?, &options, &known, job.progress)?
        };
        qrels.write(&job.spec.out)?;
        Ok(importing::outcome([("queries", qrels.len() as u64), ("judgements", qrels.judgements() as u64)]))
    }
}
