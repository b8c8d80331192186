//! `import.queries`: queries or topics of any of the field's formats into a store of texts.

use super::imports::{duplicates, import, tables};
use xpipe_base::value::Value;
use xpipe_lang::types::Op;

// 2: tags with attributes, headers of tables, and what is between topics.
const VERSION: u32 = 2;

pub(crate) fn op() -> Op {
    let op = import(
        "import.queries",
        VERSION,
        "Queries",
        "Reads queries: BEIR or other JSON lines, tables with tabs or commas, Parquet, TREC topics in `<top>`, `<topic>` or \
         `<DOC>` form.",
        "`jsonl`, `tsv`, `csv`, `parquet`, `topics` or `trec`; `auto` tells by suffix and content.",
    )
    .optional(
        "field",
        "String",
        "The field that holds the query, or several joined: `title+desc`. Topics: `title` without it; JSON: `text` \
         or `query`.",
    );
    let op = tables(
        duplicates(op),
        "The field that holds the id; columns also by number. Without it the first of `_id`, `id`, `query_id` or `qid`; of a \
         table without names the first column.",
    )
    .added(
        "empty",
        "'error' | 'drop' | 'keep'",
        Value::Null,
        "Queries without a text: an error without it, leave them out, or keep them (they find nothing).",
    );
    let op = op
        .added(
            "judged_by",
            "Path | List<Path>",
            Value::Null,
            "Judgements: only the queries that they name are kept. Without it all are.",
        )
        .added(
            "judged_format",
            "String",
            Value::str("auto"),
            "The format of `judged_by`, as `import.qrels` has it.",
        );
    let op = super::own::declared(op);
    let op = op.runs(run::run);
    op
}

mod run {
    use super::super::importing;
    use xpipe_base::task::{Failure, Job, Outcome, Silent};
    use xpipe_data::judgements::{self, QrelOptions};
    use xpipe_data::known::{Known, Unknown};
    use xpipe_data::store::TextStore;
    use xpipe_data::store_writer::TextStoreWriter;
    use xpipe_data::texts::What;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let fields = if job.has("field") {
            job.text("field")?.split('+').map(|f| f.trim().to_owned()).filter(|f| !f.is_empty()).collect()
        } else {
            Vec::new()
        };
        if !job.has("judged_by") {
            return importing::texts(job, What::Queries, fields, &job.spec.out);
        }
        let all = job.spec.scratch.join("all");
        importing::texts(job, What::Queries, fields, &all)?;
        let outcome = judged(job, &TextStore::open(&all)?)?;
        std::fs::remove_dir_all(&all)?;
        Ok(outcome)
    }

    /// Keeps the queries that the judgements name, in their order.
    fn judged(job: &Job<'_>, all: &TextStore) -> Result<Outcome, Failure> {
        let source = importing::files(job, "judged_by")?;
        let format = if job.has("judged_format") { job.text("judged_format")? } else { "auto" };
        let everything = Known { queries: None, corpus: None, unknown: Unknown::Keep };
        // What is odd in the judgements is told by their own import.
        let options = QrelOptions { format: format.to_owned(), blanks: importing::blanks(job)? };
        let qrels = judgements::import(&source, &options, &everything, &Silent)?;
        let mut writer = TextStoreWriter::create(&job.spec.out)?;
        let mut kept = 0u64;
        for (i, (id, text)) in all.iter().enumerate() {
            if qrels.get(id).is_some() {
                writer.push(id, text, "queries", i as u64 + 1)?;
                kept += 1;
            }
        }
        if kept == 0 {
            return Err(Failure::wrong(format!(
                "{}: the judgements name none of the {} queries",
                source.display(),
                all.len()
            ))
            .help("give queries and judgements of one collection, or keep all queries (`unjudged = keep`)"));
        }
        writer.finish()?;
        let left_out = all.len() as u64 - kept;
        if left_out > 0 {
            job.progress.note(&format!("{left_out} of {} queries are not judged and left out", all.len()));
        }
        Ok(importing::outcome([("texts", kept), ("not_judged", left_out)]))
    }
}
