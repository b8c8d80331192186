//! `import.triples`: training triples, with a teacher's scores or without.

use super::imports::import;
use crate::types::Op;
use crate::value::Value;

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = import(
        "import.triples",
        VERSION,
        "Source",
        "Reads triples: query, positive, negative; or positive score, negative score, query, positive, negative; \
         plain or gzip.",
        "`triples` or `scored_triples`; `auto` tells by the number of columns.",
    )
    .needs("queries", "Queries", "The queries of the triples.")
    .needs("corpus", "Corpus", "The documents of the triples.")
    .takes(
        "unknown",
        "'error' | 'drop'",
        Value::str("error"),
        "Lines with an id outside the collection: an error, or leave them out.",
    );
    #[cfg(feature = "models")]
    let op = op.runs(run::run);
    op
}

#[cfg(feature = "models")]
mod run {
    use super::super::importing;
    use crate::data::triples;
    use crate::task::{Failure, Job, Outcome};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let known = importing::known(job)?;
        let rows =
            triples::import(job.path("source")?, job.text("format")?, &known, &job.spec.out, job.progress)?;
        Ok(importing::outcome([("triples", rows)]))
    }
}
