//! Values as a study writes them, for labels, titles and messages: numbers in their shortest form, amounts in the
//! largest unit that is exact. What is printed here reads back as the same value.

use super::{Budget, Input, Value};

/// A value as people write it: `2e-5`, `steps(2_000)` as `steps(2000)`, strings bare.
pub fn show(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(x) => shortest(*x),
        Value::Str(s) => s.to_string(),
        Value::Bytes(b) => bytes(*b),
        Value::Seconds(s) => seconds(*s),
        Value::Percent(p) => format!("{}%", shortest(*p)),
        Value::Budget(Budget::Steps(n)) => format!("steps({n})"),
        Value::Budget(Budget::Epochs(x)) => format!("epochs({})", shortest(*x)),
        Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Record(r) => {
            format!(
                "{{{}}}",
                r.iter().map(|(n, v)| format!("{n} = {}", show(v))).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Call(c) => {
            let args: Vec<String> = c
                .args
                .iter()
                .filter(|(_, v)| !matches!(v, Value::Null))
                .map(|(n, v)| format!("{n} = {}", show(v)))
                .collect();
            format!("{}({})", c.name, args.join(", "))
        }
        Value::Input(i) => match &**i {
            Input::File(p) => p.display().to_string(),
            Input::Model { name, .. } => name.clone(),
            remote @ Input::Remote { .. } => remote.to_string(),
        },
        Value::Artifact(a) => format!("#{}", a.0),
        Value::Located(l) => l.label.clone(),
        Value::Pending(_) => "known when it has run".to_owned(),
    }
}

/// The shortest text that reads back as the same number: `3e-6`, `0.1`, `32`.
pub fn shortest(x: f64) -> String {
    if x != 0.0 && (x.abs() < 1e-3 || x.abs() >= 1e15) { format!("{x:e}") } else { format!("{x}") }
}

/// An amount of memory in the largest unit that is exact: `16GiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    UNITS
        .iter()
        .find(|(_, size)| n >= *size && n.is_multiple_of(*size))
        .map_or_else(|| format!("{n}B"), |(unit, size)| format!("{}{unit}", n / size))
}

/// A duration in the largest unit that is exact: `20h`, `90min`, `1.5s`.
pub fn seconds(x: f64) -> String {
    let whole = |unit: f64| x.abs() >= unit && (x / unit).fract() == 0.0;
    if whole(3600.0) {
        format!("{}h", x / 3600.0)
    } else if whole(60.0) {
        format!("{}min", x / 60.0)
    } else {
        format!("{}s", shortest(x))
    }
}
