//! Bounds of what a study may come to: cells, sizes of values, chains of names. Each is told before the work is done.

use super::expand::{Eval, Expander, Item, Stop};
use crate::resolve::AxisId;
use crate::syntax::ast::Ident;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{Pending, Value};

/// The most cells of a study, unless `--max-cells` says otherwise. One takes about a kilobyte.
pub const MOST_CELLS: u64 = 1_000_000;
/// The most cells that all reductions look at together, as a multiple of the cells.
const REDUCED: u64 = 5;
/// The most numbers of `a .. b`.
pub(super) const LONGEST_RANGE: i64 = 100_000;
/// The most values inside one value; 16 characters of a text count as one.
const MOST_VALUES: usize = 1_000_000;
/// The most characters of a text.
pub(super) const LONGEST_TEXT: usize = 1 << 20;
/// The deepest nesting of a value.
const DEEPEST: usize = 600;
/// The most names that need each other in a chain while none of them is known.
const LONGEST_CHAIN: usize = 2_000;
/// Stack for the longest chain: what is not used is not taken.
const STACK: usize = 512 << 20;

impl Expander<'_> {
    /// Whether the cells of an item are not too many; counted before any is made.
    pub(super) fn countable(&mut self, kind: &str, name: &Ident, axes: &[AxisId]) -> bool {
        let most = self.overrides.max_cells.unwrap_or(MOST_CELLS);
        let told = self.cells > most;
        let cells = self.product(axes);
        self.cells = self.cells.saturating_add(cells);
        if self.cells <= most {
            return true;
        }
        if !told {
            let names: Vec<&str> = axes.iter().map(|a| &*self.study.axis(*a).0.name).collect();
            let (message, label) = if cells > most {
                let message = format!("`{}` has {} cells ({})", name.name, count(cells), names.join(" × "));
                (message, format!("{kind}s have at most {} cells together", count(most)))
            } else {
                let message = format!("this study has more than {} cells", count(most));
                (message, format!("these {} are too many", count(cells)))
            };
            let help = format!("take fewer labels of an axis, or allow them: `--max-cells {}`", self.cells);
            self.error(Diagnostic::error(Code::TooManyCells, message, name.span, label).help(help));
        }
        false
    }

    /// Counts the cells that a reduction looks at.
    pub(super) fn reducible(&mut self, cells: u64, span: Span) -> Eval<()> {
        let most = self.overrides.max_cells.unwrap_or(MOST_CELLS);
        self.reduced = self.reduced.saturating_add(cells);
        if cells <= most && self.reduced <= most.saturating_mul(REDUCED) {
            return Ok(());
        }
        let message = if cells > most {
            format!("this looks at {} cells", count(cells))
        } else {
            format!("reductions look at more than {} cells", count(most.saturating_mul(REDUCED)))
        };
        let label = format!("{} are the most", count(most));
        let help = "reduce over fewer labels, or in a `let` that others use; `--max-cells` allows more";
        Err(self.error(Diagnostic::error(Code::TooManyCells, message, span, label).help(help)))
    }

    fn product(&mut self, axes: &[AxisId]) -> u64 {
        axes.iter().fold(1u64, |n, a| n.saturating_mul(self.kept_labels(*a).len() as u64))
    }

    /// A value that has just been made, when it is not too large to go on with.
    pub(super) fn bounded(&mut self, value: Value, span: Span) -> Eval {
        if !matches!(
            value,
            Value::Str(_) | Value::List(_) | Value::Record(_) | Value::Call(_) | Value::Pending(_)
        ) {
            return Ok(value);
        }
        match measure(&value, &mut 0, 0) {
            Ok(()) => Ok(value),
            Err(why) => Err(self.too_large(&why, span)),
        }
    }

    pub(super) fn too_large(&mut self, why: &str, span: Span) -> Stop {
        self.error(
            Diagnostic::error(Code::TooLarge, format!("this value {why}"), span, "too large")
                .help("make it smaller; large data belongs into files that stages read"),
        )
    }

    /// Refuses to go deeper into a chain of names that need each other.
    pub(super) fn chain_too_long(&mut self, item: Item, span: Span) -> Option<Stop> {
        if self.stack.len() < LONGEST_CHAIN {
            return None;
        }
        let name = self.item_name(item);
        // The chain is told where it begins: each of its links would say the same.
        let at = self.stack.first().map_or(span, |(_, at)| *at);
        Some(
            self.error(
                Diagnostic::error(
                    Code::SyntaxDeep,
                    format!(
                        "this needs a chain of more than {} names, down to `{name}`",
                        count(LONGEST_CHAIN as u64)
                    ),
                    at,
                    "none of them is known yet",
                )
                .related(span, "the chain goes on here")
                .help("declare what others need above them: then a chain may have any length"),
            ),
        )
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
            return Err(format!("is a text of more than {} bytes", count(LONGEST_TEXT as u64)));
        }
        *seen += text.len() / 16;
    }
    if *seen > MOST_VALUES {
        return Err(format!("holds more than {} values", count(MOST_VALUES as u64)));
    }
    if depth > DEEPEST {
        return Err(format!("is nested more than {DEEPEST} deep"));
    }
    let mut inside = |v: &Value| measure(v, seen, depth + 1);
    match value {
        Value::List(items) => items.iter().try_for_each(inside),
        Value::Record(r) => r.iter().try_for_each(|(_, v)| inside(v)),
        Value::Call(c) => c.args.iter().try_for_each(|(_, v)| inside(v)),
        Value::Pending(p) => match &**p {
            Pending::Metric { .. } => Ok(()),
            Pending::Reduce { cells, .. } | Pending::Arg { cells, .. } => {
                cells.iter().try_for_each(|c| inside(&c.value))
            }
            Pending::Text { parts } => parts.iter().try_for_each(inside),
            Pending::Member { of, .. } | Pending::Unary { of, .. } => inside(of),
            Pending::Binary { left, right, .. } => inside(left).and_then(|()| inside(right)),
            Pending::If { condition, then, other } => {
                [condition, then, other].into_iter().try_for_each(inside)
            }
            Pending::Near { left, right, within } => [left, right, within].into_iter().try_for_each(inside),
        },
        _ => Ok(()),
    }
}

/// A count with `,` between thousands.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}
