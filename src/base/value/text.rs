//! Values as studies write them: the one printer, and the one reader of numbers with units.
//!
//! `{}` is the text of labels, titles and messages: strings bare. `{:#}` is the text of an argument: strings in quotes
//! unless they are plain words, floats never like whole numbers. Numbers have their shortest form and amounts the unit
//! that reads best, so that `24GiB`, `1500MB`, `20h` and `90min` are printed as they were written. Numbers and amounts
//! read back as the same value ([`read`]).

use std::fmt::{self, Display, Formatter, Write as _};

use super::canonical::Leaf;
use super::{Budget, Input, Record, Value};

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(items) => {
                f.write_char('[')?;
                separated(f, items.iter(), |f, item| item.fmt(f))?;
                f.write_char(']')
            }
            Self::Record(r) if r.is_empty() => f.write_str("{}"),
            Self::Record(r) => {
                let (open, close) = if f.alternate() { ("{ ", " }") } else { ("{", "}") };
                f.write_str(open)?;
                fields(f, r, |_| true)?;
                f.write_str(close)
            }
            Self::Call(c) => {
                write!(f, "{}(", c.name)?;
                // In a label, arguments that were not given are noise.
                let all = f.alternate();
                fields(f, &c.args, |v| all || !matches!(v, Self::Null))?;
                f.write_char(')')
            }
            Self::Artifact(id) => write!(f, "#{}", id.0),
            Self::Located(l) => f.write_str(&l.label),
            Self::Null => Leaf::Null.fmt(f),
            Self::Bool(b) => Leaf::Bool(*b).fmt(f),
            Self::Int(i) => Leaf::Int(*i).fmt(f),
            Self::Float(x) => Leaf::Float(*x).fmt(f),
            Self::Str(s) => Leaf::Str(s).fmt(f),
            Self::Bytes(n) => Leaf::Bytes(*n).fmt(f),
            Self::Seconds(x) => Leaf::Seconds(*x).fmt(f),
            Self::Percent(x) => Leaf::Percent(*x).fmt(f),
            Self::Budget(Budget::Steps(n)) => Leaf::Steps(*n).fmt(f),
            Self::Budget(Budget::Epochs(x)) => Leaf::Epochs(*x).fmt(f),
            // A label is the model's name alone.
            Self::Input(i) => match &**i {
                Input::Model { name, .. } => f.write_str(name),
                other => Leaf::Input(other).fmt(f),
            },
            Self::Pending(p) => Leaf::Pending(p).fmt(f),
        }
    }
}

impl Display for Leaf<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Null => f.write_str("none"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(i) => write!(f, "{i}"),
            Self::Float(x) if f.alternate() => write!(f, "{:?}", positive_zero(x)),
            Self::Float(x) => f.write_str(&number(x)),
            Self::Str(s) if !f.alternate() || is_word(s) => f.write_str(s),
            Self::Str(s) => write!(f, "{s:?}"),
            Self::Bytes(n) => f.write_str(&bytes(n)),
            Self::Seconds(x) => f.write_str(&seconds(x)),
            Self::Percent(x) => write!(f, "{}%", number(x)),
            Self::Steps(n) => write!(f, "steps({n})"),
            Self::Epochs(x) => write!(f, "epochs({})", number(x)),
            Self::Digest(d) => write!(f, "content {}", &d.hex()[..12]),
            Self::Input(i) => write!(f, "{i}"),
            Self::Action(n) => write!(f, "the result of action {n}"),
            Self::Pending(_) => f.write_str("not known yet"),
        }
    }
}

fn separated<T>(
    f: &mut Formatter<'_>,
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (i, item) in items.enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        write(f, item)?;
    }
    Ok(())
}

fn fields(f: &mut Formatter<'_>, record: &Record, shown: impl Fn(&Value) -> bool) -> fmt::Result {
    separated(f, record.iter().filter(|(_, v)| shown(v)), |f, (name, value)| {
        write!(f, "{name} = ")?;
        value.fmt(f)
    })
}

/// Whether a string is an unambiguous argument without quotes: a word, a name or a path.
fn is_word(s: &str) -> bool {
    s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/' || c == '.')
        && s.chars().all(|c| c.is_ascii_alphanumeric() || "_./:@-".contains(c))
}

fn positive_zero(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x }
}

/// The shortest text that reads back as the same number: `3e-6`, `0.1`, `32`.
pub fn number(x: f64) -> String {
    let x = positive_zero(x);
    if x != 0.0 && (x.abs() < 1e-3 || x.abs() >= 1e15) { format!("{x:e}") } else { format!("{x}") }
}

/// Units of memory in bytes, largest first within each system; binary units win ties.
const BYTE_UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
];

/// An amount of memory, exactly, in the unit that gives the smallest whole number: `16GiB`, `1500MB`, `3B`.
pub fn bytes(n: u64) -> String {
    let exact = BYTE_UNITS.iter().filter(|(_, size)| n >= *size && n.is_multiple_of(*size));
    // `max_by_key` would take the last of equal units.
    let best = exact.reduce(|best, unit| if unit.1 > best.1 { unit } else { best });
    best.map_or_else(|| format!("{n}B"), |(unit, size)| format!("{}{unit}", n / size))
}

/// A duration, exactly, in the largest unit that gives a whole number: `20h`, `90min`, `1.5s`.
pub fn seconds(x: f64) -> String {
    // A quotient may be rounded to a whole number.
    let whole = |unit: f64| x.abs() >= unit && (x / unit).fract() == 0.0 && x / unit * unit == x;
    match x {
        _ if !x.is_finite() || x.abs() >= 1e15 => format!("{}s", number(x)),
        _ if whole(3600.0) => format!("{}h", x / 3600.0),
        _ if whole(60.0) => format!("{}min", x / 60.0),
        _ => format!("{}s", number(x)),
    }
}

/// The value of a number with a unit.
///
/// # Errors
/// The units that exist, when it has none of them.
pub fn quantity(value: f64, unit: &str) -> Result<Value, String> {
    let factor = match unit {
        "%" => return Ok(Value::Percent(value)),
        "ms" => return Ok(Value::Seconds(value / 1000.0)),
        "s" => return Ok(Value::Seconds(value)),
        "min" => return Ok(Value::Seconds(value * 60.0)),
        "h" => return Ok(Value::Seconds(value * 3600.0)),
        "d" => return Ok(Value::Seconds(value * 86_400.0)),
        "B" => 1,
        "KB" => 1000,
        _ => BYTE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size).ok_or(
            "units are % for shares, s min h d for durations, B KiB MiB GiB TiB (or kB MB GB TB) for memory",
        )?,
    };
    Ok(Value::Bytes((value * factor as f64).round() as u64))
}

/// Reads a number or an amount that is all of a text: `1e-3`, `-2`, `16GiB`, `5%`, `2_000`.
pub fn read(text: &str) -> Option<Value> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (digits, unit) = text.split_at(number_length(text)?);
    let plain: String = digits.chars().filter(|c| *c != '_').collect();
    if unit.is_empty() && plain.bytes().all(|b| b.is_ascii_digit()) {
        let n: i64 = plain.parse().ok()?;
        return Some(Value::Int(if negative { -n } else { n }));
    }
    let x: f64 = plain.parse().ok().filter(|x: &f64| x.is_finite())?;
    match (unit, negative) {
        ("", _) => Some(Value::Float(if negative { -x } else { x })),
        // Amounts have no sign.
        (_, true) => None,
        (unit, false) => quantity(x, unit).ok(),
    }
}

/// The length of the number that a text begins with, as the grammar has it.
fn number_length(text: &str) -> Option<usize> {
    let digits = |from: usize| {
        let rest = text.get(from..)?;
        let first = rest.starts_with(|c: char| c.is_ascii_digit());
        first.then(|| from + rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'_').count())
    };
    let mut end = digits(0)?;
    if text[end..].starts_with('.') {
        end = digits(end + 1).unwrap_or(end);
    }
    if text[end..].starts_with(['e', 'E']) {
        let signed = text[end + 1..].starts_with(['+', '-']);
        end = digits(end + 1 + usize::from(signed)).unwrap_or(end);
    }
    Some(end)
}

/// An amount of memory, for arguments of the command line.
///
/// # Errors
/// What was expected.
pub fn read_bytes(text: &str) -> Result<u64, String> {
    let end = number_length(text).unwrap_or(0);
    let number = text[..end].replace('_', "").parse::<f64>();
    match number.ok().filter(|x| x.is_finite()).map(|x| quantity(x, &text[end..])) {
        Some(Ok(Value::Bytes(n))) => Ok(n),
        Some(Err(units)) => Err(units),
        _ => Err("expected an amount of memory, for instance `24GiB`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_printed_as_they_are_written() {
        for text in [
            "0B", "1B", "1500B", "1KiB", "24GiB", "16GiB", "512MiB", "3TiB", "1500MB", "64MB", "7kB", "2TB",
            "20h", "90min", "1.5s", "0.1s", "36h", "45s", "5%", "2.5%", "1", "0.1", "2e-5", "-3", "-0.5",
            "1e15",
        ] {
            let value = read(text).unwrap();
            assert_eq!(value.to_string(), text);
        }
        // One value has one text, however it is written.
        for (written, printed) in [
            ("0.5GiB", "512MiB"),
            ("2048MiB", "2GiB"),
            ("1.5h", "90min"),
            ("2d", "48h"),
            ("1500ms", "1.5s"),
            ("1_000KB", "1MB"),
            ("1e-3", "0.001"),
            ("2_000", "2000"),
        ] {
            assert_eq!(read(written).unwrap().to_string(), printed, "{written}");
        }
    }

    #[test]
    fn arguments_are_printed_without_doubt() {
        let cases = [
            (Leaf::Float(2e-5), "2e-5"),
            (Leaf::Float(0.001), "0.001"),
            (Leaf::Float(1.0), "1.0"),
            (Leaf::Float(-0.0), "0.0"),
            (Leaf::Int(32), "32"),
            (Leaf::Percent(5.0), "5%"),
            (Leaf::Steps(1000), "steps(1000)"),
            (Leaf::Epochs(2.0), "epochs(2)"),
            (Leaf::Str("fp32"), "fp32"),
            (Leaf::Str("two words"), "\"two words\""),
            (Leaf::Str("1"), "\"1\""),
            (Leaf::Null, "none"),
        ];
        for (leaf, text) in cases {
            assert_eq!(format!("{leaf:#}"), text);
        }
        let args = Record::of([("a", Value::str("x y")), ("b", Value::Null)]);
        let value = Value::list(vec![Value::call("f", args.clone()), Value::Record(args)]);
        assert_eq!(format!("{value:#}"), "[f(a = \"x y\", b = none), { a = \"x y\", b = none }]");
        assert_eq!(value.to_string(), "[f(a = x y), {a = x y, b = none}]");
    }

    #[test]
    fn what_is_no_number_is_not_read() {
        for text in [
            "",
            "-",
            "a",
            "1 GiB",
            "1.",
            "1.x",
            "GiB",
            "1XiB",
            "-5GiB",
            "1e",
            "0x10",
            "1e999",
            "99999999999999999999",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read_bytes("0.5GiB"), Ok(1 << 29));
        assert!(read_bytes("24").unwrap_err().contains("units are"));
        assert!(read_bytes("90min").unwrap_err().contains("an amount of memory"));
        assert!(read_bytes("x").unwrap_err().contains("an amount of memory"));
    }

    proptest! {
        #[test]
        fn numbers_and_amounts_read_back(i in any::<i64>(), x in any::<f64>(), n in any::<u64>()) {
            prop_assume!(x.is_finite() && i > i64::MIN);
            let back = |v: Value| read(&v.to_string());
            prop_assert_eq!(back(Value::Int(i)), Some(Value::Int(i)));
            let float = back(Value::Float(x)).and_then(|v| v.as_f64());
            prop_assert_eq!(float, Some(x));
            prop_assert_eq!(back(Value::Percent(x.abs())), Some(Value::Percent(x.abs())));
            // Beyond 2⁵³ a number of bytes cannot be written exactly.
            let n = n >> 11;
            prop_assert_eq!(back(Value::Bytes(n)), Some(Value::Bytes(n)));
        }

        #[test]
        fn durations_read_back(x in 0.0..1e12f64, whole in any::<bool>()) {
            let x = if whole { x.round() } else { x };
            prop_assert_eq!(read(&Value::Seconds(x).to_string()), Some(Value::Seconds(x)));
        }
    }
}
