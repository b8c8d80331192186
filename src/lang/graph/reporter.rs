//! What is wrong with a study, collected: each mistake once, with the cells that have it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use indexmap::IndexMap;

use super::env::Stop;
use crate::resolve::{ModuleId, Study};
use xpipe_base::diag::{Code, Diagnostic, Diagnostics, Span};
use xpipe_base::value::Name;

/// Maximum number of different reasons that are reported for one place and code.
const MOST_REASONS: usize = 8;
/// Number of cells that a diagnostic names.
const NAMED_CELLS: usize = 4;

/// Code, place, message and help of an issue.
type IssueKey = (Code, Span, String, Option<String>);

/// Takes the diagnostics of an expansion.
pub(super) struct Reporter<'a> {
    study: &'a Study,
    sink: &'a mut Diagnostics,
    /// Issues of single cells, by what is wrong, with the cells.
    issues: IndexMap<IssueKey, Vec<String>>,
    /// Names that were reported as unknown.
    unknown: HashSet<(ModuleId, Name)>,
    /// Expressions whose type was found wrong from the text alone.
    wrong_in_text: BTreeSet<Span>,
    /// Notes for readers of the results.
    pub notes: Vec<String>,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(study: &'a Study, sink: &'a mut Diagnostics) -> Self {
        Self {
            study,
            sink,
            issues: IndexMap::new(),
            unknown: HashSet::new(),
            wrong_in_text: BTreeSet::new(),
            notes: Vec::new(),
        }
    }

    /// Reports a diagnostic, unless it is in a part of the study that could not be read.
    pub(super) fn error(&mut self, d: Diagnostic) -> Stop {
        if !self.study.is_unread(d.primary.span) {
            self.sink.push(d);
        }
        Stop::Reported
    }

    pub(super) fn has_errors(&self) -> bool {
        self.sink.has_errors()
    }

    /// Marks a name as reported; `false` when it was before.
    pub(super) fn first_unknown(&mut self, module: ModuleId, name: &str) -> bool {
        self.unknown.insert((module, name.into()))
    }

    /// Marks an expression whose type is wrong whatever the cell.
    pub(super) fn wrong_in_text(&mut self, span: Span) {
        self.wrong_in_text.insert(span);
    }

    /// Whether something inside this place was found wrong from the text.
    pub(super) fn is_wrong_in_text(&self, span: Span) -> bool {
        self.wrong_in_text.iter().any(|s| s.file == span.file && span.start <= s.start && s.end <= span.end)
    }

    /// Notes an issue of one cell; cells with the same issue become one diagnostic.
    pub(super) fn issue(
        &mut self,
        code: Code,
        span: Span,
        message: String,
        help: Option<String>,
        cell: String,
    ) {
        self.issues.entry((code, span, message, help)).or_default().push(cell);
    }

    pub(super) fn has_issues(&self) -> bool {
        !self.issues.is_empty()
    }

    /// Lists a cell with the issues of an equal recipe that was checked before, at `first`.
    pub(super) fn same_issues(&mut self, first: &str, cell: &str) {
        for cells in self.issues.values_mut() {
            if cells.iter().any(|c| c == first) && !cells.iter().any(|c| c == cell) {
                cells.push(cell.to_owned());
            }
        }
    }

    /// Reports the issues that were noted.
    pub(super) fn flush_issues(&mut self) {
        // An argument that varies over an axis may be wrong for a reason of its own in each cell. Only the first are
        // reported.
        let mut reasons: BTreeMap<(Code, Span), usize> = BTreeMap::new();
        for ((code, span, message, help), mut cells) in std::mem::take(&mut self.issues) {
            let reported = reasons.entry((code, span)).or_default();
            *reported += 1;
            if *reported > MOST_REASONS || self.study.is_unread(span) || self.study.is_in_broken_item(span) {
                continue;
            }
            cells.dedup();
            let label = in_cells(&cells);
            self.sink.push_beside(Diagnostic::error(code, message, span, label).maybe_help(help));
        }
    }
}

/// `in model[a], model[b] and 3 more`.
fn in_cells(cells: &[String]) -> String {
    let shown: Vec<&str> = cells.iter().take(NAMED_CELLS).map(String::as_str).collect();
    match cells.len() - shown.len() {
        0 => format!("in {}", shown.join(", ")),
        more => format!("in {} and {more} more", shown.join(", ")),
    }
}
