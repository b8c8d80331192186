//! `import.qrels`: relevance judgements, checked against the collection they are of.

use crate::types::Op;
use crate::value::Value;

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "import.qrels",
        VERSION,
        "Qrels",
        "Reads relevance judgements: TREC's four columns, BEIR's three, LoTTE's answers as JSON lines, or Parquet; plain \
         or gzip.",
    )
    .needs("source", "Path", "The file, folder or archive.")
    .takes("format", "String", Value::str("auto"), "`trec`, `beir`, `jsonl` or `parquet`; `auto` tells by content.")
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
    use crate::data::judgements;
    use crate::task::{Failure, Job, Outcome};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let known = importing::known(job)?;
        let qrels = judgements::import(job.path("source")?, job.text("format")?, &known, job.progress)?;
        qrels.write(&job.spec.out)?;
        Ok(importing::outcome([("queries", qrels.len() as u64), ("judgements", qrels.judgements() as u64)]))
    }
}
