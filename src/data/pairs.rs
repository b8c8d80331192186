//! Imports scored pairs of queries and documents: TREC runs, and tables of scores.
//!
//! Rows of a query usually stand together; then one query at a time is in memory. Where they do not, the file is
//! read again and held whole.

use std::collections::HashSet;
use std::path::Path;

use indexmap::IndexMap;

use super::judgements::is_header;
use super::known::{Checker, Known};
use super::lines::{Line, Lines, decode};
use super::order::parse_score;
use super::parts::{HEAD, each_part};
use super::place;
use super::run::{Hit, RunQuery};
use crate::task::{Failure, Progress, Silent};

/// The forms of scored pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairFormat {
    /// `query Q0 document rank score tag`, white space between; the tag may have blanks. The rank is not used.
    Trec,
    /// `query document score`, a header line if there is one.
    Tsv,
    /// `query document rank`, as MS MARCO's evaluation has it; the score of rank r is 1 / r.
    Msmarco,
}

/// What the three columns of a file may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Third {
    /// A score, always.
    Score,
    /// A score, or a rank: where the first query's numbers are 1, 2, 3, … they are ranks.
    ScoreOrRank,
}

/// The pairs of one query, in the order of the source.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The query's id.
    pub query: String,
    /// Documents, each once, with finite scores.
    pub hits: Vec<Hit>,
}

impl Group {
    /// The same in the order of a run.
    ///
    /// # Errors
    /// None for groups that were imported.
    pub fn ranked(self) -> Result<RunQuery, Failure> {
        RunQuery::new(self.query, self.hits)
    }
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportedPairs {
    /// Queries.
    pub queries: u64,
    /// Pairs.
    pub pairs: u64,
    /// Lines with an id outside the collection, left out or kept as asked.
    pub unknown: u64,
}

/// Imports pairs; `begin` is called before the first group, and a second time when the file must be read again
/// (what was given to `each` before then is void).
///
/// `format` is `trec`, `tsv`, `msmarco` or `auto` (by the number of columns, and `third`).
///
/// # Errors
/// A line of another form, a score that is no finite number, a document twice for one query, an id that is not of
/// the collection, a file without pairs; what `begin` and `each` return.
pub fn import(
    source: &Path,
    format: &str,
    third: Third,
    known: &Known,
    progress: &dyn Progress,
    begin: &mut dyn FnMut() -> Result<(), Failure>,
    each: &mut dyn FnMut(Group) -> Result<(), Failure>,
) -> Result<ImportedPairs, Failure> {
    let wanted = match format {
        "auto" if third == Third::ScoreOrRank && ranks(source)? => Some(PairFormat::Msmarco),
        "auto" => None,
        "trec" => Some(PairFormat::Trec),
        "tsv" => Some(PairFormat::Tsv),
        "msmarco" => Some(PairFormat::Msmarco),
        other => {
            let found = place::quote(other);
            let expected = "`auto`, `trec`, `tsv` or `msmarco`";
            return Err(Failure::wrong(format!("format: found {found}, expected {expected}")));
        }
    };
    let mut imported = ImportedPairs::default();
    let mut deliver = |imported: &mut ImportedPairs, query: String, rows: Rows| {
        let hits = rows.hits(&query)?;
        imported.queries += 1;
        imported.pairs += hits.len() as u64;
        each(Group { query, hits })
    };

    // First pass: one query at a time, as long as no query comes again.
    begin()?;
    let mut checker = Checker::new(known);
    let mut seen: HashSet<String> = HashSet::new();
    let mut current: Option<(String, Rows)> = None;
    let mut scattered = false;
    read(source, wanted, &mut checker, progress, &mut |row| {
        if scattered {
            return Ok(());
        }
        match &mut current {
            Some((query, rows)) if query == row.query => rows.push(row),
            _ => {
                if !seen.insert(row.query.to_owned()) {
                    scattered = true;
                    return Ok(());
                }
                let mut rows = Rows::default();
                rows.push(row);
                if let Some((query, done)) = current.replace((row.query.to_owned(), rows)) {
                    deliver(&mut imported, query, done)?;
                }
            }
        }
        Ok(())
    })?;
    imported.unknown = checker.finish(progress)?;
    if !scattered {
        if let Some((query, rows)) = current {
            deliver(&mut imported, query, rows)?;
        }
    } else {
        imported = ImportedPairs { unknown: imported.unknown, ..ImportedPairs::default() };
        let mut all: IndexMap<String, Rows> = IndexMap::new();
        read(source, wanted, &mut Checker::new(known), progress, &mut |row| {
            match all.get_mut(row.query) {
                Some(rows) => rows.push(row),
                None => all.entry(row.query.to_owned()).or_default().push(row),
            }
            Ok(())
        })?;
        begin()?;
        for (query, rows) in all {
            deliver(&mut imported, query, rows)?;
        }
    }
    if imported.pairs == 0 {
        let left = if imported.unknown > 0 { ": every line has an id outside the collection" } else { "" };
        return Err(Failure::wrong(format!("{}: found no scores{left}", source.display()))
            .help("check that this is the right file"));
    }
    Ok(imported)
}

/// Whether the first lines of the first file are of three columns whose last is 1, 2, 3, … for the first query.
fn ranks(source: &Path) -> Result<bool, Failure> {
    let mut told = None;
    each_part(source, &Silent, &mut |part| {
        if told.is_none() {
            told = Some(first_is_ranked(&decode(part.head)));
        }
        // The rest is not read: an archive's is passed over.
        Ok(())
    })?;
    Ok(told.unwrap_or(false))
}

fn first_is_ranked(head: &str) -> bool {
    // The last line may be cut where the head ends.
    let whole = if head.len() < HEAD { head } else { head.rsplit_once('\n').map_or("", |(lines, _)| lines) };
    let mut first = None;
    let mut rank = 0;
    for line in whole.trim_start_matches('\u{FEFF}').lines().filter(|l| !l.trim().is_empty()) {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [query, _, number] = columns.as_slice() else { return false };
        if *first.get_or_insert(*query) != *query {
            break;
        }
        rank += 1;
        if *number != rank.to_string() {
            return false;
        }
    }
    // One line tells nothing: a score may be 1.
    rank > 1
}

#[derive(Clone, Copy)]
struct Row<'l> {
    file: &'l str,
    line: u64,
    query: &'l str,
    document: &'l str,
    score: f32,
}

/// Rows of one query, with where they came from.
#[derive(Debug, Default)]
struct Rows {
    hits: Vec<Hit>,
    lines: Vec<u64>,
    /// The first row of each file.
    files: Vec<(usize, String)>,
}

impl Rows {
    fn push(&mut self, row: Row<'_>) {
        if self.files.last().is_none_or(|(_, f)| f != row.file) {
            self.files.push((self.hits.len(), row.file.to_owned()));
        }
        self.hits.push(Hit { document: row.document.to_owned(), score: row.score });
        self.lines.push(row.line);
    }

    fn origin(&self, i: usize) -> (&str, u64) {
        let after = self.files.partition_point(|(first, _)| *first <= i);
        (after.checked_sub(1).map_or("", |f| self.files[f].1.as_str()), self.lines[i])
    }

    /// The hits, each document once.
    fn hits(self, query: &str) -> Result<Vec<Hit>, Failure> {
        let mut order: Vec<usize> = (0..self.hits.len()).collect();
        order.sort_unstable_by(|a, b| self.hits[*a].document.cmp(&self.hits[*b].document).then(a.cmp(b)));
        let again = order
            .windows(2)
            .filter(|p| self.hits[p[0]].document == self.hits[p[1]].document)
            .min_by_key(|p| p[1]);
        if let Some(&[first, later]) = again {
            let document = place::quote(&self.hits[later].document);
            let (file, line) = self.origin(later);
            let (before_file, before) = self.origin(first);
            let found = format!(
                "document {document} again for query {}, first at {before_file}:{before}",
                place::quote(query)
            );
            return Err(place::wrong_line(file, line, found, "each document once for a query")
                .help("remove one of the two lines"));
        }
        Ok(self.hits)
    }
}

fn read(
    source: &Path,
    wanted: Option<PairFormat>,
    checker: &mut Checker<'_>,
    progress: &dyn Progress,
    each: &mut dyn FnMut(Row<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    each_part(source, progress, &mut |part| {
        let file = part.name.to_owned();
        let mut lines = Lines::new(part);
        let mut format = wanted;
        while let Some(line) = lines.next()? {
            if line.is_blank() {
                continue;
            }
            let text = line.text()?;
            let mut columns = text.split_whitespace();
            let (first, second, third) = (columns.next(), columns.next(), columns.next());
            let more = (columns.next(), columns.next(), columns.next());
            let told =
                *format.get_or_insert(if more.0.is_none() { PairFormat::Tsv } else { PairFormat::Trec });
            let (query, document, score) = match (told, first, second, third, more) {
                (
                    PairFormat::Tsv | PairFormat::Msmarco,
                    Some(query),
                    Some(document),
                    Some(score),
                    (None, ..),
                ) => (query, document, score),
                (PairFormat::Trec, Some(query), Some(_), Some(document), (Some(_), Some(score), Some(_))) => {
                    (query, document, score)
                }
                _ => return Err(off(&line, text, wanted, told)),
            };
            if told != PairFormat::Trec && line.number == 1 && is_header(score) {
                continue;
            }
            let value = score;
            let score = if told == PairFormat::Msmarco { rank_score(score) } else { parse_score(score) };
            let score = score.ok_or_else(|| {
                if told == PairFormat::Msmarco {
                    return line
                        .wrong(format!("the rank {}", place::quote(value)), "a whole number from 1 up")
                        .help("say `format = tsv` when the third column is a score");
                }
                line.wrong(format!("the score {}", place::quote(value)), "a finite number")
                    .help("remove the line, or have the program that wrote it write a number")
            })?;
            if checker.keep(&file, line.number, query, &[document]) {
                each(Row { file: &file, line: line.number, query, document, score })?;
            }
        }
        Ok(())
    })
    .map(|_| ())
}

/// A score in the order of ranks: 1 / rank.
fn rank_score(rank: &str) -> Option<f32> {
    rank.parse::<u32>().ok().filter(|r| (1..1 << 22).contains(r)).map(|r| 1.0 / r as f32)
}

fn off(line: &Line<'_>, text: &str, wanted: Option<PairFormat>, told: PairFormat) -> Failure {
    let n = text.split_whitespace().count();
    let found = format!("{} in {}", place::count(n, "column"), place::quote(text));
    let trec = "6 columns: query, Q0, document, rank, score, tag";
    let tsv = "3 columns: query, document, score";
    let ranks = "3 columns: query, document, rank";
    let expected = match (wanted, told, line.number) {
        (None, _, 1) => format!("{trec}; or {tsv}"),
        (_, PairFormat::Trec, _) => trec.into(),
        (_, PairFormat::Tsv, _) => tsv.into(),
        (_, PairFormat::Msmarco, _) => ranks.into(),
    };
    line.wrong(found, expected).help("columns are separated by tabs or blanks")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{file, shared};
    use super::*;

    fn read_all(source: &Path, format: &str) -> Result<(Vec<Group>, ImportedPairs), Failure> {
        let groups = std::cell::RefCell::new(Vec::new());
        let imported = import(
            source,
            format,
            Third::ScoreOrRank,
            &Known::default(),
            &Silent,
            &mut || {
                groups.borrow_mut().clear();
                Ok(())
            },
            &mut |group| {
                groups.borrow_mut().push(group);
                Ok(())
            },
        )?;
        Ok((groups.into_inner(), imported))
    }

    fn read_text(text: &str, format: &str) -> Result<Vec<Group>, Failure> {
        let dir = tempfile::tempdir().unwrap();
        read_all(&file(dir.path(), "r.txt", text), format).map(|(groups, _)| groups)
    }

    fn shape(groups: &[Group]) -> Vec<(String, Vec<(String, f32)>)> {
        groups
            .iter()
            .map(|g| (g.query.clone(), g.hits.iter().map(|h| (h.document.clone(), h.score)).collect()))
            .collect()
    }

    #[test]
    fn runs_and_scores_are_read() {
        let run = "q1 Q0 a 1 2.5 tag\nq1 Q0 b 2 2.5 a tag with blanks\nq0\tQ0\tc\t0\t-1e1\tt\n";
        let expected = vec![
            ("q1".to_owned(), vec![("a".to_owned(), 2.5), ("b".to_owned(), 2.5)]),
            ("q0".to_owned(), vec![("c".to_owned(), -10.0)]),
        ];
        assert_eq!(shape(&read_text(run, "auto").unwrap()), expected);
        let scores = "query\tdocument\tscore\nq1\ta\t2.5\nq1\tb\t2.5\nq0\tc\t-10\n";
        assert_eq!(shape(&read_text(scores, "auto").unwrap()), expected);
        let ranked = read_text(run, "trec").unwrap().remove(0).ranked().unwrap();
        assert_eq!(ranked.hits[0].document, "b");
    }

    #[test]
    fn scattered_queries_are_gathered_in_order_of_first_use() {
        let text = "b x 1\na x 2\nb y 3\nc x 4\na y 5\n";
        let groups = read_text(text, "auto").unwrap();
        assert_eq!(groups.iter().map(|g| g.query.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
        assert_eq!(groups[0].hits.len() + groups[1].hits.len(), 4);
    }

    #[test]
    fn ranks_of_msmarco_are_told_from_scores() {
        let ranked = "q1\tb\t1\nq1\ta\t2\nq2\tc\t1\n";
        let groups = read_text(ranked, "auto").unwrap();
        let q1 = groups[0].clone().ranked().unwrap();
        assert_eq!(q1.hits.iter().map(|h| h.document.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(q1.hits[1].score, 0.5);
        // Said to be scores, they are.
        let scored = read_text(ranked, "tsv").unwrap().remove(0).ranked().unwrap();
        assert_eq!(scored.hits[0].document, "a");
        for text in ["q1 a 1\nq2 b 1\n", "q1 a 1.0\nq1 b 2.0\n", "q1 a 2\nq1 b 1\n", "q1 a 1\nq1 b 3\n"] {
            let groups = read_text(text, "auto").unwrap();
            let scores: Vec<f32> = groups.iter().flat_map(|g| &g.hits).map(|h| h.score).collect();
            assert!(scores.iter().any(|s| *s >= 1.0) && !scores.contains(&0.5), "{text}: {scores:?}");
        }
        let e = read_text("q1 a 1\nq1 b 2\nq2 c 0.5\n", "auto").unwrap_err();
        assert_eq!(
            e.message.split(": ").nth(1),
            Some("found the rank `0.5`, expected a whole number from 1 up")
        );
        assert!(e.help.unwrap().contains("format = tsv"));
        // Lines of 11 bytes: the head ends within one.
        let long: String = (1..=900).map(|r| format!("q1 d{r:05} {r}\n")).collect();
        assert_eq!(read_text(&long, "auto").unwrap()[0].hits[899].score, 1.0 / 900.0);
    }

    #[test]
    fn bad_lines_are_named() {
        let cases = [
            ("q a 1\nq b nan\n", "r.txt:2: found the score `nan`, expected a finite number"),
            ("q a inf\n", "r.txt:1: found the score `inf`"),
            ("q Q0 a 1 NaN t\n", "r.txt:1: found the score `NaN`"),
            ("q a x\n", "r.txt:1: found the score `x`"),
            ("q a\n", "r.txt:1: found 2 columns in `q a`, expected 6 columns"),
            ("q a 1\nq a\n", "r.txt:2: found 2 columns in `q a`, expected 3 columns: query, document, score"),
            ("q Q0 a 1 2 t\nq Q0 b 2 1\n", "r.txt:2: found 5 columns in `q Q0 b 2 1`, expected 6 columns"),
            ("q a 1\nq b 2\nq a 3\n", "r.txt:3: found document `a` again for query `q`, first at"),
            ("q a 1\np a 1\nq a 3\n", "r.txt:3: found document `a` again for query `q`, first at"),
            ("\n", "r.txt: found no scores"),
        ];
        for (text, message) in cases {
            let e = read_text(text, "auto").unwrap_err();
            assert!(e.message.contains(message), "{e}");
        }
    }

    /// Counts by `wc -l` and `cut | sort -u | wc -l`.
    #[test]
    fn real_runs_have_their_counts() {
        let cases = [
            ("cacm/anserini.cacm-bm25.run.txt", 0, 1920),
            ("msmarco-dl21/BM25.run.gz", 53, 5300),
            ("msmarco-dl21/SPLADE_P_P_ENSEMBLE_DISTIL.run.gz", 53, 5300),
            ("trec_eval/test/results.test", 3, 1500),
            ("trec_eval/test/results-302.test", 1, 500),
            ("trec_eval/test/results.trunc", 2, 584),
            ("trec_eval/test/results.comment.test", 301, 30100),
        ];
        for (path, queries, pairs) in cases {
            let Some(source) = shared("real_runs_have_their_counts", path) else { return };
            let (_, imported) = read_all(&source, "auto").unwrap();
            assert_eq!(imported.pairs, pairs, "{path}");
            assert!(queries == 0 || imported.queries == queries, "{path}");
        }
    }
}
