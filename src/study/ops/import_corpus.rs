//! `import.corpus`: documents of any of the field's formats into a store of texts.

use super::imports::{duplicates, import, tables};
use xpipe_lang::types::Op;

// 2: tags with attributes, headers of tables, and what is between documents.
const VERSION: u32 = 2;

pub(crate) fn op() -> Op {
    let op = import(
        "import.corpus",
        VERSION,
        "Corpus",
        "Reads documents: BEIR, MS MARCO or other JSON lines, tables with tabs or commas, TREC SGML, HTML, Parquet; files, \
         folders or tar archives.",
        "`jsonl`, `tsv`, `csv`, `trec`, `html` or `parquet`; `auto` tells by suffix and content.",
    )
    .optional(
        "fields",
        "List<String>",
        "JSON, Parquet and tables: fields joined as the text, by name (columns also by number, \"2\" is the second), title \
         and text without it. TREC: tags whose text is taken, all without it.",
    );
    let op = tables(
        duplicates(op),
        "The field that holds the id; columns also by number, of TREC documents a tag or attribute. Without it the first of \
         `_id`, `id`, `pid` or `passage_id`, `docno` or `docid` or `doc_id`; of a table without names the first column.",
    );
    let op = op.runs(run::run);
    op
}

mod run {
    use super::super::importing;
    use xpipe_base::task::{Caveat, CaveatKind, Failure, Job, Outcome};
    use xpipe_data::store::TextStore;
    use xpipe_data::texts::What;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let out = &job.spec.out;
        let mut outcome = importing::texts(job, What::Corpus, importing::words(job, "fields")?, out)?;
        let store = TextStore::open(out)?;
        let mut empty = store.iter().filter(|(_, text)| text.trim().is_empty()).map(|(id, _)| id).peekable();
        if let Some(first) = empty.peek().copied() {
            let (n, of) = (empty.count() as u64, store.len() as u64);
            let caveat = Caveat::part(CaveatKind::Doubt, n, of, "documents are empty");
            job.progress.caveat(&caveat.example(format!("`{first}`")));
            outcome.facts.insert("empty".into(), n.into());
        }
        Ok(outcome)
    }
}
