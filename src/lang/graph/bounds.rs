//! Limits of a study: number of cells, sizes of values, lengths of chains of names. Each is checked before the work is
//! done.

use super::env::{Eval, Item, Stop};
use super::expander::Expander;
use crate::resolve::AxisId;
use crate::syntax::ast::Ident;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::human;
use xpipe_base::value::{Name, Value};

/// Maximum number of cells of a study, unless `--max-cells` sets another. One takes about a kilobyte.
pub const MOST_CELLS: u64 = 1_000_000;
/// Maximum number of cells that all reductions look at together, as a multiple of the maximum number of cells.
const REDUCED: u64 = 5;
/// Maximum length of a range `a .. b`.
pub(super) const LONGEST_RANGE: i64 = 100_000;
/// Maximum number of values inside one value; 16 bytes of a text count as one.
const MOST_VALUES: usize = 1_000_000;
/// Maximum length of a text in bytes.
pub(super) const LONGEST_TEXT: usize = 1 << 20;
/// Maximum nesting depth of a value.
const DEEPEST: usize = 600;
/// Maximum number of names that need each other in a chain while none of them is known.
const LONGEST_CHAIN: usize = 2_000;
/// Stack size for the longest chain, in bytes; unused pages take no memory.
const STACK: usize = 512 << 20;

impl Expander<'_> {
    /// Counts the cells of an item before any is evaluated; `false` when they are too many.
    pub(super) fn countable(&mut self, kind: &str, name: &Ident, axes: &[AxisId]) -> bool {
        let most = self.outside.given.max_cells.unwrap_or(MOST_CELLS);
        let reported = self.cells > most;
        let cells = self.product(axes);
        self.cells = self.cells.saturating_add(cells);
        if self.cells <= most {
            return true;
        }
        if !reported {
            let d = if cells > most {
                too_many_cells_of(kind, name, &self.axis_names(axes), cells, most)
            } else {
                too_many_cells(name, cells, most)
            };
            let help = format!("take fewer labels of an axis, or allow them: `--max-cells {}`", self.cells);
            self.error(d.help(help));
        }
        false
    }

    /// Counts the cells that a reduction looks at.
    pub(super) fn reducible(&mut self, cells: u64, span: Span) -> Eval<()> {
        let most = self.outside.given.max_cells.unwrap_or(MOST_CELLS);
        self.reduced = self.reduced.saturating_add(cells);
        if cells <= most && self.reduced <= most.saturating_mul(REDUCED) {
            return Ok(());
        }
        Err(self.error(reduces_too_much(cells, most, span)))
    }

    fn product(&mut self, axes: &[AxisId]) -> u64 {
        axes.iter().fold(1u64, |n, a| n.saturating_mul(self.kept_labels(*a).len() as u64))
    }

    /// The value, unless it is too large.
    pub(super) fn bounded(&mut self, value: Value, span: Span) -> Eval {
        if !matches!(
            value,
            Value::Str(_) | Value::List(_) | Value::Record(_) | Value::Call(_) | Value::Pending(_)
        ) {
            return Ok(value);
        }
        match measure(&value, &mut 0, 0) {
            Ok(()) => Ok(value),
            Err(why) => Err(self.error(too_large(&why, span))),
        }
    }

    /// Refuses to go deeper into a chain of names that need each other.
    pub(super) fn chain_too_long(&mut self, item: Item, span: Span) -> Option<Stop> {
        if self.stack.len() < LONGEST_CHAIN {
            return None;
        }
        // Reported where the chain begins: each of its links would say the same.
        let start = self.stack.first().map_or(span, |(_, at)| *at);
        let d = long_chain(&self.item_name(item), start, span);
        Some(self.error(d))
    }
}

/// Does work that follows chains of names by recursion, on a thread that has the stack for it.
pub(super) fn on_a_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        match thread.spawn_scoped(scope, work).map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(e) => panic!("no thread for the check of a study: {e}"),
        }
    })
}

/// Why a value is too large.
fn measure(value: &Value, seen: &mut usize, depth: usize) -> Result<(), String> {
    *seen += 1;
    if let Value::Str(text) = value {
        if text.len() > LONGEST_TEXT {
            return Err(format!("is a text of more than {} bytes", human::thousands(LONGEST_TEXT as u64)));
        }
        *seen += text.len() / 16;
    }
    if *seen > MOST_VALUES {
        return Err(format!("holds more than {} values", human::thousands(MOST_VALUES as u64)));
    }
    if depth > DEEPEST {
        return Err(format!("is nested more than {DEEPEST} deep"));
    }
    let mut inside = |v: &Value| measure(v, seen, depth + 1);
    match value {
        Value::List(items) => items.iter().try_for_each(inside),
        Value::Record(r) => r.values().try_for_each(inside),
        Value::Call(c) => c.args.values().try_for_each(inside),
        Value::Pending(p) => {
            let mut result = Ok(());
            p.operands(&mut |v| {
                if result.is_ok() {
                    result = inside(v);
                }
            });
            result
        }
        _ => Ok(()),
    }
}

fn too_many_cells_of(kind: &str, item: &Ident, axes: &[Name], cells: u64, most: u64) -> Diagnostic {
    let message = format!("`{}` has {} cells ({})", item.name, human::thousands(cells), axes.join(" × "));
    let label = format!("{kind}s have at most {} cells together", human::thousands(most));
    Diagnostic::error(Code::TooManyCells, message, item.span, label)
}

fn too_many_cells(item: &Ident, cells: u64, most: u64) -> Diagnostic {
    let message = format!("this study has more than {} cells", human::thousands(most));
    let label = format!("these {} are too many", human::thousands(cells));
    Diagnostic::error(Code::TooManyCells, message, item.span, label)
}

fn reduces_too_much(cells: u64, most: u64, span: Span) -> Diagnostic {
    let message = if cells > most {
        format!("this looks at {} cells", human::thousands(cells))
    } else {
        format!("reductions look at more than {} cells", human::thousands(most.saturating_mul(REDUCED)))
    };
    let help = "reduce over fewer labels, or in a `let` that others use; `--max-cells` allows more";
    Diagnostic::error(Code::TooManyCells, message, span, format!("{} are the most", human::thousands(most)))
        .help(help)
}

pub(super) fn too_large(why: &str, span: Span) -> Diagnostic {
    Diagnostic::error(Code::TooLarge, format!("this value {why}"), span, "too large")
        .help("make it smaller; large data belongs into files that stages read")
}

fn long_chain(name: &str, start: Span, span: Span) -> Diagnostic {
    let message = format!(
        "this needs a chain of more than {} names, down to `{name}`",
        human::thousands(LONGEST_CHAIN as u64)
    );
    Diagnostic::error(Code::SyntaxDeep, message, start, "none of them is known yet")
        .related(span, "the chain goes on here")
        .help("declare what others need above them: then a chain may have any length")
}
