//! Recipes as JSON, for manifests: readable, with units, and exact, so that a parsed recipe has the same key.
//!
//! Numbers, words, lists and records are themselves; everything else is an object with one `$` field: `$bytes`,
//! `$seconds`, `$percent`, `$steps`, `$epochs`, `$content` (a digest), and `$call` with its arguments in `with`.
//! A field whose name begins with `$` gets a second `$`.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::Recipe;
use xpipe_base::value::canonical::{Leaf, Visitor};
use xpipe_base::value::{Budget, Digest, Located, Name, Record, Value};

/// The recipe as JSON.
pub fn write(recipe: &Recipe) -> Json {
    let mut writer = Writer::default();
    recipe.describe(&mut writer);
    writer.done.unwrap_or(Json::Null)
}

/// Parses JSON written by [`write()`]; `None` if it is not a recipe. Paths and labels are not stored.
pub fn read(json: &Json) -> Option<Recipe> {
    let number = |name: &str| json.get(name)?.as_u64().and_then(|n| u32::try_from(n).ok());
    let Value::Record(args) = value(json.get("args")?)? else { return None };
    Some(Recipe {
        format: number("format")?,
        op: json.get("op")?.as_str()?.to_owned(),
        version: number("version")?,
        args,
    })
}

#[derive(Default)]
struct Writer {
    open: Vec<Open>,
    done: Option<Json>,
}

enum Open {
    List(Vec<Json>),
    Record { call: Option<String>, fields: Map<String, Json>, next: String },
}

impl Writer {
    fn put(&mut self, json: Json) {
        match self.open.last_mut() {
            Some(Open::List(items)) => items.push(json),
            Some(Open::Record { fields, next, .. }) => {
                fields.insert(std::mem::take(next), json);
            }
            None => self.done = Some(json),
        }
    }
}

fn float(x: f64) -> Json {
    // Recipes hold finite numbers only, which JSON can represent.
    serde_json::Number::from_f64(if x == 0.0 { 0.0 } else { x }).map_or(Json::Null, Json::Number)
}

impl Visitor for Writer {
    fn leaf(&mut self, leaf: Leaf<'_>) {
        let json = match leaf {
            Leaf::Null => Json::Null,
            Leaf::Bool(b) => json!(b),
            Leaf::Int(i) => json!(i),
            Leaf::Float(x) => float(x),
            Leaf::Str(s) => json!(s),
            Leaf::Bytes(n) => json!({ "$bytes": n }),
            Leaf::Seconds(x) => json!({ "$seconds": float(x) }),
            Leaf::Percent(x) => json!({ "$percent": float(x) }),
            Leaf::Steps(n) => json!({ "$steps": n }),
            Leaf::Epochs(x) => json!({ "$epochs": float(x) }),
            Leaf::Digest(d) => json!({ "$content": d.hex() }),
            Leaf::Input(_) | Leaf::Action(_) | Leaf::Pending(_) => {
                json!({ "$unknown": leaf.to_string() })
            }
        };
        self.put(json);
    }

    fn list(&mut self, len: usize) {
        self.open.push(Open::List(Vec::with_capacity(len)));
    }

    fn record(&mut self, name: Option<&str>, _: usize) {
        self.open.push(Open::Record {
            call: name.map(str::to_owned),
            fields: Map::new(),
            next: String::new(),
        });
    }

    fn field(&mut self, name: &str) {
        if let Some(Open::Record { next, .. }) = self.open.last_mut() {
            *next = if name.starts_with('$') { format!("${name}") } else { name.to_owned() };
        }
    }

    fn end(&mut self) {
        let json = match self.open.pop() {
            Some(Open::List(items)) => Json::Array(items),
            Some(Open::Record { call: None, fields, .. }) => Json::Object(fields),
            Some(Open::Record { call: Some(call), fields, .. }) => json!({ "$call": call, "with": fields }),
            None => return,
        };
        self.put(json);
    }
}

fn value(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => n.as_i64().map(Value::Int).or_else(|| n.as_f64().map(Value::Float))?,
        Json::String(s) => Value::str(s),
        Json::Array(items) => Value::list(items.iter().map(value).collect::<Option<_>>()?),
        Json::Object(fields) => match fields.iter().next() {
            Some((name, first)) if name.starts_with('$') && !name.starts_with("$$") => {
                tagged(name, first, json)?
            }
            _ => Value::Record(record(fields)?),
        },
    })
}

fn tagged(name: &str, first: &Json, whole: &Json) -> Option<Value> {
    Some(match name {
        "$bytes" => Value::Bytes(first.as_u64()?),
        "$seconds" => Value::Seconds(first.as_f64()?),
        "$percent" => Value::Percent(first.as_f64()?),
        "$steps" => Value::Budget(Budget::Steps(first.as_u64()?)),
        "$epochs" => Value::Budget(Budget::Epochs(first.as_f64()?)),
        "$content" => Value::Located(Arc::new(Located {
            path: PathBuf::new(),
            digest: Digest::parse(first.as_str()?)?,
            label: String::new(),
        })),
        "$call" => Value::call(first.as_str()?, record(whole.get("with")?.as_object()?)?),
        _ => return None,
    })
}

fn record(fields: &Map<String, Json>) -> Option<Record> {
    let fields: Vec<(Name, Value)> = fields
        .iter()
        .map(|(n, v)| {
            let name = if n.starts_with("$$") { &n[1..] } else { n };
            Some((Arc::from(name), value(v)?))
        })
        .collect::<Option<_>>()?;
    Some(Record::new(fields))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cache::recipe::tests::{plain_value, training};

    #[test]
    fn a_recipe_reads_like_the_study() {
        let json = write(&training());
        assert_eq!(json["op"], "train.cross_encoder");
        assert_eq!(json["args"]["optimiser"]["learning_rate"].to_string(), "0.00002");
        assert_eq!(json["args"]["steps"].to_string(), r#"{"$steps":200000}"#);
        assert_eq!(json["args"]["loss"].to_string(), r#"{"$call":"objective.hinge","with":{"margin":1.0}}"#);
        assert_eq!(read(&json).unwrap().key(), training().key());
    }

    proptest! {
        #[test]
        fn reading_back_keeps_the_key(v in plain_value()) {
            let recipe = Recipe::new("op", 1, Record::of([("v", v)])).unwrap();
            let text = serde_json::to_string(&write(&recipe)).unwrap();
            let back = read(&serde_json::from_str(&text).unwrap()).unwrap();
            prop_assert_eq!(back.key(), recipe.key());
        }
    }

    #[test]
    fn other_json_is_not_a_recipe() {
        for text in ["null", "{}", r#"{"op":"x","format":1,"version":1,"args":{"a":{"$what":1}}}"#] {
            assert!(read(&serde_json::from_str(text).unwrap()).is_none(), "{text}");
        }
    }
}
