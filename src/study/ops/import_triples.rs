//! `import.triples`: training triples, with a teacher's scores or without.

use super::imports::{blanks, import};
use xpipe_base::value::Value;
use xpipe_lang::types::Op;

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = import(
        "import.triples",
        VERSION,
        "Source",
        "Reads triples: query, positive, negative; or positive score, negative score, query, positive, negative; or \
         Parquet with columns by name.",
        "`triples`, `scored_triples`, `csv` or `parquet`; `auto` tells by the number of columns.",
    )
    .needs("queries", "Queries", "The queries of the triples.")
    .needs("corpus", "Corpus", "The documents of the triples.")
    .takes(
        "unknown",
        "'error' | 'drop'",
        Value::str("error"),
        "Lines with an id outside the collection: an error, or leave them out.",
    );
    let op = blanks(op);
    let op = op.runs(run::run);
    op
}

mod run {
    use super::super::importing;
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::triples::{self, TripleOptions};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let known = importing::known(job)?;
        let options =
            TripleOptions { format: job.text("format")?.to_owned(), blanks: importing::blanks(job)? };
        let rows = triples::import(&importing::source(job)?, &options, &known, &job.spec.out, job.progress)?;
        Ok(importing::outcome([("triples", rows)]))
    }
}
