//! `import.corpus`: documents of any of the field's formats into a store of texts.

use super::imports::{duplicates, import};
use crate::types::Op;

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = import(
        "import.corpus",
        VERSION,
        "Corpus",
        "Reads documents: BEIR or other JSON lines, MS MARCO TSV, TREC SGML, HTML; files, folders or tar archives, \
         plain or gzip.",
        "`jsonl`, `tsv`, `trec`, `html` or `parquet`; `auto` tells by suffix and content.",
    )
    .optional(
        "fields",
        "List<String>",
        "JSON: fields joined as the text, title and text without it. TREC: tags whose text is taken, all without it.",
    );
    let op = duplicates(op);
    #[cfg(feature = "models")]
    let op = op.runs(run::run);
    op
}

#[cfg(feature = "models")]
mod run {
    use super::super::importing;
    use crate::data::store::TextStore;
    use crate::data::texts::What;
    use crate::task::{Caveat, CaveatKind, Failure, Job, Outcome};

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
