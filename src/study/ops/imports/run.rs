//! How the imports run.

use super::super::outcome::counted;
use super::read;
use xpipe_base::task::{Caveat, CaveatKind, Failure, Job, Outcome, Silent};
use xpipe_base::value::human;
use xpipe_data::judgements::{self, QrelOptions};
use xpipe_data::known::{Known, Unknown};
use xpipe_data::store::TextStore;
use xpipe_data::store_writer::TextStoreWriter;
use xpipe_data::texts::TextKind;
use xpipe_data::triples::{self as triple_files, TripleOptions};

pub(super) fn corpus(job: &Job<'_>) -> Result<Outcome, Failure> {
    let out = &job.spec.out;
    let mut outcome = read::texts(job, TextKind::Corpus, read::words(job, "fields")?, out)?;
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

pub(super) fn queries(job: &Job<'_>) -> Result<Outcome, Failure> {
    let fields = if job.has("field") {
        job.text("field")?.split('+').map(|f| f.trim().to_owned()).filter(|f| !f.is_empty()).collect()
    } else {
        Vec::new()
    };
    if !job.has("judged_by") {
        return read::texts(job, TextKind::Queries, fields, &job.spec.out);
    }
    // Of this attempt alone: another host may carry out the same action.
    let all = job.spec.temp.join("all");
    read::texts(job, TextKind::Queries, fields, &all)?;
    let outcome = judged(job, &TextStore::open(&all)?)?;
    std::fs::remove_dir_all(&all)?;
    Ok(outcome)
}

/// Keeps the queries that have judgements, in their order.
fn judged(job: &Job<'_>, all: &TextStore) -> Result<Outcome, Failure> {
    let source = read::files(job, "judged_by")?;
    let format = if job.has("judged_format") { job.text("judged_format")? } else { "auto" };
    let everything = Known { queries: None, corpus: None, unknown: Unknown::Keep };
    // What is odd in the judgements is reported by their own import.
    let options = QrelOptions { format: format.to_owned(), blanks: read::blanks(job)? };
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
            "{}: the judgements name none of the {}",
            source.display(),
            human::counted(all.len(), "queries")
        ))
        .help("give queries and judgements of one collection, or keep all queries (`unjudged = keep`)"));
    }
    writer.finish()?;
    let left_out = all.len() as u64 - kept;
    if left_out > 0 {
        job.progress.note(&format!(
            "{left_out} of {} not judged and left out",
            human::counted(all.len(), "queries are")
        ));
    }
    Ok(counted([("texts", kept), ("not_judged", left_out)]))
}

pub(super) fn qrels(job: &Job<'_>) -> Result<Outcome, Failure> {
    let options = QrelOptions { format: job.text("format")?.to_owned(), blanks: read::blanks(job)? };
    let qrels = judgements::import(&read::source(job)?, &options, &read::known(job)?, job.progress)?;
    qrels.write(&job.spec.out)?;
    Ok(counted([("queries", qrels.len() as u64), ("judgements", qrels.judgements() as u64)]))
}

pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
    let (known, options) = (read::known(job)?, read::pair_options(job)?);
    let done = read::run(&read::source(job)?, &options, &known, &job.spec.out, job.progress)?;
    Ok(counted([("queries", done.queries), ("documents", done.pairs), ("unknown", done.unknown)]))
}

pub(super) fn scores(job: &Job<'_>) -> Result<Outcome, Failure> {
    let (known, options) = (read::known(job)?, read::pair_options(job)?);
    let done = read::scores(&read::source(job)?, &options, &known, &job.spec.out, job.progress)?;
    Ok(counted([("queries", done.queries), ("pairs", done.pairs), ("unknown", done.unknown)]))
}

pub(super) fn triples(job: &Job<'_>) -> Result<Outcome, Failure> {
    let options = TripleOptions { format: job.text("format")?.to_owned(), blanks: read::blanks(job)? };
    let known = read::known(job)?;
    let rows = triple_files::import(&read::source(job)?, &options, &known, &job.spec.out, job.progress)?;
    Ok(counted([("triples", rows)]))
}
