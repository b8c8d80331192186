//! Items that do not parse: mended and tried again, cut where another item may start, and in the end known at least
//! by their names, so that what uses them is not reported too.

use pest::Parser;

use super::ast::{Def, Expr, ExprKind, Field, File, Ident, Item, ItemKind, Let, Stage, Sweep, TypeExpr};
use super::brackets::{Imbalance, balanced, closing, mend};
use super::context::{Cx, parts};
use super::edits::{Edit, Edited};
use super::explain::failed_at;
use super::parser::{Grammar, Rule};
use super::scan::{Bracket, Chunk, Fault, ITEM_WORDS, scan};
use super::token;
use xpipe_base::diag::{Code, Diagnostic, Diagnostics, FileId, Span, suggest};

/// Reads one chunk of a file into items.
pub(super) fn chunk(file: FileId, text: &str, chunk: Chunk, sink: &mut Diagnostics, out: &mut File) {
    let mut r = Recovery { file, text, sink, quiet: Vec::new(), lost: false };
    r.chunk(chunk, out);
    out.incomplete |= r.lost;
}

/// Whether a text that is no file has sound strings, brackets and nesting; reports what is not.
pub(super) fn sound(file: FileId, text: &str, sink: &mut Diagnostics) -> bool {
    let before = sink.len();
    let mut r = Recovery { file, text, sink, quiet: Vec::new(), lost: false };
    for mut chunk in scan(text) {
        if let Some(at) = chunk.deep {
            r.too_deep(at);
        }
        r.lexical(&mut chunk);
    }
    let all: Vec<Bracket> = scan(text).into_iter().flat_map(|c| c.brackets).collect();
    sink.len() == before && balanced(&all)
}

struct Recovery<'a> {
    file: FileId,
    text: &'a str,
    sink: &'a mut Diagnostics,
    /// Places where something was reported already.
    quiet: Vec<(usize, usize)>,
    /// Whether a name may have been declared in what was left out.
    lost: bool,
}

impl<'a> Recovery<'a> {
    /// Reads one chunk.
    fn chunk(&mut self, mut chunk: Chunk, out: &mut File) {
        if chunk.head.is_none() && chunk.faults.is_empty() {
            return self.only_docs(&chunk);
        }
        if let Some(at) = chunk.deep {
            self.too_deep(at);
            return self.salvage(&chunk, chunk.end, out);
        }
        self.lexical(&mut chunk);
        if chunk.head.is_none() {
            return;
        }
        if !chunk.edits.is_empty() {
            // What was mended must be sound before the grammar, which relies on it, may see it.
            let source = self.edited(&chunk);
            let again = scan(&source.text);
            if again.iter().any(|c| c.deep.is_some() || !c.faults.is_empty() || !balanced(&c.brackets)) {
                return self.salvage(&chunk, chunk.end, out);
            }
            let starts = again
                .iter()
                .skip(1)
                .map(|c| c.start)
                .chain(again.iter().flat_map(|c| c.soft.iter().copied()));
            chunk.soft = starts.map(|at| source.place(at)).collect();
            chunk.soft.sort_unstable();
            chunk.soft.dedup();
        }
        self.read(&chunk, out);
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: start as u32, end: end as u32 }
    }

    fn report(&mut self, d: Diagnostic) {
        let at = d.primary.span.start as usize;
        if !self.quiet.iter().any(|(start, end)| (*start..=*end).contains(&at)) {
            self.sink.push(d);
        }
    }

    /// The bytes of the line around a byte.
    fn line(&self, at: usize) -> (usize, usize) {
        let start = self.text[..at].rfind('\n').map_or(0, |n| n + 1);
        (start, self.text[at..].find('\n').map_or(self.text.len(), |n| at + n))
    }

    /// One past the end of the indented lines below the line of a byte.
    fn block_below(&self, at: usize) -> usize {
        let mut end = self.line(at).1;
        while let Some(rest) = self.text.get(end + 1..) {
            let line = rest.split('\n').next().unwrap_or_default();
            if !line.is_empty() && !line.starts_with([' ', '\t', '\r']) {
                break;
            }
            end += 1 + line.len();
        }
        end
    }

    fn edited(&self, chunk: &Chunk) -> Edited<'a> {
        Edited::with(&self.text[chunk.start..chunk.end], chunk.start, &chunk.edits)
    }

    fn only_docs(&mut self, chunk: &Chunk) {
        let body = &self.text[chunk.start..chunk.end];
        if let Some(at) = body.rfind("##").map(|n| chunk.start + body[..n].rfind('\n').map_or(0, |n| n + 1)) {
            let (_, end) = self.line(at);
            let start = at + (self.text[at..end].len() - self.text[at..end].trim_start().len());
            if !self.text[start..end].starts_with("##") {
                return;
            }
            let d = Diagnostic::warning(
                Code::SyntaxDoc,
                "this `##` documents nothing",
                self.span(start, end),
                "no item follows",
            );
            self.report(d.help("write `#` for a plain comment"));
        }
    }

    fn too_deep(&mut self, at: usize) {
        let len = self.text[at..].chars().next().map_or(0, char::len_utf8);
        let d = Diagnostic::error(
            Code::SyntaxDeep,
            "nested too deep",
            self.span(at, at + len),
            "too deep from here on",
        );
        self.report(d.help("split the expression: name its parts with `let`"));
    }

    /// Reports strings, comments and brackets that are wrong, and adds the edits that mend the brackets.
    fn lexical(&mut self, chunk: &mut Chunk) {
        for fault in &chunk.faults {
            if let Fault::Loop(start, _) = *fault {
                let block = self.block_below(start);
                self.quiet.push((start + 1, block));
                self.lost = true;
            }
            let d = fault.explained(self.text, self.file);
            let line = self.line(d.primary.span.start as usize);
            if !matches!(fault, Fault::OddName(..)) || !self.sink.iter().any(|k| k.message == d.message) {
                self.report(d);
            }
            self.quiet.push(line);
        }
        if balanced(&chunk.brackets) {
            return;
        }
        let (found, edits) = mend(self.text, chunk.start, chunk.end, &chunk.brackets);
        chunk.edits.extend(edits);
        for imbalance in found {
            let (d, lines) = self.imbalance(&imbalance);
            self.report(d);
            for at in lines {
                let line = self.line(at);
                self.quiet.push(line);
            }
        }
    }

    fn imbalance(&self, found: &Imbalance) -> (Diagnostic, Vec<usize>) {
        let sign = |at: usize| &self.text[at..=at];
        match *found {
            Imbalance::Unclosed { at, close, block } => {
                let sign = sign(at);
                let partner = closing(self.text.as_bytes()[at]);
                let message = format!("this `{sign}` is never closed");
                let help = format!("write the `{partner}` that closes it");
                let open = self.span(at, at + 1);
                let (start, last) = token::before(self.text, close).unwrap_or((at, sign));
                let d = if !block || self.text[at..start.max(at)].matches('\n').count() <= 1 {
                    Diagnostic::error(Code::SyntaxUnclosed, message, open, "opened here")
                } else {
                    // Far from its end, the end is what must be mended.
                    let message = format!("expected `{partner}` after `{}`", token::short(last));
                    let end = self.span(start, start + last.len());
                    let d =
                        Diagnostic::error(Code::SyntaxUnclosed, message, end, "the block seems to end here");
                    d.related(open, "opened here and never closed")
                };
                // Behind a block of several lines something else may stand in place of the bracket.
                let one_line = self.line(at) == self.line(start);
                (d.help(help), if one_line { vec![at] } else { vec![at, start, close] })
            }
            Imbalance::Extra(at) => {
                let d = Diagnostic::error(
                    Code::SyntaxUnopened,
                    format!("this `{}` closes nothing", sign(at)),
                    self.span(at, at + 1),
                    "nothing is open that it could close",
                );
                (d.help("remove it, or write the bracket that it closes"), vec![at])
            }
            Imbalance::Wrong { at, partner, right } => {
                let (first, last) = (at.min(partner), at.max(partner));
                let d = Diagnostic::error(
                    Code::SyntaxUnclosed,
                    format!("`{}` is closed by `{}`", sign(first), sign(last)),
                    self.span(at, at + 1),
                    format!("`{right}` should stand here"),
                );
                let label = if partner < at { "opened here" } else { "closed here" };
                (
                    d.related(self.span(partner, partner + 1), label).help(format!("write `{right}`")),
                    vec![at, partner],
                )
            }
            Imbalance::Missing { at, after } => {
                let (start, last) = token::before(self.text, after).unwrap_or((after, ""));
                let d = Diagnostic::error(
                    Code::SyntaxUnopened,
                    format!("expected `{{` after `{}`", token::short(last)),
                    self.span(start, start + last.len()),
                    "a block follows, but nothing opens it",
                );
                (
                    d.related(self.span(at, at + 1), "this closes it")
                        .help("write `{` at the end of the line"),
                    vec![at, after],
                )
            }
        }
    }

    /// Parses a sound chunk, or the chunks it may consist of.
    fn read(&mut self, chunk: &Chunk, out: &mut File) {
        let source = self.edited(chunk);
        match Grammar::parse(Rule::only_item, &source.text) {
            Ok(pairs) => self.build(chunk, &source, pairs, false, out),
            Err(_) if !chunk.soft.is_empty() => {
                let mut starts = vec![chunk.start];
                starts.extend(chunk.soft.iter().copied().filter(|s| *s > chunk.start));
                starts.push(chunk.end);
                for pair in starts.windows(2) {
                    let piece = self.part(chunk, pair[0], pair[1]);
                    if piece.head.is_some() {
                        self.read(&piece, out);
                    }
                }
            }
            Err(error) => {
                let failed = source.place(failed_at(&error));
                self.failed(chunk, &source, &error, failed, out);
            }
        }
    }

    /// A part of a chunk as one of its own.
    fn part(&self, chunk: &Chunk, start: usize, end: usize) -> Chunk {
        let inside = |at: usize| (start..end).contains(&at);
        let mut head = None;
        let mut at = start;
        for line in self.text[start..end].split_inclusive('\n') {
            let code = line.trim_start();
            if !code.is_empty() && !code.starts_with('#') {
                head = Some(at + line.len() - code.len());
                break;
            }
            at += line.len();
        }
        Chunk {
            start,
            head,
            end,
            brackets: chunk.brackets.iter().copied().filter(|b| inside(b.at)).collect(),
            edits: chunk.edits.iter().filter(|e| inside(e.at) || e.at == end).cloned().collect(),
            ..Chunk::default()
        }
    }

    fn build(
        &mut self,
        chunk: &Chunk,
        source: &Edited<'_>,
        pairs: pest::iterators::Pairs<'_, Rule>,
        broken: bool,
        out: &mut File,
    ) {
        let broken = broken || !chunk.edits.is_empty();
        let mut cx = Cx { file: self.file, source, sink: self.sink, quiet: &self.quiet, broken, lost: false };
        let item = pairs.into_iter().next().and_then(|pair| cx.item(pair));
        self.lost |= cx.lost;
        if let Some(head) = chunk.head.filter(|at| !broken && self.line(*at).0 != *at) {
            let word = token::at(self.text, head);
            let bom = self.text.starts_with('\u{feff}') && head == 3;
            if !bom {
                let d = Diagnostic::error(
                    Code::SyntaxItem,
                    "an item starts in column 0",
                    self.span(head, head + word.len()),
                    "blanks stand before it",
                );
                self.report(d.help("remove the blanks before it"));
            }
        }
        match item {
            Some(item) => out.items.push(item),
            None => out.incomplete = true,
        }
    }

    /// A chunk that is no item: reports why, then gets out of it what it can.
    fn failed(
        &mut self,
        chunk: &Chunk,
        source: &Edited<'_>,
        error: &pest::error::Error<Rule>,
        failed: usize,
        out: &mut File,
    ) {
        let head = chunk.head.unwrap_or(chunk.start);
        let word = token::at(self.text, head);
        let known = ITEM_WORDS.contains(&word);
        let repaired = if known { self.repairs(chunk, failed) } else { self.item_words(chunk, head, word) };
        if known {
            let end = source.text.trim_end().len();
            let mut cx = Cx {
                file: self.file,
                source,
                sink: self.sink,
                quiet: &self.quiet,
                broken: true,
                lost: false,
            };
            cx.explain_error(error, &source.text, 0, end);
            self.lost |= cx.lost;
        } else {
            self.unknown_item(head, word, repaired.as_ref().map(|r| r.1.as_str()));
        }
        let at = failed.min(self.text.len());
        self.quiet.push(self.line(at));
        // The token before the failure is on another line when nothing followed it.
        if let Some((before, _)) = token::before(self.text, at) {
            self.quiet.push(self.line(before));
        }
        // Another item begins in the middle of this one.
        let begins = |at: usize| ITEM_WORDS.contains(&token::at(self.text, at));
        let mut lines = self.text[head..chunk.end].match_indices('\n').map(|(i, _)| head + i + 1);
        out.incomplete |= (at > head && begins(at)) || lines.any(|at| at < chunk.end && begins(at));
        match repaired {
            Some((edits, _)) => {
                let mended = Chunk { edits, ..chunk.clone() };
                let source = self.edited(&mended);
                if let Ok(pairs) = Grammar::parse(Rule::only_item, &source.text) {
                    self.build(&mended, &source, pairs, true, out);
                }
                out.incomplete |=
                    out.items.last().and_then(|i| name(&i.kind)).is_some_and(|n| &*n.name == "_");
            }
            None => self.salvage(chunk, failed, out),
        }
    }

    fn unknown_item(&mut self, head: usize, word: &str, fits: Option<&str>) {
        let word = if word.is_empty() { &self.text[head..head + 1] } else { word };
        let help = match (suggest::did_you_mean(word, ITEM_WORDS.iter().copied()), foreign_item(word), fits) {
            (_, Some(ours), _) => format!("write `{ours}`"),
            (Some(help), ..) => help,
            (_, _, Some(fits)) => format!("write `{fits} {word} …`"),
            _ => format!("items start with {}", quoted(ITEM_WORDS)),
        };
        let d = Diagnostic::error(
            Code::SyntaxItem,
            format!("expected an item, found `{}`", token::short(word)),
            self.span(head, head + word.len()),
            "starts no item",
        );
        self.report(d.help(help));
    }

    /// Edits that make an item of text whose first word is unknown or missing, and the word that did.
    fn item_words(&self, chunk: &Chunk, head: usize, word: &str) -> Option<(Vec<Edit>, String)> {
        let close =
            |ours: &&&str| strsim::jaro_winkler(word, ours) >= 0.8 || foreign_item(word) == Some(**ours);
        let replace = ITEM_WORDS.iter().filter(close).map(|w| (word.len(), *w));
        let text = &self.text[head..chunk.end];
        let (start, value) = text.split_once('=').unwrap_or((text, ""));
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
            self.attempt(chunk, Edit { at: head, cut, put }).map(|edits| (edits, ours.to_owned()))
        })
    }

    /// Edits at the failure that make the chunk an item, and what they put there.
    fn repairs(&self, chunk: &Chunk, failed: usize) -> Option<(Vec<Edit>, String)> {
        let failed = failed.min(chunk.end);
        let blanks = self.text[failed..chunk.end].len() - self.text[failed..chunk.end].trim_start().len();
        let at = failed + blanks;
        let found = if at < chunk.end { token::at(self.text, at) } else { "" };
        let bracket =
            found.starts_with(|c: char| "()[]{}".contains(c)) || found.is_empty() || at == chunk.head?;
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
            let edits = self.attempt(chunk, Edit { at, cut, put: padded })?;
            Some((edits, put.split(' ').next().unwrap_or(put).to_owned()))
        })
    }

    fn attempt(&self, chunk: &Chunk, edit: Edit) -> Option<Vec<Edit>> {
        let mut edits = chunk.edits.clone();
        edits.push(edit);
        let source = Edited::with(&self.text[chunk.start..chunk.end], chunk.start, &edits);
        Grammar::parse(Rule::only_item, &source.text).is_ok().then_some(edits)
    }

    /// Keeps the name of an item that cannot be read, and reports what is wrong in its blocks after `failed`.
    fn salvage(&mut self, chunk: &Chunk, failed: usize, out: &mut File) {
        let start = chunk.head.unwrap_or(chunk.start);
        let span = self.span(start, self.text[..chunk.end].trim_end().len().max(start));
        let source = Edited::plain(&self.text[start..chunk.end], start);
        let end = source.text.find(['{', '(', '[', '"']).unwrap_or(source.text.len());
        let fields = self.blocks(chunk, failed);
        let mut cx = Cx {
            file: self.file,
            source: &source,
            sink: self.sink,
            quiet: &self.quiet,
            broken: true,
            lost: false,
        };
        let (mut word, mut name, mut sweep) = (String::new(), None, None);
        if let Some(pair) =
            Grammar::parse(Rule::only_start, &source.text[..end]).ok().and_then(|mut p| p.next())
        {
            for part in parts(pair) {
                match part.as_rule() {
                    Rule::key => word = part.as_str().to_owned(),
                    Rule::ident => name = Some(cx.ident(&part)),
                    Rule::sweep | Rule::head => sweep = Some(cx.sweep(part)),
                    _ => {}
                }
            }
        }
        if token::at(self.text, start) == "edition" {
            out.items.push(Item {
                docs: Vec::new(),
                span,
                kind: ItemKind::Edition { year: None, span },
                broken: true,
            });
            return;
        }
        out.incomplete |= name.is_none() || matches!(word.as_str(), "use" | "requires");
        if let Some(kind) = name.and_then(|name| remains(&word, name, sweep, fields, span)) {
            out.items.push(Item { docs: Vec::new(), span, kind, broken: true });
        }
    }

    /// The fields of the outermost blocks after a byte; only of text that was not edited.
    fn blocks(&mut self, chunk: &Chunk, failed: usize) -> Vec<Field> {
        let mut fields = Vec::new();
        if !chunk.edits.is_empty() || !balanced(&chunk.brackets) || chunk.deep.is_some() {
            return fields;
        }
        let (mut depth, mut open) = (0, None);
        for b in &chunk.brackets {
            if matches!(b.byte, b'(' | b'[' | b'{') {
                if depth == 0 && b.byte == b'{' && b.at >= failed {
                    open = Some(b.at);
                }
                depth += 1;
                continue;
            }
            depth -= 1;
            if depth > 0 {
                continue;
            }
            let Some(start) = open.take() else { continue };
            let source = Edited::plain(&self.text[start..=b.at], start);
            let mut cx = Cx {
                file: self.file,
                source: &source,
                sink: self.sink,
                quiet: &self.quiet,
                broken: true,
                lost: false,
            };
            let record = Grammar::parse(Rule::only_record, &source.text).ok().and_then(|mut p| p.next());
            if let Some(record) = record.and_then(|p| parts(p).next()) {
                fields.extend(cx.fields(record));
                self.lost |= cx.lost;
            }
        }
        fields
    }
}

/// What is left of an item whose word and name are known.
fn remains(
    word: &str,
    name: Ident,
    sweep: Option<Sweep>,
    fields: Vec<Field>,
    span: Span,
) -> Option<ItemKind> {
    let error = Expr { kind: ExprKind::Error, span };
    let any = || TypeExpr { name: Ident { name: "Any".into(), span }, args: Vec::new(), span };
    Some(match word {
        "study" => ItemKind::Study { name, fields },
        "param" => ItemKind::Param { name, ty: any(), default: Some(error) },
        "axis" => ItemKind::Axis { name, ty: None, value: error },
        "dataset" => ItemKind::Dataset { name, ty: any(), value: error },
        "stage" => ItemKind::Stage(Stage { name, sweep, call: error, policy: Vec::new() }),
        "def" => {
            ItemKind::Def(Def { name, formals: Vec::new(), returns: any(), items: Vec::new(), result: error })
        }
        "table" => ItemKind::Table { name, sweep, fields, body: span },
        "claim" => ItemKind::Claim { name, sweep, fields, body: span },
        "report" => ItemKind::Report { name, fields, body: span },
        "profile" => ItemKind::Profile { name, fields, only: Vec::new() },
        "use" | "requires" | "edition" => return None,
        _ => ItemKind::Let(Let { name, sweep, ty: None, value: error }),
    })
}

/// The name an item declares.
fn name(kind: &ItemKind) -> Option<&Ident> {
    Some(match kind {
        ItemKind::Edition { .. } | ItemKind::Requires { .. } | ItemKind::Use(_) => return None,
        ItemKind::Let(Let { name, .. })
        | ItemKind::Stage(Stage { name, .. })
        | ItemKind::Def(Def { name, .. }) => name,
        ItemKind::Study { name, .. }
        | ItemKind::Param { name, .. }
        | ItemKind::Axis { name, .. }
        | ItemKind::Dataset { name, .. }
        | ItemKind::Table { name, .. }
        | ItemKind::Claim { name, .. }
        | ItemKind::Report { name, .. }
        | ItemKind::Profile { name, .. } => name,
    })
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
