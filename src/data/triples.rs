//! Imports training triples: a query, a document that answers it, one that does not, and maybe a teacher's two
//! scores.
//!
//! An artifact is a folder with `triples.parquet`: query_id, positive_id, negative_id, and positive_score,
//! negative_score when there are scores; rows in the order of the source.

use std::path::Path;

use super::columns::Separator;
use super::known::{Checker, Known};
use super::lines::{Line, Lines};
use super::noted::{Noted, TableNotes};
use super::order::parse_score;
use super::parquet_rows::ParquetRows;
use super::parts::{Part, each_part};
use super::source::Source;
use super::table::{Cell, Kind, TableWriter};
use xpipe_base::place;
use xpipe_base::task::{CaveatKind, Failure, Progress};

/// The table inside an artifact, for other tools.
pub const TRIPLES_FILE: &str = "triples.parquet";
const IDS: [(&str, Kind); 3] =
    [("query_id", Kind::Text), ("positive_id", Kind::Text), ("negative_id", Kind::Text)];
const SCORES: [(&str, Kind); 2] = [("positive_score", Kind::Float), ("negative_score", Kind::Float)];

/// How to import triples.
#[derive(Clone, Debug, Default)]
pub struct TripleOptions {
    /// One of the formats of [`import`]; empty: `auto`.
    pub format: String,
    /// Replacement for white space in an id; `None`: white space separates columns.
    pub blanks: Option<String>,
}

impl TripleOptions {
    /// Options with a format.
    pub fn format(format: &str) -> Self {
        Self { format: format.to_owned(), ..Self::default() }
    }

    fn width(&self) -> Result<Option<usize>, Failure> {
        match self.format.as_str() {
            "auto" | "" | "parquet" | "csv" => Ok(None),
            "triples" => Ok(Some(3)),
            "scored_triples" => Ok(Some(5)),
            other => {
                let found = place::quote(other);
                let expected = "expected `auto`, `triples`, `scored_triples`, `csv` or `parquet`";
                Err(Failure::wrong(format!("format: found {found}, {expected}")))
            }
        }
    }
}

/// Imports triples into the folder `out`; returns the number of rows.
///
/// `format` is `triples` (`query positive negative`), `scored_triples` (`positive_score negative_score query
/// positive negative`, as Hofstätter et al. publish them), `csv`, `parquet` (columns by name; a single `score` is the
/// margin, the positive's score less the negative's, and is kept as the positive's over 0) or `auto` (by the number of
/// columns); columns are separated by tabs or blanks, and a first line may name them.
///
/// # Errors
/// A line of another form, a score that is no finite number, an id that is not of the collection, no triples.
pub fn import(
    source: impl Into<Source>,
    options: &TripleOptions,
    known: &Known,
    out: &Path,
    progress: &dyn Progress,
) -> Result<u64, Failure> {
    let source: &Source = &source.into();
    let width = options.width()?;
    std::fs::create_dir_all(out).map_err(|e| place::io(out, e))?;
    let mut all = Gathered {
        options,
        width,
        out,
        table: None,
        checker: Checker::new(known),
        notes: TableNotes::default(),
        margins: Noted::default(),
        rows: 0,
    };
    each_part(source, progress, &mut |part| {
        if part.head.starts_with(b"PAR1") { all.parquet(&part) } else { all.lines(part) }
    })?;
    all.checker.finish(progress)?;
    all.notes.tell(progress);
    let cause =
        "rows give the margin of two scores; it was kept as the positive's score, with 0 for the negative";
    all.margins.tell(CaveatKind::Changed, cause, progress);
    let Some(table) = all.table else {
        return Err(Failure::wrong(format!("{}: found no triples of this collection", source.display()))
            .help("check that this is the right file"));
    };
    table.finish()?;
    Ok(all.rows)
}

/// The state of an import.
struct Gathered<'k> {
    options: &'k TripleOptions,
    width: Option<usize>,
    out: &'k Path,
    table: Option<TableWriter>,
    checker: Checker<'k>,
    notes: TableNotes,
    margins: Noted,
    rows: u64,
}

impl Gathered<'_> {
    fn lines(&mut self, part: Part<'_>) -> Result<(), Failure> {
        let separator = Separator::of(&part, &self.options.format, self.options.blanks.is_some());
        let file = part.name.to_owned();
        let mut lines = Lines::new(part);
        let mut first = true;
        while let Some(line) = lines.next()? {
            if line.is_blank() {
                continue;
            }
            let text = line.text()?;
            let mut columns = Vec::with_capacity(5);
            separator.columns(text, &mut columns);
            let header = std::mem::take(&mut first) && is_header(&columns);
            let scored = match (self.width, columns.len()) {
                _ if header && matches!(columns.len(), 3 | 5) => {
                    usual_order(&line, &columns)?;
                    continue;
                }
                (None | Some(3), 3) => false,
                (None | Some(5), 5) => true,
                _ if text.starts_with('#') => {
                    self.notes.comment(line.file, line.number, text);
                    continue;
                }
                (_, n) => return Err(off(&line, text, n, self.width)),
            };
            self.width = Some(columns.len());
            let ids = if scored { &columns[2..] } else { &columns[..] };
            let scores =
                if scored { Some((score(&line, columns[0])?, score(&line, columns[1])?)) } else { None };
            self.add(&file, line.number, [ids[0], ids[1], ids[2]], scores)?;
        }
        Ok(())
    }

    fn parquet(&mut self, part: &Part<'_>) -> Result<(), Failure> {
        let mut rows = ParquetRows::open(part)?;
        let names = rows.columns();
        let find = |wanted: &[&str]| names.iter().map(String::as_str).find(|n| wanted.contains(n));
        let (Some(query), Some(positive), Some(negative)) = (find(&QUERY), find(&POSITIVE), find(&NEGATIVE))
        else {
            return Err(rows.unexpected("the columns `query_id`, `positive_id` and `negative_id`"));
        };
        let scores: Vec<&str> =
            match (find(&["positive_score"]), find(&["negative_score"]), find(&["score", "margin"])) {
                (Some(positive), Some(negative), _) => vec![positive, negative],
                (None, None, Some(margin)) => vec![margin],
                (None, None, None) => Vec::new(),
                _ => return Err(rows.unexpected("`positive_score` and `negative_score`, or neither")),
            };
        let wanted = [&[query, positive, negative], scores.as_slice()].concat();
        while let Some(row) = rows.next(&wanted)? {
            let score =
                |i: usize| parse_score(row.decimal(i)?).ok_or_else(|| row.wrong(i, "a finite number"));
            let scores = match scores.len() {
                0 => None,
                1 => {
                    let margin = score(3)?;
                    self.margins.add(|| format!("{}: {margin}", place::spot(part.name, row.number)));
                    Some((margin, 0.0))
                }
                _ => Some((score(3)?, score(4)?)),
            };
            self.add(part.name, row.number, [row.id(0)?, row.id(1)?, row.id(2)?], scores)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        file: &str,
        line: u64,
        ids: [&str; 3],
        scores: Option<(f32, f32)>,
    ) -> Result<(), Failure> {
        let blanks = self.options.blanks.as_deref();
        let ids = ids.map(|id| self.notes.id(id, blanks, (file, line)));
        if !self.checker.keep(file, line, &ids[0], &[&ids[1], &ids[2]]) {
            return Ok(());
        }
        let mut cells: Vec<Cell<'_>> = ids.iter().map(|id| Cell::Text(id)).collect();
        if let Some((positive, negative)) = scores {
            cells.extend([Cell::Float(positive), Cell::Float(negative)]);
        }
        let table = match &mut self.table {
            Some(table) => table,
            None => {
                let columns = if scores.is_some() { [&IDS[..], &SCORES[..]].concat() } else { IDS.to_vec() };
                self.table.insert(TableWriter::create(&self.out.join(TRIPLES_FILE), &columns)?)
            }
        };
        table.row(&cells)?;
        self.rows += 1;
        Ok(())
    }
}

/// Names of the columns of triples.
const QUERY: [&str; 4] = ["query_id", "query-id", "qid", "query"];
const POSITIVE: [&str; 5] = ["positive_id", "positive", "pos_id", "pos", "positive_passage_id"];
const NEGATIVE: [&str; 5] = ["negative_id", "negative", "neg_id", "neg", "negative_passage_id"];

/// Whether a first line names columns.
fn is_header(columns: &[&str]) -> bool {
    let has = |names: &[&str]| columns.iter().any(|c| names.contains(&c.to_ascii_lowercase().as_str()));
    has(&POSITIVE) && has(&NEGATIVE)
}

/// Fails when the named columns are in another order.
fn usual_order(line: &Line<'_>, columns: &[&str]) -> Result<(), Failure> {
    let ids = &columns[columns.len() - 3..];
    let is = |column: &str, names: &[&str]| names.contains(&column.to_ascii_lowercase().as_str());
    if !is(ids[1], &POSITIVE) || !is(ids[2], &NEGATIVE) {
        let found = format!("the columns {}", columns.join(", "));
        return Err(line
            .wrong(found, "the order query, positive, negative")
            .help("put the columns in this order"));
    }
    Ok(())
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
    use super::*;
    use xpipe_base::task::Silent;
    use xpipe_testing::file;

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
        let rows =
            import(&file(dir.path(), "t.tsv", text), &TripleOptions::format(format), &known, &out, &Silent)?;
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
