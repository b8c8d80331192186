//! Fields of one JSON object: only those wanted are kept, the others are skipped while parsing.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::lines::Line;
use xpipe_base::place;
use xpipe_base::task::Failure;

/// The value of a wanted field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A string.
    Text(String),
    /// A whole number, as it is written in decimal.
    Number(String),
    /// A number that is not whole, as Python prints it.
    Fraction(String),
    /// `true` or `false`.
    Bool(bool),
    /// A list of strings and numbers.
    List(Vec<String>),
    /// `null`.
    Null,
    /// Anything else, by its kind.
    Other(&'static str),
}

impl Field {
    /// Its kind, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Number(_) => "a number",
            Self::Fraction(_) => "a fraction",
            Self::Bool(_) => "true or false",
            Self::List(_) => "a list",
            Self::Null => "null",
            Self::Other(kind) => kind,
        }
    }
}

/// Deviations from JSON that were accepted in a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Unpaired surrogates, read as U+FFFD.
    pub surrogates: u64,
    /// `NaN` and `Infinity`, read as null.
    pub numbers: u64,
}

/// The wanted fields of the object on a line, in the order wanted; `None` where it has no such field.
///
/// Python writes `NaN`, `Infinity` and unpaired surrogates, which JSON does not allow. They are read as null and U+FFFD
/// and reported in the result.
///
/// # Errors
/// The line is not one JSON object.
pub fn object(line: &Line<'_>, wanted: &[&str]) -> Result<(Vec<Option<Field>>, Repaired), Failure> {
    let text = line.text()?;
    let parse = |text: &str| {
        let mut json = serde_json::Deserializer::from_str(text);
        Fields { wanted }.deserialize(&mut json).and_then(|f| json.end().map(|()| f))
    };
    match parse(text) {
        Ok(found) => Ok((found, Repaired::default())),
        Err(e) => {
            let (mended, repaired) = repair(text);
            if repaired != Repaired::default()
                && let Ok(found) = parse(&mended)
            {
                return Ok((found, repaired));
            }
            let column = e.column();
            // serde_json appends a place of its own; ours is better.
            let what = e.to_string();
            let what = what.split(" at line ").next().unwrap_or(&what).to_owned();
            let found = format!("{} ({what}, column {column})", place::quote(text));
            Err(line.wrong(found, "one JSON object"))
        }
    }
}

/// The text with Python's deviations from JSON replaced.
fn repair(text: &str) -> (String, Repaired) {
    let mut out = String::with_capacity(text.len());
    let mut repaired = Repaired::default();
    let mut rest = text;
    let mut inside = false;
    // The code unit of an escape at the beginning of a text.
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    while let Some(c) = rest.chars().next() {
        let taken = if inside {
            match (c, unit(rest)) {
                ('\\', Some(high @ 0xD800..=0xDFFF)) => {
                    let pair =
                        high < 0xDC00 && unit(&rest[6..]).is_some_and(|low| (0xDC00..=0xDFFF).contains(&low));
                    if pair {
                        out.push_str(&rest[..12]);
                        12
                    } else {
                        repaired.surrogates += 1;
                        out.push_str("\\ufffd");
                        6
                    }
                }
                ('\\', _) => {
                    let n = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                    out.push_str(&rest[..n]);
                    n
                }
                _ => {
                    inside = c != '"';
                    out.push(c);
                    c.len_utf8()
                }
            }
        } else if let Some(word) = ["NaN", "Infinity", "-Infinity"].iter().find(|w| rest.starts_with(**w)) {
            repaired.numbers += 1;
            out.push_str("null");
            word.len()
        } else {
            inside = c == '"';
            out.push(c);
            c.len_utf8()
        };
        rest = &rest[taken..];
    }
    (out, repaired)
}

/// The names of all fields of the object on a line, for messages.
pub fn names(line: &Line<'_>) -> String {
    let parsed = line.text().ok().and_then(|t| serde_json::from_str::<serde_json::Value>(&repair(t).0).ok());
    match parsed {
        Some(serde_json::Value::Object(map)) if !map.is_empty() => {
            let names: Vec<String> = map.keys().map(|k| place::quote(k)).collect();
            format!("the fields {}", names.join(", "))
        }
        _ => "no fields".into(),
    }
}

struct Fields<'w> {
    wanted: &'w [&'w str],
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Vec<Option<Field>>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Vec<Option<Field>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = vec![None; self.wanted.len()];
        while let Some(place) = map.next_key_seed(Key { wanted: self.wanted })? {
            match place {
                Some(i) => found[i] = Some(map.next_value_seed(Leaf { nested: false })?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

struct Key<'w> {
    wanted: &'w [&'w str],
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.wanted.iter().position(|w| *w == key))
    }
}

/// The value of a wanted field, or an item of a list in one.
struct Leaf {
    nested: bool,
}

impl<'de> DeserializeSeed<'de> for Leaf {
    type Value = Field;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Field, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Leaf {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Field, E> {
        Ok(Field::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Field, E> {
        Ok(Field::Text(text))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Field, E> {
        Ok(Field::Number(n.to_string()))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Field, E> {
        Ok(Field::Number(n.to_string()))
    }

    fn visit_f64<E>(self, x: f64) -> Result<Field, E> {
        Ok(Field::Fraction(format!("{x:?}")))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Field, E> {
        Ok(Field::Bool(truth))
    }

    fn visit_unit<E>(self) -> Result<Field, E> {
        Ok(Field::Null)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Field, A::Error> {
        if self.nested {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Field::Other("a list"));
        }
        let mut items = Some(Vec::new());
        while let Some(item) = seq.next_element_seed(Leaf { nested: true })? {
            match (&mut items, item) {
                (Some(all), Field::Text(item) | Field::Number(item) | Field::Fraction(item)) => {
                    all.push(item);
                }
                _ => items = None,
            }
        }
        Ok(items.map_or(Field::Other("a list of other values than strings and numbers"), Field::List))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Other("an object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Option<Field>>, Failure> {
        let line = Line { file: "c.jsonl", number: 7, offset: 0, bytes: text.as_bytes() };
        object(&line, &["_id", "text", "title"]).map(|(found, _)| found)
    }

    #[test]
    fn wanted_fields_are_kept() {
        let all = read(r#"{"x": {"text": [1]}, "text": "a\u00e9\n", "_id": 12, "title": null, "y": [{}]}"#)
            .unwrap();
        assert_eq!(
            all,
            [Some(Field::Number("12".into())), Some(Field::Text("aé\n".into())), Some(Field::Null)]
        );
        assert_eq!(read("{}").unwrap(), [None, None, None]);
        let list = |items: &[&str]| Some(Field::List(items.iter().map(|i| (*i).to_owned()).collect()));
        assert_eq!(
            read(r#"{"_id": [1, "b"], "text": {"a": 1}, "title": [[1]]}"#).unwrap(),
            [
                list(&["1", "b"]),
                Some(Field::Other("an object")),
                Some(Field::Other("a list of other values than strings and numbers"))
            ]
        );
        assert_eq!(
            read(r#"{"_id": 1.50, "text": true, "title": []}"#).unwrap(),
            [Some(Field::Fraction("1.5".into())), Some(Field::Bool(true)), list(&[])]
        );
    }

    #[test]
    fn what_python_writes_beyond_json_is_read_and_told() {
        let text = |t: &str| Some(Field::Text(t.into()));
        let mended = |line: &str| {
            let line = Line { file: "c.jsonl", number: 1, offset: 0, bytes: line.as_bytes() };
            let (found, repaired) = object(&line, &["text", "title"]).unwrap();
            (found[0].clone(), found[1].clone(), repaired.surrogates, repaired.numbers)
        };
        assert_eq!(
            mended(r#"{"text": "a NaN \\ud83d", "m": {"y": NaN, "z": [-Infinity, Infinity]}, "title": NaN}"#),
            (text("a NaN \\ud83d"), Some(Field::Null), 0, 4)
        );
        assert_eq!(
            mended(r#"{"text": "\ud83d\ude00 \ud83d. \udE00", "title": "\ud83d"}"#),
            (text("😀 \u{FFFD}. \u{FFFD}"), text("\u{FFFD}"), 3, 0)
        );
        assert!(read(r#"{"text": "\ud83d"#).is_err() && read(r#"{"text": NaNs}"#).is_err());
        assert!(read(r#"{"text": "\ud8"}"#).is_err() && read(r#"{"text": "\"#).is_err());
    }

    #[test]
    fn what_is_no_object_is_named() {
        for text in ["[1]", "{\"_id\": ", "x", "{} {}", ""] {
            let e = read(text).unwrap_err();
            assert!(e.message.starts_with("c.jsonl:7: found ") && e.message.contains("column"), "{e}");
            assert!(!e.message.contains("at line"), "{e}");
        }
    }
}
