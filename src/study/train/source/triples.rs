//! Triples of a query, a positive and a negative, with the teacher's two scores or without.
//!
//! In memory a triple is 24 bytes: its three ids become numbers of the stores.

use std::collections::BTreeMap;
use std::path::Path;

use super::{OpenedPool, Stores, finite};
use crate::train::objectives::SampleForm;
use crate::train::samples::{Pool, Triple};
use xpipe_base::task::Failure;
use xpipe_data::scores::Scores;
use xpipe_data::table::{Kind, TableReader};
pub(super) use xpipe_data::triples::TRIPLES_FILE as FILE;

const IDS: [(&str, Kind); 3] =
    [("query_id", Kind::Text), ("positive_id", Kind::Text), ("negative_id", Kind::Text)];
const SCORES: [(&str, Kind); 2] = [("positive_score", Kind::Float), ("negative_score", Kind::Float)];

/// Reads imported triples.
pub(super) fn open(folder: &Path, stores: &Stores) -> Result<OpenedPool, Failure> {
    Ok(OpenedPool { pool: Pool::Triples(table(folder, stores)?), left_out: BTreeMap::new() })
}

/// Reads imported triples, or pairs drawn before, with the scores of a table instead of their own; a triple without
/// a score for both documents is left out.
pub(super) fn scored(folder: &Path, scores: &Scores, stores: &Stores) -> Result<OpenedPool, Failure> {
    let mut triples =
        if folder.join(FILE).exists() { table(folder, stores)? } else { pairs(folder, stores)? };
    let all = triples.len();
    triples.retain_mut(|t| {
        let of = scores.get(stores.queries.id(t.query as usize));
        let score = |d: u32| of.and_then(|s| s.get(stores.corpus.id(d as usize))).copied();
        t.scores = score(t.positive).zip(score(t.negative));
        t.scores.is_some()
    });
    let mut left_out = BTreeMap::new();
    if triples.len() < all {
        left_out.insert("triples without two teacher scores", (all - triples.len()) as u64);
    }
    Ok(OpenedPool { pool: Pool::Triples(triples), left_out })
}

fn table(folder: &Path, stores: &Stores) -> Result<Vec<Triple>, Failure> {
    let path = folder.join(FILE);
    let scored = TableReader::has(&path, SCORES[0].0)?;
    let mut columns = IDS.to_vec();
    if scored {
        columns.extend(SCORES);
    }
    let mut reader = TableReader::open(&path, &columns)?;
    let mut triples = Vec::with_capacity(usize::try_from(reader.len()).unwrap_or(0));
    while let Some(row) = reader.row()? {
        triples.push(Triple {
            query: stores.query(row.text(0), "a triple")?,
            positive: stores.document(row.text(1), "a triple")?,
            negative: stores.document(row.text(2), "a triple")?,
            scores: scored.then(|| (row.float(3), row.float(4))),
        });
    }
    Ok(triples)
}

fn pairs(folder: &Path, stores: &Stores) -> Result<Vec<Triple>, Failure> {
    match finite::read(folder, stores)? {
        Pool::Fixed(SampleForm::Pairs, samples) => Ok(samples
            .iter()
            .map(|s| Triple {
                query: s.query,
                positive: s.documents[0],
                negative: s.documents[1],
                scores: None,
            })
            .collect()),
        other => {
            let form = other.forms().first().map_or("nothing", |f| f.name());
            Err(Failure::wrong(format!(
                "`scored_triples` needs samples of shape `pairs`, and these are `{form}`"
            )))
        }
    }
}
