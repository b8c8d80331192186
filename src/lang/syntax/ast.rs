//! The syntax tree. It is built even from files with syntax errors, which are [`ExprKind::Error`] or left out.

use std::sync::Arc;

use xpipe_base::diag::Span;
use xpipe_base::value::{BinaryOp, Name, UnaryOp};

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the fields say it")]
pub struct Ident {
    pub name: Name,
    pub span: Span,
}

/// A file: its items in order.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names of the fields say it")]
pub struct File {
    pub items: Vec<Item>,
    /// Whether an item or its name did not parse: unknown names may be declared there.
    pub incomplete: bool,
}

/// One item with the `##` comments above it.
#[derive(Clone, Debug)]
pub struct Item {
    /// Text of the `##` lines, without the marks.
    pub docs: Vec<String>,
    /// From its first keyword to its last token.
    pub span: Span,
    /// The item itself.
    pub kind: ItemKind,
    /// Whether a part of it has a syntax error, which is reported: missing parts are not to be reported again.
    pub broken: bool,
}

/// The kinds of items.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is an item of the language")]
pub enum ItemKind {
    Edition { year: Option<u32>, span: Span },
    Requires { name: Ident, operator: Arc<str>, version: Arc<str>, span: Span },
    Use(Use),
    Study { name: Ident, fields: Vec<Field> },
    Param { name: Ident, ty: TypeExpr, default: Option<Expr> },
    Axis { name: Ident, ty: Option<TypeExpr>, value: Expr },
    Let(Let),
    Dataset { name: Ident, ty: TypeExpr, value: Expr },
    Stage(Stage),
    Def(Def),
    Table { name: Ident, sweep: Option<ForClause>, fields: Vec<Field>, body: Span },
    Claim { name: Ident, sweep: Option<ForClause>, fields: Vec<Field>, body: Span },
    Report { name: Ident, fields: Vec<Field>, body: Span },
    Profile { name: Ident, fields: Vec<Field>, only: Vec<Only> },
}

/// `use std.trec { dl19 }`, `use "./x.xpipe" as x`.
#[derive(Clone, Debug)]
pub struct Use {
    /// The module.
    pub from: UseFrom,
    /// The span of the module.
    pub from_span: Span,
    /// Names taken, when listed.
    pub names: Option<Vec<Ident>>,
    /// The name given, when there is one.
    pub alias: Option<Ident>,
}

/// Where a module comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UseFrom {
    /// `std.msmarco`.
    Path(Vec<Ident>),
    /// A file, relative to the one that writes it.
    File(Arc<str>),
}

/// `for a, b where cond`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names of the fields say it")]
pub struct ForClause {
    pub axes: Vec<Ident>,
    pub condition: Option<Expr>,
}

/// `let x for a = …`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names of the fields say it")]
pub struct Let {
    pub name: Ident,
    /// The axes it varies over.
    pub sweep: Option<ForClause>,
    /// Declared type.
    pub ty: Option<TypeExpr>,
    pub value: Expr,
}

/// `stage s for a, b = op { … } with { … }`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names of the fields say it")]
pub struct Stage {
    pub name: Ident,
    /// The axes it varies over.
    pub sweep: Option<ForClause>,
    /// The call ([`ExprKind::Call`], or [`ExprKind::Error`]).
    pub call: Expr,
    /// The fields of `with`.
    pub policy: Vec<Field>,
}

/// `def f(x: T = d) -> R { … yield e }`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names of the fields say it")]
pub struct Def {
    pub name: Ident,
    pub formals: Vec<Formal>,
    pub returns: TypeExpr,
    /// Stages and lets inside.
    pub items: Vec<DefItem>,
    pub result: Expr,
}

/// A stage or let inside a `def`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DefItem {
    Stage(Stage),
    Let(Let),
}

/// `x: T = d`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names of the fields say it")]
pub struct Formal {
    pub name: Ident,
    pub ty: TypeExpr,
    pub default: Option<Expr>,
}

/// `List<Int>`, `Model<cross_encoder>`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names of the fields say it")]
pub struct TypeExpr {
    /// The head.
    pub name: Ident,
    /// Arguments in angle brackets.
    pub args: Vec<TypeExpr>,
    pub span: Span,
}

/// `name = value`, or `name` for `name = name`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names of the fields say it")]
pub struct Field {
    /// `##` lines above it.
    pub docs: Vec<String>,
    pub name: Ident,
    /// Its value; `None` for the short form.
    pub value: Option<Expr>,
    pub span: Span,
}

/// `only axis = [labels]` of a profile.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names of the fields say it")]
pub struct Only {
    pub axis: Ident,
    /// The labels ([`ExprKind::List`]).
    pub labels: Expr,
}

/// An expression.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names of the fields say it")]
pub struct Expr {
    pub kind: ExprKind,
    /// Where, trimmed of blanks and comments.
    pub span: Span,
}

/// The kinds of expressions.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is a form of the language")]
pub enum ExprKind {
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A number with its unit as written: `20h`, `24GiB`, `2.5%`.
    Quantity {
        value: f64,
        unit: Arc<str>,
    },
    /// `"text {expr}"`.
    Str(Vec<StrPart>),
    /// `'raw'`.
    Raw(Arc<str>),
    List(Vec<Expr>),
    Record(Vec<Field>),
    /// `op(…)` or `op { … }`; block fields become named arguments.
    Call {
        path: Vec<Ident>,
        args: Vec<Arg>,
        block: bool,
    },
    /// `name`, `a.b.c`.
    Path(Vec<Ident>),
    Member {
        of: Box<Expr>,
        name: Ident,
    },
    /// `g[a = x, b in [x, y]]`.
    Index {
        of: Box<Expr>,
        args: Vec<Arg>,
    },
    Unary {
        op: UnaryOp,
        of: Box<Expr>,
    },
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `a in [x, y]`: membership, or a binder inside `[ ]` and `over = `.
    In {
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `a .. b`.
    Range {
        from: Box<Expr>,
        to: Box<Expr>,
    },
    If {
        condition: Box<Expr>,
        then: Box<Expr>,
        other: Box<Expr>,
    },
    Match {
        subject: Vec<Ident>,
        arms: Vec<Arm>,
        subject_span: Span,
    },
    /// A syntax error, already reported.
    Error,
}

/// A piece of an interpolated string.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum StrPart {
    Text(Arc<str>),
    Expr(Expr),
}

/// An argument of a call or index.
#[derive(Clone, Debug)]
pub struct Arg {
    /// Its name; `None` for a positional one.
    pub name: Option<Ident>,
    /// Its value. For the short form `name` in a block it is a path of that name.
    pub value: Expr,
}

/// `a | b => value`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names of the fields say it")]
pub struct Arm {
    /// The labels; empty for `_`.
    pub labels: Vec<Ident>,
    /// The pattern's span.
    pub span: Span,
    pub value: Expr,
}
