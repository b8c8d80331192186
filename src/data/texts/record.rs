//! The id and the text of a record with named fields: JSON, Parquet, tables with a header.

use super::super::json::Field;
use super::TextKind;
use super::notes::Notes;
use xpipe_base::place;
use xpipe_base::task::Failure;

/// Fields that hold an id, a line a rank: the first rank that a record has is taken. Of a passage and the document that
/// it was cut from, the id is the passage's.
const DOCUMENT_IDS: [&[&str]; 4] = [
    &["_id"],
    &["id"],
    &["pid", "passage_id", "passage-id"],
    &["docno", "docid", "doc_id", "doc-id", "document_id", "document-id", "corpus-id", "corpus_id"],
];
const QUERY_IDS: [&[&str]; 5] = [
    &["_id"],
    &["id"],
    &["query_id", "query-id", "qid", "q_id", "topic_id", "topic"],
    &["number", "num"],
    &["docid", "docno"],
];
/// Fields that hold the text, likewise; a title stands before a document's.
const DOCUMENT_TEXTS: [&[&str]; 1] = [&["text", "contents", "content", "passage", "body", "segment"]];
const QUERY_TEXTS: [&[&str]; 2] = [&["text", "query"], &["question"]];
/// The title of a document.
const TITLE: &str = "title";

/// Which fields are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'f> {
    pub(super) what: TextKind,
    /// The field of the id, where the study names it.
    pub(super) id: Option<&'f str>,
    /// The fields of the text, where the study names them.
    pub(super) fields: &'f [String],
}

impl<'f> Wanted<'f> {
    fn ids(self) -> &'static [&'static [&'static str]] {
        if self.what == TextKind::Corpus { &DOCUMENT_IDS } else { &QUERY_IDS }
    }

    fn texts(self) -> &'static [&'static [&'static str]] {
        if self.what == TextKind::Corpus { &DOCUMENT_TEXTS } else { &QUERY_TEXTS }
    }

    /// The names of all fields that may be read.
    pub(super) fn names(self) -> Vec<&'f str> {
        let mut names = Vec::new();
        match self.id {
            Some(id) => names.push(id),
            None => names.extend(self.ids().iter().flat_map(|rank| rank.iter().copied())),
        }
        if self.fields.is_empty() {
            names.extend((self.what == TextKind::Corpus).then_some(TITLE));
            names.extend(self.texts().iter().flat_map(|rank| rank.iter().copied()));
        } else {
            names.extend(self.fields.iter().map(String::as_str));
        }
        // One that is there twice would be read once.
        let mut once: Vec<&str> = Vec::new();
        names.retain(|n| {
            !once.contains(n) && {
                once.push(n);
                true
            }
        });
        names
    }

    /// Whether a column of this name holds an id.
    pub(super) fn is_id(self, name: &str) -> bool {
        self.ids().iter().any(|rank| rank.contains(&name.to_ascii_lowercase().as_str()))
    }

    /// Whether a column of this name is one that collections of documents or queries have.
    pub(super) fn is_field(self, name: &str) -> bool {
        const OTHERS: [&str; 12] = [
            TITLE,
            "url",
            "headings",
            "abstract",
            "description",
            "narrative",
            "question",
            "metadata",
            "query",
            "text",
            "desc",
            "narr",
        ];
        let name = name.to_ascii_lowercase();
        OTHERS.contains(&name.as_str()) || self.texts().iter().any(|rank| rank.contains(&name.as_str()))
    }

    /// The id and the text of a record, from the fields of [`Wanted::names`] in their order.
    ///
    /// # Errors
    /// None or several that may be meant, or a value that is no text.
    pub(super) fn read(
        self,
        record: &FieldRecord<'_>,
        notes: &mut Notes,
    ) -> Result<(String, String), Failure> {
        let id = self.id_of(record)?;
        let mut joined = String::new();
        let mut any = false;
        let mut push = |name: &str, field: &Field, notes: &mut Notes| {
            let text = record.text(name, field, notes)?;
            if !joined.is_empty() && !text.is_empty() {
                joined.push(' ');
            }
            joined.push_str(&text);
            Ok::<(), Failure>(())
        };
        if !self.fields.is_empty() {
            for name in self.fields {
                if let Some(field) = record.get(name) {
                    any = true;
                    push(name, field, notes)?;
                }
            }
        } else {
            if let Some(title) = record.get(TITLE).filter(|_| self.what == TextKind::Corpus) {
                push(TITLE, title, notes)?;
            }
            if let Some((name, field)) = record.first(self.texts(), "a text", "fields = [\"…\"]")? {
                any = true;
                if *field == Field::Null {
                    notes.null.add(|| format!("{}: {}", record.spot(), place::quote(name)));
                }
                push(name, field, notes)?;
            }
        }
        if any {
            return Ok((id, joined));
        }
        let expected: Vec<String> = match self.fields {
            [] => self.texts().iter().flat_map(|rank| rank.iter().take(2)).map(|t| place::quote(t)).collect(),
            fields => fields.iter().map(|t| place::quote(t)).collect(),
        };
        let argument = if self.what == TextKind::Corpus { "fields = [\"…\"]" } else { "field = \"…\"" };
        Err(record
            .wrong(record.names(), format!("a text in {}", expected.join(" or ")))
            .help(format!("name the fields that hold the text, `{argument}`")))
    }

    fn id_of(self, record: &FieldRecord<'_>) -> Result<String, Failure> {
        let found = match self.id {
            Some(name) => record.get(name).map(|field| (name, field)),
            None => record.first(self.ids(), "an id", "id = \"…\"")?,
        };
        let whole = "a string or a whole number";
        match found {
            Some((_, Field::Text(id) | Field::Number(id))) => Ok(id.clone()),
            Some((name, other)) => {
                let what = if *other == Field::Null { "null" } else { other.kind() };
                Err(record.wrong(format!("an id that is {what}, in {}", place::quote(name)), whole))
            }
            None => {
                let expected = match self.id {
                    Some(name) => format!("an id in {}", place::quote(name)),
                    None if self.what == TextKind::Corpus => "an id in `_id` or `id`".into(),
                    None => "an id in `_id`, `id` or `query_id`".into(),
                };
                Err(record
                    .wrong(record.names(), expected)
                    .help("name the field that holds the id, `id = \"…\"`"))
            }
        }
    }
}

/// One record.
pub(super) struct FieldRecord<'r> {
    pub(super) file: &'r str,
    pub(super) line: u64,
    /// The names of the fields that were looked for, and what was found.
    pub(super) wanted: &'r [&'r str],
    pub(super) found: &'r [Option<Field>],
    /// What it has, for messages.
    pub(super) has: &'r dyn Fn() -> String,
}

impl FieldRecord<'_> {
    fn get(&self, name: &str) -> Option<&Field> {
        self.wanted.iter().position(|w| *w == name).and_then(|i| self.found[i].as_ref())
    }

    fn names(&self) -> String {
        (self.has)()
    }

    fn spot(&self) -> String {
        place::spot(self.file, self.line)
    }

    fn wrong(&self, found: impl AsRef<str>, expected: impl AsRef<str>) -> Failure {
        place::wrong_line(self.file, self.line, found, expected)
    }

    /// The field of the first rank that has one; two of a rank must be the same.
    fn first<'n>(
        &self,
        ranks: &'n [&'n [&'n str]],
        what: &str,
        argument: &str,
    ) -> Result<Option<(&'n str, &Field)>, Failure> {
        for rank in ranks {
            let mut found = rank.iter().filter_map(|name| Some((*name, self.get(name)?)));
            let Some(first) = found.next() else { continue };
            let empty = |f: &Field| *f == Field::Null || *f == Field::Text(String::new());
            let mut chosen = first;
            for other in found {
                if empty(chosen.1) {
                    chosen = other;
                } else if !empty(other.1) && other.1 != chosen.1 {
                    let (a, b) = (place::quote(chosen.0), place::quote(other.0));
                    return Err(self
                        .wrong(format!("{a} and {b} with different values"), format!("{what} in one of them"))
                        .help(format!("say which one is meant, `{argument}`")));
                }
            }
            return Ok(Some(chosen));
        }
        Ok(None)
    }

    /// A value as text.
    fn text<'t>(
        &self,
        name: &str,
        field: &'t Field,
        notes: &mut Notes,
    ) -> Result<std::borrow::Cow<'t, str>, Failure> {
        let mut note = |shown: &str| {
            notes
                .as_text
                .add(|| format!("{}: {} in {}", self.spot(), place::quote(shown), place::quote(name)));
        };
        Ok(match field {
            Field::Text(text) => text.into(),
            Field::Null => "".into(),
            Field::Number(n) | Field::Fraction(n) => {
                note(n);
                n.into()
            }
            Field::Bool(truth) => {
                let text = if *truth { "true" } else { "false" };
                note(text);
                text.into()
            }
            Field::List(items) => {
                let text = items.join(" ");
                note(&text);
                text.into()
            }
            Field::Other(kind) => {
                return Err(self
                    .wrong(format!("{kind} in {}", place::quote(name)), "a string")
                    .help("name the fields that hold the text, or write the value out as text"));
            }
        })
    }
}
