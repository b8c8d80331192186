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
use crate::task::{Failure, Progress};

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
            Self::Corpus => &[TextFormat::Jsonl, TextFormat::Tsv, TextFormat::Trec, TextFormat::Html],
            Self::Queries => &[TextFormat::Jsonl, TextFormat::Tsv, TextFormat::Topics, TextFormat::Trec],
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
    /// For JSON: the fields whose texts are joined by a blank (empty: `title` and `text`; for queries `text` or
    /// `query`). For TREC documents: the tags whose text is taken (empty: all). For topics: the fields that are
    /// joined (empty: `title`).
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
        progress.note(&format!(
            "{}: left out {left_out} texts whose id was there more than once",
            source.display()
        ));
    }
    Ok(Imported { texts: texts - left_out, bytes, files, left_out })
}

type Emit<'e> = &'e mut dyn FnMut(&str, &str, u64) -> Result<(), Failure>;

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

    fn jsonl(self, part: Part<'_>, emit: Emit<'_>) -> Result<(), Failure> {
        const IDS: [&str; 4] = ["_id", "id", "docid", "docno"];
        let chosen = !self.fields.is_empty();
        let texts: Vec<&str> = match self.what {
            _ if chosen => self.fields.iter().map(String::as_str).collect(),
            What::Corpus => vec!["title", "text", "contents"],
            What::Queries => vec!["text", "query"],
        };
        let wanted: Vec<&str> = IDS.iter().copied().chain(texts.iter().copied()).collect();
        let mut lines = Lines::new(part);
        let mut joined = String::new();
        while let Some(line) = lines.next()? {
            if line.is_blank() {
                continue;
            }
            let found = json::object(&line, &wanted)?;
            let (ids, parts) = found.split_at(IDS.len());
            let id = match ids.iter().flatten().next() {
                Some(Field::Text(id) | Field::Number(id)) => id,
                Some(Field::Null) => {
                    return Err(line.wrong("an id that is null", "a string or a whole number"));
                }
                Some(Field::Other(kind)) => {
                    return Err(line.wrong(format!("an id that is {kind}"), "a string or a whole number"));
                }
                None => return Err(line.wrong(json::names(&line), "an id in `_id` or `id`")),
            };
            joined.clear();
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
                    Some(Field::Number(_)) => {
                        return Err(line.wrong(format!("a number in {}", place::quote(name)), "a string"));
                    }
                    Some(Field::Other(kind)) => {
                        return Err(line.wrong(format!("{kind} in {}", place::quote(name)), "a string"));
                    }
                    None => {}
                }
            }
            if !any {
                let expected: Vec<String> =
                    texts.iter().filter(|t| **t != "title").map(|t| place::quote(t)).collect();
                return Err(line
                    .wrong(json::names(&line), format!("a text in {}", expected.join(" or ")))
                    .help("name the fields that hold the text"));
            }
            emit(id, &joined, line.number)?;
        }
        Ok(())
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
        let chosen: Vec<&str> = match self.fields {
            [] => vec!["title"],
            fields => fields.iter().map(String::as_str).collect(),
        };
        let mut lines = Lines::new(part);
        let name = lines.name();
        let mut blocks = Blocks::new(&mut lines, "<top>", "</top>");
        while let Some(block) = blocks.block()? {
            let fields = topics::fields(&block.text);
            let get = |wanted: &str| fields.iter().find(|(n, _)| n == wanted).map(|(_, text)| text.as_str());
            let missing = |wanted: &str| {
                let has: Vec<String> = fields.iter().map(|(n, _)| format!("`<{n}>`")).collect();
                let found = format!(
                    "a topic with {}",
                    if has.is_empty() { "no fields".into() } else { has.join(", ") }
                );
                place::wrong_line(name, block.line, found, format!("`<{wanted}>` too"))
                    .help("choose a field that all topics have")
            };
            let id = get("num").filter(|id| !id.is_empty()).ok_or_else(|| missing("num"))?;
            let texts: Vec<&str> =
                chosen.iter().map(|f| get(f).ok_or_else(|| missing(f))).collect::<Result<_, _>>()?;
            emit(id, texts.join(" ").trim(), block.line)?;
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
