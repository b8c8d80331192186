//! The language suite: every file of `tests/suite` is checked, and its comments say what must come out.
//!
//! | comment | expects |
//! |---|---|
//! | `… # error CODE: text`, `… # warning CODE: text` | one diagnostic on that line, whose message contains the text |
//! | `#^ error CODE: text`, `#^ warning CODE: text` | one on the last line of code above |
//! | `# plan ROW: n cells, m actions` | a row of the plan |
//! | `# actions of OP: n` | that many actions of an operation in the graph |
//! | `# lacks WHAT: LINE` | an action that this build cannot run |
//! | `# --profile NAME`, `# --only AXIS=LABEL,LABEL` | these options |
//!
//! Any other diagnostic is a fault. `XPIPE_UPDATE=1 cargo test --test it suite` writes what came out into the comments.

mod case;
mod studies;
mod update;

use std::collections::BTreeSet;
use std::path::PathBuf;

use xpipe_base::diag::Code;

use crate::space::repository;
use case::{Case, checked};

/// Codes that `check` never gives: `run` does, and the case says `lacks`.
const ONLY_AT_RUN: [Code; 1] = [Code::NotImplemented];

fn folder() -> PathBuf {
    repository("tests/suite")
}

fn cases() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "xpipe"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_case_gives_what_its_comments_say() {
    let cases = cases();
    assert!(cases.len() > 50, "{} cases", cases.len());
    let mut faults = Vec::new();
    for path in &cases {
        let case = Case::read(path);
        if case.faults().is_empty() {
            assert_eq!(update::updated(&case), case.text, "an update changes a case that holds");
        } else if xpipe_testing::updates() {
            faults.extend(update::update(path));
        } else {
            faults.extend(case.faults());
        }
    }
    assert!(faults.is_empty(), "{}\n(XPIPE_UPDATE=1 writes what came out)", faults.join("\n"));
}

#[test]
fn every_code_of_resolve_types_and_op_has_a_case() {
    let mut seen = BTreeSet::new();
    for path in cases() {
        for e in Case::read(&path).expected {
            assert!(
                Code::ALL.iter().any(|c| c.as_str() == e.code),
                "{}: unknown code {}",
                path.display(),
                e.code
            );
            seen.insert(e.code);
        }
    }
    let without: Vec<&str> = Code::ALL
        .iter()
        .filter(|c| !c.as_str().starts_with("syntax::") && !ONLY_AT_RUN.contains(c))
        .map(|c| c.as_str())
        .filter(|c| !seen.contains(*c))
        .collect();
    assert!(without.is_empty(), "codes without a case: {without:?}");
}

#[test]
fn a_case_that_expects_something_else_has_faults() {
    let text = std::fs::read_to_string(folder().join("types__empty_axis.xpipe")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("case.xpipe");
    std::fs::write(&copy, text.replace("types::empty_axis", "types::unit")).unwrap();
    let faults = Case::read(&copy).faults();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("case.xpipe:4: missing types::unit"), "{faults:?}");
    assert!(faults[1].starts_with("case.xpipe:4: not expected types::empty_axis"), "{faults:?}");
}

#[test]
fn files_that_use_each_other_are_reported_where_the_cycle_closes() {
    let found = checked(&folder().join("parts/first.xpipe")).found;
    let told: Vec<(&str, u32, &str)> =
        found.iter().map(|f| (f.file.as_str(), f.line, f.code.as_str())).collect();
    assert_eq!(told, [("second.xpipe", 4, "resolve::cycle")]);
}
