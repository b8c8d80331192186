//! Comparison of values: equality of all values, order of numbers and amounts, and which cannot be compared.
//!
//! Values of different kinds are never equal, so comparing them is an error instead of `false`.

use std::cmp::Ordering;

use super::Value;

/// The kinds of values: only values of one kind can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Truth,
    Number,
    Text,
    Bytes,
    Duration,
    Percent,
    Budget,
    List,
    Record,
    /// A call, an input or a result. Its type says what it is.
    Object,
}

/// The kind of a value; `None` for values that may be of any kind: absent arguments, pending values.
fn kind(value: &Value) -> Option<Kind> {
    Some(match value {
        Value::Null | Value::Pending(_) => return None,
        Value::Bool(_) => Kind::Truth,
        Value::Int(_) | Value::Float(_) => Kind::Number,
        Value::Str(_) => Kind::Text,
        Value::Bytes(_) => Kind::Bytes,
        Value::Seconds(_) => Kind::Duration,
        Value::Percent(_) => Kind::Percent,
        Value::Budget(_) => Kind::Budget,
        Value::List(_) => Kind::List,
        Value::Record(_) => Kind::Record,
        Value::Call(_) | Value::Input(_) | Value::Artifact(_) | Value::Located(_) => Kind::Object,
    })
}

/// The first pair of values, at the top or inside, that cannot be compared.
pub fn unlike<'v>(a: &'v Value, b: &'v Value) -> Option<(&'v Value, &'v Value)> {
    let (left, right) = (kind(a)?, kind(b)?);
    if left != right {
        return Some((a, b));
    }
    match (a, b) {
        (Value::List(x), Value::List(y)) => x.iter().zip(y.iter()).find_map(|(x, y)| unlike(x, y)),
        (Value::Record(x), Value::Record(y)) => {
            x.iter().find_map(|(name, value)| unlike(value, y.get(name)?))
        }
        _ => None,
    }
}

/// Whether two values are equal. `1` and `1.0` are, also inside lists and records.
pub fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(x), Value::Int(y)) => x == y,
        (Value::List(x), Value::List(y)) => {
            x.len() == y.len() && x.iter().zip(y.iter()).all(|(x, y)| equal(x, y))
        }
        (Value::Record(x), Value::Record(y)) => {
            x.len() == y.len() && x.iter().zip(y.iter()).all(|((n, x), (m, y))| n == m && equal(x, y))
        }
        _ => match (a.as_f64(), b.as_f64()) {
            (Some(x), Some(y)) => x == y,
            _ => a == b,
        },
    }
}

/// The order of two numbers or amounts; `None` if they have none.
pub fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(x), Value::Int(y)) => Some(x.cmp(y)),
        (Value::Bytes(x), Value::Bytes(y)) => Some(x.cmp(y)),
        (Value::Seconds(x), Value::Seconds(y)) | (Value::Percent(x), Value::Percent(y)) => x.partial_cmp(y),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Record;
    use super::*;

    #[test]
    fn numbers_compare_with_numbers_whatever_they_are_in() {
        let list = |items: &[Value]| Value::list(items.to_vec());
        assert!(equal(&Value::Int(1), &Value::Float(1.0)));
        assert!(equal(&list(&[Value::Int(1)]), &list(&[Value::Float(1.0)])));
        let record = |v| Value::Record(Record::of([("a", v)]));
        assert!(equal(&record(Value::Int(2)), &record(Value::Float(2.0))));
        // Whole numbers are told apart beyond what a float holds.
        let big = 9_007_199_254_740_993;
        assert!(!equal(&Value::Int(big), &Value::Int(big - 1)));
        assert_eq!(order(&Value::Int(big), &Value::Int(big - 1)), Some(Ordering::Greater));
        assert_eq!(order(&Value::Bytes(1), &Value::Bytes(2)), Some(Ordering::Less));
        assert_eq!(order(&Value::Seconds(1.0), &Value::Bytes(2)), None);
        assert_eq!(order(&Value::Float(f64::NAN), &Value::Int(1)), None);
    }

    #[test]
    fn what_cannot_be_equal_is_found_inside() {
        let text = Value::str("1");
        let pairs = [
            (Value::Int(1), text.clone()),
            (Value::Bool(true), Value::Int(1)),
            (Value::Seconds(1.0), Value::Int(1)),
            (Value::Percent(5.0), Value::Float(0.05)),
            (Value::Bytes(1), Value::Seconds(1.0)),
        ];
        for (a, b) in &pairs {
            assert_eq!(unlike(a, b), Some((a, b)));
            let (x, y) =
                (Value::list(vec![Value::Null, a.clone()]), Value::list(vec![text.clone(), b.clone()]));
            assert_eq!(unlike(&x, &y), Some((a, b)));
        }
        for (a, b) in
            [(Value::Int(1), Value::Float(2.0)), (text.clone(), Value::str("2")), (Value::Null, text)]
        {
            assert_eq!(unlike(&a, &b), None);
        }
    }
}
