//! Claims: expectations that hold or not, with the numbers on both sides.

use super::Results;
use super::fill;
use super::grade::Grade;
use super::missing::{self, Reason};
use xpipe_base::value::pending::{BinaryOp, PendingCell, Reduction, UnaryOp, symbol};
use xpipe_base::value::{Name, Pending, Value};
use xpipe_lang::graph::{Claim, Cut, Graph};

/// The most failing cells that one `all(…)` shows.
const SHOWN: usize = 4;

/// The outcome of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// It holds.
    Passed {
        /// The numbers, for instance `0.5120 > 0.4980`.
        values: String,
    },
    /// It does not hold.
    Failed {
        /// The numbers.
        values: String,
    },
    /// It cannot be evaluated, which is no failure.
    NotEvaluated {
        /// Why, a lowercase fragment.
        reason: String,
        /// Whether the study or the command line asks for that: by `only`, by `--target`, or by leaving out a published
        /// number. Otherwise the run ends with exit code 7.
        asked: bool,
    },
}

/// A claim at one point with its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimResult {
    /// Its name in the study.
    pub name: String,
    /// Labels of its `for` axes.
    pub labels: Vec<Name>,
    /// The claim in words.
    pub text: String,
    /// Whether it holds.
    pub outcome: ClaimOutcome,
}

/// Evaluates a claim.
pub fn evaluate_claim(claim: &Claim, graph: &Graph, results: &dyn Results) -> ClaimOutcome {
    let found = match &claim.expect {
        Ok(expect) => missing::value(expect, results).map(|found| (expect, found)),
        Err(cut) => Err(Reason::Cut(Some(*cut))),
    };
    match found {
        Ok((expect, Value::Bool(true))) => ClaimOutcome::Passed { values: show(expect, results) },
        Ok((expect, Value::Bool(false))) => ClaimOutcome::Failed { values: show(expect, results) },
        Ok((_, other)) => ClaimOutcome::NotEvaluated {
            reason: format!("the expectation is {}, expected true or false", fill::text(&other)),
            asked: false,
        },
        Err(reason) => {
            // What has no result was not asked for, or failed, which is told of the action.
            let asked = matches!(reason, Reason::Cut(Some(Cut::Only | Cut::Blank)) | Reason::Missing(_));
            ClaimOutcome::NotEvaluated { reason: reason.text(graph, results), asked }
        }
    }
}

fn known(value: &Value, results: &dyn Results) -> Option<Value> {
    missing::value(value, results).ok()
}

/// An expectation with its numbers filled in.
fn show(value: &Value, results: &dyn Results) -> String {
    let Value::Pending(pending) = value else { return fill::text(value) };
    match &**pending {
        Pending::Binary { op: op @ (BinaryOp::And | BinaryOp::Or), left, right } => {
            format!("({}) {} ({})", show(left, results), symbol(*op), show(right, results))
        }
        Pending::Binary {
            op: op @ (BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge),
            left,
            right,
        } => {
            let (a, b) = sides(left, right, results);
            // What does not hold must not read as if it did.
            let not = if known(value, results) == Some(Value::Bool(false)) { "is not " } else { "" };
            format!("{a} {not}{} {b}", symbol(*op))
        }
        Pending::Unary { op: UnaryOp::Not, of } => format!("not ({})", show(of, results)),
        Pending::If { condition, then, other } => match known(condition, results) {
            Some(Value::Bool(true)) => show(then, results),
            _ => show(other, results),
        },
        Pending::Near { left, right, within } => near(left, right, within, results),
        Pending::Reduce { how: Reduction::All, cells } => all(cells, results),
        _ => known(value, results).map_or_else(|| "no value".into(), |v| side(&v, 4)),
    }
}

/// Two sides of a comparison, with as many digits as tell them apart.
fn sides(left: &Value, right: &Value, results: &dyn Results) -> (String, String) {
    let (Some(left), Some(right)) = (known(left, results), known(right, results)) else {
        return ("no value".into(), "no value".into());
    };
    let same = left.as_f64().is_some() && left.as_f64() == right.as_f64();
    for digits in [4, 6, 9] {
        let (a, b) = (side(&left, digits), side(&right, digits));
        if a != b || same {
            return (a, b);
        }
    }
    (fill::text(&left), fill::text(&right))
}

fn side(value: &Value, digits: usize) -> String {
    if let Value::Float(x) = value { super::layout::number(*x, digits) } else { fill::text(value) }
}

fn near(left: &Value, right: &Value, within: &Value, results: &dyn Results) -> String {
    let (a, b) = sides(left, right, results);
    let number = |v: &Value| known(v, results).and_then(|v| v.as_f64());
    let (Some(x), Some(y), Some(w)) = (number(left), number(right), number(within)) else {
        return format!("{a} and {b}");
    };
    let distance = (x - y).abs();
    let verdict = match (distance <= w, Grade::of(distance, w)) {
        (true, _) => "within",
        (false, Grade::Off) => "off: not within",
        (false, _) => "near: not within",
    };
    let mut shown = super::layout::number(distance, 4);
    if (distance <= w) != (shown.parse::<f64>().unwrap_or(distance) <= w) {
        shown = distance.to_string();
    }
    format!("{a} and {b} differ by {shown}, {verdict} {w}")
}

fn all(cells: &[PendingCell], results: &dyn Results) -> String {
    let failing: Vec<&PendingCell> =
        cells.iter().filter(|c| known(&c.value, results) == Some(Value::Bool(false))).collect();
    if failing.is_empty() {
        let shown: Vec<String> = cells.iter().take(SHOWN).map(|c| cell(c, results)).collect();
        let more = if cells.len() > SHOWN { "; …" } else { "" };
        return format!("all {} hold: {}{more}", cells.len(), shown.join("; "));
    }
    let shown: Vec<String> = failing.iter().take(SHOWN).map(|c| cell(c, results)).collect();
    let more = if failing.len() > SHOWN { "; …" } else { "" };
    format!("{} of {} do not hold: {}{more}", failing.len(), cells.len(), shown.join("; "))
}

fn cell(cell: &PendingCell, results: &dyn Results) -> String {
    let labels: Vec<&str> = cell.labels.iter().map(|(_, label)| &**label).collect();
    format!("[{}] {}", labels.join(", "), show(&cell.value, results))
}
