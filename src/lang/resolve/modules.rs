//! Loads a study and the modules that it uses.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::errors;
use super::study::{
    AxisId, DatasetId, Declaration, DefId, ItemIndex, LetId, Module, ModuleId, ParamId, StageId, Study,
};
use super::world::{STD, World};
use crate::syntax::ast::{self, ItemKind, UseFrom};
use crate::syntax::source::SourceMap;
use xpipe_base::diag::{Diagnostics, FileId, Severity, Span};

/// The edition of the language that this program reads.
const EDITION: u32 = 2026;
/// Maximum length of a chain of files that use each other.
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
/// When the root file cannot be read; everything else is a diagnostic.
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
    // By the same key as when another file uses it.
    loader.module(normal(root).display().to_string(), String::new(), Some(folder), text);
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
                    if edition {
                        self.sink.push(errors::edition_twice(*span));
                    } else if i > 0 {
                        self.sink.push(errors::edition_late(*span));
                    }
                    edition = true;
                    if year.is_some_and(|y| y != EDITION) {
                        self.sink.push(errors::unknown_edition(*span));
                    }
                }
                ItemKind::Requires { name, operator, version, span }
                    if &*name.name != "xpipe" || !satisfied(operator, version) =>
                {
                    self.sink.push(errors::requires(&name.name, operator, version, *span));
                }
                _ => {}
            }
        }
        if !edition {
            self.sink.push(errors::no_edition(file));
        }
    }

    fn declare(&mut self, module: ModuleId, index: usize, item: &ast::Item) {
        let place = ItemIndex { module, item: index };
        let s = &mut self.study;
        let (name, named) = match &item.kind {
            ItemKind::Edition { .. } | ItemKind::Requires { .. } | ItemKind::Study { .. } => return,
            ItemKind::Use(u) => return self.import(module, u),
            ItemKind::Param { name, .. } => {
                s.params.push(place);
                (name, Declaration::Param(ParamId(s.params.len() - 1)))
            }
            ItemKind::Axis { name, .. } => {
                s.axes.push(place);
                (name, Declaration::Axis(AxisId(s.axes.len() - 1)))
            }
            ItemKind::Let(l) => {
                s.lets.push(place);
                (&l.name, Declaration::Let(LetId(s.lets.len() - 1)))
            }
            ItemKind::Dataset { name, .. } => {
                s.datasets.push(place);
                (name, Declaration::Dataset(DatasetId(s.datasets.len() - 1)))
            }
            ItemKind::Stage(stage) => {
                s.stages.push(place);
                (&stage.name, Declaration::Stage(StageId(s.stages.len() - 1)))
            }
            ItemKind::Def(d) => {
                s.defs.push(place);
                (&d.name, Declaration::Def(DefId(s.defs.len() - 1)))
            }
            ItemKind::Table { name, .. }
            | ItemKind::Claim { name, .. }
            | ItemKind::Report { name, .. }
            | ItemKind::Profile { name, .. } => (name, Declaration::Output(module, index)),
        };
        if item.broken && s.modules[module.0].names.contains_key(&name.name) {
            // Its name is not the one it should have.
            s.modules[module.0].incomplete = true;
            return;
        }
        self.bind(module, name, named);
    }

    fn bind(&mut self, module: ModuleId, ident: &ast::Ident, named: Declaration) {
        let names = &mut self.study.modules[module.0].names;
        if let Some((_, first)) = names.get(&ident.name) {
            self.sink.push(errors::declared_twice(ident, *first));
            return;
        }
        names.insert(ident.name.clone(), (named, ident.span));
    }

    fn import(&mut self, into: ModuleId, u: &ast::Use) {
        let target = match &u.from {
            UseFrom::Path(path) => self.std_module(path, u.from_span),
            UseFrom::File(path) => self.file(into, path, u),
        };
        let last = match &u.from {
            UseFrom::Path(path) => path.last().cloned(),
            UseFrom::File(_) => None,
        };
        let alone = u.alias.clone().or(last);
        match (target, &u.names) {
            (None, names) => {
                for ident in names.clone().unwrap_or_else(|| alone.into_iter().collect()) {
                    self.bind(into, &ident, Declaration::Broken);
                }
            }
            (Some(target), Some(names)) => {
                for ident in names {
                    let found = self.study.module(target).names.get(&ident.name).copied();
                    if found.is_none() {
                        self.not_in_module(ident, target);
                    }
                    self.bind(into, ident, found.map_or(Declaration::Broken, |f| f.0));
                }
            }
            (Some(target), None) => match alone {
                Some(ident) => self.bind(into, &ident, Declaration::Module(target)),
                None => self.sink.push(errors::unnamed_file(u.from_span)),
            },
        }
    }

    /// Reports a name that a module does not have, unless it may be declared in a part that did not parse.
    fn not_in_module(&mut self, ident: &ast::Ident, module: ModuleId) {
        let module = self.study.module(module);
        if !module.incomplete {
            self.sink.push(errors::not_in_module(ident, module));
        }
    }

    /// A module of std; `None` when there is none of this name, which is reported.
    fn std_module(&mut self, path: &[ast::Ident], span: Span) -> Option<ModuleId> {
        let text: Vec<&str> = path.iter().map(|i| &*i.name).collect();
        let known = STD.iter().find(|(n, _)| text.len() == 2 && text[0] == "std" && *n == text[1]);
        let Some((name, source)) = known else {
            self.sink.push(errors::unknown_module(&text.join("."), span));
            return None;
        };
        let key = format!("std/{name}.xpipe");
        let loaded = self.by_key.get(&key).copied();
        Some(loaded.unwrap_or_else(|| self.module(key, (*name).to_owned(), None, (*source).to_owned())))
    }

    /// The module of a file; `None` when it cannot be read, which is reported.
    fn file(&mut self, into: ModuleId, path: &str, u: &ast::Use) -> Option<ModuleId> {
        let folder = self.study.module(into).folder.clone().unwrap_or_default();
        let full = normal(&folder.join(path));
        let key = full.display().to_string();
        if self.loading.contains(&key) {
            self.sink.push(errors::circle_of_files(path, u.from_span));
            return None;
        }
        if let Some(id) = self.by_key.get(&key) {
            return Some(*id);
        }
        if self.loading.len() >= DEEPEST {
            self.sink.push(errors::files_too_deep(DEEPEST, u.from_span));
            return None;
        }
        let text = match self.world.read(&full) {
            Ok(text) => text,
            Err(e) => {
                self.sink.push(errors::unreadable_file(&full, &e, u.from_span));
                return None;
            }
        };
        let stem = || full.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let name = u.alias.as_ref().map_or_else(stem, |a| a.name.to_string());
        let parent = full.parent().map(Path::to_path_buf);
        Some(self.module(key, name, parent, text))
    }
}

/// A path without `.` and `..` components; the file system is not asked.
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

/// The byte ranges of a file's lines with syntax errors.
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
