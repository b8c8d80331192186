//! From a path and overrides to a graph, with everything the verbs need.

use std::path::{Path, PathBuf};

use super::args::{Common, StudyArgs};
use super::out::Stop;
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_base::diag::{Code, Diagnostic, Diagnostics, FileId, Span};
use xpipe_base::value::ActionId;
use xpipe_lang::graph::{Graph, Overrides, expand, select};
use xpipe_lang::resolve::{Disk, ModuleId, Named, Study, load};
use xpipe_lang::syntax::ast::ItemKind;
use xpipe_lang::syntax::source::{SourceMap, reading_help};

/// A study, read and expanded.
pub(super) struct Loaded {
    pub path: PathBuf,
    pub sources: SourceMap,
    pub diagnostics: Diagnostics,
    pub graph: Graph,
    /// What is asked for.
    pub wanted: Vec<ActionId>,
}

/// The folders that models are looked for in.
pub(super) fn model_folders(common: &Common) -> Vec<PathBuf> {
    let mut folders = common.models.clone();
    if let Some(dir) = std::env::var_os("XPIPE_MODELS") {
        folders.push(PathBuf::from(dir));
    }
    folders
}

/// Reads and expands a study without judging it.
pub(super) fn read(
    file: &Path,
    set: &[String],
    profile: Option<&str>,
    only: &[String],
    max_cells: Option<u64>,
    models: &[PathBuf],
) -> Result<Loaded, Stop> {
    let cwd =
        std::env::current_dir().map_err(|e| Stop::missing(format!("no working directory: {e}"), None))?;
    let path = xpipe_lang::resolve::modules::normal(&cwd.join(file));
    if path.to_str().is_none() {
        return Err(Stop::usage(format!(
            "the path of the study, {}, is not UTF-8; move it to one that is",
            path.display()
        )));
    }
    let world = Disk { models: models.to_vec() };
    let mut sources = SourceMap::new();
    let mut diagnostics = Diagnostics::new();
    let study: Study = load(&path, &world, &mut sources, &mut diagnostics).map_err(|e| {
        Stop::missing(
            format!("cannot read {}: {e}", file.display()),
            Some(reading_help(&e, "give the path of a `.xpipe` file")),
        )
    })?;
    let mut overrides =
        Overrides { profile: profile.map(str::to_owned), folder: cwd, max_cells, ..Overrides::default() };
    for text in set {
        let id: FileId = sources.add(format!("--set {text}"), text.as_str());
        if let Some(d) = text_without_quotes(&study, id, text) {
            diagnostics.push(d);
            continue;
        }
        if let Some(setting) = xpipe_lang::syntax::parse_setting(id, text, &mut diagnostics) {
            overrides.set.push(setting);
        }
    }
    for text in only {
        if text.trim().is_empty() {
            return Err(Stop::usage("--only: found nothing, expected `axis=label,label`"));
        }
        let Some((axis, labels)) = text.split_once('=') else {
            return Err(Stop::usage(format!("--only {text}: write `--only axis=label,label`")));
        };
        let labels: Vec<String> = select::labels(labels).into_iter().map(|l| l.text).collect();
        if labels.iter().any(String::is_empty) {
            return Err(Stop::usage(format!(
                "--only {text}: found no label where one is expected; write `--only axis=label,label` (is a variable \
                 of the shell empty?)"
            )));
        }
        if overrides.only.iter().any(|(known, _)| known == axis.trim()) {
            return Err(Stop::usage(format!(
                "--only {text}: the labels of `{}` are given twice; write them in one list",
                axis.trim()
            )));
        }
        overrides.only.push((axis.trim().to_owned(), labels));
    }
    if let Some(p) = profile {
        profile_of(&study, p)?;
    }
    for (axis, _) in &overrides.only {
        let known = study.modules.first().and_then(|m| m.names.get(axis.as_str()));
        if !matches!(known, Some((xpipe_lang::resolve::Named::Axis(_), _))) {
            return Err(Stop::usage(format!("--only: the study has no axis `{axis}`")));
        }
    }
    let registry = xpipe_study::ops::registry();
    let graph = expand(&study, &registry, &world, &overrides, &mut diagnostics);
    Ok(Loaded { path, sources, diagnostics, graph, wanted: Vec::new() })
}

/// Whether the study has a profile of a name.
fn profile_of(study: &Study, name: &str) -> Result<(), Stop> {
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
    Err(Stop::usage(format!("the study has no profile `{name}`; {help}")))
}

/// What to say of `--set name=hello`, where the param is a text and nothing of the study is called `hello`.
fn text_without_quotes(study: &Study, file: FileId, text: &str) -> Option<Diagnostic> {
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let (named, _) = study.modules.first()?.names.get(name)?;
    let Named::Param(id) = named else { return None };
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

/// Reads a study and refuses a wrong one; finds what is asked for.
pub(super) fn sound(args: &StudyArgs, common: &Common) -> Result<Loaded, Stop> {
    let models = model_folders(common);
    let mut loaded =
        read(&args.file, &args.set, args.profile.as_deref(), &args.only, args.max_cells, &models)?;
    if loaded.diagnostics.has_errors() {
        return Err(Stop::Study {
            diagnostics: Box::new(loaded.diagnostics),
            sources: Box::new(loaded.sources),
            short: false,
        });
    }
    loaded.wanted =
        if args.target.is_empty() { select::all(&loaded.graph) } else { cells(&loaded.graph, &args.target)? };
    Ok(loaded)
}

/// The actions of the cells that texts name.
pub(super) fn cells(graph: &Graph, texts: &[String]) -> Result<Vec<ActionId>, Stop> {
    let mut ids = Vec::new();
    for text in texts {
        let (_, cells) = select::target(graph, text).map_err(|e| Stop::usage(e.to_string()))?;
        ids.extend(cells.iter().map(|c| c.action));
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// The root of the cache: `--cache`, `XPIPE_CACHE`, `cache/` of a checkout of xpipe, the user's cache folder.
pub(super) fn cache_root(common: &Common) -> Result<PathBuf, Stop> {
    if let Some(dir) = &common.cache {
        return Ok(dir.clone());
    }
    if let Some(dir) = std::env::var_os("XPIPE_CACHE").filter(|d| !d.is_empty()) {
        return Ok(PathBuf::from(dir));
    }
    if let Ok(cwd) = std::env::current_dir() {
        for dir in cwd.ancestors() {
            let own = dir.join("grammar/xpipe.pest").exists() && dir.join("cache/CACHEDIR.TAG").exists();
            if own {
                return Ok(dir.join("cache"));
            }
        }
    }
    let home = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache")));
    home.map(|h| h.join("xpipe")).ok_or_else(|| {
        Stop::missing("there is no place for the cache", Some("give `--cache DIR` or set XPIPE_CACHE".into()))
    })
}
