//! The language suite: every file of `tests/suite` is checked, and its comments say what must come out.
//!
//! `… # error CODE: text` expects one diagnostic on that line, whose message holds the text; `#^ error CODE: text`
//! one on the last line of code above; `# warning CODE: text` a warning. A file without such a line must be sound. `# plan ROW: n cells, m actions`
//! expects a row of the plan, and `# actions of OP: n` counts the actions of an operation in the whole graph.
//! `# lacks WHAT: LINE` expects an action that this build cannot carry out there. `# --profile NAME` and
//! `# --only AXIS=LABEL,LABEL` check the file as with these options.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use xpipe_base::diag::Code;
use xpipe_base::diag::render::Sources as _;
use xpipe_base::diag::{Diagnostics, Severity};
use xpipe_lang::graph::{Graph, Overrides, expand};
use xpipe_lang::resolve::{Disk, load};
use xpipe_lang::syntax::SourceMap;

/// Codes that `check` never gives: `run` does, and the case says `lacks`.
const ONLY_AT_RUN: [Code; 1] = [Code::NotImplemented];

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Expected {
    line: u32,
    severity: Severity,
    code: String,
    text: String,
}

#[derive(Debug)]
struct Found {
    file: String,
    line: u32,
    severity: Severity,
    code: String,
    message: String,
}

fn folder() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("tests/suite")
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

/// The errors that the comments of a file announce.
fn expected(text: &str) -> Vec<Expected> {
    let mut list = Vec::new();
    let mut code_line = 0;
    for (line, n) in text.lines().zip(1u32..) {
        let (at, severity, note) = if let Some(note) = line.trim_start().strip_prefix("#^ error ") {
            (code_line, Severity::Error, note)
        } else {
            if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
                code_line = n;
            }
            match (line.split_once("# error "), line.split_once("# warning ")) {
                (Some((_, note)), _) => (n, Severity::Error, note),
                (None, Some((_, note))) => (n, Severity::Warning, note),
                (None, None) => continue,
            }
        };
        let (code, text) = note.trim().split_once(": ").unwrap_or((note.trim(), ""));
        list.push(Expected { line: at, severity, code: code.to_owned(), text: text.to_owned() });
    }
    list.sort();
    list
}

struct Checked {
    found: Vec<Found>,
    graph: Graph,
    /// What actions lack, and the line that it is on.
    lacking: BTreeSet<(String, u32)>,
}

/// The options that the comments of a file ask for.
fn overrides(text: &str) -> Overrides {
    let all = |option: &'static str| text.lines().filter_map(move |l| l.strip_prefix(option));
    let only = all("# --only ").map(|o| {
        let (axis, labels) = o.split_once('=').unwrap();
        (axis.to_owned(), labels.split(',').map(str::to_owned).collect())
    });
    Overrides {
        profile: all("# --profile ").next().map(str::to_owned),
        only: only.collect(),
        ..Overrides::default()
    }
}

fn checked(path: &Path) -> Checked {
    let world = Disk::default();
    let mut sources = SourceMap::new();
    let mut sink = Diagnostics::new();
    let study = load(path, &world, &mut sources, &mut sink).unwrap();
    let overrides = overrides(&std::fs::read_to_string(path).unwrap());
    let registry = xpipe_study::ops::registry();
    let graph = expand(&study, &registry, &world, &overrides, &mut sink);
    let found = sink
        .sorted()
        .iter()
        .filter(|d| d.severity >= Severity::Warning)
        .map(|d| Found {
            severity: d.severity,
            file: Path::new(sources.name(d.primary.span.file))
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default(),
            line: sources.position(d.primary.span.file, d.primary.span.start).line,
            code: d.code.to_string(),
            message: d.message.clone(),
        })
        .collect();
    let lacking = graph.call_sites.iter().filter_map(|site| site.unimplemented.as_ref());
    let lacking =
        lacking.map(|(what, at)| (what.clone(), sources.position(at.file, at.start).line)).collect();
    Checked { found, graph, lacking }
}

/// What is wrong with a case, one line each.
fn faults(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let Checked { mut found, graph, lacking } = checked(path);
    let mut faults = Vec::new();
    faults.extend(lacks(&text, &lacking).map(|fault| format!("{name}: {fault}")));
    for e in expected(&text) {
        let place = found.iter().position(|f| {
            f.file == name
                && f.line == e.line
                && f.severity == e.severity
                && f.code == e.code
                && f.message.contains(&e.text)
        });
        match place {
            Some(i) => drop(found.remove(i)),
            None => faults.push(format!("{name}:{}: missing {}: {}", e.line, e.code, e.text)),
        }
    }
    faults.extend(
        found.iter().map(|f| format!("{}:{}: not expected {}: {}", f.file, f.line, f.code, f.message)),
    );
    for line in text.lines().map(str::trim) {
        if let Some(note) = line.strip_prefix("# plan ") {
            let (row, counts) = note.split_once(": ").unwrap();
            let wanted: Vec<usize> = counts
                .split(", ")
                .zip([" cells", " actions"])
                .map(|(part, unit)| part.strip_suffix(unit).unwrap().parse().unwrap())
                .collect();
            let seen = graph.rows.iter().find(|r| r.name == row).map(|r| {
                let actions: BTreeSet<u32> = r.cells.iter().map(|c| c.action.0).collect();
                vec![r.cells.len(), actions.len()]
            });
            if seen.as_ref() != Some(&wanted) {
                let rows: Vec<&str> = graph.rows.iter().map(|r| r.name.as_str()).collect();
                faults.push(format!("{name}: row {row} is {seen:?}, not {wanted:?}; rows are {rows:?}"));
            }
        } else if let Some(note) = line.strip_prefix("# actions of ") {
            let (op, count) = note.split_once(": ").unwrap();
            let seen = graph.actions.iter().filter(|a| a.op == op).count();
            if seen != count.parse::<usize>().unwrap() {
                faults.push(format!("{name}: {seen} actions of {op}, not {count}"));
            }
        }
    }
    faults
}

/// What is wrong with what the comments say is not implemented.
fn lacks(text: &str, lacking: &BTreeSet<(String, u32)>) -> Option<String> {
    let notes = text.lines().filter_map(|l| l.strip_prefix("# lacks ")?.rsplit_once(": "));
    let wanted: BTreeSet<(String, u32)> =
        notes.map(|(what, line)| (what.to_owned(), line.parse().unwrap())).collect();
    (!wanted.is_empty() && wanted != *lacking).then(|| format!("lacks {lacking:?}, not {wanted:?}"))
}

#[test]
fn every_case_gives_what_its_comments_say() {
    let cases = cases();
    assert!(cases.len() > 50, "{} cases", cases.len());
    let faults: Vec<String> = cases.iter().flat_map(|path| faults(path)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_code_of_resolve_types_and_op_has_a_case() {
    let mut seen = BTreeSet::new();
    for path in cases() {
        let text = std::fs::read_to_string(&path).unwrap();
        for e in expected(&text) {
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
fn a_runner_that_expects_something_else_says_so() {
    let path = folder().join("types__empty_axis.xpipe");
    assert!(faults(&path).is_empty());
    let text = std::fs::read_to_string(&path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("case.xpipe");
    std::fs::write(&copy, text.replace("types::empty_axis", "types::unit")).unwrap();
    let faults = faults(&copy);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("case.xpipe:4: missing types::unit"), "{faults:?}");
    assert!(faults[1].starts_with("case.xpipe:4: not expected types::empty_axis"), "{faults:?}");
}

#[test]
fn files_that_use_each_other_are_reported_where_the_circle_closes() {
    let found = checked(&folder().join("parts/first.xpipe")).found;
    let told: Vec<(&str, u32, &str)> =
        found.iter().map(|f| (f.file.as_str(), f.line, f.code.as_str())).collect();
    assert_eq!(told, [("second.xpipe", 4, "resolve::cycle")]);
}

#[test]
fn the_studies_of_the_method_check_and_plan() {
    let studies = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("tests/data/studies");
    for (file, rows) in [
        (
            "paper.xpipe",
            [
                ("samples", 18, 12),
                ("model", 162, 162),
                ("first_stage", 22, 22),
                ("reranked", 3_564, 3_564),
                ("scores", 3_564, 3_564),
            ]
            .as_slice(),
        ),
        (
            "tune.xpipe",
            &[
                ("triples", 3, 3),
                ("trial", 48, 48),
                ("first_stage", 13, 13),
                ("trial_run", 624, 624),
                ("trial_scores", 624, 624),
                ("model", 6, 6),
            ],
        ),
    ] {
        let Checked { found, graph, .. } = checked(&studies.join(file));
        assert!(found.is_empty(), "{file}: {found:#?}");
        for (name, cells, actions) in rows {
            let row =
                graph.rows.iter().find(|r| r.name == *name).unwrap_or_else(|| panic!("{file}: no {name}"));
            let unique: BTreeSet<u32> = row.cells.iter().map(|c| c.action.0).collect();
            assert_eq!((row.cells.len(), unique.len()), (*cells, *actions), "{file}: {name}");
        }
    }
}

#[test]
fn a_generated_study_has_the_cells_it_should_have() {
    let (rates, seeds) = (3, 4);
    let world = crate::large_study::large(rates, seeds);
    let (mut sources, mut sink) = (SourceMap::new(), Diagnostics::new());
    let study = load(Path::new("/study/root.xpipe"), &world, &mut sources, &mut sink).unwrap();
    assert_eq!(study.modules.len(), 4);
    let (registry, overrides) = (xpipe_study::ops::registry(), Overrides::default());
    let graph = expand(&study, &registry, &world, &overrides, &mut sink);
    assert!(sink.is_empty(), "{:#?}", sink.sorted());
    let models = crate::large_study::models(rates, seeds);
    let counts: Vec<(&str, usize, usize)> = graph
        .rows
        .iter()
        .filter(|r| r.named && !r.axes.is_empty())
        .map(|r| {
            let actions: BTreeSet<u32> = r.cells.iter().map(|c| c.action.0).collect();
            (r.name.as_str(), r.cells.len(), actions.len())
        })
        .collect();
    // bce and hinge draw the same samples.
    let pinned = [
        ("samples", 16, 12),
        ("model", models, models),
        ("reranked", models, models),
        ("scores", models, models),
        ("kept", models, models),
    ];
    assert_eq!((models, counts.as_slice()), (220, pinned.as_slice()));
    assert_eq!(
        counts.iter().map(|(_, cells, _)| cells).sum::<usize>(),
        crate::large_study::cells(rates, seeds)
    );
    let table = &graph.tables[0];
    assert_eq!(
        (table.title.as_str(), table.values.len(), table.values[0].len()),
        (Some("nDCG@10 over 4 seeds"), 5, 4)
    );
}
