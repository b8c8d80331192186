//! Printing tables, claims, costs and notes.

use std::io::IsTerminal as _;

use super::out;
use xpipe_study::report::{self, Evaluated};

/// Prints everything that a study says.
pub(super) fn print(evaluated: &Evaluated) {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let text = text(evaluated, colour);
    if colour { out::say_coloured(&text) } else { out::say(&text) }
}

fn text(evaluated: &Evaluated, colour: bool) -> String {
    let mut out = String::new();
    for table in &evaluated.tables {
        out.push_str(&report::terminal(table, colour));
        out.push('\n');
    }
    if !evaluated.claims.is_empty() {
        out.push_str(&report::terminal_claims(&evaluated.claims, colour));
        out.push('\n');
    }
    for costs in &evaluated.costs {
        out.push_str(&report::terminal_costs(costs, colour));
        out.push('\n');
    }
    for c in &evaluated.chosen {
        out.push_str(&format!("chosen: {} = {}\n", c.address(), c.text()));
    }
    for note in &evaluated.notes {
        out.push_str(&format!("note: {note}\n"));
    }
    for caveat in &evaluated.caveats {
        out.push_str(&format!("note: {} ({})\n", caveat.text(), caveat.place()));
    }
    out
}
