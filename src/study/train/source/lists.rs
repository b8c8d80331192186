//! Candidate lists: a run, with judgements and teacher scores or without.

use std::collections::BTreeMap;
use std::path::Path;

use super::{OpenedPool, Stores, depth, folder, given};
use crate::train::samples::{Lists, Pool};
use xpipe_base::task::Failure;
use xpipe_base::value::{Call, Value};
use xpipe_data::qrels::Qrels;
use xpipe_data::run::{RunQuery, RunReader};
use xpipe_data::scores::Scores;

/// `candidates { run, qrels, depth, from, scores }`: the first `depth` of each query; positives are the documents
/// with a grade above 0, negatives the others from rank `from` on. Where the stores say so, a document with the query's
/// id is neither. With scores, documents without a score are left out, and so are queries without any.
pub(super) fn candidates(call: &Call, stores: &Stores) -> Result<OpenedPool, Failure> {
    let qrels = given(call, "qrels").map(Qrels::read).transpose()?;
    let scores = given(call, "scores").map(Scores::read).transpose()?;
    let from = call.args.get("from").and_then(Value::as_int).unwrap_or(1);
    let from = usize::try_from(from - 1).unwrap_or(0);
    read(folder(call, "run")?, depth(call), from, qrels.as_ref(), scores.as_ref(), stores)
}

/// `ranked_lists { run, depth }`.
pub(super) fn ranked(run: &Path, depth: usize, stores: &Stores) -> Result<OpenedPool, Failure> {
    read(run, depth, 0, None, None, stores)
}

fn read(
    run: &Path,
    depth: usize,
    from: usize,
    qrels: Option<&Qrels>,
    scores: Option<&Scores>,
    stores: &Stores,
) -> Result<OpenedPool, Failure> {
    let mut reader = RunReader::open(run)?;
    let mut lists = Lists::new();
    let (mut without_scores, mut unscored) = (0, 0);
    while let Some(query) = reader.query()? {
        let Some(list) = list(&query, depth, from, qrels, scores, stores)? else {
            without_scores += 1;
            continue;
        };
        unscored += list.unscored;
        lists.push(list.query, &list.documents, &list.positives, list.from, list.teacher.as_deref());
    }
    let mut left_out = BTreeMap::new();
    for (what, n) in
        [("queries without teacher scores", without_scores), ("documents without a teacher score", unscored)]
    {
        if n > 0 {
            left_out.insert(what, n);
        }
    }
    Ok(OpenedPool { pool: Pool::Lists(lists), left_out })
}

struct List {
    query: u32,
    documents: Vec<u32>,
    positives: Vec<u32>,
    /// Place of the first document of the window of negatives.
    from: u32,
    teacher: Option<Vec<f32>>,
    unscored: u64,
}

/// One query's list; `None` when there are scores and none is for it.
fn list(
    query: &RunQuery,
    depth: usize,
    from: usize,
    qrels: Option<&Qrels>,
    scores: Option<&Scores>,
    stores: &Stores,
) -> Result<Option<List>, Failure> {
    let scores = match scores.map(|s| s.get(&query.id)) {
        Some(None) => return Ok(None),
        Some(found) => found,
        None => None,
    };
    let judged = qrels.and_then(|q| q.get(&query.id));
    let mut list = List {
        query: stores.query(&query.id, "the run")?,
        documents: Vec::new(),
        positives: Vec::new(),
        from: 0,
        teacher: scores.map(|_| Vec::new()),
        unscored: 0,
    };
    let candidates = query.hits.iter().filter(|hit| !stores.without_own || hit.document != query.id);
    for (rank, hit) in candidates.take(depth).enumerate() {
        if let (Some(scores), Some(teacher)) = (scores, &mut list.teacher) {
            let Some(score) = scores.get(&hit.document) else {
                list.unscored += 1;
                continue;
            };
            teacher.push(*score);
        }
        let place = list.documents.len() as u32;
        if rank < from {
            list.from = place + 1;
        }
        if judged.and_then(|j| j.get(&hit.document)).is_some_and(|grade| *grade > 0) {
            list.positives.push(place);
        }
        list.documents.push(stores.document(&hit.document, "the run")?);
    }
    Ok(if list.documents.is_empty() && scores.is_some() { None } else { Some(list) })
}
