//! Imports documents and queries of any of the field's formats into a store of texts.

mod notes;
mod record;
mod table;

use std::io::Read;
use std::path::Path;

use self::notes::Notes;
use self::record::{FieldRecord, Wanted};
use super::html::{html_text, sgml_document};
use super::json;
use super::lines::{Lines, MAX_LINE, decode};
use super::parquet_rows::ParquetRows;
use super::parts::{Part, each_part, read_failed};
use super::recognise::TextFormat;
use super::sgml::Blocks;
use super::source::Source;
use super::store_writer::{Duplicates, TextStoreWriter};
use super::topics;
use xpipe_base::place;
use xpipe_base::task::{Caveat, CaveatKind, Failure, Progress, cause};

/// The kind of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// Documents; a text may be empty.
    Corpus,
    /// Queries; an empty text is an error.
    Queries,
}

impl TextKind {
    fn formats(self) -> &'static [TextFormat] {
        match self {
            Self::Corpus => &[
                TextFormat::Jsonl,
                TextFormat::Tsv,
                TextFormat::Csv,
                TextFormat::Trec,
                TextFormat::Html,
                TextFormat::Parquet,
            ],
            Self::Queries => &[
                TextFormat::Jsonl,
                TextFormat::Tsv,
                TextFormat::Csv,
                TextFormat::Topics,
                TextFormat::Trec,
                TextFormat::Parquet,
            ],
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Corpus => "documents",
            Self::Queries => "queries",
        }
    }
}

/// How to import texts.
#[derive(Clone, Debug)]
pub struct TextOptions {
    /// `auto`, or a word of [`TextFormat`].
    pub format: String,
    /// The field that holds the id: of JSON and Parquet, a column of a table by its name or number, a tag or attribute of
    /// TREC documents. `None`: the first of the usual names.
    pub id: Option<String>,
    /// For JSON and Parquet: the fields whose texts are joined by a blank (empty: `title` and the text; for queries
    /// `text` or `query`). For tables: columns by name or number. For TREC documents: the tags whose text is taken
    /// (empty: all). For topics: the fields that are joined (empty: `title`, in XML also `query`, or the whole text of a
    /// topic without fields).
    pub fields: Vec<String>,
    /// Handling of ids that occur more than once.
    pub duplicates: Duplicates,
    /// Whether the first line of a table names its columns; `None`: decided from the line.
    pub header: Option<bool>,
    /// Whether everything after the first tab of a line is the text.
    pub tabs_in_text: bool,
    /// Replacement for white space in an id; `None`: white space in an id is an error.
    pub blanks: Option<String>,
    /// Handling of queries without text.
    pub empty: Empty,
}

/// Handling of queries without text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Empty {
    /// Error.
    #[default]
    Error,
    /// They are dropped.
    Drop,
    /// They are kept, and retrieve nothing.
    Keep,
}

impl Empty {
    /// Reads the argument `empty`; `None` for any other word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "error" => Some(Self::Error),
            "drop" => Some(Self::Drop),
            "keep" => Some(Self::Keep),
            _ => None,
        }
    }
}

impl Default for TextOptions {
    fn default() -> Self {
        Self {
            format: "auto".into(),
            id: None,
            fields: Vec::new(),
            duplicates: Duplicates::Error,
            header: None,
            tabs_in_text: false,
            blanks: None,
            empty: Empty::Error,
        }
    }
}

/// Counts of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Number of texts.
    pub texts: u64,
    /// Bytes of text read.
    pub bytes: u64,
    /// Texts left out because their id was there more than once.
    pub left_out: u64,
    /// Files, members of archives counted one by one.
    pub files: u64,
}

/// Imports texts from a file, folder or archive into a store in the folder `out`.
///
/// # Errors
/// An error in the files, with file and line; a full disk; cancellation.
pub fn import(
    source: impl Into<Source>,
    what: TextKind,
    options: &TextOptions,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Imported, Failure> {
    let source: &Source = &source.into();
    let wanted = TextFormat::parse(&options.format, what.formats())?;
    let mut writer = TextStoreWriter::create(out)?;
    let mut first: Option<(TextFormat, String)> = None;
    let mut notes = Notes::default();
    let files = each_part(source, progress, &mut |part| {
        if part.head.is_empty() && !matches!(part.suffix().as_str(), "html" | "htm" | "xhtml") {
            return Ok(());
        }
        let told = TextFormat::of(&part, wanted, what.formats())?;
        match &first {
            Some((format, file)) if *format != told => {
                let found = format!("format `{}`", told.word());
                let expected = format!("`{}` as in {file}", format.word());
                return Err(place::wrong_line(part.name, 1, found, expected)
                    .help("import files of different formats as different collections"));
            }
            Some(_) => {}
            None => first = Some((told, part.name.to_owned())),
        }
        let file = part.name.to_owned();
        let mut emit = |id: &str, text: &str, line: u64, notes: &mut Notes| {
            if what == TextKind::Queries && text.trim().is_empty() {
                if options.empty == Empty::Error {
                    let found = format!("the query {} with an empty text", place::quote(id));
                    return Err(place::wrong_line(&file, line, found, "a text").help(
                        "remove the query, or give it a text; `empty = drop` leaves such queries out, `empty = keep` keeps \
                         them",
                    ));
                }
                notes.empty.add(|| format!("{}: {}", place::spot(&file, line), place::quote(id)));
                if options.empty == Empty::Drop {
                    return Ok(());
                }
            }
            let id = notes.table.id(id, options.blanks.as_deref(), (&file, line));
            writer.push(&id, text, &file, line)
        };
        Reading { what, options }.part(part, told, &mut notes, &mut emit)
    })?;
    notes.tell(options.empty == Empty::Keep, progress);
    if writer.is_empty() {
        return Err(Failure::wrong(format!("{}: found no {}", source.display(), what.noun()))
            .help("check that this is the right file"));
    }
    let (texts, bytes) = (writer.len() as u64, writer.text_bytes());
    let left_out = writer.finish_with(options.duplicates)?;
    if left_out > 0 {
        progress.caveat(&Caveat::counted(CaveatKind::Dropped, left_out, cause::REPEATED_IDS));
    }
    Ok(Imported { texts: texts - left_out, bytes, files, left_out })
}

type Emit<'e> = &'e mut dyn FnMut(&str, &str, u64, &mut Notes) -> Result<(), Failure>;

#[derive(Clone, Copy)]
struct Reading<'o> {
    what: TextKind,
    options: &'o TextOptions,
}

impl<'o> Reading<'o> {
    fn part(
        self,
        part: Part<'_>,
        format: TextFormat,
        notes: &mut Notes,
        emit: Emit<'_>,
    ) -> Result<(), Failure> {
        if !matches!(format, TextFormat::Tsv | TextFormat::Csv)
            && (self.options.header.is_some() || self.options.tabs_in_text)
        {
            let given = if self.options.tabs_in_text { "tabs" } else { "header" };
            let found = format!("format `{}`", format.word());
            return Err(place::wrong_line(part.name, 1, found, format!("a table, as `{given}` says"))
                .help("leave the argument out"));
        }
        match format {
            TextFormat::Jsonl => self.jsonl(part, notes, emit),
            TextFormat::Tsv => table::tabs(part, self.wanted(), self.options, notes, emit),
            TextFormat::Csv => table::commas(part, self.wanted(), self.options, notes, emit),
            TextFormat::Trec => self.documents(part, notes, emit),
            TextFormat::Topics => self.topics(part, notes, emit),
            TextFormat::Html => self.html(part, notes, emit),
            TextFormat::Parquet => self.parquet(&part, notes, emit),
        }
    }

    fn wanted(self) -> Wanted<'o> {
        Wanted { what: self.what, id: self.options.id.as_deref(), fields: &self.options.fields }
    }

    fn jsonl(self, part: Part<'_>, notes: &mut Notes, emit: Emit<'_>) -> Result<(), Failure> {
        let wanted = self.wanted();
        let names = wanted.names();
        let mut lines = Lines::new(part);
        while let Some(line) = lines.next()? {
            if line.is_blank() {
                continue;
            }
            let (found, repaired) = json::object(&line, &names)?;
            notes.repaired(line.file, line.number, repaired);
            let has = || json::names(&line);
            let record =
                FieldRecord { file: line.file, line: line.number, wanted: &names, found: &found, has: &has };
            let (id, text) = wanted.read(&record, notes)?;
            emit(&id, &text, line.number, notes)?;
        }
        Ok(())
    }

    fn parquet(self, part: &Part<'_>, notes: &mut Notes, emit: Emit<'_>) -> Result<(), Failure> {
        let wanted = self.wanted();
        let names = wanted.names();
        let mut rows = ParquetRows::open(part)?;
        while let Some(row) = rows.next(&names)? {
            let has = || rows.names();
            let record = FieldRecord {
                file: part.name,
                line: row.number,
                wanted: &names,
                found: &row.fields,
                has: &has,
            };
            let (id, text) = wanted.read(&record, notes)?;
            emit(&id, &text, row.number, notes)?;
        }
        Ok(())
    }

    fn documents(self, part: Part<'_>, notes: &mut Notes, emit: Emit<'_>) -> Result<(), Failure> {
        let tags: Vec<String> = self.options.fields.iter().map(|f| f.to_ascii_lowercase()).collect();
        let chosen = self.options.id.as_ref().map(|id| id.to_ascii_lowercase());
        let ids: Vec<&str> = chosen.as_deref().map_or_else(|| vec!["docno", "docid"], |id| vec![id]);
        let mut lines = Lines::new(part);
        let name = lines.name();
        let mut blocks = Blocks::new(&mut lines, "doc");
        while let Some(block) = blocks.block()? {
            if !block.utf8 {
                notes.decoded.add(|| place::spot(name, block.line));
            }
            let document = |id: &str| sgml_document(&block.text, &tags, id);
            let filled = |id: &Option<String>| id.as_ref().is_some_and(|id| !id.is_empty());
            let mut found = ids.iter().map(|id| document(id)).find(|d| filled(&d.id)).unwrap_or_else(|| {
                // Without a tag for it, the id may be an attribute of `<DOC>`.
                let names = chosen.as_deref().map_or_else(|| vec!["id", "docno", "docid"], |id| vec![id]);
                let id = names.iter().find_map(|n| topics::attribute(&block.attributes, n));
                super::html::SgmlDocument { id, ..document(ids[0]) }
            });
            let id = found.id.take().filter(|id| !id.is_empty()).ok_or_else(|| {
                let expected = match &chosen {
                    None => "`<DOCNO> id </DOCNO>` inside".to_owned(),
                    Some(id) => format!("`<{id}> id </{id}>` inside, or the attribute"),
                };
                place::wrong_line(name, block.line, "`<DOC>` without an id", expected)
                    .help("name the tag or attribute that holds the id, `id = \"…\"`")
            })?;
            emit(&id, &found.text, block.line, notes)?;
        }
        Ok(())
    }

    fn topics(self, part: Part<'_>, notes: &mut Notes, emit: Emit<'_>) -> Result<(), Failure> {
        if let Some(id) = &self.options.id {
            let found = format!("id = {}", place::quote(id));
            return Err(place::wrong_line(part.name, 1, found, "none: the id of a topic is its number")
                .help("leave the argument out"));
        }
        let xml = topics::is_xml(&decode(part.head));
        let mut lines = Lines::new(part);
        let name = lines.name();
        let mut blocks = Blocks::new(&mut lines, if xml { "topic" } else { "top" });
        while let Some(block) = blocks.block()? {
            if !block.utf8 {
                notes.decoded.add(|| place::spot(name, block.line));
            }
            let read = if xml { topics::xml } else { topics::classic };
            let topic = read(&block.attributes, &block.text);
            let get = |wanted: &str| topic.field(wanted);
            let missing = |wanted: &str| {
                let found = format!("a topic with {}", topic.names());
                place::wrong_line(name, block.line, found, format!("{wanted} too"))
                    .help("choose a field that all topics have")
            };
            let id =
                topic.id().ok_or_else(|| missing(if xml { "an attribute `number`" } else { "`<num>`" }))?;
            let text = match self.options.fields.as_slice() {
                [] if xml => topic.query().map(str::to_owned),
                [] => get("title").map(str::to_owned),
                fields => {
                    let texts = fields.iter().map(|f| get(f).ok_or_else(|| missing(&format!("`<{f}>`"))));
                    Some(texts.collect::<Result<Vec<&str>, Failure>>()?.join(" "))
                }
            };
            let text =
                text.ok_or_else(|| missing(if xml { "`<title>` or `<query>`" } else { "`<title>`" }))?;
            let title = ["title".to_owned()];
            let read = if self.options.fields.is_empty() { &title[..] } else { &self.options.fields };
            if let Some(twice) = read.iter().find(|f| topic.repeats(f)) {
                notes.repeated.add(|| format!("{}: `<{twice}>`", place::spot(name, block.line)));
            }
            emit(id, text.trim(), block.line, notes)?;
        }
        Ok(())
    }

    fn html(self, part: Part<'_>, notes: &mut Notes, emit: Emit<'_>) -> Result<(), Failure> {
        let given = self.options.fields.iter().chain(&self.options.id).next();
        if given.is_some() {
            let found = format!("fields {}", self.options.fields.join(", "));
            return Err(place::wrong_line(
                part.name,
                1,
                found,
                "none: an HTML document has no named fields, and its id is \
                 the file's name",
            )
            .help("leave the argument out"));
        }
        let id = part.stem().to_owned();
        let Part { name, reader, meter, .. } = part;
        let mut bytes = Vec::new();
        reader.take(MAX_LINE + 1).read_to_end(&mut bytes).map_err(|e| read_failed(name, None, e))?;
        if bytes.len() as u64 > MAX_LINE {
            let found = format!("more than {} MiB", MAX_LINE >> 20);
            return Err(place::wrong_line(name, 1, found, "one document a file"));
        }
        meter.check()?;
        if std::str::from_utf8(&bytes).is_err() {
            notes.decoded.add(|| place::spot(name, 1));
        }
        emit(&id, &html_text(&decode(&bytes)), 1, notes)
    }
}

#[cfg(test)]
mod tests;
