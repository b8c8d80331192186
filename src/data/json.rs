//! Fields of one JSON object: only those wanted are kept, the others are skipped while parsing.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::lines::Line;
use super::place;
use crate::task::Failure;

/// The value of a wanted field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A string.
    Text(String),
    /// A whole number, as it is written in decimal.
    Number(String),
    /// `null`.
    Null,
    /// Anything else, by its kind.
    Other(&'static str),
}

/// The wanted fields of the object on a line, in the order wanted; `None` where it has no such field.
///
/// # Errors
/// The line is not one JSON object.
pub fn object(line: &Line<'_>, wanted: &[&str]) -> Result<Vec<Option<Field>>, Failure> {
    let text = line.text()?;
    let mut json = serde_json::Deserializer::from_str(text);
    let found = Fields { wanted }.deserialize(&mut json).and_then(|f| json.end().map(|()| f));
    found.map_err(|e| {
        let column = e.column();
        // serde_json appends a place of its own; ours is better.
        let what = e.to_string();
        let what = what.split(" at line ").next().unwrap_or(&what).to_owned();
        let found = format!("{} ({what}, column {column})", place::quote(text));
        line.wrong(found, "one JSON object")
    })
}

/// The names of all fields of the object on a line, for messages.
pub fn names(line: &Line<'_>) -> String {
    let parsed = line.text().ok().and_then(|t| serde_json::from_str::<serde_json::Value>(t).ok());
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
                Some(i) => found[i] = Some(map.next_value_seed(Leaf)?),
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

struct Leaf;

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

    fn visit_f64<E>(self, _: f64) -> Result<Field, E> {
        Ok(Field::Other("a fraction"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Field, E> {
        Ok(Field::Other("true or false"))
    }

    fn visit_unit<E>(self) -> Result<Field, E> {
        Ok(Field::Null)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Field, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other("a list"))
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
        object(&line, &["_id", "text", "title"])
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
        assert_eq!(
            read(r#"{"_id": [1, 2], "text": {"a": 1}}"#).unwrap()[..2],
            [Some(Field::Other("a list")), Some(Field::Other("an object"))]
        );
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
