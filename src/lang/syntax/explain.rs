//! Explains where the grammar failed: what was expected there, in the language's terms, and what to write instead.

use pest::Parser;
use pest::error::{Error, ErrorVariant, InputLocation};
use pest::iterators::Pair;

use super::context::BuildContext;
use super::grammar::{Grammar, Rule};
use super::{slips, token};
use xpipe_base::diag::{Code, Diagnostic};

/// The expectation when no rule has a name.
const NOTHING: &str = "something else";

impl BuildContext<'_> {
    /// Reports why a piece is not what `rule` says it should be.
    pub(super) fn explain(&mut self, bad: &Pair<'_, Rule>, rule: Rule) {
        let base = bad.as_span().start();
        if bad.as_str().trim().is_empty() {
            let at = bad.as_span().end();
            let d = Diagnostic::error(
                Code::Syntax,
                "expected a value",
                self.span(at, at + 1),
                "nothing stands before this",
            );
            return self.report(d.help("write a value between the brackets"));
        }
        match Grammar::parse(rule, bad.as_str()) {
            Err(error) => {
                let end = base + bad.as_str().trim_end().len();
                self.explain_error(&error, bad.get_input(), base, end);
            }
            // The piece alone is well-formed, so the error is what follows it.
            Ok(_) => self.unexpected(bad.get_input(), bad.as_span().end(), "the end of the line"),
        }
    }

    /// Reports a failure of the grammar in the piece `base..end` of a text.
    pub(super) fn explain_error(&mut self, error: &Error<Rule>, text: &str, base: usize, end: usize) {
        let at = base + failed_at(error);
        if self.slip(text, at) {
            return;
        }
        let ErrorVariant::ParsingError { positives, .. } = &error.variant else { return };
        let what = expected(positives);
        let at = at + (text[at..].len() - text[at..].trim_start().len());
        if at < end {
            return self.unexpected(text, at, &what);
        }
        let Some((start, last)) = token::before(text, end) else { return self.unexpected(text, at, &what) };
        let span = self.span(start, start + last.len());
        let last = token::short(last);
        let message = format!("expected {what} after `{last}`");
        self.report(
            Diagnostic::error(Code::Syntax, message, span, "nothing follows")
                .maybe_help(advice("", &last, &what)),
        );
    }

    /// Reports what another language writes at a byte; whether it did.
    pub(super) fn slip(&mut self, text: &str, at: usize) -> bool {
        let Some(slip) = slips::at(text, at) else { return false };
        self.lost |= slip.declares;
        let code = if slip.declares { Code::SyntaxItem } else { Code::SyntaxForeign };
        let span = self.span(slip.start, slip.end);
        self.report(Diagnostic::error(code, slip.message, span, slip.label).help(slip.help));
        true
    }

    /// Reports the token at a byte, where `what` was expected.
    fn unexpected(&mut self, text: &str, at: usize, what: &str) {
        if self.slip(text, at) {
            return;
        }
        let at = at + (text[at..].len() - text[at..].trim_start().len());
        let found = token::at(text, at);
        let previous = token::before(text, at);
        let last = previous.map_or(String::new(), |(_, t)| token::short(t));
        if let Some((start, before)) = previous {
            let next_line = text[start..at].contains('\n');
            let innocent = found.starts_with(|c: char| c.is_alphanumeric() || "_\"'{}[]()".contains(c));
            let ends = what == "the end of the line";
            if found.is_empty() || (next_line && innocent && !ends) {
                let span = self.span(start, start + before.len());
                let message = format!("expected {what} after `{last}`");
                let label = "nothing follows on this line";
                let d = Diagnostic::error(Code::Syntax, message, span, label);
                return self.report(d.maybe_help(advice("", &last, what)));
            }
        }
        let span = self.span(at, at + found.len());
        let (message, label) = if found.is_empty() {
            (format!("expected {what}"), "nothing is written here".to_owned())
        } else if what == NOTHING {
            (format!("unexpected `{}`", token::short(found)), "cannot stand here".to_owned())
        } else {
            let short = token::short(found);
            let reserved = Grammar::parse(Rule::reserved, found).is_ok();
            let label = if reserved { "a word of the language".to_owned() } else { format!("not {what}") };
            (format!("expected {what}, found `{short}`"), label)
        };
        let code = if foreign(found).is_some() { Code::SyntaxForeign } else { Code::Syntax };
        self.report(Diagnostic::error(code, message, span, label).maybe_help(advice(found, &last, what)));
    }
}

/// The byte of the text at which a parse failed.
pub(super) fn failed_at(error: &Error<Rule>) -> usize {
    match error.location {
        InputLocation::Pos(p) | InputLocation::Span((p, _)) => p,
    }
}

/// The rules that could have gone on, as a phrase.
fn expected(rules: &[Rule]) -> String {
    let has = |r: Rule| rules.contains(&r);
    let mut words: Vec<&str> = Vec::new();
    let mut add = |yes: bool, word: &'static str| words.extend(Some(word).filter(|_| yes));
    let value = [Rule::expr, Rule::call, Rule::quantity, Rule::plain_call, Rule::condition, Rule::list];
    let value = value.into_iter().any(has);
    add(value, "a value");
    add(!value && (has(Rule::string) || has(Rule::raw_string)), "a path or file");
    add(has(Rule::assign) || has(Rule::foreign_assign), "`=`");
    add(has(Rule::colon), "`:`");
    add(has(Rule::sweep) || has(Rule::head) || has(Rule::kw_for), "`for`");
    add(has(Rule::arrow) || has(Rule::foreign_arrow), "`=>`");
    add(has(Rule::kw_then), "`then`");
    add(has(Rule::kw_else) || has(Rule::foreign_elif), "`else`");
    add(has(Rule::kw_where), "`where`");
    add(has(Rule::policy) || has(Rule::kw_with), "`with`");
    add(has(Rule::alias) || has(Rule::kw_as), "`as`");
    add(has(Rule::formals), "`(`");
    add(has(Rule::returns), "`->`");
    let block = [Rule::names, Rule::limits, Rule::body].into_iter().any(has)
        || (has(Rule::record) && !value && !has(Rule::args));
    add(block, "`{`");
    add(has(Rule::ty), "a type");
    add(has(Rule::ty_end), "`>`");
    add(has(Rule::version_op), "`>=`");
    add(has(Rule::version), "a version");
    add(!value && has(Rule::number), "a number");
    add(has(Rule::pattern) || has(Rule::label), "a label");
    add([Rule::stage, Rule::let_decl, Rule::yields].into_iter().any(has), "`stage`, `let` or `yield`");
    let name = !value && [Rule::ident, Rule::name, Rule::formal, Rule::path].into_iter().any(has);
    add(name || (has(Rule::field) && !value), "a name");
    let ends = has(Rule::EOI) || has(Rule::doc) || has(Rule::key);
    if (words.is_empty() && ends) || (has(Rule::EOI) && !value) {
        words.push("the end of the line");
    }
    if words.is_empty() && (has(Rule::infix_op) || has(Rule::index)) {
        words.push("an operator");
    }
    match words.as_slice() {
        [] => NOTHING.to_owned(),
        [one] => (*one).to_owned(),
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
    }
}

/// What to type instead of the token found, after the token before it.
fn advice(found: &str, before: &str, what: &str) -> Option<String> {
    if let Some(help) = foreign(found) {
        return Some(help.to_owned());
    }
    if found.starts_with(|c: char| c.is_ascii_digit()) && what.starts_with("a value") {
        return Some(
            "numbers are written `32`, `1_000`, `2e-5`, and with a unit `20h`, `24GiB`, `5%`".to_owned(),
        );
    }
    let help = match what {
        _ if before == "edition" => "write `edition 2026`",
        "`>=`" | "a version" => "write `requires xpipe >= 0.1`",
        w if found == "in" && w.contains("`where`") => {
            "name only the axes: `for seed`; the values of an axis are given by `axis`, some of them by `where`"
        }
        "a value" if before == "=" => "write a value: a number, a string, a name, a call, `[…]` or `{…}`",
        "a value" => "write a value there, or remove what is in its place",
        "a name" => "a name is letters a to z, digits and `_`, and no word of the language",
        "a type" => "write a type, such as `Int`, `Budget` or `List<Int>`",
        "`then`" => "a choice is written `if condition then value else other`",
        w if w.contains("`else`") => "a choice needs both ways: `if condition then value else other`",
        "`=>`" => "an arm is written `label => value`",
        "`:`" => "a type stands after a colon: `name: Type`",
        w if w.contains("`=`") => "a value is given with `=`",
        w if w.contains("`{`") => "the block stands between `{` and `}`",
        "`->`" => "a `def` says what it gives: `def name(x: T) -> R { … }`",
        "`(`" => "a `def` has its arguments in parentheses, even when there are none",
        w if w.contains("end of the line") => {
            "end the line or write `,` before it, or put an operator between the two"
        }
        _ => return None,
    };
    Some(help.to_owned())
}

/// Advice on spellings of other languages.
pub(super) fn foreign(found: &str) -> Option<&'static str> {
    Some(match found {
        ";" => "no `;` is needed: a field or item ends with its line",
        "->" => "arms of `match` use `=>`; `->` stands only before what a `def` gives",
        ":=" | "<-" => "a value is given with `=`",
        "=>" => "a value is given with `=`; `=>` stands only in the arms of `match`",
        "==" | "===" => "a value is given with `=`; `==` compares",
        "&&" | "&" => "write `and`",
        "||" => "write `or`",
        "!" => "write `not`",
        "!==" | "<>" => "write `!=`",
        "+=" | "-=" => "names are given a value once, with `=`",
        "::" => "members are written with one dot: `std.msmarco`",
        "??" | "?" => "a choice is written `if condition then value else other`",
        "..." => "a range is written `a .. b`",
        "elif" | "elseif" | "elsif" | "elsewhere" => "write `else if`",
        "foreach" | "forall" | "per" => "write `for` and the names of axes: `for backbone, seed`",
        "$" => "names stand without `$`; in a string write `{name}`",
        "@" => "a cut-off is written `ndcg(10)`; there are no decorators, documentation is written `## …`",
        "while" | "loop" => "there are no loops: declare an `axis` and write `for`",
        "return" => "a `def` gives its value with `yield`",
        "`" => "strings stand between double quotes",
        "%" => "a percentage is a number with its sign at once after it: `5%`",
        _ => return None,
    })
}
