//! Leaves of a recipe as a person would write them in a study.

use xpipe_base::value::canonical::Leaf;
pub use xpipe_base::value::rounded::{rough_bytes, rough_seconds};
pub use xpipe_base::value::shown::{bytes, seconds};

/// The text of a leaf, with its unit: `2e-5`, `24GiB`, `90min`, `steps(200000)`, `fp32`.
pub fn leaf(leaf: Leaf<'_>) -> String {
    match leaf {
        Leaf::Null => "none".into(),
        Leaf::Bool(b) => b.to_string(),
        Leaf::Int(i) => i.to_string(),
        Leaf::Float(x) => number(x),
        Leaf::Str(s) => word(s),
        Leaf::Bytes(n) => bytes(n),
        Leaf::Seconds(x) => seconds(x),
        Leaf::Percent(x) => format!("{}%", short(x)),
        Leaf::Steps(n) => format!("steps({n})"),
        Leaf::Epochs(x) => format!("epochs({})", short(x)),
        Leaf::Digest(d) => format!("content {}", &d.hex()[..12]),
        Leaf::Input(i) => format!("{i:?}"),
        Leaf::Action(n) => format!("the result of action {n}"),
        Leaf::Pending(_) => "a value that is not known yet".into(),
    }
}

/// A float in the shortest form that reads back as the same float, never looking like a whole number.
pub fn number(x: f64) -> String {
    format!("{:?}", if x == 0.0 { 0.0 } else { x })
}

fn short(x: f64) -> String {
    let text = number(x);
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn word(s: &str) -> String {
    let plain = s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/' || c == '.')
        && s.chars().all(|c| c.is_ascii_alphanumeric() || "_./:@-".contains(c));
    if plain { s.to_owned() } else { format!("{s:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_read_as_they_are_written() {
        let cases = [
            (Leaf::Float(2e-5), "2e-5"),
            (Leaf::Float(0.001), "0.001"),
            (Leaf::Float(1.0), "1.0"),
            (Leaf::Int(32), "32"),
            (Leaf::Bytes(24 << 30), "24GiB"),
            (Leaf::Bytes(1500), "1500B"),
            (Leaf::Seconds(72_000.0), "20h"),
            (Leaf::Seconds(5400.0), "90min"),
            (Leaf::Seconds(1.5), "1.5s"),
            (Leaf::Percent(5.0), "5%"),
            (Leaf::Steps(1000), "steps(1000)"),
            (Leaf::Epochs(2.0), "epochs(2)"),
            (Leaf::Str("fp32"), "fp32"),
            (Leaf::Str("two words"), "\"two words\""),
            (Leaf::Str("1"), "\"1\""),
            (Leaf::Null, "none"),
        ];
        for (value, text) in cases {
            assert_eq!(leaf(value), text);
        }
    }
}
