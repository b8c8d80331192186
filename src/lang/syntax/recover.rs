//! Recovery from syntax errors: items that do not parse are repaired and tried again, or cut where another item may
//! start. What still does not parse keeps its name, so that its users are not reported as well.

use pest::Parser;

use super::ast::{Field, File, Item, ItemKind};
use super::brackets::{balanced, mend};
use super::context::{BuildContext, parts};
use super::edits::Edited;
use super::explain::failed_at;
use super::faults::Fault;
use super::grammar::{Grammar, Rule};
use super::scan::{Bracket, Chunk, ITEM_WORDS, scan};
use super::{remains, repair, token};
use xpipe_base::diag::{Code, Diagnostic, Diagnostics, FileId, Span};

/// Reads one chunk of a file into items.
pub(super) fn chunk(file: FileId, text: &str, chunk: Chunk, sink: &mut Diagnostics, out: &mut File) {
    let mut r = Recovery { file, text, sink, quiet: Vec::new(), lost: false };
    r.chunk(chunk, out);
    out.incomplete |= r.lost;
}

/// Whether a fragment has well-formed strings, brackets and nesting; reports what is wrong.
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
    /// Byte ranges in which an error is reported already.
    quiet: Vec<(usize, usize)>,
    /// Whether a skipped part may declare a name.
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
            // The repaired text must be balanced before it is parsed: the grammar relies on it.
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

    /// Reports wrong strings, comments and brackets, and adds the edits that repair the brackets.
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
            let (d, lines) = imbalance.explained(self.text, self.file);
            self.report(d);
            for at in lines {
                let line = self.line(at);
                self.quiet.push(line);
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
        let mut cx = BuildContext {
            file: self.file,
            source,
            sink: self.sink,
            quiet: &self.quiet,
            broken,
            lost: false,
        };
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

    /// A chunk that does not parse as an item: reports why, then recovers what it can.
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
        let repaired = if known {
            repair::at_failure(self.text, chunk, failed)
        } else {
            repair::item_word(self.text, chunk, head, word)
        };
        if known {
            let end = source.text.trim_end().len();
            let mut cx = BuildContext {
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
            let fits = repaired.as_ref().map(|r| r.1.as_str());
            self.report(repair::unknown_item(self.text, self.file, head, word, fits));
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
                    out.items.last().and_then(|i| remains::name(&i.kind)).is_some_and(|n| &*n.name == "_");
            }
            None => self.salvage(chunk, failed, out),
        }
    }

    /// Keeps the name of an item that does not parse, and reports the errors in its blocks after `failed`.
    fn salvage(&mut self, chunk: &Chunk, failed: usize, out: &mut File) {
        let start = chunk.head.unwrap_or(chunk.start);
        let span = self.span(start, self.text[..chunk.end].trim_end().len().max(start));
        let source = Edited::plain(&self.text[start..chunk.end], start);
        let end = source.text.find(['{', '(', '[', '"']).unwrap_or(source.text.len());
        let fields = self.blocks(chunk, failed);
        let mut cx = BuildContext {
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
        if let Some(kind) = name.and_then(|name| remains::item(&word, name, sweep, fields, span)) {
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
            let mut cx = BuildContext {
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
