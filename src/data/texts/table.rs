//! Texts in tables: columns separated by tabs, or by commas with quotes.

use std::borrow::Cow;

use super::super::json::Field;
use super::super::lines::{Lines, MAX_LINE};
use super::super::parts::{Part, read_failed};
use super::notes::Notes;
use super::record::{FieldRecord, Wanted};
use super::{Emit, TextOptions};
use xpipe_base::place;
use xpipe_base::task::Failure;
use xpipe_base::value::human;

/// Where the columns of a table are.
#[derive(Clone, Debug)]
enum Layout {
    /// By position: the id, the texts, the number of columns.
    Places { id: usize, texts: Vec<usize>, width: usize },
    /// By the names of the first line.
    Names(Vec<String>),
    /// The id, and everything after the first tab.
    Rest,
}

/// Reads a table with tabs. Columns are never quoted.
pub(super) fn tabs(
    part: Part<'_>,
    wanted: Wanted<'_>,
    options: &TextOptions,
    notes: &mut Notes,
    emit: Emit<'_>,
) -> Result<(), Failure> {
    let mut lines = Lines::new(part);
    let mut layout = None;
    while let Some(line) = lines.next()? {
        if line.is_blank() {
            continue;
        }
        let text = line.text()?;
        let columns: Vec<&str> = text.split('\t').collect();
        row(&columns, (line.file, line.number), &mut layout, wanted, options, notes, emit)?;
    }
    Ok(())
}

/// Reads a table with commas. **Source:** RFC 4180; quotes are doubled inside quotes, and ends of lines may stand there.
///
/// The crate csv would read a record of any size, so this uses the parser below it.
pub(super) fn commas(
    part: Part<'_>,
    wanted: Wanted<'_>,
    options: &TextOptions,
    notes: &mut Notes,
    emit: Emit<'_>,
) -> Result<(), Failure> {
    use csv_core::ReadRecordResult as R;
    let Part { name, reader, meter, .. } = part;
    let mut csv = csv_core::Reader::new();
    let mut layout = None;
    let (mut bytes, mut ends) = (vec![0; 1 << 12], vec![0; 16]);
    let (mut filled, mut columns) = (0, 0);
    let mut line = 1;
    loop {
        let input = reader.fill_buf().map_err(|e| read_failed(name, Some(line), e))?;
        let (told, taken, written, ended) =
            csv.read_record(input, &mut bytes[filled..], &mut ends[columns..]);
        reader.consume(taken);
        (filled, columns) = (filled + written, columns + ended);
        match told {
            R::InputEmpty => {}
            R::OutputFull if bytes.len() as u64 >= MAX_LINE => {
                let found = format!("a record of more than {} MiB", MAX_LINE >> 20);
                return Err(place::wrong_line(name, line, found, "one record, with its quotes closed"));
            }
            R::OutputFull => bytes.resize(2 * bytes.len(), 0),
            R::OutputEndsFull if ends.len() >= MAX_COLUMNS => {
                let found = format!("more than {MAX_COLUMNS} columns");
                return Err(place::wrong_line(name, line, found, "one record"));
            }
            R::OutputEndsFull => ends.resize(2 * ends.len(), 0),
            R::Record => {
                meter.check()?;
                let text = std::str::from_utf8(&bytes[..filled]).map_err(|_| {
                    place::wrong_line(name, line, "text that is not UTF-8", "UTF-8 text")
                        .help("convert the file, for instance with `iconv -f WINDOWS-1252 -t UTF-8`")
                })?;
                let starts = std::iter::once(&0).chain(&ends);
                let fields: Option<Vec<&str>> =
                    starts.zip(&ends[..columns]).map(|(start, end)| text.get(*start..*end)).collect();
                let fields = fields.ok_or_else(|| {
                    place::wrong_line(name, line, "a column that is not UTF-8", "UTF-8 text")
                })?;
                row(&fields, (name, line), &mut layout, wanted, options, notes, emit)?;
                (filled, columns) = (0, 0);
                line = csv.line();
            }
            R::End => return Ok(()),
        }
    }
}

/// A record of more columns is refused.
const MAX_COLUMNS: usize = 1 << 16;

fn row(
    columns: &[&str],
    (file, line): (&str, u64),
    layout: &mut Option<Layout>,
    wanted: Wanted<'_>,
    options: &TextOptions,
    notes: &mut Notes,
    emit: Emit<'_>,
) -> Result<(), Failure> {
    let layout = match layout {
        Some(layout) => layout,
        None => {
            let (told, is_header) = Layout::tell(columns, (file, line), wanted, options, notes)?;
            let layout = layout.insert(told);
            if is_header {
                return Ok(());
            }
            layout
        }
    };
    let at = (file, line);
    let (id, text) = match layout {
        Layout::Rest => first_tab(columns, at)?,
        Layout::Places { id, texts, width } => by_place(columns, at, (*id, texts, *width))?,
        Layout::Names(names) => by_name(columns, at, names, wanted, notes)?,
    };
    emit(id.trim(), &text, line, notes)
}

/// The id, and everything after the first tab.
fn first_tab<'c>(columns: &[&'c str], at: (&str, u64)) -> Result<(Cow<'c, str>, String), Failure> {
    match columns {
        [id, text @ ..] if !text.is_empty() => Ok(((*id).into(), text.join("\t"))),
        _ => Err(off(columns, at, "an id, a tab, and the text")),
    }
}

/// The number of columns without empty ones at the end.
fn filled(columns: &[&str]) -> usize {
    columns.iter().rposition(|c| !c.is_empty()).map_or(0, |i| i + 1)
}

fn by_place<'c>(
    columns: &[&'c str],
    at: (&str, u64),
    (id, texts, width): (usize, &[usize], usize),
) -> Result<(Cow<'c, str>, String), Failure> {
    // Tabs at the end of a line are ignored.
    if columns.len() < width || filled(columns) > width {
        let expected = match width {
            2 => "2 columns separated by a tab: id, text".to_owned(),
            _ => format!("{} as in the first line", human::counted(width, "columns")),
        };
        return Err(off(columns, at, &expected));
    }
    let texts: Vec<&str> = texts.iter().map(|i| columns[*i]).filter(|t| !t.is_empty()).collect();
    Ok((columns[id].into(), texts.join(" ")))
}

fn by_name(
    columns: &[&str],
    (file, line): (&str, u64),
    names: &[String],
    wanted: Wanted<'_>,
    notes: &mut Notes,
) -> Result<(Cow<'static, str>, String), Failure> {
    if columns.len() < names.len() || filled(columns) > names.len() {
        let expected = format!("{}, as the first line names them", place::count(names.len(), "column"));
        return Err(off(columns, (file, line), &expected));
    }
    let wanted_names = wanted.names();
    let at = |name: &&str| {
        let i = names.iter().position(|n| n.eq_ignore_ascii_case(name))?;
        Some(Field::Text(columns.get(i).copied().unwrap_or_default().to_owned()))
    };
    let found: Vec<Option<Field>> = wanted_names.iter().map(at).collect();
    let has = || listed(names);
    let record = FieldRecord { file, line, wanted: &wanted_names, found: &found, has: &has };
    let (id, text) = wanted.read(&record, notes)?;
    Ok((id.into(), text))
}

fn listed(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|n| place::quote(n)).collect();
    format!("the columns {}", names.join(", "))
}

fn off(columns: &[&str], (file, line): (&str, u64), expected: &str) -> Failure {
    let shown = place::quote(&columns.join("\t"));
    let found = format!("{} in {shown}", place::count(columns.len(), "column"));
    place::wrong_line(file, line, found, expected).help(
        "write `tabs = text` when tabs belong to the text, `fields = [\"3\", \"4\"]` to take columns by their number (`id = \
         \"1\"` is the first), or `header = true` when the first line names the columns",
    )
}

/// The columns that the study names, by name or number.
fn given(wanted: Wanted<'_>) -> Vec<&str> {
    wanted.id.into_iter().chain(wanted.fields.iter().map(String::as_str)).collect()
}

fn not_named(columns: &[&str], at: (&str, u64), missing: &str) -> Failure {
    let columns: Vec<String> = columns.iter().map(|c| (*c).to_owned()).collect();
    let expected = format!("a first line that names a column {}", place::quote(missing));
    place::wrong_line(at.0, at.1, listed(&columns), expected)
        .help("without such a line, name columns by their number: `\"1\"` is the first")
}

fn doubtful_header(columns: &[&str], at: (&str, u64)) -> Failure {
    let found = format!("the first line {}", place::quote(&columns.join("\t")));
    place::wrong_line(at.0, at.1, found, "to know whether it names the columns")
        .help("write `header = true` when it does, or `header = false` when it is a record like the others")
}

impl Layout {
    /// The layout that follows from the first line, and whether that line only names columns.
    fn tell(
        columns: &[&str],
        at: (&str, u64),
        wanted: Wanted<'_>,
        options: &TextOptions,
        notes: &mut Notes,
    ) -> Result<(Self, bool), Failure> {
        if Self::has_header(columns, at, wanted, options, notes)? {
            Ok((Self::of_header(columns, at, wanted)?, true))
        } else if options.tabs_in_text {
            Ok((Self::Rest, false))
        } else {
            Ok((Self::places(columns, wanted, at)?, false))
        }
    }

    /// Whether the first line names the columns: as the study says, or decided from the names that it has.
    fn has_header(
        columns: &[&str],
        at: (&str, u64),
        wanted: Wanted<'_>,
        options: &TextOptions,
        notes: &mut Notes,
    ) -> Result<bool, Failure> {
        if let Some(header) = options.header {
            return Ok(header);
        }
        let given = given(wanted);
        if given.iter().any(|g| g.parse::<usize>().is_err()) {
            let has = |name: &str| columns.iter().any(|c| c.trim().eq_ignore_ascii_case(name));
            return match given.iter().find(|g| !has(g)) {
                Some(missing) => Err(not_named(columns, at, missing)),
                None => Ok(true),
            };
        }
        let is_id = |c: &&str| wanted.is_id(c.trim());
        let fields = columns.iter().filter(|c| !is_id(c)).all(|c| wanted.is_field(c.trim()));
        let known = is_id(&columns[0]) || fields && columns.iter().any(is_id);
        let several = columns.len() > 1;
        if several && given.is_empty() && known && fields {
            let line = || format!("{}: {}", place::spot(at.0, at.1), place::quote(&columns.join("\t")));
            notes.headers.add(line);
            return Ok(true);
        }
        let words = columns.len() == 2 && !columns[0].contains(|c: char| c.is_ascii_digit());
        if several && (known || words && wanted.is_field(columns[1].trim())) {
            return Err(doubtful_header(columns, at));
        }
        Ok(false)
    }

    /// The layout of a table whose first line names the columns.
    fn of_header(columns: &[&str], at: (&str, u64), wanted: Wanted<'_>) -> Result<Self, Failure> {
        let names: Vec<String> = columns.iter().map(|c| c.trim().to_owned()).collect();
        let repeated = names.iter().enumerate().find(|(i, n)| !n.is_empty() && names[..*i].contains(n));
        if let Some((_, name)) = repeated {
            let found = format!("two columns {}", place::quote(name));
            return Err(place::wrong_line(at.0, at.1, found, "a different name for each column"));
        }
        let given = given(wanted);
        let two = names.len() == 2;
        // The first of two columns is the id, the second the text, whatever their names.
        if given.is_empty() && two && !names.iter().any(|n| wanted.is_id(n)) {
            return Ok(Self::Places { id: 0, texts: vec![1], width: 2 });
        }
        let position = |text: &str| text.parse::<usize>().ok().filter(|n| (1..=columns.len()).contains(n));
        if given.iter().all(|g| position(g).is_some()) && !given.is_empty() {
            return Self::places(columns, wanted, at);
        }
        let is_id = |n: &String| wanted.id.map_or_else(|| wanted.is_id(n), |id| n == id);
        match names.iter().position(is_id) {
            Some(id) if two && wanted.fields.is_empty() => {
                Ok(Self::Places { id, texts: vec![1 - id], width: 2 })
            }
            _ => Ok(Self::Names(names)),
        }
    }

    /// Columns by their numbers.
    fn places(columns: &[&str], wanted: Wanted<'_>, at: (&str, u64)) -> Result<Self, Failure> {
        let width = columns.len();
        let place = |text: &str| {
            text.parse::<usize>().ok().filter(|n| (1..=width).contains(n)).map(|n| n - 1).ok_or_else(|| {
                let found = place::count(width, "column");
                place::wrong_line(at.0, at.1, found, format!("a column {}", place::quote(text)))
                    .help("columns are numbered from 1")
            })
        };
        let id = wanted.id.map_or(Ok(0), place)?;
        if !wanted.fields.is_empty() {
            let texts = wanted.fields.iter().map(|f| place(f)).collect::<Result<Vec<_>, _>>()?;
            return Ok(Self::Places { id, texts, width });
        }
        let filled = columns.iter().rposition(|c| !c.is_empty()).map_or(0, |i| i + 1).max(2);
        if width >= 2 && filled == 2 && id < 2 {
            return Ok(Self::Places { id, texts: vec![1 - id], width: 2 });
        }
        Err(off(columns, at, "2 columns separated by a tab: id, text"))
    }
}
