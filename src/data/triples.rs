//! Training triples: a query, a document that answers it, one that does not, and maybe a teacher's two scores.
//!
//! An artifact is a folder with `triples.parquet` (query_id, positive_id, negative_id, and positive_score,
//! negative_score when there are scores), for other tools, and `triples.bin`, the same rows as numbers into the
//! stores of queries and documents, so that any row can be read in constant time. `triples.bin`, little-endian:
//! `XPIPETRI`, version (u32, 1), whether there are scores (u32, 0 or 1), rows (u64), size of the store of queries
//! (u64), size of the store of documents (u64); then for each row three u32 and, with scores, two f32.

use std::path::Path;

use memmap2::Mmap;

use super::store::{TextStore, map};
use crate::task::Failure;

/// The rows by number, inside an artifact.
pub const TRIPLES_BIN: &str = "triples.bin";
const MAGIC: &[u8; 8] = b"XPIPETRI";
const VERSION: u32 = 1;
const HEADER: usize = 40;

/// One row, by numbers into the stores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Triple {
    /// The query.
    pub query: u32,
    /// The document that answers it.
    pub positive: u32,
    /// The document that does not.
    pub negative: u32,
    /// The teacher's scores of the positive and of the negative; finite.
    pub scores: Option<(f32, f32)>,
}

/// Triples, mapped into memory.
pub struct Triples {
    rows: Mmap,
    len: usize,
    scored: bool,
}

impl std::fmt::Debug for Triples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Triples({} rows)", self.len)
    }
}

impl Triples {
    /// Opens the triples in a folder, for the stores they were imported with.
    ///
    /// # Errors
    /// The folder has none; they are damaged, of another version, or were imported with other stores.
    pub fn open(dir: &Path, queries: &TextStore, corpus: &TextStore) -> Result<Self, Failure> {
        let path = dir.join(TRIPLES_BIN);
        let rows = map(&path)?;
        let word = |at: usize| {
            rows.get(at..at + 8).map_or(0, |b| b.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b)))
        };
        let (version, scored) = (word(8) as u32, (word(8) >> 32) as u32);
        let wrong = |what: &str| Failure::wrong(format!("{}: {what}", path.display()));
        if rows.get(..8) != Some(MAGIC) || scored > 1 {
            return Err(wrong("the table of triples is damaged").help("import the triples again"));
        }
        if version != VERSION {
            return Err(wrong(&format!(
                "the triples have format version {version}, this program reads {VERSION}"
            ))
            .help("use the xpipe that wrote them, or import them again"));
        }
        let width = if scored == 1 { 20 } else { 12 };
        if word(16).checked_mul(width).and_then(|b| b.checked_add(HEADER as u64)) != Some(rows.len() as u64) {
            return Err(wrong("the table of triples is cut short").help("import the triples again"));
        }
        if (word(24), word(32)) != (queries.len() as u64, corpus.len() as u64) {
            return Err(wrong(&format!(
                "the triples are of {} queries and {} documents, found {} and {}",
                word(24),
                word(32),
                queries.len(),
                corpus.len()
            ))
            .help("use them with the queries and the corpus they were imported with"));
        }
        let len = word(16) as usize;
        let triples = Self { rows, len, scored: scored == 1 };
        let inside = |t: Triple| {
            (t.query as usize) < queries.len() && (t.positive.max(t.negative) as usize) < corpus.len()
        };
        if !(0..len).all(|i| inside(triples.get(i))) {
            return Err(wrong("the table of triples is damaged").help("import the triples again"));
        }
        Ok(triples)
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether rows have scores.
    pub fn scored(&self) -> bool {
        self.scored
    }

    /// Row `i`, for `i < len()`.
    ///
    /// # Panics
    /// When `i` is not below `len()`, as a slice does.
    pub fn get(&self, i: usize) -> Triple {
        assert!(i < self.len, "row {i} of {} triples", self.len);
        let width = if self.scored { 20 } else { 12 };
        let row = &self.rows[HEADER + width * i..HEADER + width * (i + 1)];
        let word =
            |n: usize| u32::from_le_bytes([row[4 * n], row[4 * n + 1], row[4 * n + 2], row[4 * n + 3]]);
        let scores = self.scored.then(|| (f32::from_bits(word(3)), f32::from_bits(word(4))));
        Triple { query: word(0), positive: word(1), negative: word(2), scores }
    }
}

#[cfg(feature = "models")]
pub use import::{TRIPLES_FILE, import};

#[cfg(feature = "models")]
mod import {
    use std::fs::File;
    use std::io::{BufWriter, Seek, SeekFrom, Write};
    use std::path::Path;

    use super::super::known::{Checker, Known};
    use super::super::lines::{Line, Lines};
    use super::super::order::parse_score;
    use super::super::parts::each_part;
    use super::super::place;
    use super::super::table::{Cell, Kind, TableWriter};
    use super::{MAGIC, TRIPLES_BIN, VERSION};
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
    /// separated by tabs or blanks. `known` must have both stores.
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
        let (Some(queries), Some(corpus)) = (&known.queries, &known.corpus) else {
            return Err(Failure::bug("triples are imported without their queries and corpus"));
        };
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
        let bin_path = out.join(TRIPLES_BIN);
        let failed = |e| place::io(&bin_path, e);
        let mut bin = BufWriter::with_capacity(1 << 20, File::create(&bin_path).map_err(failed)?);
        bin.write_all(&[0; super::HEADER]).map_err(failed)?;
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
                let found = (queries.find(ids[0]), corpus.find(ids[1]), corpus.find(ids[2]));
                // An unknown id that is to be kept has no number; the failure comes at the end.
                let (Some(query), Some(positive), Some(negative)) = found else { continue };
                for word in [query, positive, negative] {
                    bin.write_all(&word.to_le_bytes()).map_err(failed)?;
                }
                let mut cells = vec![Cell::Text(ids[0]), Cell::Text(ids[1]), Cell::Text(ids[2])];
                if let Some((positive, negative)) = scores {
                    for score in [positive, negative] {
                        bin.write_all(&score.to_le_bytes()).map_err(failed)?;
                        cells.push(Cell::Float(score));
                    }
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
        let mut header = Vec::with_capacity(super::HEADER);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&u32::from(width == Some(5)).to_le_bytes());
        for n in [rows, queries.len() as u64, corpus.len() as u64] {
            header.extend_from_slice(&n.to_le_bytes());
        }
        bin.seek(SeekFrom::Start(0)).map_err(failed)?;
        bin.write_all(&header).map_err(failed)?;
        bin.flush().map_err(failed)?;
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
}

#[cfg(all(test, feature = "models"))]
mod tests {
    use super::super::known::{Known, Unknown};
    use super::super::store_writer::TextStoreWriter;
    use super::super::table::{Kind, TableReader};
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

    fn read(text: &str, format: &str) -> Result<(Vec<Triple>, Vec<String>), Failure> {
        let dir = tempfile::tempdir().unwrap();
        let known = Known {
            queries: Some(store(&dir.path().join("q"), &["q2", "q1"])),
            corpus: Some(store(&dir.path().join("c"), &["c", "a", "b"])),
            unknown: Unknown::Error,
        };
        let out = dir.path().join("out");
        let rows = import(&file(dir.path(), "t.tsv", text), format, &known, &out, &Silent)?;
        let triples = Triples::open(&out, known.queries.as_ref().unwrap(), known.corpus.as_ref().unwrap())?;
        assert_eq!(rows, triples.len() as u64);
        let e =
            Triples::open(&out, known.corpus.as_ref().unwrap(), known.corpus.as_ref().unwrap()).unwrap_err();
        assert!(e.message.contains("2 queries and 3 documents, found 3 and 3"), "{e}");
        let mut table = TableReader::open(&out.join(TRIPLES_FILE), &[("negative_id", Kind::Text)])?;
        let mut negatives = Vec::new();
        while let Some(row) = table.row()? {
            negatives.push(row.text(0).to_owned());
        }
        Ok(((0..triples.len()).map(|i| triples.get(i)).collect(), negatives))
    }

    #[test]
    fn both_forms_are_read() {
        let (all, negatives) = read("q1\ta\tc\nq2\tb\ta\n", "auto").unwrap();
        let row = |query, positive, negative, scores| Triple { query, positive, negative, scores };
        assert_eq!(all, [row(1, 1, 0, None), row(0, 2, 1, None)]);
        assert_eq!(negatives, ["c", "a"]);
        let (all, negatives) = read("9.5\t-1\tq1\ta\tb\n", "scored_triples").unwrap();
        assert_eq!(all, [row(1, 1, 2, Some((9.5, -1.0)))]);
        assert_eq!(negatives, ["b"]);
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
