//! Triples of a query, a positive and a negative, with the teacher's two scores or without.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Opened, Stores, finite};
use crate::data::scores::Scores;
pub(super) use crate::data::triples::TRIPLES_BIN as FILE;
use crate::data::triples::{Triple, Triples};
use crate::task::Failure;
use crate::train::objectives::Form;
use crate::train::samples::{Pool, TripleTable};

/// Opens imported triples; they stay on disk.
pub(super) fn open(folder: &Path, stores: &Stores) -> Result<Opened, Failure> {
    let triples = Triples::open(folder, &stores.queries, &stores.corpus)?;
    Ok(Opened { pool: Pool::Triples(TripleTable::Mapped(triples)), left_out: BTreeMap::new() })
}

/// Reads imported triples, or pairs drawn before, with the scores of a table instead of their own; a triple without
/// a score for both documents is left out.
pub(super) fn scored(folder: &Path, scores: &Scores, stores: &Stores) -> Result<Opened, Failure> {
    let all = if folder.join(FILE).exists() {
        TripleTable::Mapped(Triples::open(folder, &stores.queries, &stores.corpus)?)
    } else {
        TripleTable::Memory(pairs(folder, stores)?)
    };
    let with_scores = |mut t: Triple| {
        let of = scores.get(stores.queries.id(t.query as usize))?;
        let score = |d: u32| of.get(stores.corpus.id(d as usize)).copied();
        t.scores = Some(score(t.positive).zip(score(t.negative))?);
        Some(t)
    };
    let found: Vec<Triple> = (0..all.len()).filter_map(|i| with_scores(all.get(i))).collect();
    let mut left_out = BTreeMap::new();
    if found.len() < all.len() {
        left_out.insert("triples without two teacher scores", (all.len() - found.len()) as u64);
    }
    Ok(Opened { pool: Pool::Triples(TripleTable::Memory(found)), left_out })
}

fn pairs(folder: &Path, stores: &Stores) -> Result<Vec<Triple>, Failure> {
    match finite::read(folder, stores)? {
        Pool::Fixed(Form::Pairs, samples) => Ok(samples
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
