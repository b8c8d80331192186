//! Imports training triples: a query, a document that answers it, one that does not, and maybe a teacher's two
//! scores.
//!
//! An artifact is a folder with `triples.parquet`: query_id, positive_id, negative_id, and positive_score,
//! negative_score when there are scores; rows in the order of the source.

use std::path::Path;

use super::known::{Checker, Known};
use super::lines::{Line, Lines};
use super::order::parse_score;
use super::parts::each_part;
use super::place;
use super::table::{Cell, Kind, TableWriter};
use crate::task::{Failure, Progress};

/// The table inside an artifact, for other tools.
pub const TRIPLES_FILE: &str = "triples.parquet";
const IDS: [(&str, Kind); 3] =
    [("query_id", Kind::Text), ("positive_id", Kind::Text), ("negative_id", Kind::Text)];
const SCORES: [(&str, Kind); 2] = [("positive_score", Kind::Float), ("negative_score", Kind::Float)];

/// Imports triples into the folder `out`; gives back the number of rows.
///
/// `format` is `triples` (`query positive negative`), `scored_triples` (`positive_score negative_score query
/// positive negative`, as Hofstätter et al. publish them) or `auto` (by the number of columns); columns are
/// separated by tabs or blanks.
///
/// # Errors
/// A line of another form, a score that is no finite number, an id that is not of the collection, no triples.
pub fn import(
    source: &Path,
    format: &str,
    known: &Known,
    out: &Path,
    progress: &dyn Progress,
) -> Result<u64, Failure> {
    let mut width = match format {
        "auto" => None,
        "triples" => Some(3),
        "scored_triples" => Some(5),
        other => {
            let found = place::quote(other);
            let expected = "expected `auto`, `triples` or `scored_triples`";
            return Err(Failure::wrong(format!("format: found {found}, {expected}")));
        }
    };
    std::fs::create_dir_all(out).map_err(|e| place::io(out, e))?;
    let mut table: Option<TableWriter> = None;
    let mut checker = Checker::new(known);
    let mut rows = 0u64;
    each_part(source, progress, &mut |part| {
        let file = part.name.to_owned();
        let mut lines = Lines::new(part);
        while let Some(line) = lines.next()? {
            if line.is_blank() {
                continue;
            }
            let text = line.text()?;
            let columns: Vec<&str> = text.split_whitespace().collect();
            let scored = match (width, columns.len()) {
                (None | Some(3), 3) => false,
                (None | Some(5), 5) => true,
                (_, n) => return Err(off(&line, text, n, width)),
            };
            width = Some(columns.len());
            let ids = if scored { &columns[2..] } else { &columns[..] };
            let scores =
                if scored { Some((score(&line, columns[0])?, score(&line, columns[1])?)) } else { None };
            if !checker.keep(&file, line.number, ids[0], &ids[1..]) {
                continue;
            }
            let mut cells = vec![Cell::Text(ids[0]), Cell::Text(ids[1]), Cell::Text(ids[2])];
            if let Some((positive, negative)) = scores {
                cells.extend([Cell::Float(positive), Cell::Float(negative)]);
            }
            let table = match &mut table {
                Some(table) => table,
                None => {
                    let columns = if scored { [&IDS[..], &SCORES[..]].concat() } else { IDS.to_vec() };
                    table.insert(TableWriter::create(&out.join(TRIPLES_FILE), &columns)?)
                }
            };
            table.row(&cells)?;
            rows += 1;
        }
        Ok(())
    })?;
    checker.finish(progress)?;
    let Some(table) = table else {
        return Err(Failure::wrong(format!("{}: found no triples of this collection", source.display()))
            .help("check that this is the right file"));
    };
    table.finish()?;
    Ok(rows)
}

fn score(line: &Line<'_>, text: &str) -> Result<f32, Failure> {
    parse_score(text)
        .ok_or_else(|| line.wrong(format!("the score {}", place::quote(text)), "a finite number"))
}

fn off(line: &Line<'_>, text: &str, n: usize, width: Option<usize>) -> Failure {
    let found = format!("{} in {}", place::count(n, "column"), place::quote(text));
    let plain = "3 columns: query, positive, negative";
    let scored = "5 columns: positive score, negative score, query, positive, negative";
    let expected = match width {
        Some(3) => plain.to_owned(),
        Some(_) => scored.to_owned(),
        None => format!("{plain}; or {scored}"),
    };
    line.wrong(found, expected).help("columns are separated by tabs or blanks")
}

#[cfg(test)]
mod tests {
    use super::super::known::Unknown;
    use super::super::store::TextStore;
    use super::super::store_writer::TextStoreWriter;
    use super::super::table::TableReader;
    use super::super::testing::file;
    use super::*;
    use crate::task::Silent;

    fn store(dir: &Path, ids: &[&str]) -> TextStore {
        let mut writer = TextStoreWriter::create(dir).unwrap();
        for (i, id) in ids.iter().enumerate() {
            writer.push(id, "x", "f", i as u64).unwrap();
        }
        writer.finish().unwrap();
        TextStore::open(dir).unwrap()
    }

    fn read(text: &str, format: &str) -> Result<Vec<(String, f32)>, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let known = Known {
            queries: Some(store(&dir.path().join("q"), &["q2", "q1"])),
            corpus: Some(store(&dir.path().join("c"), &["c", "a", "b"])),
            unknown: Unknown::Error,
        };
        let out = dir.path().join("out");
        let rows = import(&file(dir.path(), "t.tsv", text), format, &known, &out, &Silent)?;
        let path = out.join(TRIPLES_FILE);
        let scored = TableReader::has(&path, "negative_score")?;
        let columns = if scored { [&IDS[..], &SCORES[..]].concat() } else { IDS.to_vec() };
        let mut table = TableReader::open(&path, &columns)?;
        assert_eq!(rows, table.len());
        let mut all = Vec::new();
        while let Some(row) = table.row()? {
            let score = if scored { row.float(3) - row.float(4) } else { 0.0 };
            all.push((format!("{} {} {}", row.text(0), row.text(1), row.text(2)), score));
        }
        Ok(all)
    }

    #[test]
    fn both_forms_are_read() {
        let plain = read("q1\ta\tc\nq2\tb\ta\n", "auto").unwrap();
        assert_eq!(plain, [("q1 a c".to_owned(), 0.0), ("q2 b a".to_owned(), 0.0)]);
        let scored = read("9.5\t-1\tq1\ta\tb\n", "scored_triples").unwrap();
        assert_eq!(scored, [("q1 a b".to_owned(), 10.5)]);
    }

    #[test]
    fn bad_lines_are_named() {
        let cases = [
            ("q1\ta\n", "auto", "t.tsv:1: found 2 columns in `q1\\ta`, expected 3 columns"),
            ("q1\ta\tb\n1\t2\tq1\ta\tb\n", "auto", "t.tsv:2: found 5 columns"),
            ("1\tnan\tq1\ta\tb\n", "auto", "t.tsv:1: found the score `nan`, expected a finite number"),
            ("q1\ta\tb\nq1\ta\tz\nq3\ta\tb\n", "auto", "t.tsv:2: found the document id `z`"),
            ("", "auto", "t.tsv: found no triples"),
        ];
        for (text, format, message) in cases {
            let e = read(text, format).unwrap_err();
            assert!(e.message.contains(message), "{e}");
        }
    }
}
