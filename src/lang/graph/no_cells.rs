//! Stages, tables and claims of which no cell is left.

use super::env::{Eval, Stop};
use super::expander::Expander;
use super::model::Cut;
use crate::syntax::ast::Ident;
use xpipe_base::diag::{Code, Diagnostic, Span};

/// How many cells there were, and how many of them a `where` leaves out.
#[derive(Debug, Default)]
pub(super) struct CellCount {
    seen: usize,
    cut: usize,
}

impl CellCount {
    /// Counts a cell.
    pub(super) fn add<T>(&mut self, cell: &Eval<T>) {
        self.seen += 1;
        self.cut += usize::from(matches!(cell, Err(Stop::Cut(Cut::Where))));
    }

    fn nothing_left(&self) -> bool {
        self.seen > 0 && self.cut == self.seen
    }
}

impl Expander<'_> {
    /// Warns when a `where` leaves nothing of an item. What `only` removes was asked for.
    pub(super) fn nothing_left(&mut self, count: &CellCount, kind: &str, name: &Ident) {
        if !count.nothing_left() {
            return;
        }
        let message = format!("no cell is left of {kind} `{}`", name.name);
        if kind != "stage" {
            self.reporter.notes.push(message.clone());
        }
        self.error(no_cells(message, name.span));
    }
}

fn no_cells(message: String, span: Span) -> Diagnostic {
    let label = "a `where`, its own or that of what it needs, leaves everything out";
    Diagnostic::warning(Code::NoCells, message, span, label)
        .help("widen the `where`; labels are asked for by `axis == axis.label` or `axis in [label]`")
}
