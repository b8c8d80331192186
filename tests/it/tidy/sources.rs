//! The Rust files of `src`, without comments and tests, and the paths that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::space::repository;

/// A Rust file.
pub(super) struct Source {
    /// Its path below `src`.
    pub(super) path: PathBuf,
    /// The text as it is.
    pub(super) whole: String,
    /// The text without comments and tests.
    pub(super) code: String,
}

/// Every file below a folder.
pub(super) fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
}

/// Every Rust file of `src`, tests included.
pub(super) fn all() -> Vec<Source> {
    read().into_iter().map(|(source, _)| source).collect()
}

/// The Rust files of `tests`; their paths begin with it.
pub(super) fn outside() -> Vec<Source> {
    let mut paths = Vec::new();
    files(&repository("tests"), &mut paths);
    paths.retain(|p| p.extension().is_some_and(|e| e == "rs"));
    assert!(paths.len() > 50, "{} files", paths.len());
    let each = paths.iter().map(|path| {
        let whole = std::fs::read_to_string(path).unwrap();
        Source { path: path.strip_prefix(repository("")).unwrap().to_owned(), code: String::new(), whole }
    });
    each.collect()
}

/// The Rust files of `src` that are not only there for tests.
pub(super) fn production() -> Vec<Source> {
    let read = read();
    let only_tests: Vec<PathBuf> = read.iter().flat_map(|(_, tests)| tests.clone()).collect();
    let kept = read.into_iter().map(|(source, _)| source);
    kept.filter(|s| !only_tests.iter().any(|t| s.path.starts_with(t)) && !s.path.starts_with("testing"))
        .collect()
}

/// Each file with the files of its test modules.
fn read() -> Vec<(Source, Vec<PathBuf>)> {
    let src = repository("src");
    let mut paths = Vec::new();
    files(&src, &mut paths);
    paths.retain(|p| p.extension().is_some_and(|e| e == "rs"));
    paths.sort();
    assert!(paths.len() > 100, "{} files", paths.len());
    let each = paths.iter().map(|path| {
        let whole = std::fs::read_to_string(path).unwrap();
        let path = path.strip_prefix(&src).unwrap().to_owned();
        let (code, tests) = code(&path, &whole);
        (Source { path, whole, code }, tests)
    });
    each.collect()
}

/// The text of a file without comments and tests, and the files of modules that are only there in tests.
fn code(path: &Path, text: &str) -> (String, Vec<PathBuf>) {
    let here = path.parent().unwrap();
    let inside = if is_root(path) { here.to_owned() } else { path.with_extension("") };
    let (mut kept, mut only_tests) = (String::new(), Vec::new());
    let (mut in_test, mut named) = (false, None);
    for line in text.lines() {
        let line = line.split("//").next().unwrap();
        if line.starts_with("#[cfg(test)]") {
            in_test = true;
        } else if in_test && line.starts_with("#[path = ") {
            named = line.split('"').nth(1).map(|p| here.join(p));
        } else if in_test && line.starts_with("#[") {
        } else if in_test {
            if line.ends_with('{') && line.contains("mod ") {
                break; // tests are at the end of a file
            }
            if let Some((_, name)) = line.trim_end_matches(';').split_once("mod ") {
                match named.take() {
                    Some(path) => only_tests.push(path),
                    None => only_tests.extend([inside.join(format!("{name}.rs")), inside.join(name)]),
                }
            }
            in_test = false;
        } else {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    (kept, only_tests)
}

fn is_root(path: &Path) -> bool {
    path.file_stem().is_some_and(|s| s == "mod" || s == "lib" || s == "main")
}

/// The module of a file: its folders and its name below `src`.
fn module(path: &Path) -> Vec<String> {
    let path = if is_root(path) { path.parent().unwrap().to_owned() } else { path.with_extension("") };
    path.iter().map(|p| p.to_string_lossy().into_owned()).collect()
}

/// The modules of all crates, and what their `use` items bind.
pub(super) struct Modules {
    known: BTreeSet<Vec<String>>,
    bound: BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>>,
}

impl Modules {
    pub(super) fn of(sources: &[Source]) -> Self {
        let mut known = BTreeSet::new();
        for source in sources {
            let module = module(&source.path);
            known.extend((1..=module.len()).map(|n| module[..n].to_vec()));
        }
        let mut modules = Self { known, bound: BTreeMap::new() };
        for source in sources {
            let here = module(&source.path);
            let bound = uses(&source.code)
                .into_iter()
                .filter_map(|(name, path)| Some((name, modules.absolute(&here, &path)?)));
            let bound = bound.collect::<Vec<_>>();
            modules.bound.entry(here).or_default().extend(bound);
        }
        modules
    }

    /// A path as written in a module, from the folder of its crate; `None` for other crates and local names.
    fn absolute(&self, here: &[String], path: &[String]) -> Option<Vec<String>> {
        let (mut base, mut rest) = (here.to_vec(), path);
        match path.first()?.as_str() {
            "crate" => (base.truncate(1), rest = &path[1..]).1,
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|s| s == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            first => {
                if let Some(name) = first.strip_prefix("xpipe_") {
                    base = vec![name.replace('_', "-")];
                    rest = &path[1..];
                } else if !self.known.contains(&[here, &[first.to_owned()]].concat()) {
                    return None;
                }
            }
        }
        Some([base, rest.to_vec()].concat())
    }

    /// The module that owns what an absolute path names, re-exports followed.
    fn owner(&self, path: &[String]) -> Vec<String> {
        let mut path = path.to_vec();
        for _ in 0..20 {
            let depth = (1..=path.len()).take_while(|n| self.known.contains(&path[..*n])).last().unwrap_or(0);
            let (module, rest) = path.split_at(depth);
            let target = rest.first().and_then(|name| self.bound.get(module)?.get(name));
            match target {
                Some(target) if !target.starts_with(&path) => path = [target, &rest[1..]].concat(),
                _ => return module.to_vec(),
            }
        }
        panic!("re-exports without an end: {path:?}");
    }

    /// The module of a file, and the modules whose items it names.
    pub(super) fn named_by(&self, source: &Source) -> (Vec<String>, BTreeSet<Vec<String>>) {
        let here = module(&source.path);
        let written = uses(&source.code).into_iter().map(|(_, path)| path).chain(inline(&source.code));
        let named = written.filter_map(|path| self.absolute(&here, &path)).map(|path| self.owner(&path));
        let named = named.filter(|m| !m.is_empty() && *m != here).collect();
        (here, named)
    }
}

/// What the `use` items of a text bind: names with paths.
fn uses(code: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for item in code.split('\n').enumerate().filter_map(|(i, line)| {
        let line = line.trim_start();
        let line =
            ["pub(crate) ", "pub(super) ", "pub "].iter().find_map(|p| line.strip_prefix(p)).unwrap_or(line);
        line.starts_with("use ").then_some(i)
    }) {
        let text: Vec<&str> = code.split('\n').skip(item).collect();
        let text = text.join(" ");
        let text = text.split_once("use ").unwrap().1;
        tree(text.split(';').next().unwrap(), &[], &mut found);
    }
    found
}

/// The leaves of one tree of a `use` item.
fn tree(text: &str, prefix: &[String], out: &mut Vec<(String, Vec<String>)>) {
    let (mut depth, mut start) = (0, 0);
    let mut parts = Vec::new();
    for (i, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    for part in parts.into_iter().map(str::trim).filter(|p| !p.is_empty()) {
        let segments = |t: &str| {
            t.split("::").map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect::<Vec<_>>()
        };
        if let Some((head, inner)) = part.split_once('{') {
            tree(inner.trim_end().trim_end_matches('}'), &[prefix, &segments(head)].concat(), out);
        } else {
            let (path, alias) = part.split_once(" as ").map_or((part, None), |(p, a)| (p, Some(a.trim())));
            let mut path = [prefix, &segments(path)].concat();
            if path.last().is_some_and(|s| s == "self" || s == "*") && path.len() > 1 {
                path.pop();
            }
            let name = alias.map_or_else(|| path.last().unwrap().clone(), str::to_owned);
            out.push((name, path));
        }
    }
}

/// Paths in the code that begin with `crate`, `super`, `self` or the name of one of our crates.
fn inline(code: &str) -> Vec<Vec<String>> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (start, _) in code.match_indices("::") {
        let head = code[..start].rfind(|c| !word(c)).map_or(0, |i| i + 1);
        let first = &code[head..start];
        if code[..head].ends_with("::")
            || !(["crate", "super", "self"].contains(&first) || first.starts_with("xpipe_"))
        {
            continue;
        }
        let mut path = vec![first.to_owned()];
        let mut rest = &code[start..];
        while let Some(tail) = rest.strip_prefix("::") {
            let end = tail.find(|c| !word(c)).unwrap_or(tail.len());
            if end == 0 {
                break;
            }
            path.push(tail[..end].to_owned());
            rest = &tail[end..];
        }
        found.push(path);
    }
    found
}
