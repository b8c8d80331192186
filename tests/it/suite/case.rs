//! One file of the suite: what its comments expect, and what the checker finds.

use std::collections::BTreeSet;
use std::path::Path;

use xpipe_base::diag::render::Sources as _;
use xpipe_base::diag::{Diagnostics, Severity};
use xpipe_lang::graph::{Graph, Overrides, expand};
use xpipe_lang::resolve::{Disk, load};
use xpipe_lang::syntax::SourceMap;

/// A diagnostic that a comment announces.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Expected {
    /// The line that it is about.
    pub(super) line: u32,
    pub(super) severity: Severity,
    pub(super) code: String,
    /// A part of its message.
    pub(super) text: String,
    /// The line of the comment.
    pub(super) written: u32,
}

/// A diagnostic of the checker.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) severity: Severity,
    pub(super) code: String,
    pub(super) message: String,
}

/// What came out of a file.
pub(super) struct Checked {
    pub(super) found: Vec<Found>,
    pub(super) graph: Graph,
    /// What actions lack, and the line that it is on.
    pub(super) lacking: BTreeSet<(String, u32)>,
}

/// A file of the suite.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) expected: Vec<Expected>,
    pub(super) checked: Checked,
}

/// The parts of `error CODE: text` or `warning CODE: text`.
fn note(note: &str) -> Option<(Severity, String, String)> {
    let (severity, rest) = match note.strip_prefix("error ") {
        Some(rest) => (Severity::Error, rest),
        None => (Severity::Warning, note.strip_prefix("warning ")?),
    };
    let (code, text) = rest.trim().split_once(": ").unwrap_or((rest.trim(), ""));
    Some((severity, code.to_owned(), text.to_owned()))
}

/// Where the comment begins that announces a diagnostic of its own line.
pub(super) fn inline(line: &str) -> Option<usize> {
    ["# error ", "# warning "].iter().find_map(|start| line.find(start))
}

/// The diagnostics that the comments of a text announce.
fn expected(text: &str) -> Vec<Expected> {
    let mut list = Vec::new();
    let mut code_line = 0;
    for (line, written) in text.lines().zip(1u32..) {
        let above = line.trim_start().strip_prefix("#^ ");
        if above.is_none() && !line.trim().is_empty() && !line.trim_start().starts_with('#') {
            code_line = written;
        }
        let (at, told) = match above {
            Some(told) => (code_line, note(told)),
            None => (written, inline(line).and_then(|i| note(&line[i + 2..]))),
        };
        if let Some((severity, code, text)) = told {
            list.push(Expected { line: at, severity, code, text, written });
        }
    }
    list.sort();
    list
}

/// The options that the comments of a text ask for.
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

/// Checks a file.
pub(super) fn checked(path: &Path) -> Checked {
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

/// The counts of `# plan ROW: n cells, m actions`.
pub(super) fn row_counts(graph: &Graph, row: &str) -> Option<(usize, usize)> {
    graph.rows.iter().find(|r| r.name == row).map(|r| {
        let actions: BTreeSet<u32> = r.cells.iter().map(|c| c.action.0).collect();
        (r.cells.len(), actions.len())
    })
}

/// The number of `# actions of OP: n`.
pub(super) fn actions_of(graph: &Graph, op: &str) -> usize {
    graph.actions.iter().filter(|a| a.op == op).count()
}

impl Case {
    pub(super) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        Self { name, expected: expected(&text), text, checked: checked(path) }
    }

    /// The expectations without a diagnostic, and the diagnostics that are not expected.
    pub(super) fn unmatched(&self) -> (Vec<&Expected>, Vec<&Found>) {
        let mut found: Vec<&Found> = self.checked.found.iter().collect();
        let mut stale = Vec::new();
        for e in &self.expected {
            let place = found.iter().position(|f| {
                f.file == self.name
                    && f.line == e.line
                    && f.severity == e.severity
                    && f.code == e.code
                    && f.message.contains(&e.text)
            });
            match place {
                Some(i) => drop(found.remove(i)),
                None => stale.push(e),
            }
        }
        (stale, found)
    }

    /// What is wrong with a case, one line each.
    pub(super) fn faults(&self) -> Vec<String> {
        let name = &self.name;
        let (stale, found) = self.unmatched();
        let mut faults: Vec<String> = self.counts().collect();
        faults.extend(stale.iter().map(|e| format!("{name}:{}: missing {}: {}", e.line, e.code, e.text)));
        faults.extend(
            found.iter().map(|f| format!("{}:{}: not expected {}: {}", f.file, f.line, f.code, f.message)),
        );
        faults
    }

    /// Wrong counts of rows, actions and what is lacking.
    fn counts(&self) -> impl Iterator<Item = String> {
        let Checked { graph, lacking, .. } = &self.checked;
        let notes = self.text.lines().filter_map(|l| l.strip_prefix("# lacks ")?.rsplit_once(": "));
        let wanted: BTreeSet<(String, u32)> =
            notes.map(|(what, line)| (what.to_owned(), line.parse().unwrap())).collect();
        let lacks = (!wanted.is_empty() && wanted != *lacking)
            .then(|| format!("{}: lacks {lacking:?}, not {wanted:?}", self.name));
        let each = self.text.lines().map(str::trim).filter_map(|line| {
            if let Some((row, wanted)) = line.strip_prefix("# plan ").and_then(|n| n.split_once(": ")) {
                let seen = row_counts(graph, row)
                    .map(|(cells, actions)| format!("{cells} cells, {actions} actions"));
                let rows: Vec<&str> = graph.rows.iter().map(|r| r.name.as_str()).collect();
                return (seen.as_deref() != Some(wanted)).then(|| {
                    format!("{}: row {row} is {seen:?}, not {wanted:?}; rows are {rows:?}", self.name)
                });
            }
            let (op, wanted) = line.strip_prefix("# actions of ")?.split_once(": ")?;
            let seen = actions_of(graph, op);
            (seen.to_string() != wanted)
                .then(|| format!("{}: {seen} actions of {op}, not {wanted}", self.name))
        });
        lacks.into_iter().chain(each)
    }
}
