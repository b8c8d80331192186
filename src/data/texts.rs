//! Imports documents and queries of any of the field's formats into a store of texts.

use std::io::Read;
use std::path::Path;

use super::html::{html_text, sgml_document};
use super::json::{self, Field};
use super::lines::{Lines, MAX_LINE, decode};
use super::parts::{Part, each_part, read_failed};
use super::place;
use super::recognise::TextFormat;
use super::sgml::Blocks;
use super::store_writer::{Duplicates, TextStoreWriter};
use super::topics;
use crate::task::{Caveat, CaveatKind, Failure, Progress, cause};

/// What is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Documents; a text may be empty.
    Corpus,
    /// Queries; an empty text is an error.
    Queries,
}

impl What {
    fn formats(self) -> &'static [TextFormat] {
        match self {
            Self::Corpus => {
                &[TextFormat::Jsonl, TextFormat::Tsv, TextFormat::Trec, TextFormat::Html, TextFormat::Parquet]
            }
            Self::Queries => &[
                TextFormat::Jsonl,
                TextFormat::Tsv,
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
    /// For JSON and Parquet: the fields whose texts are joined by a blank (empty: `title` and `text`; for queries
    /// `text` or `query`). For TREC documents: the tags whose text is taken (empty: all). For topics: the fields that
    /// are joined (empty: `title`, in XML also `query`, or the whole text of a topic without fields).
    pub fields: Vec<String>,
    /// What happens with ids that are there twice.
    pub duplicates: Duplicates,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { format: "auto".into(), fields: Vec::new(), duplicates: Duplicates::Error }
    }
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Texts.
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
/// What is wrong in the files, by file and line; a full disk; a stop that was asked for.
pub fn import(
    source: &Path,
    what: What,
    options: &TextOptions,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Imported, Failure> {
    let wanted = TextFormat::parse(&options.format, what.formats())?;
    let mut writer = TextStoreWriter::create(out)?;
    let mut first: Option<(TextFormat, String)> = None;
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
        let mut emit = |id: &str, text: &str, line: u64| {
            if what == What::Queries && text.trim().is_empty() {
                let found = format!("the query {} with an empty text", place::quote(id));
                return Err(place::wrong_line(&file, line, found, "a text")
                    .help("remove the query, or give it a text"));
            }
            writer.push(id, text, &file, line)
        };
        Reading { what, fields: &options.fields }.part(part, told, &mut emit)
    })?;
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

type Emit<'e> = &'e mut dyn FnMut(&str, &str, u64) -> Result<(), Failure>;

/// Fields that hold an id, in the order they are looked for.
const IDS: [&str; 4] = ["_id", "id", "docid", "docno"];

#[derive(Clone, Copy)]
struct Reading<'f> {
    what: What,
    fields: &'f [String],
}

impl Reading<'_> {
    fn part(self, part: Part<'_>, format: TextFormat, emit: Emit<'_>) -> Result<(), Failure> {
        match format {
            TextFormat::Jsonl => self.jsonl(part, emit),
            TextFormat::Tsv => self.tsv(part, emit),
            TextFormat::Trec => self.documents(part, emit),
            TextFormat::Topics => self.topics(part, emit),
            TextFormat::Html => self.html(part, emit),
            TextFormat::Parquet => self.parquet(&part, emit),
        }
    }

    fn no_fields(self, part: &Part<'_>, format: &str) -> Result<(), Failure> {
        if self.fields.is_empty() {
            return Ok(());
        }
        let found = format!("fields {}", self.fields.join(", "));
        Err(place::wrong_line(part.name, 1, found, format!("none: {format} has no named fields"))
            .help("leave the argument out"))
    }

    /// The fields that hold a text, in the order they are looked for.
    fn text_fields(&self) -> Vec<&str> {
        match self.what {
            _ if !self.fields.is_empty() => self.fields.iter().map(String::as_str).collect(),
            What::Corpus => vec!["title", "text", "contents"],
            What::Queries => vec!["text", "query"],
        }
    }

    fn jsonl(self, part: Part<'_>, emit: Emit<'_>) -> Result<(), Failure> {
        let texts = self.text_fields();
        let wanted: Vec<&str> = IDS.iter().copied().chain(texts.iter().copied()).collect();
        let mut lines = Lines::new(part);
        while let Some(line) = lines.next()? {
            if line.is_blank() {
                continue;
            }
            let found = json::object(&line, &wanted)?;
            let wrong = |found: &str, expected: &str| line.wrong(found, expected);
            let (id, text) = self.record(&texts, &found, &|| json::names(&line), &wrong)?;
            emit(&id, &text, line.number)?;
        }
        Ok(())
    }

    #[cfg(feature = "models")]
    fn parquet(self, part: &Part<'_>, emit: Emit<'_>) -> Result<(), Failure> {
        let texts = self.text_fields();
        let wanted: Vec<&str> = IDS.iter().copied().chain(texts.iter().copied()).collect();
        let mut rows = super::rows::Rows::open(part)?;
        while let Some(found) = rows.next(&wanted)? {
            let number = rows.number();
            let wrong = |found: &str, expected: &str| place::wrong_line(part.name, number, found, expected);
            let (id, text) = self.record(&texts, &found, &|| rows.names(), &wrong)?;
            emit(&id, &text, number)?;
        }
        Ok(())
    }

    #[cfg(not(feature = "models"))]
    #[expect(clippy::unused_self, reason = "the same call with the feature `models`")]
    fn parquet(self, part: &Part<'_>, _: Emit<'_>) -> Result<(), Failure> {
        Err(Failure::missing(format!("{}: this build cannot read Parquet files", part.name)))
    }

    /// The id and the text of one record; `names` says what it has instead.
    fn record(
        self,
        texts: &[&str],
        found: &[Option<Field>],
        names: &dyn Fn() -> String,
        wrong: &dyn Fn(&str, &str) -> Failure,
    ) -> Result<(String, String), Failure> {
        let chosen = !self.fields.is_empty();
        let (ids, parts) = found.split_at(IDS.len());
        let whole = "a string or a whole number";
        let id = match ids.iter().flatten().next() {
            Some(Field::Text(id) | Field::Number(id)) => id.clone(),
            Some(Field::Null) => return Err(wrong("an id that is null", whole)),
            Some(other) => return Err(wrong(&format!("an id that is {}", other.kind()), whole)),
            None => return Err(wrong(&names(), "an id in `_id` or `id`")),
        };
        let mut joined = String::new();
        let mut any = false;
        for (name, part) in texts.iter().zip(parts) {
            match part {
                Some(Field::Text(text)) => {
                    // Without a choice there is one text, beside the title of a document.
                    any |= chosen || *name != "title";
                    if !joined.is_empty() && !text.is_empty() {
                        joined.push(' ');
                    }
                    joined.push_str(text);
                    if !chosen && *name != "title" {
                        break;
                    }
                }
                Some(Field::Null) => any |= chosen || *name != "title",
                Some(other) => {
                    return Err(wrong(&format!("{} in {}", other.kind(), place::quote(name)), "a string"));
                }
                None => {}
            }
        }
        if !any {
            let expected: Vec<String> =
                texts.iter().filter(|t| **t != "title").map(|t| place::quote(t)).collect();
            return Err(wrong(&names(), &format!("a text in {}", expected.join(" or ")))
                .help("name the fields that hold the text"));
        }
        Ok((id, joined))
    }

    fn tsv(self, part: Part<'_>, emit: Emit<'_>) -> Result<(), Failure> {
        self.no_fields(&part, "a table of two columns")?;
        let mut lines = Lines::new(part);
        while let Some(line) = lines.next()? {
            if line.is_blank() {
                continue;
            }
            let text = line.text()?;
            let mut columns = text.split('\t');
            match (columns.next(), columns.next(), columns.count()) {
                (Some(id), Some(text), 0) => emit(id.trim(), text, line.number)?,
                (_, second, more) => {
                    let n = 1 + usize::from(second.is_some()) + more;
                    let found = format!("{} in {}", place::count(n, "column"), place::quote(text));
                    return Err(line.wrong(found, "2 columns separated by a tab: id, text"));
                }
            }
        }
        Ok(())
    }

    fn documents(self, part: Part<'_>, emit: Emit<'_>) -> Result<(), Failure> {
        let tags: Vec<String> = self.fields.iter().map(|f| f.to_ascii_lowercase()).collect();
        let mut lines = Lines::new(part);
        let name = lines.name();
        let mut blocks = Blocks::new(&mut lines, "<DOC>", "</DOC>");
        while let Some(block) = blocks.block()? {
            let document = sgml_document(&block.text, &tags);
            let id = document.id.filter(|id| !id.is_empty()).ok_or_else(|| {
                place::wrong_line(name, block.line, "`<DOC>` without an id", "`<DOCNO> id </DOCNO>` inside")
            })?;
            emit(&id, &document.text, block.line)?;
        }
        Ok(())
    }

    fn topics(self, part: Part<'_>, emit: Emit<'_>) -> Result<(), Failure> {
        let xml = topics::is_xml(&decode(part.head));
        let (open, close) = if xml { ("<topic", "</topic>") } else { ("<top>", "</top>") };
        let mut lines = Lines::new(part);
        let name = lines.name();
        let mut blocks = Blocks::new(&mut lines, open, close);
        while let Some(block) = blocks.block()? {
            let topic = if xml { topics::xml(&block.text) } else { topics::classic(&block.text) };
            let get = |wanted: &str| topic.field(wanted);
            let missing = |wanted: &str| {
                let found = format!("a topic with {}", topic.names());
                place::wrong_line(name, block.line, found, format!("{wanted} too"))
                    .help("choose a field that all topics have")
            };
            let id =
                topic.id().ok_or_else(|| missing(if xml { "an attribute `number`" } else { "`<num>`" }))?;
            let text = match self.fields {
                [] if xml => topic.query().map(str::to_owned),
                [] => get("title").map(str::to_owned),
                fields => {
                    let texts = fields.iter().map(|f| get(f).ok_or_else(|| missing(&format!("`<{f}>`"))));
                    Some(texts.collect::<Result<Vec<&str>, Failure>>()?.join(" "))
                }
            };
            let text =
                text.ok_or_else(|| missing(if xml { "`<title>` or `<query>`" } else { "`<title>`" }))?;
            emit(id, text.trim(), block.line)?;
        }
        Ok(())
    }

    fn html(self, part: Part<'_>, emit: Emit<'_>) -> Result<(), Failure> {
        self.no_fields(&part, "an HTML document")?;
        let id = part.stem().to_owned();
        let Part { name, reader, meter, .. } = part;
        let mut bytes = Vec::new();
        reader.take(MAX_LINE + 1).read_to_end(&mut bytes).map_err(|e| read_failed(name, None, e))?;
        if bytes.len() as u64 > MAX_LINE {
            let found = format!("more than {} MiB", MAX_LINE >> 20);
            return Err(place::wrong_line(name, 1, found, "one document a file"));
        }
        meter.check()?;
        emit(&id, &html_text(&decode(&bytes)), 1)
    }
}

#[cfg(test)]
mod tests;
