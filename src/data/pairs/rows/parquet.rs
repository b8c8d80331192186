//! Rows of scored pairs in a Parquet file: a row per pair, or a row per query with lists.

use std::ops::ControlFlow;

use super::{Each, Known, Row};
use crate::names::{Role, role, usual};
use crate::parquet_rows::{ParquetRow, ParquetRows};
use crate::parts::Part;
use xpipe_base::task::Failure;

/// Places of the columns among those wanted, which begin with query and document.
#[derive(Clone, Copy)]
struct Places {
    rank: Option<usize>,
    score: Option<usize>,
}

const QUERY: usize = 0;
const DOCUMENT: usize = 1;

/// Reads the rows of a part. Returns a break when the callback ended reading.
pub(super) fn rows(part: &Part<'_>, each: Each<'_>) -> Result<ControlFlow<()>, Failure> {
    let mut rows = ParquetRows::open(part)?;
    let names = rows.columns();
    let find = |wanted: Role| names.iter().map(String::as_str).find(|n| role(n) == Some(wanted));
    let (Some(query), Some(document)) = (find(Role::Query), find(Role::Document)) else {
        return Err(rows.unexpected(format!(
            "a column of query ids ({}, …) and one of document ids ({}, …)",
            usual(Role::Query),
            usual(Role::Document)
        )));
    };
    let (score, rank) = (find(Role::Score).or_else(|| find(Role::Grade)), find(Role::Rank));
    let wanted: Vec<&str> = [query, document].into_iter().chain(rank).chain(score).collect();
    let at = Places { rank: rank.map(|_| 2), score: score.map(|_| wanted.len() - 1) };
    while let Some(row) = rows.next(&wanted)? {
        let flow = if let Some(documents) = row.list(DOCUMENT) {
            list(part.name, &row, documents, at.score, each)?
        } else if at.rank.or(at.score).is_some() {
            pair(part.name, &row, at, each)?
        } else {
            return Err(rows.unexpected(format!("a column of scores ({}, …) or `rank`", usual(Role::Score))));
        };
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// A row with one document.
fn pair(file: &str, row: &ParquetRow<'_>, at: Places, each: Each<'_>) -> Result<ControlFlow<()>, Failure> {
    let decimal = |column: Option<usize>| column.map(|c| row.decimal(c)).transpose();
    let rank = decimal(at.rank)?;
    let (number, known, rank) = match decimal(at.score)? {
        Some(score) => (score, Known::Score, rank.and_then(|r| r.parse().ok())),
        None => (rank.unwrap_or_default(), Known::Rank, None),
    };
    let (query, document) = (row.id(QUERY)?, row.id(DOCUMENT)?);
    each(Row { file, line: row.number, query, document, rank, number, known: Some(known) })
}

/// A row with the documents of a query in order, and their scores or none.
fn list(
    file: &str,
    row: &ParquetRow<'_>,
    documents: &[String],
    score: Option<usize>,
    each: Each<'_>,
) -> Result<ControlFlow<()>, Failure> {
    let query = row.id(QUERY)?;
    let scores = match score {
        None => None,
        Some(column) => Some(
            row.list(column)
                .filter(|scores| scores.len() == documents.len())
                .ok_or_else(|| row.wrong(column, "a list with a number for each document"))?,
        ),
    };
    for (i, document) in documents.iter().enumerate() {
        let place = (i + 1).to_string();
        let (number, known) = match scores {
            Some(scores) => (scores[i].as_str(), Known::Score),
            None => (place.as_str(), Known::Rank),
        };
        let pair = Row { file, line: row.number, query, document, rank: None, number, known: Some(known) };
        if each(pair)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
