//! Values known only after stages have run: expressions over the numbers that actions publish.
//!
//! `argmax`, `mean(scores.ndcg_10, …)`, comparisons in claims and all cells of tables become [`Pending`] trees when the
//! graph is expanded. [`Pending::resolve`] computes them once the numbers exist, for stage arguments, tables and claims.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::compare::{equal, order, unlike};
use super::{ActionId, Name, Record, Value};

/// The function of a reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reduction {
    /// The mean of all cells.
    Mean,
    /// The sample standard deviation (n - 1); undefined for fewer than two values.
    Sd,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// Whether all cells are true.
    All,
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum BinaryOp {
    Or,
    And,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Add,
    Sub,
    Mul,
    Div,
}

/// Unary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum UnaryOp {
    Neg,
    Not,
}

/// A cell of a reduction: its point and its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PendingCell {
    /// The bound axes, name to label.
    pub labels: Vec<(Name, Name)>,
    /// The bound axes, name to value.
    pub point: Record,
    /// The value of the cell.
    pub value: Value,
}

/// An expression over results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Pending {
    /// A number that an action publishes, for instance `ndcg_10` of an evaluation.
    Metric {
        /// The action.
        action: ActionId,
        /// The published name.
        member: Name,
    },
    /// A fold over cells.
    Reduce {
        /// The fold.
        how: Reduction,
        /// The cells in axis order.
        cells: Vec<PendingCell>,
    },
    /// The point of the best cell: a record of axis values.
    Arg {
        /// `true` for `argmax`, `false` for `argmin`.
        largest: bool,
        /// The cells in axis order; ties go to the first.
        cells: Vec<PendingCell>,
    },
    /// A member of a pending record.
    Member {
        /// The record.
        of: Value,
        /// The member.
        name: Name,
    },
    /// A binary operator.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Left operand.
        left: Value,
        /// Right operand.
        right: Value,
    },
    /// A unary operator.
    Unary {
        /// The operator.
        op: UnaryOp,
        /// Operand.
        of: Value,
    },
    /// A choice.
    If {
        /// Condition.
        condition: Value,
        /// Value when true.
        then: Value,
        /// Value when false.
        other: Value,
    },
    /// A text with values in it.
    Text {
        /// The parts in order. Values are printed as studies write them.
        parts: Vec<Value>,
    },
    /// `near(a, b, within = w)`: |a - b| ≤ w.
    Near {
        /// Left.
        left: Value,
        /// Right.
        right: Value,
        /// Tolerance.
        within: Value,
    },
}

/// Why a pending value has no value.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Unresolved {
    /// A number is missing: the action failed, has not run, or was excluded.
    #[error("a result it needs is missing")]
    Missing(ActionId),
    /// A reduction over no cells.
    #[error("there is no cell to reduce")]
    Empty,
    /// NaN in a comparison of cells, or an overflow.
    #[error("a value is not a number")]
    NotANumber,
    /// Operands of the wrong types.
    #[error("`{0}` does not fit these values")]
    Mismatch(&'static str),
}

impl Pending {
    /// Computes the value. `metric` returns an action's published number, `None` if there is none (yet).
    ///
    /// Reductions skip nothing: a missing number makes the whole value missing.
    ///
    /// # Errors
    /// [`Unresolved`] with the first reason found.
    pub fn resolve(&self, metric: &dyn Fn(ActionId, &str) -> Option<f64>) -> Result<Value, Unresolved> {
        match self {
            Self::Metric { action, member } => {
                metric(*action, member).map(Value::Float).ok_or(Unresolved::Missing(*action))
            }
            Self::Reduce { how, cells } => reduce(*how, cells, metric),
            Self::Arg { largest, cells } => {
                let mut best: Option<(f64, &PendingCell)> = None;
                for cell in cells {
                    let x = number(&resolve(&cell.value, metric)?)?;
                    if x.is_nan() {
                        return Err(Unresolved::NotANumber);
                    }
                    let better = best.is_none_or(|(b, _)| if *largest { x > b } else { x < b });
                    if better {
                        best = Some((x, cell));
                    }
                }
                best.map(|(_, c)| Value::Record(c.point.clone())).ok_or(Unresolved::Empty)
            }
            Self::Member { of, name } => {
                let of = resolve(of, metric)?;
                of.as_record().and_then(|r| r.get(name).cloned()).ok_or(Unresolved::Mismatch("member"))
            }
            Self::Binary { op, left, right } => {
                let left = resolve(left, metric)?;
                // `and` and `or` evaluate the right side only if the left does not decide.
                match (op, &left) {
                    (BinaryOp::And, Value::Bool(false)) | (BinaryOp::Or, Value::Bool(true)) => Ok(left),
                    _ => binary(*op, &left, &resolve(right, metric)?),
                }
            }
            Self::Unary { op, of } => unary(*op, &resolve(of, metric)?),
            Self::If { condition, then, other } => match resolve(condition, metric)? {
                Value::Bool(true) => resolve(then, metric),
                Value::Bool(false) => resolve(other, metric),
                _ => Err(Unresolved::Mismatch("if")),
            },
            Self::Text { parts } => {
                let shown = parts.iter().map(|part| Ok(resolve(part, metric)?.to_string()));
                Ok(Value::str(&shown.collect::<Result<String, Unresolved>>()?))
            }
            Self::Near { left, right, within } => {
                let (a, b) = (number(&resolve(left, metric)?)?, number(&resolve(right, metric)?)?);
                Ok(Value::Bool((a - b).abs() <= number(&resolve(within, metric)?)?))
            }
        }
    }

    /// Calls `f` with every value directly inside the expression; of a choice those that are compared, not the points.
    pub fn operands<'v>(&'v self, f: &mut dyn FnMut(&'v Value)) {
        match self {
            Self::Metric { .. } => {}
            Self::Reduce { cells, .. } | Self::Arg { cells, .. } => cells.iter().for_each(|c| f(&c.value)),
            Self::Member { of, .. } | Self::Unary { of, .. } => f(of),
            Self::Text { parts } => parts.iter().for_each(f),
            Self::Binary { left, right, .. } => [left, right].into_iter().for_each(f),
            Self::If { condition, then, other } => [condition, then, other].into_iter().for_each(f),
            Self::Near { left, right, within } => [left, right, within].into_iter().for_each(f),
        }
    }

    /// Calls `f` for every action whose numbers this expression needs.
    pub fn actions(&self, f: &mut dyn FnMut(ActionId)) {
        if let Self::Metric { action, .. } = self {
            f(*action);
        }
        self.operands(&mut |v| each_pending_action(v, f));
    }
}

/// Calls `f` for every expression in a value, outermost first.
pub fn each<'v>(value: &'v Value, f: &mut dyn FnMut(&'v Pending)) {
    value.walk(&mut |v| {
        let Value::Pending(p) = v else { return };
        f(p);
        p.operands(&mut |v| each(v, f));
    });
}

fn each_pending_action(value: &Value, f: &mut dyn FnMut(ActionId)) {
    value.walk(&mut |v| {
        if let Value::Pending(p) = v {
            p.actions(f);
        }
    });
}

/// Resolves every pending leaf of a value.
///
/// # Errors
/// [`Unresolved`] with the first reason found.
pub fn resolve(value: &Value, metric: &dyn Fn(ActionId, &str) -> Option<f64>) -> Result<Value, Unresolved> {
    value.map_leaves(&mut |leaf| match leaf {
        Value::Pending(p) => p.resolve(metric),
        other => Ok(other.clone()),
    })
}

fn number(value: &Value) -> Result<f64, Unresolved> {
    value.as_f64().ok_or(Unresolved::Mismatch("number"))
}

fn reduce(
    how: Reduction,
    cells: &[PendingCell],
    metric: &dyn Fn(ActionId, &str) -> Option<f64>,
) -> Result<Value, Unresolved> {
    if how == Reduction::All {
        for cell in cells {
            match resolve(&cell.value, metric)? {
                Value::Bool(true) => {}
                Value::Bool(false) => return Ok(Value::Bool(false)),
                _ => return Err(Unresolved::Mismatch("all")),
            }
        }
        return Ok(Value::Bool(true));
    }
    let xs =
        cells.iter().map(|c| number(&resolve(&c.value, metric)?)).collect::<Result<Vec<_>, Unresolved>>()?;
    fold(how, &xs).map(Value::Float).ok_or(Unresolved::Empty)
}

/// Reduces numbers; `None` where the reduction is undefined (no values; `sd` of fewer than two).
pub fn fold(how: Reduction, xs: &[f64]) -> Option<f64> {
    let n = xs.len() as f64;
    let mean = xs.iter().sum::<f64>() / n;
    match how {
        _ if xs.is_empty() => None,
        Reduction::Mean => Some(mean),
        Reduction::Sd if xs.len() < 2 => None,
        Reduction::Sd => Some((xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()),
        Reduction::Min => Some(xs.iter().copied().fold(f64::INFINITY, f64::min)),
        Reduction::Max => Some(xs.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        Reduction::All => Some(f64::from(u8::from(xs.iter().all(|x| *x != 0.0)))),
    }
}

/// Applies a unary operator to a known value.
///
/// # Errors
/// [`Unresolved::Mismatch`] if the operand has the wrong type.
pub fn unary(op: UnaryOp, of: &Value) -> Result<Value, Unresolved> {
    match (op, of) {
        (UnaryOp::Neg, Value::Int(i)) => i.checked_neg().map(Value::Int).ok_or(Unresolved::NotANumber),
        (UnaryOp::Neg, Value::Float(x)) => Ok(Value::Float(-x)),
        (UnaryOp::Not, Value::Bool(b)) => Ok(Value::Bool(!b)),
        (UnaryOp::Neg, _) => Err(Unresolved::Mismatch("-")),
        (UnaryOp::Not, _) => Err(Unresolved::Mismatch("not")),
    }
}

/// Applies a binary operator. The result is pending if an operand is.
///
/// Values of different kinds (a string and a number) cannot be compared. Integers stay integers under `+ - *`, overflow is
/// an error, and `/` returns a `Float`. `+` concatenates strings and lists and merges records with distinct fields.
///
/// # Errors
/// [`Unresolved::Mismatch`] for operands of the wrong types, [`Unresolved::NotANumber`] on overflow or NaN.
pub fn binary(op: BinaryOp, left: &Value, right: &Value) -> Result<Value, Unresolved> {
    use BinaryOp as B;
    if matches!(left, Value::Pending(_)) || matches!(right, Value::Pending(_)) {
        let (left, right) = (left.clone(), right.clone());
        return Ok(Value::Pending(Arc::new(Pending::Binary { op, left, right })));
    }
    let word = symbol(op);
    let finite = |x: f64| if x.is_finite() { Ok(Value::Float(x)) } else { Err(Unresolved::NotANumber) };
    let whole = |x: Option<i64>| x.map(Value::Int).ok_or(Unresolved::NotANumber);
    match (op, left, right) {
        (B::And, Value::Bool(a), Value::Bool(b)) => Ok(Value::Bool(*a && *b)),
        (B::Or, Value::Bool(a), Value::Bool(b)) => Ok(Value::Bool(*a || *b)),
        (B::Add, Value::Int(a), Value::Int(b)) => whole(a.checked_add(*b)),
        (B::Sub, Value::Int(a), Value::Int(b)) => whole(a.checked_sub(*b)),
        (B::Mul, Value::Int(a), Value::Int(b)) => whole(a.checked_mul(*b)),
        (B::Add, Value::Str(a), Value::Str(b)) => Ok(Value::str(&format!("{a}{b}"))),
        (B::Add, Value::List(a), Value::List(b)) => {
            Ok(Value::list(a.iter().chain(b.iter()).cloned().collect()))
        }
        (B::Add, Value::Record(a), Value::Record(b)) => {
            if a.iter().any(|(n, _)| b.get(n).is_some()) {
                return Err(Unresolved::Mismatch("+ of records with a field in both"));
            }
            Ok(Value::Record(Record::new(a.iter().chain(b.iter()).cloned())))
        }
        (B::Eq | B::Ne, a, b) => match unlike(a, b) {
            Some(_) => Err(Unresolved::Mismatch(word)),
            None => Ok(Value::Bool(equal(a, b) == (op == B::Eq))),
        },
        (B::Lt | B::Le | B::Gt | B::Ge, a, b) => {
            let found = order(a, b).ok_or(Unresolved::Mismatch(word))?;
            Ok(Value::Bool(match op {
                B::Lt => found.is_lt(),
                B::Le => found.is_le(),
                B::Gt => found.is_gt(),
                _ => found.is_ge(),
            }))
        }
        (_, a, b) => {
            let (Some(x), Some(y)) = (a.as_f64(), b.as_f64()) else { return Err(Unresolved::Mismatch(word)) };
            match op {
                B::Add => finite(x + y),
                B::Sub => finite(x - y),
                B::Mul => finite(x * y),
                B::Div => finite(x / y),
                _ => Err(Unresolved::Mismatch(word)),
            }
        }
    }
}

/// The operator as studies write it.
pub fn symbol(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Or => "or",
        BinaryOp::And => "and",
        BinaryOp::Eq => "==",
        BinaryOp::Ne => "!=",
        BinaryOp::Lt => "<",
        BinaryOp::Le => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::Ge => ">=",
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
    }
}
