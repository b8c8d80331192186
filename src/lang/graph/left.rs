//! Stages, tables and claims of which no cell is left.

use super::Cut;
use super::expand::{Eval, Expander, Stop};
use crate::syntax::ast::Ident;
use xpipe_base::diag::{Code, Diagnostic};

/// How many cells were looked at, and how many of them a `where` leaves out.
#[derive(Debug, Default)]
pub(super) struct Left {
    seen: usize,
    cut: usize,
}

impl Left {
    /// Counts a cell.
    pub(super) fn count<T>(&mut self, cell: &Eval<T>) {
        self.seen += 1;
        self.cut += usize::from(matches!(cell, Err(Stop::Cut(Cut::Where))));
    }
}

impl Expander<'_> {
    /// Warns when a `where` leaves nothing of an item. What `only` removes was asked for.
    pub(super) fn nothing_left(&mut self, left: &Left, kind: &str, name: &Ident) {
        if left.seen == 0 || left.cut < left.seen {
            return;
        }
        let message = format!("no cell is left of {kind} `{}`", name.name);
        if kind != "stage" {
            self.notes.push(message.clone());
        }
        self.error(
            Diagnostic::warning(
                Code::NoCells,
                message,
                name.span,
                "a `where`, its own or that of what it needs, leaves everything out",
            )
            .help("widen the `where`; labels are asked for by `axis == axis.label` or `axis in [label]`"),
        );
    }
}
