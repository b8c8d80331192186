//! The spaces between the tokens of a line.

use super::lex::{Kind, Token};

/// Words that an operand or name follows.
pub(super) const LEADING: &[&str] = &[
    "in", "and", "or", "not", "if", "then", "else", "match", "where", "for", "with", "yield", "as", "only",
    "use", "stage", "let",
];
/// Words that continue what precedes them.
pub(super) const FOLLOWING: &[&str] = &["in", "and", "or", "then", "else", "where", "for", "with", "as"];

/// Whether `token`, which stands after `before`, is a sign in front of its operand: `-x`.
pub(super) fn is_prefix(token: &Token<'_>, before: Option<&Token<'_>>) -> bool {
    token.text == "-"
        && before.is_none_or(|b| match b.kind {
            Kind::Word => LEADING.contains(&b.text),
            Kind::Literal => false,
            Kind::Sign => !b.closes(),
        })
}

/// Whether a space stands between `a` and `b`; `before` is the token before `a`.
pub(super) fn between(before: Option<&Token<'_>>, a: &Token<'_>, b: &Token<'_>) -> bool {
    if matches!(b.text, "," | ";" | ":" | "." | ")" | "]") || a.text == "." || b.angle {
        return false;
    }
    if matches!(a.text, "(" | "[") || (a.angle && a.text == "<") || is_prefix(a, before) {
        return false;
    }
    match b.text {
        "}" => a.text != "{",
        "(" | "[" => match a.kind {
            // After a dot a keyword is a name.
            Kind::Word => LEADING.contains(&a.text) && before.is_none_or(|t| t.text != "."),
            Kind::Literal => false,
            Kind::Sign => !a.closes(),
        },
        _ => true,
    }
}

/// A line's tokens with the spaces between them; `pads` adds spaces before tokens, by index.
/// Returns the text and the column of each token.
pub(super) fn join(
    before: Option<&Token<'_>>,
    tokens: &[Token<'_>],
    pads: &[(usize, usize)],
) -> (String, Vec<usize>) {
    let mut out = String::new();
    let (mut starts, mut width) = (Vec::with_capacity(tokens.len()), 0);
    for (i, token) in tokens.iter().enumerate() {
        let mut spaces: usize = pads.iter().filter(|p| p.0 == i).map(|p| p.1).sum();
        if i > 0 {
            let earlier = if i > 1 { tokens.get(i - 2) } else { before };
            spaces += usize::from(between(earlier, &tokens[i - 1], token));
        }
        out.extend(std::iter::repeat_n(' ', spaces));
        width += spaces;
        starts.push(width);
        out.push_str(token.text);
        width += token.text.chars().count();
    }
    (out, starts)
}
