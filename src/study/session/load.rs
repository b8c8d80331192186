//! From a path and what is changed on the command line to the graph of a study.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::error::Error;
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_base::diag::{Code, Diagnostic, Diagnostics, FileId, Span};
use xpipe_base::value::ActionId;
use xpipe_lang::graph::{Graph, Overrides, expand, select};
use xpipe_lang::resolve::{Declaration, Disk, ModuleId, Study, World};
use xpipe_lang::syntax::ast::ItemKind;
use xpipe_lang::syntax::source::{SourceMap, reading_help};

/// A study and what is changed in it.
#[derive(Clone, Debug, Default)]
pub struct StudyRequest {
    /// The file.
    pub file: PathBuf,
    /// Values of params: `steps=steps(1_000)`.
    pub set: Vec<String>,
    /// A profile of the study.
    pub profile: Option<String>,
    /// Labels of axes to keep: `seed=1,2`.
    pub only: Vec<String>,
    /// Stages or cells to make: `model[infonce, 1]`. Default: everything.
    pub target: Vec<String>,
    /// The most cells that the study may have.
    pub max_cells: Option<u64>,
}

impl StudyRequest {
    /// Whether only a part of the study is asked for.
    pub fn is_partial(&self) -> bool {
        !(self.only.is_empty() && self.target.is_empty())
    }
}

/// A study, read and expanded.
pub struct Loaded {
    /// What was asked for.
    pub request: StudyRequest,
    /// The study's file, absolute.
    pub path: PathBuf,
    /// The texts that were read.
    pub sources: SourceMap,
    /// The files of the study that were read, sorted: texts, and tables of numbers.
    pub files: Vec<PathBuf>,
    /// What is wrong, or deserves a warning.
    pub diagnostics: Diagnostics,
    /// The graph, as far as the study is correct.
    pub graph: Graph,
    /// The actions that are asked for.
    pub wanted: Vec<ActionId>,
}

impl Loaded {
    /// Reads and expands a study; what is wrong with it is in its diagnostics.
    ///
    /// # Errors
    /// The file cannot be read, or the request does not fit the study.
    pub fn read(request: &StudyRequest, models: &[PathBuf]) -> Result<Self, Error> {
        let cwd =
            std::env::current_dir().map_err(|e| Error::missing(format!("no working directory: {e}")))?;
        let path = xpipe_lang::resolve::modules::normal(&cwd.join(&request.file));
        if path.to_str().is_none() {
            return Err(Error::usage(format!(
                "the path of the study, {}, is not UTF-8; move it to one that is",
                path.display()
            )));
        }
        let world = Recorded { disk: Disk { models: models.to_vec() }, read: Mutex::default() };
        let mut sources = SourceMap::new();
        let mut diagnostics = Diagnostics::new();
        let study =
            xpipe_lang::resolve::load(&path, &world, &mut sources, &mut diagnostics).map_err(|e| {
                Error::missing(format!("cannot read {}: {e}", request.file.display()))
                    .help(reading_help(&e, "give the path of a `.xpipe` file"))
            })?;
        let overrides = overrides(request, &study, cwd, &mut sources, &mut diagnostics)?;
        let graph = expand(&study, &crate::ops::registry(), &world, &overrides, &mut diagnostics);
        let files = world.read.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect();
        Ok(Self { request: request.clone(), path, sources, files, diagnostics, graph, wanted: Vec::new() })
    }

    /// Reads and expands a correct study, and finds the actions that are asked for.
    ///
    /// # Errors
    /// As [`Loaded::read`], and when the study is wrong.
    pub fn correct(request: &StudyRequest, models: &[PathBuf]) -> Result<Self, Error> {
        let mut loaded = Self::read(request, models)?;
        if loaded.diagnostics.has_errors() {
            return Err(Error::Study {
                diagnostics: Box::new(loaded.diagnostics),
                sources: Box::new(loaded.sources),
            });
        }
        loaded.wanted = match request.target.as_slice() {
            [] => select::all(&loaded.graph),
            target => cells(&loaded.graph, target)?,
        };
        Ok(loaded)
    }

    /// The study's name: its file without folder and suffix.
    pub fn name(&self) -> String {
        study_name(&self.path)
    }

    /// Where a span begins: `study.xpipe:12:3`.
    pub fn position(&self, span: Span) -> String {
        use xpipe_base::diag::render::Sources as _;
        let at = self.sources.position(span.file, span.start);
        format!("{}:{}:{}", self.sources.name(span.file), at.line, at.column)
    }

    /// A cell and where its stage is written: `model[1], study.xpipe:12:3`.
    pub fn reader(&self, action: ActionId) -> String {
        let span = self.graph.call_site(action).span;
        format!("{}, {}", self.graph.action(action).address, self.position(span))
    }

    /// Where results go when nothing else is said. A part of a study, by `--only` or `--target`, has a folder of its own:
    /// its tables have holes and must not take the place of whole ones.
    pub fn results_folder(&self) -> PathBuf {
        let folder = self.path.with_file_name("results").join(self.name());
        if self.request.is_partial() { folder.join("partial") } else { folder }
    }

    /// Whether a run writes files: tables, or a page.
    pub fn has_output(&self) -> bool {
        let graph = &self.graph;
        !(graph.tables.is_empty() && graph.claims.is_empty() && graph.reports.is_empty())
    }
}

/// The disk, which remembers what was read.
struct Recorded {
    disk: Disk,
    read: Mutex<BTreeSet<PathBuf>>,
}

impl World for Recorded {
    fn read(&self, path: &Path) -> std::io::Result<String> {
        let text = self.disk.read(path)?;
        let path = xpipe_lang::resolve::modules::normal(path);
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(path);
        Ok(text)
    }

    fn exists(&self, path: &Path) -> bool {
        self.disk.exists(path)
    }

    fn model_config(&self, name: &str) -> Option<String> {
        self.disk.model_config(name)
    }
}

/// The name of a study by its path.
pub(super) fn study_name(path: &Path) -> String {
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The actions of the cells that texts such as `model[infonce, 1]` name.
///
/// # Errors
/// A text that names no stage or cell.
pub fn cells(graph: &Graph, texts: &[String]) -> Result<Vec<ActionId>, Error> {
    let mut ids = Vec::new();
    for text in texts {
        let (_, cells) = select::target(graph, text).map_err(|e| Error::usage(e.to_string()))?;
        ids.extend(cells.iter().map(|c| c.action));
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// What the command line changes in a study.
fn overrides(
    request: &StudyRequest,
    study: &Study,
    folder: PathBuf,
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) -> Result<Overrides, Error> {
    let mut overrides = Overrides {
        profile: request.profile.clone(),
        folder,
        max_cells: request.max_cells,
        ..Overrides::default()
    };
    for text in &request.set {
        let id: FileId = sources.add(format!("--set {text}"), text.as_str());
        if let Some(d) = text_without_quotes(study, id, text) {
            diagnostics.push(d);
        } else if let Some(setting) = xpipe_lang::syntax::parse_setting(id, text, diagnostics) {
            overrides.set.push(setting);
        }
    }
    for text in &request.only {
        let (axis, labels) = only(text)?;
        if overrides.only.iter().any(|(known, _)| *known == axis) {
            return Err(Error::usage(format!(
                "--only {text}: the labels of `{axis}` are given twice; write them in one list"
            )));
        }
        overrides.only.push((axis, labels));
    }
    if let Some(profile) = &request.profile {
        require_profile(study, profile)?;
    }
    for (axis, _) in &overrides.only {
        let known = study.modules.first().and_then(|m| m.names.get(axis.as_str()));
        if !matches!(known, Some((Declaration::Axis(_), _))) {
            return Err(Error::usage(format!("--only: the study has no axis `{axis}`")));
        }
    }
    Ok(overrides)
}

/// The axis and the labels of an `--only`.
fn only(text: &str) -> Result<(String, Vec<String>), Error> {
    if text.trim().is_empty() {
        return Err(Error::usage("--only: found nothing, expected `axis=label,label`"));
    }
    let Some((axis, labels)) = text.split_once('=') else {
        return Err(Error::usage(format!("--only {text}: write `--only axis=label,label`")));
    };
    let labels: Vec<String> = select::labels(labels).into_iter().map(|l| l.text).collect();
    if labels.iter().any(String::is_empty) {
        return Err(Error::usage(format!(
            "--only {text}: found no label where one is expected; write `--only axis=label,label` (is a variable of \
             the shell empty?)"
        )));
    }
    Ok((axis.trim().to_owned(), labels))
}

/// Refuses a profile that the study does not have.
fn require_profile(study: &Study, name: &str) -> Result<(), Error> {
    let items = study.modules.first().map(|m| m.ast.items.as_slice()).unwrap_or_default();
    let names: Vec<&str> = items
        .iter()
        .filter_map(|item| match &item.kind {
            ItemKind::Profile { name, .. } => Some(&*name.name),
            _ => None,
        })
        .collect();
    if names.contains(&name) {
        return Ok(());
    }
    let help = did_you_mean(name, names.iter().copied()).unwrap_or_else(|| match names.as_slice() {
        [] => "it declares none".to_owned(),
        some => format!("its profiles are {}", some.join(", ")),
    });
    Err(Error::usage(format!("the study has no profile `{name}`; {help}")))
}

/// What to say of `--set name=hello`, where the param is a String and nothing of the study is called `hello`.
fn text_without_quotes(study: &Study, file: FileId, text: &str) -> Option<Diagnostic> {
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let (named, _) = study.modules.first()?.names.get(name)?;
    let Declaration::Param(id) = named else { return None };
    let ItemKind::Param { ty, .. } = &study.item(study.params[id.0]).kind else { return None };
    let first = value.split(['.', '[', '(', '{', ' ']).next()?;
    let means_something = value.is_empty()
        || value.starts_with(['"', '\'', '('])
        || matches!(first, "if" | "match")
        || study.named(ModuleId(0), first).is_some();
    if &*ty.name.name != "String" || means_something {
        return None;
    }
    let span = Span { file, start: (text.len() - value.len()) as u32, end: text.len() as u32 };
    let message = format!("`{name}` is a text, and a text stands between quotes");
    let quoted = value.replace('"', "\\\"");
    let help = format!("write `--set '{name}=\"{quoted}\"'`: the outer quotes are for the shell");
    Some(Diagnostic::error(Code::Mismatch, message, span, "no quotes").help(help))
}
