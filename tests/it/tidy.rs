//! The shape of the source: which module uses which, how long files are, and that nothing is without its words.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use xpipe_base::diag::Code;

const LONGEST: usize = 600;

type Edges = BTreeMap<String, BTreeSet<String>>;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

fn all_sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    files.sort();
    assert!(files.len() > 100);
    files
}

/// The crate and the folder of each row of the map.
fn modules() -> BTreeMap<String, String> {
    rows().map(|cells| (cells[1].clone(), cells[0].clone())).collect()
}

/// The rows of the table of src/ARCHITECTURE.md: crate, folder, what it owns, what it may use.
fn rows() -> impl Iterator<Item = Vec<String>> {
    let text = std::fs::read_to_string(root().join("src/ARCHITECTURE.md")).unwrap();
    let rows: Vec<String> = text.lines().filter(|l| l.starts_with("| `")).map(str::to_owned).collect();
    rows.into_iter().map(|row| {
        row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    })
}

/// The folder of the map that a source file belongs to: the one below its crate, or else the crate's own.
fn module_of(path: &Path, modules: &BTreeMap<String, String>) -> String {
    let inner = path.strip_prefix(root().join("src")).unwrap();
    let mut parts = inner.iter().map(|p| p.to_str().unwrap());
    let (name, below) = (parts.next().unwrap(), parts.next().unwrap());
    let below = below.trim_end_matches(".rs");
    if modules.get(below).is_some_and(|c| c == name) { below.to_owned() } else { name.to_owned() }
}

/// The text of a file without comments and tests, and the files of modules that are only there in tests.
fn code(path: &Path) -> (String, Vec<PathBuf>) {
    let text = std::fs::read_to_string(path).unwrap();
    let here = path.parent().unwrap();
    let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
    let inside =
        if stem == "mod" || stem == "lib" || stem == "main" { here.to_owned() } else { here.join(&stem) };
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
                break; // tests stand at the end of a file
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

/// Which module uses which, outside of tests.
fn edges() -> Edges {
    let modules = modules();
    let read: Vec<(PathBuf, String, Vec<PathBuf>)> = all_sources()
        .into_iter()
        .map(|path| {
            let (text, only_tests) = code(&path);
            (path, text, only_tests)
        })
        .collect();
    let only_tests: Vec<&PathBuf> = read.iter().flat_map(|(_, _, t)| t).collect();
    let mut edges: Edges = modules.keys().map(|m| (m.clone(), BTreeSet::new())).collect();
    for (path, text, _) in &read {
        if only_tests.iter().any(|t| path.starts_with(t)) {
            continue;
        }
        let module = module_of(path, &modules);
        let own = path.strip_prefix(root().join("src")).unwrap().iter().next().unwrap().to_str().unwrap();
        let Some(from) = edges.get_mut(&module) else { continue };
        for (of, prefix) in paths(&text, own) {
            let names: Vec<&str> = match prefix.strip_prefix('{') {
                Some(group) => group.split('}').next().unwrap().split(',').map(str::trim).collect(),
                None => vec![prefix],
            };
            for name in names {
                let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
                let name = &name[..end];
                let inside = modules.get(name).is_some_and(|c| *c == of);
                match (inside, modules.contains_key(&of)) {
                    (true, _) => drop(from.insert(name.to_owned())),
                    // The crate's root holds files of the folder that has its name.
                    (false, true) => drop(from.insert(of.clone())),
                    (false, false) => {}
                }
            }
        }
    }
    for (module, used) in &mut edges {
        used.remove(module);
    }
    edges
}

/// Paths of a file into the crates of this workspace: the crate's folder, and the path after `crate::` or its name.
fn paths<'t>(text: &'t str, own: &str) -> Vec<(String, &'t str)> {
    let mut found: Vec<(String, &str)> = text.split("crate::").skip(1).map(|p| (own.to_owned(), p)).collect();
    for piece in text.split("xpipe_").skip(1) {
        let Some((name, path)) = piece.split_once("::") else { continue };
        if name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            found.push((name.replace('_', "-"), path));
        }
    }
    found
}

/// The table of src/ARCHITECTURE.md: `all` allows everything.
fn allowed() -> BTreeMap<String, Option<BTreeSet<String>>> {
    rows()
        .map(|cells| {
            let used = match cells[3].as_str() {
                "all" => None,
                "–" => Some(BTreeSet::new()),
                list => Some(list.split(", ").map(str::to_owned).collect()),
            };
            (cells[1].clone(), used)
        })
        .collect()
}

#[test]
fn modules_use_what_the_map_allows_and_nothing_else() {
    let (edges, allowed) = (edges(), allowed());
    assert_eq!(
        edges.keys().collect::<Vec<_>>(),
        allowed.keys().collect::<Vec<_>>(),
        "the folders of src and the rows of the map"
    );
    assert!(edges["ops"].contains("types") && edges["graph"].contains("syntax"), "{edges:?}");
    for (module, used) in &edges {
        if let Some(may) = &allowed[module] {
            assert_eq!(used, may, "what `{module}` uses (left), and may use by src/ARCHITECTURE.md (right)");
        }
    }
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = all_sources()
        .iter()
        .map(|path| (path, std::fs::read_to_string(path).unwrap().lines().count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let pages: BTreeSet<String> = std::fs::read_dir(root().join("src/base/diag/codes"))
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .filter_map(|name| name.strip_suffix(".md").map(str::to_owned))
        .collect();
    let codes: BTreeSet<String> = Code::ALL.iter().map(|c| c.as_str().replace("::", "__")).collect();
    assert_eq!(pages, codes);
    assert_eq!(codes.len(), Code::ALL.len(), "a code is there twice");
    for code in Code::ALL {
        let page = code.page();
        assert!(page.contains("Wrong") && page.contains("Right"), "{code}: the page lacks an example");
        let file = format!("src/base/diag/codes/{}.md", code.as_str().replace("::", "__"));
        assert_eq!(page, std::fs::read_to_string(root().join(file)).unwrap(), "{code}: another code's page");
    }
}

#[test]
fn every_operation_and_argument_is_documented() {
    let registry = xpipe_study::ops::registry();
    assert!(registry.iter().count() > 40);
    for op in registry.iter() {
        assert!(is_sentence(op.doc), "{}: {:?}", op.name, op.doc);
        for param in &op.params {
            assert!(is_sentence(param.doc), "{}({}): {:?}", op.name, param.name, param.doc);
        }
    }
}

fn is_sentence(doc: &str) -> bool {
    doc.len() > 5 && doc.ends_with('.') && !doc.contains("  ")
}
