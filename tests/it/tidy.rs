//! The shape of the source: which module uses which, how long files are, and that nothing is without its words.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use xpipe::diag::Code;

const LONGEST: usize = 600;

type Edges = BTreeMap<String, BTreeSet<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
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

/// The folders of src: the modules that the map is about.
fn modules() -> BTreeSet<String> {
    std::fs::read_dir(root().join("src"))
        .unwrap()
        .map(|e| e.unwrap())
        .filter(|e| e.path().is_dir())
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect()
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
    let mut edges: Edges = modules.iter().map(|m| (m.clone(), BTreeSet::new())).collect();
    for (path, text, _) in &read {
        if only_tests.iter().any(|t| path.starts_with(t)) {
            continue;
        }
        let inner = path.strip_prefix(root().join("src")).unwrap();
        let Some(from) = edges.get_mut(inner.iter().next().unwrap().to_str().unwrap()) else { continue };
        for piece in text.split("crate::").skip(1) {
            let names: Vec<&str> = match piece.strip_prefix('{') {
                Some(group) => group.split('}').next().unwrap().split(',').map(str::trim).collect(),
                None => vec![piece],
            };
            for name in names {
                let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
                if modules.contains(&name[..end]) {
                    from.insert(name[..end].to_owned());
                }
            }
        }
    }
    for (module, used) in &mut edges {
        used.remove(module);
    }
    edges
}

/// The table of src/ARCHITECTURE.md: `all` allows everything.
fn allowed() -> BTreeMap<String, Option<BTreeSet<String>>> {
    let text = std::fs::read_to_string(root().join("src/ARCHITECTURE.md")).unwrap();
    let rows = text.lines().filter(|l| l.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let used = match cells[3] {
            "all" => None,
            "–" => Some(BTreeSet::new()),
            list => Some(list.split(", ").map(str::to_owned).collect()),
        };
        (cells[1].trim_matches('`').to_owned(), used)
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
    let pages: BTreeSet<String> = std::fs::read_dir(root().join("src/diag/codes"))
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
        let file = format!("src/diag/codes/{}.md", code.as_str().replace("::", "__"));
        assert_eq!(page, std::fs::read_to_string(root().join(file)).unwrap(), "{code}: another code's page");
    }
}

#[test]
fn every_operation_and_argument_is_documented() {
    let registry = xpipe::ops::registry();
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
