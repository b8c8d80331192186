//! What the operations that retrieve share: arguments, the loop over queries, and from hits to rankings.

use std::ops::Range;

use super::threads::with_threads;
use super::{compatibility, own_document};
use xpipe_base::task::{Failure, Job};
use xpipe_base::value::{Record, Value};
use xpipe_data::ir::top;
use xpipe_data::run::{Hit, RunQuery, RunWriter};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::Issue;

/// The number of documents to retrieve.
pub(super) fn depth(op: Op) -> Op {
    op.takes("depth", "Int", Value::Int(1000), "Maximum number of documents per query (≥ 1).")
}

/// Whether the document with the id of a query is retrieved for it.
pub(super) fn own_documents(op: Op) -> Op {
    own_document::argument(op, "queries|queries.queries")
}

/// Checks [`depth`].
pub(super) fn check_depth(args: &Record) -> Option<Issue> {
    compatibility::at_least(args, "depth", 1)
}

/// The rankings that a job retrieves.
#[derive(Clone, Copy)]
pub(super) struct Retrieval<'j> {
    job: &'j Job<'j>,
    /// Maximum number of documents per query.
    depth: usize,
    /// Whether the document with the id of the query is left out.
    drop_own: bool,
}

/// Counts over all queries of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HitCounts {
    pub(super) hits: usize,
    pub(super) queries_without_hits: usize,
}

impl<'j> Retrieval<'j> {
    /// Reads the arguments `depth` and `own`.
    pub(super) fn of(job: &'j Job<'j>) -> Result<Self, Failure> {
        let depth = job.count("depth")?;
        if depth == 0 {
            return Err(Failure::wrong("depth is 0, expected 1 or more"));
        }
        Ok(Self { job, depth, drop_own: own_document::dropped(job) })
    }

    /// Whether the document with the id of the query is left out.
    pub(super) fn drops_own(&self) -> bool {
        self.drop_own
    }

    /// How many documents a search has to return for a query.
    pub(super) fn searched_depth(&self) -> usize {
        self.depth + usize::from(self.drop_own)
    }

    /// The ranking of a query from what a search returned.
    pub(super) fn ranking<'a>(
        &self,
        query: &str,
        found: &[top::Hit],
        id: impl Fn(u32) -> &'a str,
    ) -> RunQuery {
        let hits = found.iter().map(|h| (id(h.document), h.score));
        let hits = hits.filter(|(document, _)| !self.drop_own || *document != query).take(self.depth);
        let hits = hits.map(|(d, score)| Hit { document: d.to_owned(), score });
        RunQuery { id: query.to_owned(), hits: hits.collect() }
    }

    /// Searches all queries, so many at a time, on the threads of the job, and writes the run.
    pub(super) fn run(
        &self,
        queries: usize,
        batch: usize,
        mut search: impl FnMut(Range<usize>) -> Result<Vec<RunQuery>, Failure> + Send,
    ) -> Result<HitCounts, Failure> {
        let mut writer = RunWriter::create(&self.job.spec.out)?;
        let mut counts = HitCounts::default();
        with_threads(self.job, || {
            for start in (0..queries).step_by(batch) {
                self.job.check_cancelled()?;
                let end = (start + batch).min(queries);
                for query in search(start..end)? {
                    counts.hits += query.hits.len();
                    counts.queries_without_hits += usize::from(query.hits.is_empty());
                    writer.push(&query)?;
                }
                self.job.progress.progress(end as u64, queries as u64, "queries", "");
            }
            Ok(())
        })?;
        writer.finish()?;
        Ok(counts)
    }
}
