//! Imports scored pairs of queries and documents: TREC runs, and tables of scores or ranks.
//!
//! Rows of a query are usually adjacent; then one query at a time is in memory. Otherwise the file is read again and
//! held in memory.

mod evidence;
mod rows;

use std::collections::HashSet;
use std::ops::ControlFlow;

use indexmap::IndexMap;

use self::evidence::{Evidence, Verdict};
use self::rows::{Row, rows};
use super::known::{Checker, Known};
use super::noted::{Noted, TableNotes};
use super::parts::each_part;
use super::run::{Hit, RunQuery};
use super::source::Source;
use xpipe_base::place;
use xpipe_base::task::{Caveat, CaveatKind, Failure, Progress, Silent};

/// The forms of scored pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairFormat {
    /// `query Q0 document rank score tag`, white space between; the tag may have blanks. The order is by score.
    Trec,
    /// `query document score`, a header line if there is one.
    Tsv,
    /// `query document rank`, as MS MARCO's evaluation has it; the score of rank r is 1 / r.
    Msmarco,
}

/// Handling of a document that occurs more than once for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Repeated {
    /// It is an error.
    #[default]
    Error,
    /// The first line counts.
    First,
    /// The highest score counts, as for passages of one document (MaxP).
    Max,
}

impl Repeated {
    /// Reads the argument `duplicates`; `None` for any other word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "error" => Some(Self::Error),
            "first" => Some(Self::First),
            "max" => Some(Self::Max),
            _ => None,
        }
    }
}

/// How to import pairs.
#[derive(Clone, Debug, Default)]
pub struct PairOptions {
    /// `trec`, `tsv`, `msmarco` or `auto`; empty is `auto`.
    pub format: String,
    /// Handling of a document that occurs twice for a query.
    pub repeated: Repeated,
    /// Replacement for white space in an id; `None`: white space separates columns.
    pub blanks: Option<String>,
}

impl PairOptions {
    /// Options with a format.
    pub fn format(format: &str) -> Self {
        Self { format: format.to_owned(), ..Self::default() }
    }

    fn wanted(&self) -> Result<Option<PairFormat>, Failure> {
        Ok(match self.format.as_str() {
            "auto" | "" | "parquet" | "csv" => None,
            "trec" => Some(PairFormat::Trec),
            "tsv" => Some(PairFormat::Tsv),
            "msmarco" => Some(PairFormat::Msmarco),
            other => {
                let found = place::quote(other);
                let expected = "`auto`, `trec`, `tsv`, `csv`, `msmarco` or `parquet`";
                return Err(Failure::wrong(format!("format: found {found}, expected {expected}")));
            }
        })
    }
}

/// What the third column without a name may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThirdColumn {
    /// Scores of a teacher: ranks are accepted only when `format` says so.
    Score,
    /// Scores or ranks of a run, decided from the whole file.
    ScoreOrRank,
}

/// The pairs of one query, in the order of the source.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryPairs {
    /// The query's id.
    pub query: String,
    /// Documents, each once, with finite scores.
    pub hits: Vec<Hit>,
}

impl QueryPairs {
    /// The same in the order of a run.
    ///
    /// # Errors
    /// None for groups that were imported.
    pub fn ranked(self) -> Result<RunQuery, Failure> {
        RunQuery::new(self.query, self.hits)
    }
}

/// Counts of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportedPairs {
    /// Number of queries.
    pub queries: u64,
    /// Number of (query, document) pairs.
    pub pairs: u64,
    /// Number of lines with an id outside the collection.
    pub unknown: u64,
}

/// Imports pairs; `begin` is called before the first group, and a second time when the file must be read again
/// (what was given to `each` before then is void).
///
/// With `auto`, the format follows from the number of columns, and whether a third column holds scores or ranks from all
/// its numbers. Columns of Parquet files are found by name. Lines that begin with `#` and are not a pair are comments.
///
/// # Errors
/// A line of another form, a score that is no finite number, numbers that may be scores or ranks, a document twice for
/// one query, an id that is not of the collection, a file without pairs; what `begin` and `each` return.
pub fn import(
    source: impl Into<Source>,
    options: &PairOptions,
    third: ThirdColumn,
    known: &Known,
    progress: &dyn Progress,
    begin: &mut dyn FnMut() -> Result<(), Failure>,
    each: &mut dyn FnMut(QueryPairs) -> Result<(), Failure>,
) -> Result<ImportedPairs, Failure> {
    let source: &Source = &source.into();
    let wanted = options.wanted()?;
    let nameless = match wanted {
        None => third_column(source, options, third)?,
        Some(_) => rows::Known::Score,
    };
    let mut found =
        Found { options, third, each, imported: ImportedPairs::default(), odd: PairCounts::default() };

    let reading = Reading { source, wanted, options, nameless };
    let mut checker = Checker::new(known);
    let mut notes = TableNotes::default();
    begin()?;
    let last = found.adjacent(reading, &mut checker, &mut notes, progress)?;
    let unknown = checker.finish(progress)?;
    match last {
        Last::Group(query, rows) => found.deliver(query, rows)?,
        Last::Nothing => {}
        Last::Scattered => {
            (found.imported, found.odd) = (ImportedPairs::default(), PairCounts::default());
            let all = reading.all(known, progress)?;
            begin()?;
            for (query, rows) in all {
                found.deliver(query, rows)?;
            }
        }
    }
    let (mut imported, odd) = (found.imported, found.odd);
    imported.unknown = unknown;
    if imported.pairs == 0 {
        let left = if unknown > 0 { ": every line has an id outside the collection" } else { "" };
        return Err(Failure::wrong(format!("{}: found no scores{left}", source.display()))
            .help("check that this is the right file"));
    }
    notes.tell(progress);
    odd.tell(options.repeated, progress);
    Ok(imported)
}

/// What a third column without a name holds in this file.
fn third_column(source: &Source, options: &PairOptions, third: ThirdColumn) -> Result<rows::Known, Failure> {
    let mut evidence = Evidence::default();
    let mut enough = false;
    each_part(source, &Silent, &mut |part| {
        if enough {
            return Ok(());
        }
        let ended = rows(part, None, options, &mut TableNotes::default(), &mut |row| {
            // Six columns, or columns with names, need no decision.
            let more = row.known.is_none() && evidence.add(row.file, row.line, row.query, row.number);
            Ok(if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        enough = ended.is_break();
        Ok(())
    })?;
    match (evidence.verdict()?, third) {
        (Verdict::Scores, _) => Ok(rows::Known::Score),
        (Verdict::Ranks, ThirdColumn::ScoreOrRank) => Ok(rows::Known::Rank),
        (Verdict::Ranks, ThirdColumn::Score) => Err(Failure::wrong(format!(
            "{}: found the numbers 1, 2, 3, … in this order for every query, which are ranks, expected scores",
            source.display()
        ))
        .help(
            "write `format = \"msmarco\"` to have 1 / rank as the score, or `format = \"tsv\"` when the numbers are scores",
        )),
    }
}

/// One reading of a source.
#[derive(Clone, Copy)]
struct Reading<'r> {
    source: &'r Source,
    wanted: Option<PairFormat>,
    options: &'r PairOptions,
    nameless: rows::Known,
}

/// Callback for a row: the row, its normalised query and document ids, its score.
type Take<'t> = &'t mut dyn FnMut(Row<'_>, &str, &str, f32) -> Result<(), Failure>;

impl Reading<'_> {
    /// The rows of all queries, in memory.
    fn all(self, known: &Known, progress: &dyn Progress) -> Result<IndexMap<String, Rows>, Failure> {
        let mut all: IndexMap<String, Rows> = IndexMap::new();
        let (mut checker, mut notes) = (Checker::new(known), TableNotes::default());
        self.read(&mut checker, &mut notes, progress, &mut |row, query, document, score| {
            match all.get_mut(query) {
                Some(rows) => rows.push(row, document, score),
                None => all.entry(query.to_owned()).or_default().push(row, document, score),
            }
            Ok(())
        })?;
        Ok(all)
    }

    fn read(
        self,
        checker: &mut Checker<'_>,
        notes: &mut TableNotes,
        progress: &dyn Progress,
        take: Take<'_>,
    ) -> Result<(), Failure> {
        let mut ids = TableNotes::default();
        each_part(self.source, progress, &mut |part| {
            rows(part, self.wanted, self.options, notes, &mut |row| {
                let score = row.score(row.known.unwrap_or(self.nameless))?;
                let at = (row.file, row.line);
                let blanks = self.options.blanks.as_deref();
                let query = ids.id(row.query, blanks, at);
                let document = ids.id(row.document, blanks, at);
                if checker.keep(row.file, row.line, &query, &[&document]) {
                    take(row, &query, &document, score)?;
                }
                Ok(ControlFlow::Continue(()))
            })
            .map(|_| ())
        })?;
        notes.absorb_ids(ids);
        Ok(())
    }
}

/// How the first pass over a source ended.
enum Last {
    /// With the last query, which is still to be delivered.
    Group(String, Rows),
    /// Without any row.
    Nothing,
    /// At a query whose rows are not adjacent.
    Scattered,
}

/// Passes the rows of each query on.
struct Found<'f> {
    options: &'f PairOptions,
    third: ThirdColumn,
    each: &'f mut dyn FnMut(QueryPairs) -> Result<(), Failure>,
    imported: ImportedPairs,
    odd: PairCounts,
}

impl Found<'_> {
    /// Delivers one query after another, as long as the rows of each are adjacent.
    fn adjacent(
        &mut self,
        reading: Reading<'_>,
        checker: &mut Checker<'_>,
        notes: &mut TableNotes,
        progress: &dyn Progress,
    ) -> Result<Last, Failure> {
        let mut seen: HashSet<String> = HashSet::new();
        let mut current: Option<(String, Rows)> = None;
        let mut scattered = false;
        reading.read(checker, notes, progress, &mut |row, query, document, score| {
            if scattered {
                return Ok(());
            }
            if let Some((_, rows)) = current.as_mut().filter(|c| c.0 == query) {
                rows.push(row, document, score);
                return Ok(());
            }
            if !seen.insert(query.to_owned()) {
                scattered = true;
                return Ok(());
            }
            let mut rows = Rows::default();
            rows.push(row, document, score);
            match current.replace((query.to_owned(), rows)) {
                Some((query, done)) => self.deliver(query, done),
                None => Ok(()),
            }
        })?;
        Ok(match current {
            _ if scattered => Last::Scattered,
            Some((query, rows)) => Last::Group(query, rows),
            None => Last::Nothing,
        })
    }

    fn deliver(&mut self, query: String, rows: Rows) -> Result<(), Failure> {
        if self.third == ThirdColumn::ScoreOrRank {
            self.odd.look(&query, &rows);
        }
        let hits = rows.hits(&query, self.options.repeated, &mut self.odd)?;
        self.imported.queries += 1;
        self.imported.pairs += hits.len() as u64;
        (self.each)(QueryPairs { query, hits })
    }
}

/// Counts for the caveats of the result.
#[derive(Debug, Default)]
struct PairCounts {
    /// Queries whose ranks contradict their scores.
    contradicted: Noted,
    /// Queries of several documents without ranks, and those of them that are listed from the lowest score up.
    listed: u64,
    rising: u64,
    /// Lines dropped because the document occurred before.
    repeated: Noted,
}

impl PairCounts {
    fn look(&mut self, query: &str, rows: &Rows) {
        if let Some((better, worse)) = rows.contradiction() {
            let shown = |i: usize| {
                let (hit, rank) = (&rows.hits[i], rows.ranks[i].unwrap_or_default());
                format!("document {} has rank {rank} and score {}", place::quote(&hit.document), hit.score)
            };
            self.contradicted
                .add(|| format!("query {}: {}, {}", place::quote(query), shown(better), shown(worse)));
        }
        if rows.ranks.iter().all(Option::is_none) && rows.hits.len() > 1 {
            self.listed += 1;
            let scores = || rows.hits.windows(2).map(|p| (p[0].score, p[1].score));
            self.rising += u64::from(scores().all(|(a, b)| a <= b) && scores().any(|(a, b)| a < b));
        }
    }

    fn tell(&self, repeated: Repeated, progress: &dyn Progress) {
        let cause = "queries have ranks that contradict their scores; the highest score counts as the best, as for \
                     trec_eval";
        self.contradicted.tell(CaveatKind::Doubt, cause, progress);
        if self.rising > 0 && self.rising == self.listed {
            let cause = "queries list their documents from the lowest score to the highest, as if the lowest were the \
                         best; the highest score counts as the best";
            progress.caveat(&Caveat::counted(CaveatKind::Doubt, self.rising, cause));
        }
        let kept = if repeated == Repeated::Max { "with the highest score" } else { "that stands first" };
        let cause = format!("lines rank a document again for the same query; the one {kept} was kept");
        self.repeated.tell(CaveatKind::Dropped, &cause, progress);
    }
}

/// Rows of one query, with where they came from.
#[derive(Debug, Default)]
struct Rows {
    hits: Vec<Hit>,
    ranks: Vec<Option<u32>>,
    lines: Vec<u64>,
    /// The first row of each file.
    files: Vec<(usize, String)>,
}

impl Rows {
    fn push(&mut self, row: Row<'_>, document: &str, score: f32) {
        if self.files.last().is_none_or(|(_, f)| f != row.file) {
            self.files.push((self.hits.len(), row.file.to_owned()));
        }
        self.hits.push(Hit { document: document.to_owned(), score });
        self.ranks.push(row.rank);
        self.lines.push(row.line);
    }

    fn origin(&self, i: usize) -> (&str, u64) {
        let after = self.files.partition_point(|(first, _)| *first <= i);
        (after.checked_sub(1).map_or("", |f| self.files[f].1.as_str()), self.lines[i])
    }

    /// Two rows of which the first has the better rank and the lower score.
    fn contradiction(&self) -> Option<(usize, usize)> {
        let mut order: Vec<(u32, usize)> =
            self.ranks.iter().enumerate().filter_map(|(i, r)| Some(((*r)?, i))).collect();
        order.sort_unstable();
        // The row with the lowest score among those of better ranks.
        let mut lowest: Option<usize> = None;
        for same in order.chunk_by(|a, b| a.0 == b.0) {
            let score = |i: usize| self.hits[i].score;
            if let Some(low) = lowest
                && let Some((_, worse)) = same.iter().find(|(_, i)| score(*i) > score(low))
            {
                return Some((low, *worse));
            }
            for (_, i) in same {
                lowest = Some(lowest.filter(|low| score(*low) <= score(*i)).unwrap_or(*i));
            }
        }
        None
    }

    /// The hits, each document once.
    fn hits(mut self, query: &str, repeated: Repeated, odd: &mut PairCounts) -> Result<Vec<Hit>, Failure> {
        let mut order: Vec<usize> = (0..self.hits.len()).collect();
        order.sort_unstable_by(|a, b| self.hits[*a].document.cmp(&self.hits[*b].document).then(a.cmp(b)));
        let again = order
            .windows(2)
            .filter(|p| self.hits[p[0]].document == self.hits[p[1]].document)
            .min_by_key(|p| p[1]);
        let Some(&[first, later]) = again else { return Ok(self.hits) };
        let document = place::quote(&self.hits[later].document);
        let (file, line) = self.origin(later);
        if repeated == Repeated::Error {
            let (before_file, before) = self.origin(first);
            let found = format!(
                "document {document} again for query {}, first at {before_file}:{before}",
                place::quote(query)
            );
            return Err(place::wrong_line(file, line, found, "each document once for a query").help(
                "remove one of the two lines, or write `duplicates = max` to keep the highest score of a document, or \
                 `duplicates = first` to keep its first line",
            ));
        }
        let example = format!("{}: document {document}", place::spot(file, line));
        let mut kept = vec![true; self.hits.len()];
        for same in order.chunk_by(|a, b| self.hits[*a].document == self.hits[*b].document) {
            let best = match repeated {
                Repeated::Max => same
                    .iter()
                    .copied()
                    .reduce(|a, b| if self.hits[b].score > self.hits[a].score { b } else { a }),
                _ => same.first().copied(),
            };
            for i in same.iter().filter(|i| Some(**i) != best) {
                kept[*i] = false;
                odd.repeated.add(|| example.clone());
            }
        }
        let mut kept = kept.into_iter();
        self.hits.retain(|_| kept.next().unwrap_or(true));
        Ok(self.hits)
    }
}

#[cfg(test)]
mod tests;
