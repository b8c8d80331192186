//! Triples of a query, a positive and a negative, with the teacher's two scores or without.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Opened, Stores, finite};
use crate::data::scores::Scores;
use crate::data::table::{Kind, TableReader};
use crate::task::Failure;
use crate::train::objectives::Form;
use crate::train::samples::{Pool, Triple};

/// The table of an artifact of triples.
pub(super) const FILE: &str = "triples.parquet";
const IDS: [(&str, Kind); 3] =
    [("query_id", Kind::Text), ("positive_id", Kind::Text), ("negative_id", Kind::Text)];
const SCORES: [(&str, Kind); 2] = [("positive_score", Kind::Float), ("negative_score", Kind::Float)];

/// Reads triples, or pairs drawn before; `scores` replace what the table has, and a triple without a score for both
/// documents is left out.
pub(super) fn open(folder: &Path, scores: Option<&Scores>, stores: &Stores) -> Result<Opened, Failure> {
    let mut triples =
        if folder.join(FILE).exists() { table(folder, stores)? } else { pairs(folder, stores)? };
    let mut left_out = BTreeMap::new();
    if let Some(scores) = scores {
        let all = triples.len();
        triples.retain_mut(|t| {
            let of = scores.get(stores.queries.id(t.query as usize));
            let score = |d: u32| of.and_then(|s| s.get(stores.corpus.id(d as usize))).copied();
            t.teacher = score(t.positive).zip(score(t.negative)).map(|(p, n)| [p, n]);
            t.teacher.is_some()
        });
        if triples.len() < all {
            left_out.insert("triples without two teacher scores", (all - triples.len()) as u64);
        }
    }
    Ok(Opened { pool: Pool::Triples(triples), left_out })
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
            teacher: scored.then(|| [row.float(3), row.float(4)]),
        });
    }
    Ok(triples)
}

fn pairs(folder: &Path, stores: &Stores) -> Result<Vec<Triple>, Failure> {
    match finite::read(folder, stores)? {
        Pool::Fixed(Form::Pairs, samples) => Ok(samples
            .iter()
            .map(|s| Triple {
                query: s.query,
                positive: s.documents[0],
                negative: s.documents[1],
                teacher: s.teacher.as_ref().map(|t| [t[0] as f32, t[1] as f32]),
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
