//! Pairs to items.

use pest::iterators::Pair;

use super::ast::{
    Def, DefItem, Expr, ExprKind, Field, ForClause, Formal, Ident, Item, ItemKind, Let, Only, Stage,
    TypeExpr, Use, UseFrom,
};
use super::context::{BuildContext, parts};
use super::expr::doc_text;
use super::grammar::Rule;
use super::pieces::token_end;
use xpipe_base::diag::{Code, Diagnostic, Span};

impl BuildContext<'_> {
    /// The item of an `only_item` pair.
    pub(super) fn item(&mut self, whole: Pair<'_, Rule>) -> Option<Item> {
        let mut docs = Vec::new();
        let mut item = None;
        for part in parts(whole) {
            match part.as_rule() {
                Rule::item => item = Some(part),
                Rule::doc => self.dangling(self.span_of(&part)),
                _ => {}
            }
        }
        let item = item?;
        let mut found = None;
        let end = token_end(&item);
        for part in parts(item) {
            match part.as_rule() {
                Rule::doc => docs.push(doc_text(part.as_str())),
                _ => {
                    let span = self.span(part.as_span().start(), end);
                    found = self.kind(part, span).map(|kind| (kind, span));
                }
            }
        }
        let (kind, span) = found?;
        Some(Item { docs, span, kind, broken: self.broken })
    }

    fn kind(&mut self, pair: Pair<'_, Rule>, span: Span) -> Option<ItemKind> {
        let rule = pair.as_rule();
        Some(match rule {
            Rule::use_decl => ItemKind::Use(self.use_decl(pair)),
            Rule::let_decl => ItemKind::Let(self.let_decl(pair)),
            Rule::stage => ItemKind::Stage(self.stage(pair)),
            Rule::def => ItemKind::Def(self.def(pair, span)),
            Rule::edition => {
                let number = parts(pair).find(|p| p.as_rule() == Rule::number);
                ItemKind::Edition { year: number.and_then(|n| n.as_str().parse().ok()), span }
            }
            Rule::requires => {
                let (mut name, mut operator, mut version) = (None, "".into(), "".into());
                for part in parts(pair) {
                    match part.as_rule() {
                        Rule::ident => name = Some(self.ident(&part)),
                        Rule::version_op if part.as_str() == "=" => {
                            self.foreign(self.span_of(&part), "=", "==");
                            operator = "==".into();
                        }
                        Rule::version_op => operator = part.as_str().into(),
                        Rule::version => version = part.as_str().into(),
                        _ => {}
                    }
                }
                ItemKind::Requires { name: name?, operator, version, span }
            }
            _ => {
                let named = self.named(pair)?;
                let Named { name, ty, sweep, value, fields, only, body } = named;
                match rule {
                    Rule::study => ItemKind::Study { name, fields },
                    Rule::param => ItemKind::Param { name, ty: ty?, default: value },
                    Rule::axis => ItemKind::Axis { name, ty, value: value? },
                    Rule::dataset => {
                        let value = self.must_call(value?, "a dataset", "beir(\"scifact\")");
                        ItemKind::Dataset { name, ty: ty?, value }
                    }
                    Rule::table => ItemKind::Table { name, sweep, fields, body },
                    Rule::claim => ItemKind::Claim { name, sweep, fields, body },
                    Rule::report => ItemKind::Report { name, fields, body },
                    Rule::profile => ItemKind::Profile { name, fields, only },
                    _ => return None,
                }
            }
        })
    }

    /// The parts that most items are made of.
    fn named(&mut self, pair: Pair<'_, Rule>) -> Option<Named> {
        let mut name = None;
        let (mut ty, mut sweep, mut value) = (None, None, None);
        let (mut fields, mut only) = (Vec::new(), Vec::new());
        let mut body = self.span_of(&pair);
        for part in parts(pair) {
            match part.as_rule() {
                Rule::ident => name = Some(self.ident(&part)),
                Rule::ty => ty = Some(self.type_expr(&part)),
                Rule::sweep | Rule::head => sweep = Some(self.sweep(part)),
                Rule::expr => value = Some(self.expr(part)),
                Rule::record => {
                    body = self.span_of(&part);
                    fields = self.fields(part);
                }
                Rule::limits => {
                    body = self.span_of(&part);
                    (fields, only) = self.limits(part);
                }
                _ => {}
            }
        }
        Some(Named { name: name?, ty, sweep, value, fields, only, body })
    }

    /// The fields and restrictions of a profile.
    fn limits(&mut self, pair: Pair<'_, Rule>) -> (Vec<Field>, Vec<Only>) {
        let mut only = Vec::new();
        let fields = self.pieces(pair, Rule::only_field, |cx, piece| {
            if piece.as_rule() == Rule::field {
                return Some(cx.field(piece));
            }
            let (mut axis, mut labels) = (None, None);
            for part in parts(piece) {
                match part.as_rule() {
                    Rule::ident => axis = Some(cx.ident(&part)),
                    Rule::list => labels = Some(cx.list(part)),
                    _ => {}
                }
            }
            only.extend(axis.zip(labels).map(|(axis, labels)| Only { axis, labels }));
            None
        });
        (fields, only)
    }

    fn use_decl(&mut self, pair: Pair<'_, Rule>) -> Use {
        let mut from_span = self.span_of(&pair);
        let mut from = UseFrom::File("".into());
        let (mut names, mut alias) = (None, None);
        for part in parts(pair) {
            match part.as_rule() {
                Rule::string | Rule::raw_string => {
                    from_span = self.span_of(&part);
                    from = UseFrom::File(self.plain_string(part));
                }
                Rule::path => {
                    from_span = self.span_of(&part);
                    from = UseFrom::Path(part.into_inner().map(|p| self.ident(&p)).collect());
                }
                Rule::names => {
                    names = Some(self.pieces(part, Rule::only_name, |cx, piece| {
                        parts(piece).next().map(|p| cx.ident(&p))
                    }));
                }
                Rule::alias => {
                    alias = parts(part).find(|p| p.as_rule() == Rule::ident).map(|p| self.ident(&p));
                }
                _ => {}
            }
        }
        Use { from, from_span, names, alias }
    }

    fn let_decl(&mut self, pair: Pair<'_, Rule>) -> Let {
        let whole = self.span_of(&pair);
        let named = self.named(pair);
        let (name, sweep, ty, value) = match named {
            Some(n) => (n.name, n.sweep, n.ty, n.value),
            None => (Ident { name: "_".into(), span: whole }, None, None, None),
        };
        Let { name, sweep, ty, value: value.unwrap_or(Expr { kind: ExprKind::Error, span: whole }) }
    }

    fn stage(&mut self, pair: Pair<'_, Rule>) -> Stage {
        let whole = self.span_of(&pair);
        let policy = pair.clone().into_inner().find(|p| p.as_rule() == Rule::policy);
        let named = self.let_decl(pair);
        let policy = policy.and_then(|p| parts(p).find(|p| p.as_rule() == Rule::record));
        let policy = policy.map_or_else(Vec::new, |p| self.fields(p));
        let value = match named.value.kind {
            ExprKind::Error => Expr { kind: ExprKind::Error, span: named.value.span.to(whole) },
            _ => named.value,
        };
        let call = self.must_call(value, "a stage", "evaluate { … }");
        Stage { name: named.name, sweep: named.sweep, call, policy }
    }

    /// The value, which must be a call.
    fn must_call(&mut self, value: Expr, what: &str, such_as: &str) -> Expr {
        let (label, help) = match &value.kind {
            ExprKind::Call { .. } | ExprKind::Error => return value,
            ExprKind::If { .. } | ExprKind::Match { .. } => (
                "chosen by a condition",
                "give two stages with `where`, or choose an argument of one call by `if` or `match`"
                    .to_owned(),
            ),
            ExprKind::Path(_) => ("a name, not a call", format!("call it, as in `{such_as}`")),
            ExprKind::Binary { left, right, .. } | ExprKind::In { left, right } => {
                let operator = Span { start: left.span.end, end: right.span.start, ..value.span };
                let message = format!("{what} is one call");
                let d = Diagnostic::error(Code::SyntaxCall, message, operator, "an operator makes it more");
                self.report(
                    d.related(left.span, "this alone could stand").help("end the item before the operator"),
                );
                return Expr { kind: ExprKind::Error, span: value.span };
            }
            _ => ("not a call", format!("write a call, as in `{such_as}`")),
        };
        let message = format!("{what} is one call");
        self.report(Diagnostic::error(Code::SyntaxCall, message, value.span, label).help(help));
        Expr { kind: ExprKind::Error, span: value.span }
    }

    pub(super) fn sweep(&mut self, pair: Pair<'_, Rule>) -> ForClause {
        let (mut axes, mut condition) = (Vec::new(), None);
        for part in parts(pair) {
            match part.as_rule() {
                // `_` was put in where a name is missing.
                Rule::ident if part.as_str() != "_" => axes.push(self.ident(&part)),
                Rule::expr | Rule::condition => condition = Some(self.expr(part)),
                _ => {}
            }
        }
        ForClause { axes, condition }
    }

    fn type_expr(&mut self, pair: &Pair<'_, Rule>) -> TypeExpr {
        let span = self.span(pair.as_span().start(), token_end(pair));
        let mut inner = parts(pair.clone());
        let name = inner.next().map_or(Ident { name: "".into(), span }, |p| self.ident(&p));
        let args = inner.filter(|p| p.as_rule() == Rule::ty).map(|p| self.type_expr(&p)).collect();
        TypeExpr { name, args, span }
    }

    fn def(&mut self, pair: Pair<'_, Rule>, span: Span) -> Def {
        let error = Expr { kind: ExprKind::Error, span };
        let mut def = Def {
            name: Ident { name: "_".into(), span },
            formals: Vec::new(),
            returns: TypeExpr { name: Ident { name: "Any".into(), span }, args: Vec::new(), span },
            items: Vec::new(),
            result: error,
        };
        for part in parts(pair) {
            match part.as_rule() {
                Rule::ident => def.name = self.ident(&part),
                Rule::formals => {
                    def.formals = self.pieces(part, Rule::only_formal, |cx, piece| {
                        cx.named(piece)
                            .and_then(|n| Some(Formal { name: n.name, ty: n.ty?, default: n.value }))
                    });
                }
                Rule::ty => def.returns = self.type_expr(&part),
                Rule::body => self.body(part, &mut def),
                _ => {}
            }
        }
        def
    }

    fn body(&mut self, pair: Pair<'_, Rule>, def: &mut Def) {
        let whole = self.span_of(&pair);
        let mut yielded: Option<Span> = None;
        let mut bad = false;
        for part in parts(pair) {
            let span = self.span(part.as_span().start(), token_end(&part));
            match part.as_rule() {
                Rule::stage => {
                    let stage = self.stage(part);
                    def.items.push(DefItem::Stage(stage));
                }
                Rule::let_decl => {
                    let item = self.let_decl(part);
                    def.items.push(DefItem::Let(item));
                }
                Rule::yields => {
                    if let Some(first) = yielded {
                        self.report(
                            Diagnostic::error(Code::Syntax, "a `def` yields once", span, "a second `yield`")
                                .related(first, "the first one")
                                .help("yield a record to give several things: `yield { a, b }`"),
                        );
                    }
                    yielded = Some(span);
                    if let Some(expr) = parts(part).find(|p| p.as_rule() == Rule::expr) {
                        def.result = self.expr(expr);
                    }
                }
                Rule::bad_def => {
                    bad = true;
                    self.explain(&part, Rule::only_def);
                }
                _ => {}
            }
        }
        if yielded.is_none() && !bad {
            let end = Span { start: whole.end.saturating_sub(1), ..whole };
            self.report(
                Diagnostic::error(Code::Syntax, "this `def` yields nothing", end, "the end of its body")
                    .help("end the body with `yield` and the value it gives"),
            );
        }
    }

    fn list(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span_of(&pair);
        let items = self.pieces(pair, Rule::only_expr, |cx, piece| parts(piece).next().map(|p| cx.expr(p)));
        Expr { kind: ExprKind::List(items), span }
    }
}

/// What most items are made of.
struct Named {
    name: Ident,
    ty: Option<TypeExpr>,
    sweep: Option<ForClause>,
    value: Option<Expr>,
    fields: Vec<Field>,
    only: Vec<Only>,
    body: Span,
}
