//! Documentation: a page for each code, a sentence for each operation and argument, documents that name what exists.

use std::collections::BTreeSet;
use std::path::Path;

use xpipe_base::diag::Code;

use super::sources::{all, files};
use crate::space::repository;

/// Documents whose names of files and items must exist.
const DOCUMENTS: [&str; 5] =
    ["README.md", "CONTRIBUTING.md", "src/ARCHITECTURE.md", "grammar/README.md", "grammar/DESIGN.md"];

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let pages: BTreeSet<String> = std::fs::read_dir(repository("src/base/diag/codes"))
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
        assert_eq!(page, std::fs::read_to_string(repository(&file)).unwrap(), "{code}: another code's page");
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

/// Files and folders of the repository, with `/` in front.
fn everything() -> BTreeSet<String> {
    let root = repository("");
    let mut paths = Vec::new();
    for folder in ["src", "tests", "grammar", "pipelines", "examples", ".ci"] {
        files(&root.join(folder), &mut paths);
    }
    let mut all =
        BTreeSet::from(["/README.md", "/CONTRIBUTING.md", "/CHANGELOG.md", "/Cargo.toml"].map(str::to_owned));
    for path in &paths {
        let inner = path.strip_prefix(&root).unwrap();
        all.extend(
            inner.ancestors().filter(|p| p.iter().next().is_some()).map(|p| format!("/{}", p.display())),
        );
    }
    all
}

/// Code spans and targets of links, without fenced code.
fn mentions(text: &str) -> Vec<String> {
    let text: String = text.split("\n```").step_by(2).collect();
    let spans = text.split('`').skip(1).step_by(2).map(str::to_owned);
    let links = text.split("](").skip(1).map(|l| l.split(')').next().unwrap().to_owned());
    spans.chain(links.filter(|l| !l.contains("://"))).collect()
}

/// Whether a mention is a path of the repository, and one that should exist.
fn is_path(mention: &str) -> bool {
    let ends = [".rs", ".md", ".xpipe", ".pest", ".csv", ".py"];
    mention.contains('/')
        && !mention.contains(['*', ' ', '"', '<', '$', '~', '='])
        && !mention
            .split('/')
            .any(|s| s.len() > 1 && s.chars().all(|c| c.is_ascii_uppercase() || "_.rsmd".contains(c)))
        && (ends.iter().any(|e| mention.ends_with(e))
            || mention.starts_with("src/")
            || mention.starts_with("tests/"))
}

/// The last name of an item such as `task::Caveat`.
fn item(mention: &str) -> Option<&str> {
    let name = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_alphanumeric() || c == '_');
    let (_, last) = mention.rsplit_once("::")?;
    (mention.split("::").all(name) && !Code::ALL.iter().any(|c| c.as_str() == mention)).then_some(last)
}

#[test]
fn documents_name_what_exists() {
    let (everything, sources) = (everything(), all());
    let words: BTreeSet<&str> =
        sources.iter().flat_map(|s| s.code.split(|c: char| !c.is_alphanumeric() && c != '_')).collect();
    let mut seen = 0;
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let text = std::fs::read_to_string(repository(document)).unwrap();
        for mention in mentions(&text) {
            if is_path(&mention) {
                seen += 1;
                let beside = Path::new(document).parent().unwrap().join(&mention);
                let end = format!("/{}", mention.trim_end_matches('/').trim_start_matches("../"));
                if !everything.iter().any(|p| p.ends_with(&end)) && !repository("").join(beside).exists() {
                    missing.push(format!("{document}: no file `{mention}`"));
                }
            } else if let Some(last) = item(&mention) {
                seen += 1;
                if !words.contains(last) {
                    missing.push(format!("{document}: no item `{mention}`"));
                }
            }
        }
    }
    assert!(seen > 60, "only {seen} names are checked");
    assert!(missing.is_empty(), "{missing:#?}");
}
