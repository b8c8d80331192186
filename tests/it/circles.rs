//! Inside a folder, files import in one direction: no file imports another that imports it, directly or through others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Folders without circles.
const FOLDERS: [&str; 7] = [
    "src/lang/graph",
    "src/engine",
    "src/nn/cpu",
    "src/cli",
    "src/study/report",
    "src/study/report/html",
    "src/study/session",
];

type Imports = BTreeMap<String, BTreeSet<String>>;

/// The text of the files of a module, a folder inside included, without comments and tests.
fn code(path: &Path, out: &mut String) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            code(&entry.unwrap().path(), out);
        }
        return;
    }
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    for line in text.lines() {
        out.push_str(line.split("//").next().unwrap());
        out.push('\n');
    }
}

/// By module of a folder: the other modules of the folder that its files name.
fn imports(folder: &Path) -> Imports {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let is_module = path.is_dir() || path.extension().is_some_and(|e| e == "rs");
        if is_module && !matches!(name.as_str(), "mod" | "lib" | "tests") {
            code(&path, texts.entry(name).or_default());
        }
    }
    let own = format!("crate::{}::", folder.file_name().unwrap().to_string_lossy());
    let names: BTreeSet<String> = texts.keys().cloned().collect();
    texts
        .iter()
        .map(|(from, text)| {
            let mut used: BTreeSet<String> = ["super::", "crate::", &own]
                .iter()
                .flat_map(|prefix| text.split(prefix).skip(1).flat_map(first_names))
                .filter(|name| names.contains(name))
                .collect();
            used.remove(from);
            (from.clone(), used)
        })
        .collect()
}

/// The names that a path begins with: one, or those of a group `{a, b::C}`.
fn first_names(rest: &str) -> Vec<String> {
    let group = match rest.strip_prefix('{') {
        Some(group) => group.split('}').next().unwrap(),
        None => rest.split(',').next().unwrap(),
    };
    let name = |path: &str| path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned();
    group.split(',').map(|path| name(path.trim())).collect()
}

/// The modules that a module imports, directly or through others.
fn reached(imports: &Imports, from: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&String> = imports[from].iter().collect();
    while let Some(module) = next.pop() {
        if found.insert(module.clone()) {
            next.extend(&imports[module]);
        }
    }
    found
}

#[test]
fn files_of_a_folder_import_in_one_direction() {
    for folder in FOLDERS {
        let imports = imports(&Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(folder));
        let edges: usize = imports.values().map(BTreeSet::len).sum();
        assert!(imports.len() > 10 && edges > imports.len(), "{folder}: {imports:?}");
        let circles: Vec<&String> = imports.keys().filter(|m| reached(&imports, m).contains(*m)).collect();
        assert!(circles.is_empty(), "{folder}: files in circles: {circles:?} of {imports:#?}");
    }
}
