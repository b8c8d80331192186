//! Recognises the format of a part by its suffix and first bytes.

use super::lines::decode;
use super::parts::Part;
use xpipe_base::place;
use xpipe_base::task::Failure;

/// Formats of documents and queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// One JSON object a line (BEIR and others).
    Jsonl,
    /// `id<tab>text` a line (MS MARCO).
    Tsv,
    /// Columns separated by commas, with quotes.
    Csv,
    /// `<DOC><DOCNO>…</DOCNO>…</DOC>`.
    Trec,
    /// `<top><num>…<title>…</top>`.
    Topics,
    /// One HTML document a file.
    Html,
    /// A table with columns by name, as Hugging Face's data sets have it.
    Parquet,
}

impl TextFormat {
    /// The word of the argument `format`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Tsv => "tsv",
            Self::Csv => "csv",
            Self::Trec => "trec",
            Self::Topics => "topics",
            Self::Html => "html",
            Self::Parquet => "parquet",
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Jsonl => "JSON, one object a line",
            Self::Tsv => "columns separated by tabs",
            Self::Csv => "columns separated by commas",
            Self::Trec => "TREC documents (`<DOC>`)",
            Self::Topics => "TREC topics (`<top>` or `<topic number=…>`)",
            Self::Html => "HTML",
            Self::Parquet => "a Parquet file",
        }
    }

    /// The format that the first bytes of a file show.
    pub(super) fn by_content(head: &[u8]) -> Option<Self> {
        by_content(head)
    }

    /// Reads the argument `format`; `None` for `auto`.
    ///
    /// # Errors
    /// A word that is none of `allowed`.
    pub fn parse(word: &str, allowed: &[TextFormat]) -> Result<Option<Self>, Failure> {
        if word == "auto" {
            return Ok(None);
        }
        allowed.iter().copied().find(|f| f.word() == word).map(Some).ok_or_else(|| {
            let words: Vec<String> = allowed.iter().map(|f| format!("`{}`", f.word())).collect();
            Failure::wrong(format!(
                "format: found {}, expected `auto`, {}",
                place::quote(word),
                words.join(", ")
            ))
            .help("leave `format` out to detect it by suffix and content")
        })
    }

    /// The format of a part: `wanted`, or else the one that its suffix and content show.
    ///
    /// # Errors
    /// Content that contradicts the wanted format or the suffix, or is of no known format.
    pub fn of(part: &Part<'_>, wanted: Option<Self>, allowed: &[TextFormat]) -> Result<Self, Failure> {
        let content = by_content(part.head);
        let suffix = by_suffix(&part.suffix());
        let clash = |said: Self, by: &str| {
            let seen = content.map_or("something else", Self::describe);
            let found = format!("what looks like {seen}");
            let expected = format!("{}, as {by} says", said.describe());
            place::wrong_line(part.name, 1, found, expected)
        };
        // A text between commas may hold a tab.
        let told = match (wanted, suffix, content) {
            (Some(Self::Csv), _, None | Some(Self::Tsv))
            | (None, Some(Self::Csv), None | Some(Self::Tsv)) => Some(Self::Csv),
            (Some(w), _, Some(c)) if w != c => {
                return Err(
                    clash(w, "`format`").help(format!("write `format = \"{}\"`, or leave it out", c.word()))
                );
            }
            (Some(w), ..) => Some(w),
            // A page may begin with anything.
            (None, Some(Self::Html), _) => Some(Self::Html),
            (None, Some(s), Some(c)) if s != c => {
                return Err(clash(s, "the file's suffix").help(format!(
                    "write `format = \"{}\"` or `format = \"{}\"`, whichever it is",
                    c.word(),
                    s.word()
                )));
            }
            (None, s, c) => s.or(c),
        };
        let words: Vec<String> =
            allowed.iter().map(|f| format!("`{}` ({})", f.word(), f.describe())).collect();
        match told {
            Some(format) if allowed.contains(&format) => Ok(format),
            Some(other) => Err(place::wrong_line(part.name, 1, other.describe(), words.join(" or "))),
            None => {
                let shown = decode(part.head);
                let shown = shown.lines().find(|l| !l.trim().is_empty()).unwrap_or("nothing");
                let found = format!("{}, which is no known format", place::quote(shown));
                Err(place::wrong_line(part.name, 1, found, words.join(" or "))
                    .help("convert the file, or say which it is with `format`"))
            }
        }
    }
}

fn by_suffix(suffix: &str) -> Option<TextFormat> {
    match suffix {
        "jsonl" | "ndjson" | "json" => Some(TextFormat::Jsonl),
        "tsv" => Some(TextFormat::Tsv),
        "csv" => Some(TextFormat::Csv),
        "html" | "htm" | "xhtml" => Some(TextFormat::Html),
        "parquet" => Some(TextFormat::Parquet),
        _ => None,
    }
}

fn by_content(head: &[u8]) -> Option<TextFormat> {
    if head.starts_with(b"PAR1") {
        return Some(TextFormat::Parquet);
    }
    let text = decode(head);
    let text = text.trim_start_matches('\u{FEFF}').trim_start();
    if text.starts_with('{') {
        return Some(TextFormat::Jsonl);
    }
    if text.starts_with('<') {
        return tag(text);
    }
    let line = text.lines().next()?;
    line.contains('\t').then_some(TextFormat::Tsv)
}

/// The format that the first tag shows, after declarations and comments.
fn tag(mut text: &str) -> Option<TextFormat> {
    loop {
        text = text.trim_start();
        if text.starts_with("<!--") {
            text = text.split_once("-->")?.1;
        } else if text.starts_with("<?") {
            text = text.split_once('>')?.1;
        } else {
            break;
        }
    }
    let name: String = text.chars().skip(1).take_while(|c| c.is_ascii_alphanumeric() || *c == '!').collect();
    match name.to_ascii_lowercase().as_str() {
        "doc" => Some(TextFormat::Trec),
        "top" | "topics" | "topic" => Some(TextFormat::Topics),
        "html" | "!doctype" | "head" | "title" | "body" | "pre" | "p" | "h1" | "div" | "meta" => {
            Some(TextFormat::Html)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_tells_the_format() {
        let cases: [(&str, Option<TextFormat>); 12] = [
            ("\u{FEFF}{\"_id\"", Some(TextFormat::Jsonl)),
            ("\n<DOC>\n<DOCNO>", Some(TextFormat::Trec)),
            ("<?xml version='1.0'?>\n<!-- c -->\n<doc>", Some(TextFormat::Trec)),
            ("<top>\n<num>", Some(TextFormat::Topics)),
            ("<html>\n<pre>", Some(TextFormat::Html)),
            ("<!DOCTYPE html>", Some(TextFormat::Html)),
            ("12\ttext", Some(TextFormat::Tsv)),
            ("<topics>", Some(TextFormat::Topics)),
            ("<topic number=\"1\">", Some(TextFormat::Topics)),
            ("PAR1\u{15}", Some(TextFormat::Parquet)),
            ("plain words", None),
            ("", None),
        ];
        for (text, format) in cases {
            assert_eq!(by_content(text.as_bytes()), format, "{text}");
        }
    }

    #[test]
    fn formats_are_words() {
        let allowed = [TextFormat::Jsonl, TextFormat::Tsv];
        assert_eq!(TextFormat::parse("auto", &allowed), Ok(None));
        assert_eq!(TextFormat::parse("tsv", &allowed), Ok(Some(TextFormat::Tsv)));
        let e = TextFormat::parse("xml", &allowed).unwrap_err();
        assert_eq!(e.message, "format: found `xml`, expected `auto`, `jsonl`, `tsv`");
    }
}
