//! Rows of scored pairs, one after another: lines of text, or a Parquet file with columns by name.

mod parquet;

use std::ops::ControlFlow;

use super::super::columns::Separator;
use super::super::lines::{Line, Lines};
use super::super::names::{Role, role};
use super::super::noted::TableNotes;
use super::super::order::parse_score;
use super::super::parts::Part;
use super::{PairFormat, PairOptions};
use xpipe_base::place;
use xpipe_base::task::Failure;
use xpipe_base::value::human;

/// One pair.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'l> {
    pub(super) file: &'l str,
    pub(super) line: u64,
    pub(super) query: &'l str,
    pub(super) document: &'l str,
    /// The rank in a column of its own.
    pub(super) rank: Option<u32>,
    /// The score, or the rank used in its place, as written.
    pub(super) number: &'l str,
    /// Whether `number` is known to be a score or a rank; `None`: a third column without a name.
    pub(super) known: Option<Known>,
}

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Score,
    Rank,
}

impl Row<'_> {
    /// The score: the number itself, or 1 / rank.
    pub(super) fn score(&self, read_as: Known) -> Result<f32, Failure> {
        let wrong = |found: String, expected: &str| place::wrong_line(self.file, self.line, found, expected);
        let shown = place::quote(self.number);
        match read_as {
            Known::Rank => rank_score(self.number).ok_or_else(|| {
                wrong(format!("the rank {shown}"), "a whole number from 1 up")
                    .help("write `format = tsv` when the third column is a score")
            }),
            Known::Score => parse_score(self.number).ok_or_else(|| {
                wrong(format!("the score {shown}"), "a finite number")
                    .help("remove the line, or have the program that wrote it write a number")
            }),
        }
    }
}

/// A score in the order of ranks: 1 / rank.
fn rank_score(rank: &str) -> Option<f32> {
    rank.parse::<u32>().ok().filter(|r| (1..1 << 22).contains(r)).map(|r| 1.0 / r as f32)
}

/// Callback for each row; a break ends reading.
pub(super) type Each<'e> = &'e mut dyn FnMut(Row<'_>) -> Result<ControlFlow<()>, Failure>;

/// Where the columns of a line are.
#[derive(Clone, Copy, Debug)]
struct Columns {
    /// How many there are; a run's tag may have blanks.
    width: usize,
    query: usize,
    document: usize,
    rank: Option<usize>,
    number: usize,
    known: Option<Known>,
}

impl Columns {
    fn of(format: PairFormat) -> Self {
        let three = Self { width: 3, query: 0, document: 1, rank: None, number: 2, known: None };
        match format {
            PairFormat::Tsv => Self { known: Some(Known::Score), ..three },
            PairFormat::Msmarco => Self { known: Some(Known::Rank), ..three },
            PairFormat::Trec => {
                Self { width: 6, query: 0, document: 2, rank: Some(3), number: 4, known: Some(Known::Score) }
            }
        }
    }

    fn by_width(columns: usize) -> Option<Self> {
        match columns {
            3 => Some(Self { known: None, ..Self::of(PairFormat::Tsv) }),
            6.. => Some(Self::of(PairFormat::Trec)),
            _ => None,
        }
    }

    fn fit(&self, columns: usize) -> bool {
        if self.width == 6 { columns >= 6 } else { columns == self.width }
    }

    /// The columns of a first line that names them; `None` when it does not.
    fn named(columns: &[&str]) -> Option<Self> {
        let roles: Vec<Option<Role>> = columns.iter().map(|c| role(c)).collect();
        let at = |wanted: Role| roles.iter().position(|r| *r == Some(wanted));
        let number = at(Role::Score).or_else(|| at(Role::Grade));
        let rank = at(Role::Rank);
        let (query, document) = match (at(Role::Query), at(Role::Document)) {
            (Some(query), Some(document)) => (query, document),
            // Only the last column has a name that is known: the usual order.
            (None, None) if columns.len() == 3 && (number.or(rank)) == Some(2) => (0, 1),
            _ => return None,
        };
        let (number, known, rank) = match (number, rank) {
            (Some(number), rank) => (number, Known::Score, rank),
            (None, Some(rank)) => (rank, Known::Rank, None),
            (None, None) => return None,
        };
        Some(Self { width: columns.len(), query, document, rank, number, known: Some(known) })
    }
}

/// Reads the rows of a part. Returns a break when the callback ended reading.
pub(super) fn rows(
    part: Part<'_>,
    wanted: Option<PairFormat>,
    options: &PairOptions,
    notes: &mut TableNotes,
    each: Each<'_>,
) -> Result<ControlFlow<()>, Failure> {
    if part.head.starts_with(b"PAR1") {
        return parquet::rows(&part, each);
    }
    let file = part.name.to_owned();
    let separator = Separator::of(&part, &options.format, options.blanks.is_some());
    let mut lines = Lines::new(part);
    let mut layout = wanted.map(Columns::of);
    let mut first = true;
    while let Some(line) = lines.next()? {
        if line.is_blank() {
            continue;
        }
        let text = line.text()?;
        let mut columns = Vec::with_capacity(6);
        separator.columns(text, &mut columns);
        let fits = layout.or_else(|| Columns::by_width(columns.len())).filter(|l| l.fit(columns.len()));
        let is_number = fits.is_some_and(|l| columns[l.number].parse::<f64>().is_ok());
        if text.starts_with('#') && !is_number {
            notes.comment(line.file, line.number, text);
            continue;
        }
        if std::mem::take(&mut first)
            && !is_number
            && let Some(named) = Columns::named(&columns)
            && wanted.is_none_or(|w| named.known == Columns::of(w).known)
        {
            layout = Some(named);
            continue;
        }
        let Some(at) = fits else { return Err(off(&line, text, columns.len(), wanted, layout)) };
        layout = Some(at);
        let row = Row {
            file: &file,
            line: line.number,
            query: columns[at.query],
            document: columns[at.document],
            rank: at.rank.and_then(|r| columns[r].parse().ok()),
            number: columns[at.number],
            known: at.known,
        };
        if each(row)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn off(
    line: &Line<'_>,
    text: &str,
    n: usize,
    wanted: Option<PairFormat>,
    layout: Option<Columns>,
) -> Failure {
    let found = format!("{} in {}", place::count(n, "column"), place::quote(text));
    let trec = "6 columns: query, Q0, document, rank, score, tag";
    let tsv = "3 columns: query, document, score";
    let ranks = "3 columns: query, document, rank";
    let expected = match (wanted, layout) {
        (Some(PairFormat::Msmarco), _) => ranks.into(),
        (Some(PairFormat::Trec), _) | (None, Some(Columns { width: 6, .. })) => trec.into(),
        (Some(PairFormat::Tsv), _) | (None, Some(Columns { width: 3, .. })) => tsv.into(),
        (None, Some(Columns { width, .. })) => {
            format!("{}, as the first line names them", human::counted(width, "columns"))
        }
        (None, None) => format!("{trec}; or {tsv}"),
    };
    line.wrong(found, expected).help("columns are separated by tabs or blanks")
}
