//! src/PROMISES.md: every row names tests that exist.

use std::collections::BTreeSet;

use super::sources::{all, files, outside};
use crate::space::repository;

/// What is wrong with the rows of a table `promise | how it is kept | test`. `is_test`: whether a function is a test;
/// `has_tests`: whether a file or folder holds some.
fn faults(text: &str, is_test: &dyn Fn(&str) -> bool, has_tests: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('|')).skip(2) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let &[promise, how, tests] = cells.as_slice() else {
            faults.push(format!("{} cells instead of 3: {line}", cells.len()));
            continue;
        };
        if promise.is_empty() || how.is_empty() {
            faults.push(format!("an empty cell: {line}"));
        }
        let mut named = 0;
        // Names in capitals are variables, and a script of .ci tells where a test is run.
        let names = tests
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|n| n.contains(|c: char| c.is_lowercase()) && !n.starts_with(".ci/"));
        for name in names {
            named += 1;
            match name.contains('/') {
                true if !has_tests(name) => faults.push(format!("{promise} No tests in `{name}`")),
                false if !is_test(name) => faults.push(format!("{promise} No test `{name}`")),
                _ => {}
            }
        }
        if named == 0 {
            faults.push(format!("{promise} It names no test"));
        }
    }
    faults
}

/// The functions of a file that are tests.
fn tests_of(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut lines = text.lines().map(str::trim_start);
    while let Some(line) = lines.next() {
        if line.starts_with("#[test]") {
            let function = lines.find_map(|line| line.strip_prefix("fn "));
            found.extend(function.and_then(|rest| rest.split('(').next()));
        }
    }
    found
}

/// Whether a file holds tests, itself or in the modules in its folder; or a folder does.
fn has_tests(path: &str) -> bool {
    let at = repository(path);
    let mut paths = Vec::new();
    if at.is_file() {
        paths.push(at.clone());
    }
    let folder = if at.is_dir() { at } else { at.with_extension("") };
    if folder.is_dir() && repository(path).exists() {
        files(&folder, &mut paths);
    }
    let rust = paths.iter().filter(|p| p.extension().is_some_and(|e| e == "rs"));
    rust.map(|p| std::fs::read_to_string(p).unwrap()).any(|text| !tests_of(&text).is_empty())
}

#[test]
fn every_promise_names_tests_that_exist() {
    let sources: Vec<_> = all().into_iter().chain(outside()).collect();
    let known: BTreeSet<&str> = sources.iter().flat_map(|s| tests_of(&s.whole)).collect();
    assert!(known.len() > 500, "{}", known.len());
    let text = std::fs::read_to_string(repository("src/PROMISES.md")).unwrap();
    assert!(text.lines().filter(|line| line.starts_with('|')).count() > 30);
    let faults = faults(&text, &|name| known.contains(name), &has_tests);
    assert!(faults.is_empty(), "src/PROMISES.md: {faults:#?}");
}

#[test]
fn a_row_whose_test_is_gone_is_told() {
    let told = |row: &str| {
        let text = format!("# T\n\n| promise | how | test |\n|---|---|---|\n{row}\n");
        faults(&text, &|name| name == "it_holds", &|path| path == "tests/it/a.rs")
    };
    let none: [&str; 0] = [];
    assert_eq!(told("| A. | B. | `tests/it/a.rs`, `it_holds`; `SECONDS` for longer in `.ci/run` |"), none);
    assert_eq!(told("| A. | B. | `it_held` |"), ["A. No test `it_held`"]);
    assert_eq!(told("| A. | B. | `tests/it/b.rs` |"), ["A. No tests in `tests/it/b.rs`"]);
    assert_eq!(told("| A. | B. | by hand |"), ["A. It names no test"]);
    assert_eq!(told("| A. | `it_holds` |"), ["2 cells instead of 3: | A. | `it_holds` |"]);
    assert!(!has_tests("tests/it/none.rs") && !has_tests("tests/it/space.rs"));
    assert_eq!(tests_of("#[test]\n#[ignore]\nfn a() {}\nfn b() {}"), BTreeSet::from(["a"]));
}
