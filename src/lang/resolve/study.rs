//! A study after loading: its files, and what each name of a file means.

use std::path::PathBuf;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::syntax::ast::{self, ItemKind};
use xpipe_base::diag::{FileId, Span};
use xpipe_base::value::Name;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub usize);
    )* };
}
ids! {
    /// A file of the study; 0 is the root.
    ModuleId
    /// An axis.
    AxisId
    /// A `let`.
    LetId
    /// A `param`.
    ParamId
    /// A `dataset`.
    DatasetId
    /// A `stage`.
    StageId
    /// A `def`.
    DefId
}

/// The declaration that a name refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Declaration {
    Axis(AxisId),
    Let(LetId),
    Param(ParamId),
    Dataset(DatasetId),
    Stage(StageId),
    Def(DefId),
    Module(ModuleId),
    /// A table, claim, report or profile, by its index in the module's items.
    Output(ModuleId, usize),
    /// A name whose declaration has a reported error. Its uses are not reported.
    Broken,
}

/// A file of the study.
#[derive(Debug)]
pub struct Module {
    /// Its id in the source map.
    pub file: FileId,
    /// The source text.
    pub text: Arc<str>,
    /// The folder that relative paths start from; `None` for std.
    pub folder: Option<PathBuf>,
    /// Its name in addresses, for example `msmarco`; empty for the root.
    pub name: String,
    /// Its items.
    pub ast: Arc<ast::File>,
    /// Its names, each with the span of its declaration.
    pub names: IndexMap<Name, (Declaration, Span)>,
    /// Whether a declaration did not parse: unknown names may be declared there.
    pub incomplete: bool,
    /// Byte ranges of lines with syntax errors. Further errors there are consequences.
    pub unread: Vec<(u32, u32)>,
}

/// The position of an item.
#[derive(Clone, Copy, Debug)]
pub struct ItemIndex {
    /// The file that declares it.
    pub module: ModuleId,
    /// Its index among the file's items.
    pub item: usize,
}

/// A study: its files, and the items of each kind, by id.
#[derive(Debug, Default)]
pub struct Study {
    /// Files; the first is the root.
    pub modules: Vec<Module>,
    /// Axes, by [`AxisId`].
    pub axes: Vec<ItemIndex>,
    /// Lets, by [`LetId`].
    pub lets: Vec<ItemIndex>,
    /// Params, by [`ParamId`].
    pub params: Vec<ItemIndex>,
    /// Datasets, by [`DatasetId`].
    pub datasets: Vec<ItemIndex>,
    /// Stages, by [`StageId`].
    pub stages: Vec<ItemIndex>,
    /// Defs, by [`DefId`].
    pub defs: Vec<ItemIndex>,
}

impl Study {
    /// The item at a place.
    pub fn item(&self, p: ItemIndex) -> &ast::Item {
        &self.modules[p.module.0].ast.items[p.item]
    }

    /// A file.
    pub fn module(&self, id: ModuleId) -> &Module {
        &self.modules[id.0]
    }

    /// What a name means in a file.
    pub fn named(&self, module: ModuleId, name: &str) -> Option<Declaration> {
        self.module(module).names.get(name).map(|(n, _)| *n)
    }

    /// An axis: its name, declared type and expression.
    pub fn axis(&self, id: AxisId) -> (&ast::Ident, Option<&ast::TypeExpr>, &ast::Expr) {
        match &self.item(self.axes[id.0]).kind {
            ItemKind::Axis { name, ty, value } => (name, ty.as_ref(), value),
            _ => unreachable!("BUG: not an axis"),
        }
    }

    /// A let.
    pub fn let_(&self, id: LetId) -> &ast::Let {
        match &self.item(self.lets[id.0]).kind {
            ItemKind::Let(l) => l,
            _ => unreachable!("BUG: not a let"),
        }
    }

    /// A stage.
    pub fn stage(&self, id: StageId) -> &ast::Stage {
        match &self.item(self.stages[id.0]).kind {
            ItemKind::Stage(s) => s,
            _ => unreachable!("BUG: not a stage"),
        }
    }

    /// A def.
    pub fn def(&self, id: DefId) -> &ast::Def {
        match &self.item(self.defs[id.0]).kind {
            ItemKind::Def(d) => d,
            _ => unreachable!("BUG: not a def"),
        }
    }

    /// The name a stage has in addresses: `model`, or `mine.model` from a module.
    pub fn stage_name(&self, id: StageId) -> String {
        let module = self.module(self.stages[id.0].module);
        let name = &self.stage(id).name.name;
        if module.name.is_empty() { name.to_string() } else { format!("{}.{name}", module.name) }
    }

    /// Whether a span lies on a line with a syntax error.
    pub fn is_unread(&self, span: Span) -> bool {
        let module = self.modules.iter().find(|m| m.file == span.file);
        module.is_some_and(|m| m.unread.iter().any(|(from, to)| (*from..=*to).contains(&span.start)))
    }

    /// Whether a span lies in an item with a syntax error, which may be the cause of what is missing.
    pub fn is_in_broken_item(&self, span: Span) -> bool {
        let module = self.modules.iter().find(|m| m.file == span.file);
        let mut items = module.into_iter().flat_map(|m| &m.ast.items);
        items.any(|i| i.broken && i.span.start <= span.start && span.end <= i.span.end)
    }

    /// The version of this program, which `requires` is compared with.
    pub const VERSION: &'static str = env!("CARGO_PKG_VERSION");
}
