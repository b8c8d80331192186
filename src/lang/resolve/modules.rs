//! Loads a study and the modules it uses, and gives every declaration a number.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::world::{STD, World};
use crate::syntax::ast::{self, ItemKind, UseFrom};
use crate::syntax::source::SourceMap;
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_base::diag::{Code, Diagnostic, Diagnostics, FileId, Severity, Span};
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

/// What a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Named {
    Axis(AxisId),
    Let(LetId),
    Param(ParamId),
    Dataset(DatasetId),
    Stage(StageId),
    Def(DefId),
    Module(ModuleId),
    /// A table, claim, report or profile, by its place in the module's items.
    Output(ModuleId, usize),
    /// Something that could not be read and was reported; what uses it stays silent.
    Broken,
}

/// A file of the study.
#[derive(Debug)]
pub struct Module {
    /// Its text in the source map.
    pub file: FileId,
    /// Its text.
    pub text: Arc<str>,
    /// The folder that relative paths start from; `None` for std.
    pub folder: Option<PathBuf>,
    /// What it is called in addresses: `msmarco`; empty for the root.
    pub name: String,
    /// Its items.
    pub ast: Arc<ast::File>,
    /// Its names, with the place of each declaration.
    pub names: IndexMap<Name, (Named, Span)>,
    /// Whether a declaration could not be read: names that seem unknown may be its.
    pub incomplete: bool,
    /// The bytes of lines that could not be read. What else seems wrong there comes of that.
    pub unread: Vec<(u32, u32)>,
}

/// Where an item stands.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The file.
    pub module: ModuleId,
    /// Its place among the file's items.
    pub item: usize,
}

/// A study with all its files and names.
#[derive(Debug, Default)]
pub struct Study {
    /// Files; the first is the root.
    pub modules: Vec<Module>,
    /// Places of the axes.
    pub axes: Vec<Place>,
    /// Places of the lets.
    pub lets: Vec<Place>,
    /// Places of the params.
    pub params: Vec<Place>,
    /// Places of the datasets.
    pub datasets: Vec<Place>,
    /// Places of the stages.
    pub stages: Vec<Place>,
    /// Places of the defs.
    pub defs: Vec<Place>,
}

impl Study {
    /// The item at a place.
    pub fn item(&self, p: Place) -> &ast::Item {
        &self.modules[p.module.0].ast.items[p.item]
    }

    /// A file.
    pub fn module(&self, id: ModuleId) -> &Module {
        &self.modules[id.0]
    }

    /// What a name means in a file.
    pub fn named(&self, module: ModuleId, name: &str) -> Option<Named> {
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

    /// Whether a place lies on a line that could not be read.
    pub fn is_unread(&self, span: Span) -> bool {
        let module = self.modules.iter().find(|m| m.file == span.file);
        module.is_some_and(|m| m.unread.iter().any(|(from, to)| (*from..=*to).contains(&span.start)))
    }

    /// Whether a place lies in an item of which a part could not be read, which may be just what is missing.
    pub fn is_in_broken_item(&self, span: Span) -> bool {
        let module = self.modules.iter().find(|m| m.file == span.file);
        let mut items = module.into_iter().flat_map(|m| &m.ast.items);
        items.any(|i| i.broken && i.span.start <= span.start && span.end <= i.span.end)
    }

    /// The version that `std` and this program state for `requires`.
    pub const VERSION: &'static str = env!("CARGO_PKG_VERSION");
}

/// The deepest chain of files that use each other.
const DEEPEST: usize = 64;

struct Loader<'a> {
    world: &'a dyn World,
    sources: &'a mut SourceMap,
    sink: &'a mut Diagnostics,
    study: Study,
    by_key: IndexMap<String, ModuleId>,
    loading: Vec<String>,
}

/// Reads a root file and everything it uses.
///
/// # Errors
/// When the root file itself cannot be read; all else is a diagnostic.
pub fn load(
    root: &Path,
    world: &dyn World,
    sources: &mut SourceMap,
    sink: &mut Diagnostics,
) -> std::io::Result<Study> {
    let text = world.read(root)?;
    let mut loader = Loader {
        world,
        sources,
        sink,
        study: Study::default(),
        by_key: IndexMap::new(),
        loading: Vec::new(),
    };
    let folder = root.parent().map(Path::to_path_buf).unwrap_or_default();
    loader.module(root.display().to_string(), String::new(), Some(folder), text);
    Ok(loader.study)
}

impl Loader<'_> {
    fn module(&mut self, key: String, name: String, folder: Option<PathBuf>, text: String) -> ModuleId {
        let id = ModuleId(self.study.modules.len());
        let file = self.sources.add(key.as_str(), text);
        let text = self.sources.text_of(file);
        let parsed = Arc::new(crate::syntax::parse(file, &text, self.sink));
        self.by_key.insert(key.clone(), id);
        self.study.modules.push(Module {
            file,
            folder,
            name,
            ast: parsed.clone(),
            names: IndexMap::new(),
            incomplete: parsed.incomplete,
            unread: unread(file, &text, self.sink),
            text: Arc::from(&*text),
        });
        self.loading.push(key);
        self.header(file, &parsed);
        for (i, item) in parsed.items.iter().enumerate() {
            self.declare(id, i, item);
        }
        self.loading.pop();
        id
    }

    fn header(&mut self, file: FileId, parsed: &ast::File) {
        let mut edition = false;
        for (i, item) in parsed.items.iter().enumerate() {
            match &item.kind {
                ItemKind::Edition { year, span } => {
                    if edition || i > 0 {
                        let (message, help) = if edition {
                            ("the edition is stated twice", "remove one of the two lines")
                        } else {
                            ("the edition stands after other items", "move the line to the top of the file")
                        };
                        let label = "everything in the file is read by its edition";
                        self.sink.push(Diagnostic::error(Code::Edition, message, *span, label).help(help));
                    }
                    edition = true;
                    if year.is_some_and(|y| y != 2026) {
                        self.sink.push(
                            Diagnostic::error(
                                Code::Edition,
                                "this edition of the language is not known",
                                *span,
                                "not an edition of this program",
                            )
                            .help("write `edition 2026`"),
                        );
                    }
                }
                ItemKind::Requires { name, operator, version, span }
                    if &*name.name != "xpipe" || !satisfied(operator, version) =>
                {
                    self.sink.push(
                        Diagnostic::error(
                            Code::Requires,
                            format!("this study needs {} {operator} {version}", name.name),
                            *span,
                            format!("this is xpipe {}", Study::VERSION),
                        )
                        .help("install a version that fits, or change the line"),
                    );
                }
                _ => {}
            }
        }
        if !edition {
            let span = Span { file, start: 0, end: 0 };
            self.sink.push(
                Diagnostic::error(Code::Edition, "the file does not state its edition", span, "here")
                    .help("write `edition 2026` as the first line"),
            );
        }
    }

    fn declare(&mut self, module: ModuleId, index: usize, item: &ast::Item) {
        let place = Place { module, item: index };
        let s = &mut self.study;
        let (name, named) = match &item.kind {
            ItemKind::Edition { .. } | ItemKind::Requires { .. } | ItemKind::Study { .. } => return,
            ItemKind::Use(u) => return self.import(module, u),
            ItemKind::Param { name, .. } => {
                s.params.push(place);
                (name, Named::Param(ParamId(s.params.len() - 1)))
            }
            ItemKind::Axis { name, .. } => {
                s.axes.push(place);
                (name, Named::Axis(AxisId(s.axes.len() - 1)))
            }
            ItemKind::Let(l) => {
                s.lets.push(place);
                (&l.name, Named::Let(LetId(s.lets.len() - 1)))
            }
            ItemKind::Dataset { name, .. } => {
                s.datasets.push(place);
                (name, Named::Dataset(DatasetId(s.datasets.len() - 1)))
            }
            ItemKind::Stage(stage) => {
                s.stages.push(place);
                (&stage.name, Named::Stage(StageId(s.stages.len() - 1)))
            }
            ItemKind::Def(d) => {
                s.defs.push(place);
                (&d.name, Named::Def(DefId(s.defs.len() - 1)))
            }
            ItemKind::Table { name, .. }
            | ItemKind::Claim { name, .. }
            | ItemKind::Report { name, .. }
            | ItemKind::Profile { name, .. } => (name, Named::Output(module, index)),
        };
        if item.broken && s.modules[module.0].names.contains_key(&name.name) {
            // Its name is not the one it should have.
            s.modules[module.0].incomplete = true;
            return;
        }
        self.bind(module, name, named);
    }

    fn bind(&mut self, module: ModuleId, ident: &ast::Ident, named: Named) {
        let names = &mut self.study.modules[module.0].names;
        if let Some((_, first)) = names.get(&ident.name) {
            self.sink.push(
                Diagnostic::error(
                    Code::DeclaredTwice,
                    format!("`{}` is declared twice", ident.name),
                    ident.span,
                    "declared again here",
                )
                .related(*first, "first declared here")
                .help("rename one of them"),
            );
            return;
        }
        names.insert(ident.name.clone(), (named, ident.span));
    }

    fn import(&mut self, into: ModuleId, u: &ast::Use) {
        let Some((target, default_name)) = self.target(into, u) else {
            let last = match &u.from {
                UseFrom::Path(path) => path.last().cloned(),
                UseFrom::File(_) => None,
            };
            let alone = u.alias.clone().or(last);
            for ident in u.names.clone().unwrap_or_else(|| alone.into_iter().collect()) {
                self.bind(into, &ident, Named::Broken);
            }
            return;
        };
        match &u.names {
            Some(names) => {
                for ident in names {
                    let found = self.study.module(target).names.get(&ident.name).copied();
                    match found {
                        Some((named, _)) => self.bind(into, ident, named),
                        None => {
                            self.not_in_module(ident, target);
                            self.bind(into, ident, Named::Broken);
                        }
                    }
                }
            }
            None => {
                let ident = u.alias.clone().or(default_name);
                match ident {
                    Some(ident) => self.bind(into, &ident, Named::Module(target)),
                    None => self.sink.push(
                        Diagnostic::error(
                            Code::Module,
                            "a file that is used needs a name",
                            u.from_span,
                            "used without a name",
                        )
                        .help("write `use \"./file.xpipe\" as name`, or list names in `{ }`"),
                    ),
                }
            }
        }
    }

    /// Reports a name that a module does not have, unless the module may declare it where it could not be read.
    fn not_in_module(&mut self, ident: &ast::Ident, module: ModuleId) {
        let module = self.study.module(module);
        if module.incomplete {
            return;
        }
        let known: Vec<&str> = module.names.keys().map(|n| &**n).collect();
        let help = did_you_mean(&ident.name, known.iter().copied())
            .unwrap_or_else(|| format!("it has {}", known.join(", ")));
        self.sink.push(
            Diagnostic::error(
                Code::UnknownMember,
                format!("the module `{}` has no `{}`", module.name, ident.name),
                ident.span,
                "not declared there",
            )
            .help(help),
        );
    }

    fn target(&mut self, into: ModuleId, u: &ast::Use) -> Option<(ModuleId, Option<ast::Ident>)> {
        match &u.from {
            UseFrom::Path(path) => {
                let text: Vec<&str> = path.iter().map(|i| &*i.name).collect();
                let last = path.last()?.clone();
                let known = STD.iter().find(|(n, _)| text.len() == 2 && text[0] == "std" && *n == text[1]);
                let Some((name, source)) = known else {
                    let names: Vec<String> = STD.iter().map(|(n, _)| format!("std.{n}")).collect();
                    let wanted = text.join(".");
                    let help = did_you_mean(&wanted, names.iter().map(String::as_str))
                        .unwrap_or_else(|| format!("modules are {}", names.join(", ")));
                    self.sink.push(
                        Diagnostic::error(
                            Code::Module,
                            format!("there is no module `{wanted}`"),
                            u.from_span,
                            "not found",
                        )
                        .help(help),
                    );
                    return None;
                };
                let key = format!("std/{name}.xpipe");
                let id = match self.by_key.get(&key) {
                    Some(id) => *id,
                    None => self.module(key, (*name).to_owned(), None, (*source).to_owned()),
                };
                Some((id, Some(last)))
            }
            UseFrom::File(path) => {
                let folder = self.study.module(into).folder.clone().unwrap_or_default();
                let full = normal(&folder.join(&**path));
                let key = full.display().to_string();
                if let Some(id) = self.by_key.get(&key) {
                    if self.loading.contains(&key) {
                        self.sink.push(
                            Diagnostic::error(
                                Code::Cycle,
                                "these files use each other in a circle",
                                u.from_span,
                                format!("{path} is being read already"),
                            )
                            .help("move what both need into a third file"),
                        );
                        return None;
                    }
                    return Some((*id, None));
                }
                if self.loading.len() >= DEEPEST {
                    self.sink.push(
                        Diagnostic::error(
                            Code::SyntaxDeep,
                            format!("files use each other more than {DEEPEST} deep"),
                            u.from_span,
                            "used here",
                        )
                        .help("let one file use the others, side by side"),
                    );
                    return None;
                }
                match self.world.read(&full) {
                    Ok(text) => {
                        let name = u.alias.as_ref().map_or_else(
                            || full.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default(),
                            |a| a.name.to_string(),
                        );
                        let parent = full.parent().map(Path::to_path_buf);
                        Some((self.module(key, name, parent, text), None))
                    }
                    Err(e) => {
                        self.sink.push(
                            Diagnostic::error(
                                Code::Module,
                                format!("cannot read {}: {e}", full.display()),
                                u.from_span,
                                "used here",
                            )
                            .help(crate::syntax::source::reading_help(
                                &e,
                                "paths are relative to the file that writes them",
                            )),
                        );
                        None
                    }
                }
            }
        }
    }
}

/// A path without `.` and `..` parts, by name alone.
pub fn normal(path: &Path) -> PathBuf {
    use std::path::Component as C;
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            C::CurDir => {}
            C::ParentDir if matches!(out.components().next_back(), Some(C::Normal(_))) => {
                out.pop();
            }
            C::ParentDir | C::Normal(_) | C::RootDir | C::Prefix(_) => out.push(part),
        }
    }
    out
}

/// The lines of a file with errors of syntax.
fn unread(file: FileId, text: &str, sink: &Diagnostics) -> Vec<(u32, u32)> {
    let errors = sink.iter().filter(|d| {
        d.severity == Severity::Error
            && d.primary.span.file == file
            && d.code.as_str().starts_with("syntax::")
    });
    errors
        .map(|d| {
            let at = (d.primary.span.start as usize).min(text.len());
            let start = text[..at].rfind('\n').map_or(0, |n| n + 1);
            let end = text[at..].find('\n').map_or(text.len(), |n| at + n);
            (start as u32, end as u32)
        })
        .collect()
}

fn satisfied(operator: &str, wanted: &str) -> bool {
    let parse = |v: &str| v.split('.').map(|p| p.parse::<u64>().unwrap_or(0)).collect::<Vec<_>>();
    let (have, wanted) = (parse(Study::VERSION), parse(wanted));
    match operator {
        ">=" => have >= wanted,
        "==" => have.starts_with(&wanted),
        _ => false,
    }
}
