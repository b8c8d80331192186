//! Values as a study writes them, for labels, titles and messages.

use super::{Budget, Input, Value};

/// A value as people write it: `2e-5`, `steps(2_000)` as `steps(2000)`, strings bare.
pub fn show(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(x) => shortest(*x),
        Value::Str(s) => s.to_string(),
        Value::Bytes(b) => format!("{b}B"),
        Value::Seconds(s) => format!("{}s", shortest(*s)),
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
