//! Repairs of items that do not parse: edits at the failure, or another first word, that make an item of the text.

use pest::Parser;

use super::edits::{Edit, Edited};
use super::grammar::{Grammar, Rule};
use super::scan::{Chunk, ITEM_WORDS};
use super::token;
use xpipe_base::diag::{Code, Diagnostic, FileId, Span, suggest};

/// Edits that make an item of text whose first word is unknown or missing, and the word that did.
pub(super) fn item_word(text: &str, chunk: &Chunk, head: usize, word: &str) -> Option<(Vec<Edit>, String)> {
    let close = |ours: &&&str| strsim::jaro_winkler(word, ours) >= 0.8 || foreign_item(word) == Some(**ours);
    let replace = ITEM_WORDS.iter().filter(close).map(|w| (word.len(), *w));
    let item = &text[head..chunk.end];
    let (start, value) = item.split_once('=').unwrap_or((item, ""));
    let order: &[&str] = match (start.contains(':'), start.contains('{'), value.contains('{')) {
        (true, ..) => &["param", "dataset", "axis", "let"],
        (_, true, _) => &["table", "claim", "report", "study", "profile", "use"],
        (.., true) => &["stage", "let", "axis"],
        _ => &["let", "axis", "stage", "use"],
    };
    let insert = order.iter().map(|w| (0, *w));
    let anyway = order.iter().map(|w| (word.len(), *w));
    let all: Vec<(usize, &str)> = replace.chain(insert).chain(anyway).collect();
    all.into_iter().find_map(|(cut, ours)| {
        let put = format!("{ours} ").into();
        attempt(text, chunk, Edit { at: head, cut, put }).map(|edits| (edits, ours.to_owned()))
    })
}

/// Edits at the failure that make the chunk an item, and what they put there.
pub(super) fn at_failure(text: &str, chunk: &Chunk, failed: usize) -> Option<(Vec<Edit>, String)> {
    let failed = failed.min(chunk.end);
    let blanks = text[failed..chunk.end].len() - text[failed..chunk.end].trim_start().len();
    let at = failed + blanks;
    let found = if at < chunk.end { token::at(text, at) } else { "" };
    let bracket = found.starts_with(|c: char| "()[]{}".contains(c)) || found.is_empty() || at == chunk.head?;
    let inserts = ["=", "for", ":", ",", "_", "= _", ": Any =", "_ =", "{}", "-> Any", "()", "_ ()"];
    let mut tries: Vec<(usize, &str)> = Vec::new();
    // Words that follow the name of an item: it is the name that is missing.
    if ["for", "where", "with", "as"].contains(&found) {
        tries.push((0, "_"));
    }
    if !bracket {
        tries.push((found.len(), ""));
    }
    tries.extend(inserts.iter().map(|p| (0, *p)));
    if !bracket {
        tries.extend(
            ["=", ":", "for", "->", "_", "with", "as", "where", ","].iter().map(|p| (found.len(), *p)),
        );
    }
    tries.into_iter().find_map(|(cut, put)| {
        let padded = format!(" {put} ").into();
        let edits = attempt(text, chunk, Edit { at, cut, put: padded })?;
        Some((edits, put.split(' ').next().unwrap_or(put).to_owned()))
    })
}

fn attempt(text: &str, chunk: &Chunk, edit: Edit) -> Option<Vec<Edit>> {
    let mut edits = chunk.edits.clone();
    edits.push(edit);
    let source = Edited::with(&text[chunk.start..chunk.end], chunk.start, &edits);
    Grammar::parse(Rule::only_item, &source.text).is_ok().then_some(edits)
}

/// The diagnostic of an unknown first word; `fits` is the word that would make an item of the text.
pub(super) fn unknown_item(
    text: &str,
    file: FileId,
    head: usize,
    word: &str,
    fits: Option<&str>,
) -> Diagnostic {
    let word = if word.is_empty() { &text[head..=head] } else { word };
    let help = match (suggest::did_you_mean(word, ITEM_WORDS.iter().copied()), foreign_item(word), fits) {
        (_, Some(ours), _) => format!("write `{ours}`"),
        (Some(help), ..) => help,
        (_, _, Some(fits)) => format!("write `{fits} {word} …`"),
        _ => format!("items start with {}", quoted(ITEM_WORDS)),
    };
    let message = format!("expected an item, found `{}`", token::short(word));
    let span = Span { file, start: head as u32, end: (head + word.len()) as u32 };
    Diagnostic::error(Code::SyntaxItem, message, span, "starts no item").help(help)
}

/// Our word for what other languages call it.
fn foreign_item(word: &str) -> Option<&'static str> {
    Some(match word {
        "import" | "from" | "include" | "require" => "use",
        "var" | "const" | "val" | "local" | "set" => "let",
        "process" | "rule" | "task" | "step" | "job" | "node" => "stage",
        "fn" | "func" | "function" | "workflow" | "macro" => "def",
        "data" | "source" => "dataset",
        "args" | "arg" | "option" | "parameter" => "param",
        "assert" | "expect" => "claim",
        _ => return None,
    })
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}
