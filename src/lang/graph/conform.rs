//! Makes a value fit the type an argument declares, or says what is wrong.

use crate::types::Type;
use xpipe_base::value::{Pending, Value};

/// The type of a value, as messages name it. `op_type` gives the type of an action's result.
pub(super) fn type_of(value: &Value, op_type: &dyn Fn(&Value) -> Type) -> Type {
    match value {
        Value::Null => Type::Any,
        Value::Bool(_) => Type::Bool,
        Value::Int(_) => Type::Int,
        Value::Float(_) => Type::Float,
        Value::Str(_) => Type::String,
        Value::Bytes(_) => Type::Bytes,
        Value::Seconds(_) => Type::Duration,
        Value::Percent(_) => Type::Percent,
        Value::Budget(_) => Type::Budget,
        Value::List(items) => Type::List(Box::new(items.first().map_or(Type::Any, |v| type_of(v, op_type)))),
        Value::Record(r) if ["corpus", "queries", "qrels"].iter().all(|f| r.get(f).is_some()) => {
            Type::TestCollection
        }
        Value::Record(_) => Type::Record,
        Value::Call(_) | Value::Artifact(_) | Value::Input(_) | Value::Located(_) => op_type(value),
        Value::Pending(p) => pending_type(p, op_type),
    }
}

fn pending_type(p: &Pending, op_type: &dyn Fn(&Value) -> Type) -> Type {
    use xpipe_base::value::{BinaryOp as B, Reduction, UnaryOp};
    match p {
        Pending::Metric { .. } => Type::Float,
        Pending::Reduce { how: Reduction::All, .. } | Pending::Near { .. } => Type::Bool,
        Pending::Reduce { .. } => Type::Float,
        Pending::Arg { .. } => Type::Record,
        Pending::Text { .. } => Type::String,
        Pending::Member { of, name } => member_type(of, name, op_type),
        Pending::Binary { op, left, .. } => match op {
            B::Or | B::And | B::Eq | B::Ne | B::Lt | B::Le | B::Gt | B::Ge => Type::Bool,
            B::Div => Type::Float,
            B::Add | B::Sub | B::Mul => type_of(left, op_type),
        },
        Pending::Unary { op: UnaryOp::Not, .. } => Type::Bool,
        Pending::Unary { of, .. } => type_of(of, op_type),
        Pending::If { then, .. } => type_of(then, op_type),
    }
}

fn member_type(of: &Value, name: &str, op_type: &dyn Fn(&Value) -> Type) -> Type {
    if let Value::Pending(p) = of
        && let Pending::Arg { cells, .. } = &**p
    {
        let value = cells.first().and_then(|c| c.point.get(name));
        return value.map_or(Type::Any, |v| type_of(v, op_type));
    }
    Type::Any
}

/// Converts a value to a type: `Int` widens to `Float`, words and paths are strings, one value is no list.
///
/// `Err` holds the type that was found.
pub(super) fn conform(value: Value, wanted: &Type, op_type: &dyn Fn(&Value) -> Type) -> Result<Value, Type> {
    match (value, wanted) {
        (v, Type::Any) => Ok(v),
        (Value::Null, _) => Err(Type::Any),
        (Value::Int(i), Type::Float) => Ok(Value::Float(i as f64)),
        (v @ (Value::Int(_) | Value::Float(_)), Type::Either(any))
            if !any.contains(&type_of(&v, op_type)) && any.contains(&Type::Float) =>
        {
            conform(v, &Type::Float, op_type)
        }
        (v, Type::Either(any)) => {
            for t in any {
                if let Ok(v) = conform(v.clone(), t, op_type) {
                    return Ok(v);
                }
            }
            Err(type_of(&v, op_type))
        }
        (Value::List(items), Type::List(inner)) => {
            let items =
                items.iter().map(|v| conform(v.clone(), inner, op_type)).collect::<Result<Vec<_>, _>>()?;
            Ok(Value::list(items))
        }
        // A record of collections, as axes are made of, is also a list of them.
        (Value::Record(r), Type::List(inner))
            if **inner == Type::TestCollection && r.get("qrels").is_none() =>
        {
            let items =
                r.iter().map(|(_, v)| conform(v.clone(), inner, op_type)).collect::<Result<Vec<_>, _>>()?;
            Ok(Value::list(items))
        }
        (Value::Str(s), Type::Word(words)) if words.contains(&&*s) => Ok(Value::Str(s)),
        (v @ (Value::Percent(_) | Value::Budget(_)), Type::Budget) => Ok(v),
        (v @ (Value::Str(_) | Value::Input(_)), Type::Path | Type::Program) => Ok(v),
        (Value::Record(r), Type::TestCollection)
            if ["corpus", "queries", "qrels"].iter().all(|f| r.get(f).is_some()) =>
        {
            Ok(Value::Record(r))
        }
        (v, wanted) => {
            let found = type_of(&v, op_type);
            if found.fits(wanted) { Ok(v) } else { Err(found) }
        }
    }
}

/// `an Int`, `a Run`, `Queries`.
pub(super) fn an(t: &Type) -> String {
    t.with_article()
}
