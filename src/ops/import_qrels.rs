//! `import.qrels`: relevance judgements, checked against the collection they are of.

use super::imports::{checked, import};
use crate::types::Op;

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = import(
        "import.qrels",
        VERSION,
        "Qrels",
        "Reads relevance judgements: TREC's four columns, BEIR's three, LoTTE's answers as JSON lines, or Parquet; plain \
         or gzip.",
        "`trec`, `beir`, `jsonl` or `parquet`; `auto` tells by content.",
    );
    let op = checked(op);
    #[cfg(feature = "models")]
    let op = op.runs(run::run);
    op
}

#[cfg(feature = "models")]
mod run {
    use super::super::importing;
    use crate::data::judgements;
    use crate::task::{Failure, Job, Outcome};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let known = importing::known(job)?;
        let qrels = judgements::import(job.path("source")?, job.text("format")?, &known, job.progress)?;
        qrels.write(&job.spec.out)?;
        Ok(importing::outcome([("queries", qrels.len() as u64), ("judgements", qrels.judgements() as u64)]))
    }
}
