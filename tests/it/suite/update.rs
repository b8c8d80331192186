//! Writes what came out of a case into its comments. Comments that hold stay as they are.

use std::path::Path;

use xpipe_base::diag::Severity;

use super::case::{Case, Found, actions_of, inline, row_counts};

/// A diagnostic as a comment.
fn note(found: &Found) -> String {
    let severity = if found.severity == Severity::Error { "error" } else { "warning" };
    format!("{severity} {}: {}", found.code, found.message)
}

/// The text of a case with comments that say what came out. Line numbers of `# lacks` are those before the update.
pub(super) fn updated(case: &Case) -> String {
    let (stale, mut found) = case.unmatched();
    found.retain(|f| f.file == case.name);
    let mut lines: Vec<String> = Vec::new();
    let mut lacks = case.checked.lacking.iter().map(|(what, line)| format!("# lacks {what}: {line}"));
    for (line, n) in case.text.lines().zip(1u32..) {
        let is_stale = stale.iter().any(|e| e.written == n);
        if is_stale && line.trim_start().starts_with("#^ ") {
            continue;
        }
        if line.starts_with("# lacks ") {
            lines.extend(lacks.by_ref());
            continue;
        }
        let mut line = match inline(line).filter(|_| is_stale) {
            Some(comment) => line[..comment].trim_end().to_owned(),
            None => counts(case, line),
        };
        let mut here: Vec<&Found> = found.iter().filter(|f| f.line == n).copied().collect();
        if !here.is_empty() && !line.contains('#') {
            line.push_str(&format!("  # {}", note(here.remove(0))));
        }
        let indent = " ".repeat(line.len() - line.trim_start().len());
        lines.push(line);
        lines.extend(here.into_iter().map(|f| format!("{indent}#^ {}", note(f))));
    }
    lines.join("\n") + "\n"
}

/// A line with the counts that came out, if it is one of counts.
fn counts(case: &Case, line: &str) -> String {
    let graph = &case.checked.graph;
    let start = &line[..line.len() - line.trim_start().len()];
    if let Some((row, _)) = line.trim().strip_prefix("# plan ").and_then(|n| n.split_once(": "))
        && let Some((cells, actions)) = row_counts(graph, row)
    {
        return format!("{start}# plan {row}: {cells} cells, {actions} actions");
    }
    if let Some((op, _)) = line.trim().strip_prefix("# actions of ").and_then(|n| n.split_once(": ")) {
        return format!("{start}# actions of {op}: {}", actions_of(graph, op));
    }
    line.to_owned()
}

/// Updates a file until its line numbers are right too; what is wrong even then, one line each.
pub(super) fn update(path: &Path) -> Vec<String> {
    for _ in 0..3 {
        let case = Case::read(path);
        if case.faults().is_empty() {
            break;
        }
        std::fs::write(path, updated(&case)).unwrap();
    }
    Case::read(path).faults()
}

#[test]
fn an_update_mends_codes_messages_counts_and_lines() {
    let text = "\
# plan found: 9 cells, 9 actions
# actions of bm25.search: 7
edition 2026

axis seed = []  # error types::unit: told before

dataset toy: TestCollection = local { docs = \"d\", queries = \"q\", qrels = \"r\" }
stage index = bm25.index { corpus = toy.corpus }
#^ error types::mismatch: gone
stage found = bm25.search { index, queries = toy.queries }
stage other = bm25.search { index, queries = toy.queris }
";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.xpipe");
    std::fs::write(&path, text).unwrap();
    assert!(Case::read(&path).faults().len() > 4, "{:?}", Case::read(&path).faults());
    assert_eq!(update(&path), Vec::<String>::new());
    let now = std::fs::read_to_string(&path).unwrap();
    assert!(now.starts_with("# plan found: 1 cells, 1 actions\n# actions of bm25.search: 1\n"), "{now}");
    assert!(now.contains("axis seed = []  # error types::empty_axis: ") && !now.contains("gone"), "{now}");
    assert!(now.contains("toy.queris }  # error resolve::unknown_member: "), "{now}");
}
