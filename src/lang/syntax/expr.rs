//! Pairs to expressions: operators by precedence, calls, records, lists, `if` and `match`.
//!
//! Precedence, loosest first: `or`, `and`, `not`, comparisons and `in`, `..`, `+ -`, `* /`, unary minus, then
//! `.name` and `[…]`. Operators of one level group to the left.

use pest::iterators::Pair;

use super::ast::{Arg, Arm, Expr, ExprKind, Field, Ident};
use super::context::{BuildContext, parts};
use super::grammar::Rule;
use super::literal::raw;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{BinaryOp, UnaryOp};

/// An operand on the stack, and whether it is a comparison without parentheses.
struct Operand {
    expr: Expr,
    compares: bool,
}

/// An operator that waits for its right operand.
#[derive(Clone, Copy)]
enum Operator {
    Prefix(UnaryOp, Span),
    Binary(BinaryOp, Span),
    In(Span),
    Range(Span),
}

impl Operator {
    fn strength(self) -> u8 {
        match self {
            Self::Binary(BinaryOp::Or, _) => 1,
            Self::Binary(BinaryOp::And, _) => 2,
            Self::Prefix(UnaryOp::Not, _) => 3,
            Self::In(_) => 4,
            Self::Range(_) => 5,
            Self::Binary(BinaryOp::Add | BinaryOp::Sub, _) => 6,
            Self::Binary(BinaryOp::Mul | BinaryOp::Div, _) => 7,
            Self::Prefix(UnaryOp::Neg, _) => 8,
            Self::Binary(..) => 4,
        }
    }
}

impl BuildContext<'_> {
    /// An expression.
    pub(super) fn expr(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let whole = self.span_of(&pair);
        let mut operands: Vec<Operand> = Vec::with_capacity(2);
        let mut operators: Vec<Operator> = Vec::new();
        for part in parts(pair) {
            let span = self.span_of(&part);
            let operator = match part.as_rule() {
                Rule::prefix_op if part.as_str() == "-" => Operator::Prefix(UnaryOp::Neg, span),
                Rule::prefix_op => {
                    if part.as_str() == "!" {
                        self.foreign(span, "!", "not");
                    }
                    Operator::Prefix(UnaryOp::Not, span)
                }
                Rule::infix_op => self.infix(part.as_str(), span),
                Rule::member | Rule::index => {
                    if let Some(of) = operands.pop() {
                        let expr = self.postfix(of.expr, part);
                        operands.push(Operand { expr, compares: false });
                    }
                    continue;
                }
                _ => {
                    let expr = self.primary(part);
                    operands.push(Operand { expr, compares: false });
                    continue;
                }
            };
            if !matches!(operator, Operator::Prefix(..)) {
                while operators.last().is_some_and(|top| top.strength() >= operator.strength()) {
                    self.reduce(&mut operands, &mut operators);
                }
            }
            operators.push(operator);
        }
        while !operators.is_empty() {
            self.reduce(&mut operands, &mut operators);
        }
        operands.pop().map_or(Expr { kind: ExprKind::Error, span: whole }, |o| o.expr)
    }

    fn infix(&mut self, sign: &str, span: Span) -> Operator {
        let op = match sign {
            "in" => return Operator::In(span),
            ".." => return Operator::Range(span),
            "or" => BinaryOp::Or,
            "and" => BinaryOp::And,
            "==" => BinaryOp::Eq,
            "!=" => BinaryOp::Ne,
            "<" => BinaryOp::Lt,
            "<=" => BinaryOp::Le,
            ">" => BinaryOp::Gt,
            ">=" => BinaryOp::Ge,
            "+" => BinaryOp::Add,
            "-" => BinaryOp::Sub,
            "*" => BinaryOp::Mul,
            "/" => BinaryOp::Div,
            "&&" => {
                self.foreign(span, sign, "and");
                BinaryOp::And
            }
            _ => {
                self.foreign(span, sign, "or");
                BinaryOp::Or
            }
        };
        Operator::Binary(op, span)
    }

    /// Applies the last operator to the last operands.
    fn reduce(&mut self, operands: &mut Vec<Operand>, operators: &mut Vec<Operator>) {
        let (Some(operator), Some(last)) = (operators.pop(), operands.pop()) else { return };
        if let Operator::Prefix(op, span) = operator {
            let span = span.to(last.expr.span);
            let expr = Expr { kind: ExprKind::Unary { op, of: Box::new(last.expr) }, span };
            operands.push(Operand { expr, compares: false });
            return;
        }
        let Some(first) = operands.pop() else { return };
        let span = first.expr.span.to(last.expr.span);
        let compares = operator.strength() == 4;
        if compares && first.compares {
            let (Operator::Binary(_, at) | Operator::In(at) | Operator::Range(at) | Operator::Prefix(_, at)) =
                operator;
            self.report(
                Diagnostic::error(Code::Syntax, "comparisons do not chain", at, "a second comparison")
                    .related(first.expr.span, "this is already a comparison")
                    .help("join two comparisons with `and`: `a < b and b < c`"),
            );
        }
        let (left, right) = (Box::new(first.expr), Box::new(last.expr));
        let kind = match operator {
            Operator::In(_) => ExprKind::In { left, right },
            Operator::Range(_) => ExprKind::Range { from: left, to: right },
            Operator::Binary(op, _) => ExprKind::Binary { op, left, right },
            Operator::Prefix(..) => ExprKind::Error,
        };
        operands.push(Operand { expr: Expr { kind, span }, compares });
    }

    /// `.name` or `[…]` after an expression.
    fn postfix(&mut self, of: Expr, pair: Pair<'_, Rule>) -> Expr {
        let span = of.span.to(self.span_of(&pair));
        if pair.as_rule() == Rule::index {
            let mut args = self.args(pair);
            for arg in &mut args {
                self.equals_in_index(arg);
            }
            return Expr { kind: ExprKind::Index { of: Box::new(of), args }, span };
        }
        let Some(name) = pair.into_inner().next().map(|p| self.ident(&p)) else { return of };
        let kind = match of.kind {
            ExprKind::Path(mut path) => {
                path.push(name);
                ExprKind::Path(path)
            }
            _ => ExprKind::Member { of: Box::new(of), name },
        };
        Expr { kind, span }
    }

    /// `g[a == x]`, which is `g[a = x]`.
    fn equals_in_index(&mut self, arg: &mut Arg) {
        let ExprKind::Binary { op: BinaryOp::Eq, left, right } = &mut arg.value.kind else { return };
        let ExprKind::Path(path) = &left.kind else { return };
        if let ([axis], None) = (path.as_slice(), &arg.name) {
            let name = axis.clone();
            let gap = Span { start: left.span.end, end: right.span.start, ..left.span };
            let value = Expr { kind: std::mem::replace(&mut right.kind, ExprKind::Error), span: right.span };
            self.foreign(gap, "==", "=");
            *arg = Arg { name: Some(name), value };
        }
    }

    fn primary(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span_of(&pair);
        let kind = match pair.as_rule() {
            Rule::quantity => return self.quantity(pair),
            Rule::string => return self.string(pair),
            Rule::call | Rule::plain_call => return self.call(pair),
            Rule::if_expr => return self.if_expr(pair),
            Rule::match_expr => return self.match_expr(pair),
            Rule::raw_string => ExprKind::Raw(raw(&pair)),
            Rule::item_word => ExprKind::Path(vec![self.ident(&pair)]),
            Rule::boolean => ExprKind::Bool(pair.as_str() == "true"),
            Rule::list => ExprKind::List(self.elements(pair)),
            Rule::record => ExprKind::Record(self.fields(pair)),
            Rule::paren => match parts(pair).next() {
                Some(inner) if inner.as_rule() == Rule::expr => self.expr(inner).kind,
                Some(bad) => {
                    self.explain(&bad, Rule::only_expr);
                    ExprKind::Error
                }
                None => ExprKind::Error,
            },
            _ => ExprKind::Error,
        };
        Expr { kind, span }
    }

    /// `a.b`, `op(…)`, `op { … }`.
    fn call(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let mut inner = parts(pair);
        let path_pair = inner.next().expect("a call starts with a path");
        let span = self.span_of(&path_pair);
        let path: Vec<Ident> = path_pair.into_inner().map(|p| self.ident(&p)).collect();
        let Some(rest) = inner.next() else {
            if matches!(path.as_slice(), [only] if &*only.name == "_") {
                let d = Diagnostic::error(Code::Syntax, "expected a value, found `_`", span, "not a value");
                self.report(d.help("`_` stands only for all other labels of a `match`"));
                return Expr { kind: ExprKind::Error, span };
            }
            if let Some(right) = foreign_word(&path) {
                self.foreign(span, &path[0].name, if right { "true" } else { "false" });
                return Expr { kind: ExprKind::Bool(right), span };
            }
            return Expr { kind: ExprKind::Path(path), span };
        };
        let span = span.to(self.span_of(&rest));
        let block = rest.as_rule() == Rule::record;
        if block && has_arms(&rest) {
            let start = path.first().map_or(span, |i| i.span);
            self.report(
                Diagnostic::error(
                    Code::Syntax,
                    "expected `match` before this",
                    start,
                    "its block has arms with `=>`",
                )
                .help(format!(
                    "write `match {} {{ … }}`",
                    path.iter().map(|i| &*i.name).collect::<Vec<_>>().join(".")
                )),
            );
            return Expr { kind: ExprKind::Error, span };
        }
        let args =
            if block { self.fields(rest).into_iter().map(Arg::from).collect() } else { self.args(rest) };
        Expr { kind: ExprKind::Call { path, args, block }, span }
    }

    /// The arguments in `( )` or `[ ]`.
    fn args(&mut self, pair: Pair<'_, Rule>) -> Vec<Arg> {
        self.pieces(pair, Rule::only_arg, |cx, piece| {
            let mut name = None;
            let mut value = None;
            for part in parts(piece) {
                match part.as_rule() {
                    Rule::key => name = Some(cx.ident(&part)),
                    Rule::foreign_colon => cx.foreign(cx.span_of(&part), part.as_str(), "="),
                    Rule::expr => value = Some(cx.expr(part)),
                    _ => {}
                }
            }
            value.map(|value| Arg { name, value })
        })
    }

    fn elements(&mut self, pair: Pair<'_, Rule>) -> Vec<Expr> {
        self.pieces(pair, Rule::only_expr, |cx, piece| parts(piece).next().map(|p| cx.expr(p)))
    }

    /// The fields in `{ }`.
    pub(super) fn fields(&mut self, pair: Pair<'_, Rule>) -> Vec<Field> {
        self.pieces(pair, Rule::only_field, |cx, piece| Some(cx.field(piece)))
    }

    /// One field.
    pub(super) fn field(&mut self, pair: Pair<'_, Rule>) -> Field {
        let (mut docs, mut name, mut value) = (Vec::new(), None, None);
        let whole = self.span_of(&pair);
        for part in parts(pair) {
            match part.as_rule() {
                Rule::doc => docs.push(doc_text(part.as_str())),
                Rule::foreign_assign => {
                    let span = self.span_of(&part);
                    if part.as_str() == ":" {
                        self.report(
                            Diagnostic::error(
                                Code::SyntaxForeign,
                                "a field is given with `=`",
                                span,
                                "`:` gives a type",
                            )
                            .help("write `name = value`"),
                        );
                    } else {
                        self.foreign(span, part.as_str(), "=");
                    }
                }
                Rule::expr => value = Some(self.expr(part)),
                Rule::key | Rule::ident => name = Some(self.ident(&part)),
                _ => {}
            }
        }
        let name = name.unwrap_or(Ident { name: "".into(), span: whole });
        let span = value.as_ref().map_or(name.span, |v| name.span.to(v.span));
        Field { docs, name, value, span }
    }

    /// `if c then x else y`.
    fn if_expr(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let start = self.span_of(&pair);
        let mut exprs = Vec::with_capacity(3);
        for part in parts(pair) {
            match part.as_rule() {
                Rule::expr => exprs.push(self.expr(part)),
                Rule::elif => self.foreign(self.span_of(&part), part.as_str(), "else if"),
                Rule::foreign_elif => exprs.push(self.if_expr(part)),
                _ => {}
            }
        }
        let [condition, then, other] = <[Expr; 3]>::try_from(exprs).expect("the grammar gives three parts");
        let span = Span { end: other.span.end, ..start };
        let kind =
            ExprKind::If { condition: Box::new(condition), then: Box::new(then), other: Box::new(other) };
        Expr { kind, span }
    }

    /// `match axis { a | b => x }`.
    fn match_expr(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span_of(&pair);
        let mut subject = Vec::new();
        let mut subject_span = span;
        if let Some(path) = pair.clone().into_inner().find(|p| p.as_rule() == Rule::path) {
            subject_span = self.span_of(&path);
            subject = path.into_inner().map(|p| self.ident(&p)).collect();
        }
        let arms = self.pieces(pair, Rule::only_arm, |cx, piece| cx.arm(piece));
        Expr { kind: ExprKind::Match { subject, arms, subject_span }, span }
    }

    fn arm(&mut self, pair: Pair<'_, Rule>) -> Option<Arm> {
        let (mut labels, mut span, mut value) = (Vec::new(), self.span_of(&pair), None);
        for part in parts(pair) {
            match part.as_rule() {
                Rule::pattern => {
                    let all: Vec<Pair<'_, Rule>> = parts(part).collect();
                    if let (Some(first), Some(last)) = (all.first(), all.last()) {
                        span = self.span_of(first).to(self.span_of(last));
                    }
                    for label in all.into_iter().filter(|p| p.as_rule() == Rule::label) {
                        labels.push(self.label(label));
                    }
                }
                Rule::foreign_arrow => self.foreign(self.span_of(&part), part.as_str(), "=>"),
                Rule::expr => value = Some(self.expr(part)),
                _ => {}
            }
        }
        value.map(|value| Arm { labels, span, value })
    }

    /// A label: a name, or the text or number an axis made it from, in its shortest form.
    fn label(&mut self, pair: Pair<'_, Rule>) -> Ident {
        let span = self.span_of(&pair);
        let Some(inner) = pair.into_inner().next() else { return Ident { name: "".into(), span } };
        let name = match inner.as_rule() {
            Rule::string | Rule::raw_string => self.plain_string(inner),
            Rule::signed => {
                let plain: String = inner.as_str().chars().filter(|c| *c != '_').collect();
                let whole = plain.parse::<i64>().map(|i| i.to_string());
                whole.or_else(|_| plain.parse::<f64>().map(|f| format!("{f:?}"))).unwrap_or(plain).into()
            }
            _ => inner.as_str().into(),
        };
        Ident { name, span }
    }

    /// Reports a spelling of another language.
    pub(super) fn foreign(&mut self, span: Span, theirs: &str, ours: &str) {
        self.report(
            Diagnostic::error(
                Code::SyntaxForeign,
                format!("`{theirs}` is written `{ours}` here"),
                span,
                format!("`{theirs}` is not part of the language"),
            )
            .help(format!("write `{ours}`")),
        );
    }
}

impl From<Field> for Arg {
    fn from(field: Field) -> Self {
        let value = field.value.unwrap_or_else(|| Expr {
            kind: ExprKind::Path(vec![field.name.clone()]),
            span: field.name.span,
        });
        Self { name: Some(field.name), value }
    }
}

/// The text of a `##` line.
pub(super) fn doc_text(line: &str) -> String {
    line.trim_start_matches('#').trim().to_owned()
}

/// Whether a block that should have fields has the arms of a `match`.
fn has_arms(record: &Pair<'_, Rule>) -> bool {
    let arm = |p: Pair<'_, Rule>| {
        let text = p.as_str();
        let arrow = text.find("=>");
        p.as_rule() == Rule::bad_field && arrow.is_some_and(|n| !text[..n].contains(['{', '"', '#']))
    };
    let mut pieces = record.clone().into_inner().filter(|p| p.as_rule() != Rule::remark).peekable();
    pieces.peek().is_some() && pieces.all(arm)
}

/// `True` and `False`.
fn foreign_word(path: &[Ident]) -> Option<bool> {
    match path {
        [only] if matches!(&*only.name, "True" | "TRUE") => Some(true),
        [only] if matches!(&*only.name, "False" | "FALSE") => Some(false),
        _ => None,
    }
}
