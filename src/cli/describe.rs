//! `xpipe describe`: the documentation of an operation, type, data set, diagnostic or argument, or the whole reference.

use std::fmt::Write as _;

use super::options::Common;
use super::out;
use super::reference::{Argument, Entry, entries};
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_study::session::Error;

/// Width of printed paragraphs.
const WIDTH: usize = 100;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// A name, or the end of one: `train.cross_encoder`, `infonce`, `Run`, `std.trec.dl19`. Default: list everything.
    name: Option<String>,
    /// Print Markdown; without a name, the whole reference as one page.
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let all = entries();
    let Some(wanted) = &args.name else {
        if args.markdown {
            let page = markdown(&all);
            if common.json {
                out::json(&serde_json::json!({ "format": "markdown", "text": page }));
            } else {
                out::say(&page);
            }
        } else if common.json {
            out::json(&all.iter().map(Entry::json).collect());
        } else {
            out::say(&list(&all));
        }
        return Ok(0);
    };
    let found = find(&all, wanted);
    if found.is_empty() {
        let arguments = arguments(&all, wanted);
        if !arguments.is_empty() {
            if common.json {
                out::json(&arguments.iter().map(|(e, a)| {
                    serde_json::json!({ "kind": "argument", "name": a.name, "of": e.name, "type": a.ty,
                        "default": a.default, "doc": a.doc })
                }).collect());
            } else {
                out::say(&argument_pages(&arguments));
            }
            return Ok(0);
        }
        // The suggestion is a full name or the last part of one.
        let names = all.iter().flat_map(|e| {
            [e.name.as_str(), last(&e.name)].into_iter().chain(e.arguments.iter().map(|a| a.name.as_str()))
        });
        let help = did_you_mean(wanted, names).unwrap_or_else(|| "`xpipe describe` lists all".to_owned());
        return Err(Error::usage(format!("nothing is called `{wanted}`")).help(help));
    }
    if common.json {
        out::json(&found.iter().map(|e| e.json()).collect());
    } else if args.markdown {
        let pages: Vec<String> = found.iter().map(|e| section(e)).collect();
        out::say(&pages.join("\n"));
    } else {
        let pages: Vec<String> = found.iter().map(|e| page(e)).collect();
        out::say(&pages.join("\n"));
    }
    Ok(0)
}

fn last(name: &str) -> &str {
    name.rsplit(['.', ':']).next().unwrap_or(name)
}

/// The entries with a name; if there is none, those whose last parts are the name: `infonce`, `trec.dl19`.
fn find<'a>(all: &'a [Entry], wanted: &str) -> Vec<&'a Entry> {
    let exact: Vec<&Entry> = all.iter().filter(|e| e.name == wanted).collect();
    if !exact.is_empty() {
        return exact;
    }
    let ends = |e: &&Entry| {
        e.name.strip_suffix(wanted).is_some_and(|rest| rest.ends_with('.') || rest.ends_with("::"))
    };
    all.iter().filter(ends).collect()
}

/// The arguments and fields with a name, each with its entry.
fn arguments<'a>(all: &'a [Entry], wanted: &str) -> Vec<(&'a Entry, &'a Argument)> {
    all.iter().flat_map(|e| e.arguments.iter().filter(|a| a.name == wanted).map(move |a| (e, a))).collect()
}

/// The pages of arguments; those with the same documentation share one.
fn argument_pages(found: &[(&Entry, &Argument)]) -> String {
    let mut groups: Vec<(&Argument, Vec<String>)> = Vec::new();
    for (entry, argument) in found {
        let taker = format!("`{}`", entry.name);
        let same =
            |a: &Argument| (&a.ty, &a.default, &a.doc) == (&argument.ty, &argument.default, &argument.doc);
        match groups.iter_mut().find(|(a, _)| same(a)) {
            Some((_, takers)) => takers.push(taker),
            None => groups.push((argument, vec![taker])),
        }
    }
    let pages: Vec<String> = groups
        .iter()
        .map(|(a, takers)| {
            let default = a.default.as_ref().map(|d| format!(" = {d}")).unwrap_or_default();
            let ty = if a.ty.is_empty() { String::new() } else { format!(": {}", a.ty) };
            let head = wrapped(&format!("{}{ty}{default}", a.name), 0);
            format!(
                "{head}{}{}",
                wrapped(&format!("An argument of {}.", takers.join(", ")), 6),
                wrapped(&a.doc, 6)
            )
        })
        .collect();
    pages.join("\n")
}

/// The list of all entries, one line each, by kind.
fn list(all: &[Entry]) -> String {
    let mut out = String::new();
    let width = all.iter().map(|e| e.name.chars().count()).max().unwrap_or(0);
    let mut kind = "";
    for e in all {
        if e.kind != kind {
            kind = e.kind;
            let _ = writeln!(out, "{}{}", if out.is_empty() { "" } else { "\n" }, heading(kind));
        }
        let room = (WIDTH + 20).saturating_sub(width + 4);
        let brief = cut(e.brief(), room);
        let _ = writeln!(out, "  {}", format!("{:<width$}  {brief}", e.name).trim_end());
    }
    out
}

/// The text cut to at most `room` characters.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let head: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{}…", head.trim_end())
}

fn heading(kind: &str) -> &'static str {
    match kind {
        "item" => "Items",
        "operation" => "Operations",
        "constructor" => "Constructors",
        "form" => "Forms",
        "type" => "Types",
        "data set" => "Data sets of std",
        "value of std" => "Values of std",
        "def of std" => "Defs of std",
        "policy" => "Policy",
        _ => "Diagnostics",
    }
}

/// The page of an entry, for a terminal.
fn page(e: &Entry) -> String {
    let version = e.version.map(|v| format!(", version {v}")).unwrap_or_default();
    let mut out = format!("{}: {}{version}\n", e.name, e.kind);
    for paragraph in e.doc.split("\n\n").filter(|p| !p.is_empty()) {
        let _ = write!(out, "\n{}", wrapped(paragraph, 0));
    }
    if !e.arguments.is_empty() {
        out.push('\n');
    }
    for a in &e.arguments {
        let ty = if a.ty.is_empty() { String::new() } else { format!(": {}", a.ty) };
        let default = a.default.as_ref().map(|d| format!(" = {d}")).unwrap_or_default();
        let _ = writeln!(out, "  {}{ty}{default}", a.name);
        if !a.doc.is_empty() {
            out.push_str(&wrapped(&a.doc, 6));
        }
    }
    if let Some(gives) = &e.gives {
        let _ = writeln!(out, "\nReturns {gives}.");
    }
    for note in &e.notes {
        out.push_str(&wrapped(note, 0));
    }
    if let Some(example) = &e.example {
        let _ = writeln!(out, "\n    {example}");
    }
    out
}

fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    let mut line = " ".repeat(indent);
    let mut width = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if width > 0 && indent + width + 1 + length > WIDTH {
            let _ = writeln!(out, "{line}");
            line = " ".repeat(indent);
            width = 0;
        }
        if width > 0 {
            line.push(' ');
            width += 1;
        }
        line.push_str(word);
        width += length;
    }
    let _ = writeln!(out, "{line}");
    out
}

/// The whole reference as Markdown.
fn markdown(all: &[Entry]) -> String {
    let mut out = format!(
        "# Reference of xpipe {}\n\nGenerated by `xpipe describe --markdown` from the definitions that `xpipe check` uses.\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut kind = "";
    for e in all {
        if e.kind != kind {
            kind = e.kind;
            let _ = writeln!(out, "\n## {}", heading(kind));
        }
        let _ = write!(out, "\n{}", section(e));
    }
    out
}

/// An entry as a section of the reference.
fn section(e: &Entry) -> String {
    let mut out = format!("### `{}`\n", e.name);
    let mut facts = Vec::new();
    facts.extend(e.gives.as_ref().map(|g| format!("Returns {g}.")));
    facts.extend(e.version.map(|v| format!("Version {v}.")));
    facts.extend(e.notes.iter().cloned());
    for paragraph in e.doc.split("\n\n").filter(|p| !p.is_empty()) {
        let _ = writeln!(out, "\n{paragraph}");
    }
    if !e.arguments.is_empty() {
        out.push_str("\n| argument | type | default | meaning |\n|---|---|---|---|\n");
        for a in &e.arguments {
            let cell = |text: &str| text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ");
            let default = match &a.default {
                Some(d) => cell(d),
                None if a.ty.is_empty() => String::new(),
                None => "required".to_owned(),
            };
            let _ = writeln!(out, "| `{}` | {} | {default} | {} |", a.name, cell(&a.ty), cell(&a.doc));
        }
    }
    if !facts.is_empty() {
        let _ = writeln!(out, "\n{}", facts.join(" "));
    }
    if let Some(example) = &e.example {
        let _ = writeln!(out, "\n```\n{example}\n```");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_be_shortened() {
        let all = entries();
        let names = |wanted: &str| find(&all, wanted).iter().map(|e| e.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names("infonce"), ["objective.infonce"]);
        assert_eq!(names("trec.dl19"), ["std.trec.dl19"]);
        assert_eq!(names("unseeded"), ["op::unseeded"]);
        assert_eq!(names("Run"), ["Run"]);
        assert!(names("infonc").is_empty() && names("nfonce").is_empty());
    }

    #[test]
    fn arguments_are_found_by_their_names() {
        let all = entries();
        let told = argument_pages(&arguments(&all, "learning_rate"));
        assert!(told.starts_with("learning_rate: ") && told.contains("`adamw`"), "{told}");
        let told = argument_pages(&arguments(&all, "against"));
        assert!(told.contains("`paired_t`, `randomisation`, `bootstrap`"), "{told}");
        assert!(arguments(&all, "learning_rat").is_empty());
        for item in ["axis", "table", "claim", "report", "profile", "stage"] {
            assert_eq!(find(&all, item).iter().map(|e| e.kind).collect::<Vec<_>>(), ["item"], "{item}");
        }
    }

    #[test]
    fn the_page_has_a_section_for_each_and_sound_tables() {
        let all = entries();
        let text = markdown(&all);
        for e in &all {
            assert!(text.contains(&format!("\n### `{}`\n", e.name)), "{}", e.name);
        }
        for line in text.lines().filter(|l| l.starts_with("| `")) {
            assert_eq!(line.replace("\\|", "").matches('|').count(), 5, "{line}");
        }
    }

    #[test]
    fn paragraphs_are_wrapped() {
        let text = wrapped(&"word ".repeat(60), 6);
        assert!(text.lines().count() > 2);
        assert!(text.lines().all(|l| l.starts_with("      word") && l.chars().count() <= WIDTH));
    }
}
