//! The differences between two recipes, field by field: the data behind `why`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Recipe;
use xpipe_base::value::Digest;
use xpipe_base::value::canonical::{Leaf, Visitor};

/// One difference between two recipes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    /// The key format of the program changed: every key is new.
    Format {
        /// Before.
        old: u32,
        /// Now.
        new: u32,
    },
    /// A different operation.
    Op {
        /// Before.
        old: String,
        /// Now.
        new: String,
    },
    /// A newer version of the operation, whose output differs for equal arguments.
    OpVersion {
        /// Before.
        old: u32,
        /// Now.
        new: u32,
    },
    /// A different argument.
    Argument {
        /// The argument's path, for instance `optimiser.learning_rate`.
        path: String,
        /// Before; `None` when there was none.
        old: Option<String>,
        /// Now; `None` when there is none.
        new: Option<String>,
    },
    /// Different content of an input or of another action's result.
    Content {
        /// The argument's path, for instance `data`.
        path: String,
        /// Before.
        old: Digest,
        /// Now.
        new: Digest,
    },
    /// An argument that is not known before other actions have run.
    Unknown {
        /// The argument's path.
        path: String,
    },
}

impl Change {
    /// The path of the argument.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Argument { path, .. } | Self::Content { path, .. } | Self::Unknown { path } => Some(path),
            Self::Format { .. } | Self::Op { .. } | Self::OpVersion { .. } => None,
        }
    }

    /// The change in words, without the path.
    pub fn text(&self) -> String {
        let shown = |v: &Option<String>| v.clone().unwrap_or_else(|| "(not given)".into());
        match self {
            Self::Format { old, new } => format!("the key format of xpipe changed: {old} -> {new}"),
            Self::Op { old, new } => format!("different operation: {old} -> {new}"),
            Self::OpVersion { old, new } => {
                format!("the operation changed: version {old} -> {new}")
            }
            Self::Argument { old, new, .. } => format!("{} -> {}", shown(old), shown(new)),
            Self::Content { .. } => "content changed".into(),
            Self::Unknown { .. } => "not known yet".into(),
        }
    }
}

/// Two recipes compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// All differences, sorted by path.
    pub changes: Vec<Change>,
    /// Arguments that name content from outside and have the same content in both.
    pub same_content: Vec<(String, Digest)>,
}

/// Compares two recipes. The new one may still hold symbolic leaves, which become [`Change::Unknown`].
pub fn diff(old: &Recipe, new: &Recipe) -> Difference {
    let mut out = Difference::default();
    if old.format != new.format {
        out.changes.push(Change::Format { old: old.format, new: new.format });
    }
    if old.op != new.op {
        out.changes.push(Change::Op { old: old.op.clone(), new: new.op.clone() });
    } else if old.version != new.version {
        out.changes.push(Change::OpVersion { old: old.version, new: new.version });
    }
    let (old, new) = (flat(old), flat(new));
    let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        let path_text = || path.clone();
        match (old.get(path), new.get(path)) {
            (_, Some(Flat::Unknown)) => out.changes.push(Change::Unknown { path: path_text() }),
            (Some(Flat::Content(a)), Some(Flat::Content(b))) if a == b => {
                out.same_content.push((path_text(), *a));
            }
            (Some(Flat::Content(a)), Some(Flat::Content(b))) => {
                out.changes.push(Change::Content { path: path_text(), old: *a, new: *b });
            }
            (a, b) if a == b => {}
            (a, b) => {
                let same_words = a.map(Flat::text) == b.map(Flat::text);
                let say =
                    |f: &Flat| if same_words { format!("{} ({})", f.text(), f.kind()) } else { f.text() };
                out.changes.push(Change::Argument { path: path_text(), old: a.map(say), new: b.map(say) });
            }
        }
    }
    out
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Flat {
    Leaf { kind: &'static str, text: String },
    Content(Digest),
    Unknown,
}

impl Flat {
    fn text(&self) -> String {
        match self {
            Self::Leaf { text, .. } => text.clone(),
            Self::Content(d) => Leaf::Digest(d).to_string(),
            Self::Unknown => "not known yet".into(),
        }
    }

    fn kind(&self) -> &'static str {
        if let Self::Leaf { kind, .. } = self { kind } else { "content" }
    }
}

fn flat(recipe: &Recipe) -> BTreeMap<String, Flat> {
    let mut visitor = Flatten::default();
    xpipe_base::value::canonical::describe(
        &xpipe_base::value::Value::Record(recipe.args.clone()),
        &mut visitor,
    );
    visitor.leaves
}

/// Collects leaves by path.
#[derive(Default)]
struct Flatten {
    leaves: BTreeMap<String, Flat>,
    open: Vec<Place>,
}

struct Place {
    path: String,
    /// The next item of a list, or the next field of a record.
    item: usize,
    field: Option<String>,
}

impl Flatten {
    fn next(&mut self) -> String {
        let Some(place) = self.open.last_mut() else { return String::new() };
        match place.field.take() {
            Some(field) if place.path.is_empty() => field,
            Some(field) => format!("{}.{field}", place.path),
            None => {
                place.item += 1;
                format!("{}[{}]", place.path, place.item - 1)
            }
        }
    }

    fn enter(&mut self, empty: Option<(&'static str, String)>) {
        let path = self.next();
        if let Some((kind, text)) = empty
            && !path.is_empty()
        {
            self.leaves.insert(path.clone(), Flat::Leaf { kind, text });
        }
        self.open.push(Place { path, item: 0, field: None });
    }
}

impl Visitor for Flatten {
    fn leaf(&mut self, leaf: Leaf<'_>) {
        let path = self.next();
        let kind = match leaf {
            Leaf::Null => "none",
            Leaf::Bool(_) => "Bool",
            Leaf::Int(_) => "Int",
            Leaf::Float(_) => "Float",
            Leaf::Str(_) => "String",
            Leaf::Bytes(_) => "Bytes",
            Leaf::Seconds(_) => "Duration",
            Leaf::Percent(_) => "Percent",
            Leaf::Steps(_) | Leaf::Epochs(_) => "Budget",
            Leaf::Digest(d) => {
                self.leaves.insert(path, Flat::Content(*d));
                return;
            }
            Leaf::Input(_) | Leaf::Action(_) | Leaf::Pending(_) => {
                self.leaves.insert(path, Flat::Unknown);
                return;
            }
        };
        self.leaves.insert(path, Flat::Leaf { kind, text: format!("{leaf:#}") });
    }

    fn list(&mut self, len: usize) {
        self.enter((len == 0).then(|| ("List", "[]".to_owned())));
    }

    fn record(&mut self, name: Option<&str>, len: usize) {
        let empty = match name {
            Some(name) => Some(("call", name.to_owned())),
            None => (len == 0).then(|| ("Record", "{}".to_owned())),
        };
        self.enter(empty);
    }

    fn field(&mut self, name: &str) {
        if let Some(place) = self.open.last_mut() {
            place.field = Some(name.to_owned());
        }
    }

    fn end(&mut self) {
        self.open.pop();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cache::recipe::tests::{located, plain_value, training};
    use xpipe_base::value::{ActionId, Record, Value};

    fn argument(path: &str, old: Option<&str>, new: Option<&str>) -> Change {
        Change::Argument { path: path.into(), old: old.map(str::to_owned), new: new.map(str::to_owned) }
    }

    #[test]
    fn a_changed_field_is_named_with_both_values() {
        let old = training();
        let mut new = old.clone();
        new.args =
            new.args.with("optimiser", Value::Record(Record::of([("learning_rate", Value::Float(1e-5))])));
        let d = diff(&old, &new);
        assert_eq!(d.changes, [argument("optimiser.learning_rate", Some("2e-5"), Some("1e-5"))]);
        let same: Vec<&str> = d.same_content.iter().map(|(p, _)| p.as_str()).collect();
        assert_eq!(same, ["backbone", "data"]);
    }

    #[test]
    fn every_kind_of_change_is_seen() {
        let old = training();
        let mut new = Recipe { version: 4, ..old.clone() };
        new.args = new
            .args
            .with("data", located("other samples", "/elsewhere"))
            .with("backbone", Value::Artifact(ActionId(7)))
            .with("input", Value::list(vec![Value::Int(32)]))
            .with("loss", Value::call("objective.bce", Record::default()))
            .with("seed", Value::Float(1.0))
            .with("precision", Value::Null);
        assert_eq!(
            diff(&old, &new).changes,
            [
                Change::OpVersion { old: 3, new: 4 },
                Change::Unknown { path: "backbone".into() },
                Change::Content {
                    path: "data".into(),
                    old: Digest::of(b"samples"),
                    new: Digest::of(b"other samples")
                },
                argument("input[1]", Some("256"), None),
                argument("loss", Some("objective.hinge"), Some("objective.bce")),
                argument("loss.margin", Some("1.0"), None),
                argument("precision", Some("fp32"), Some("none")),
                argument("seed", Some("1"), Some("1.0")),
            ]
        );
    }

    proptest! {
        /// The explanation and the key never disagree.
        #[test]
        fn different_keys_have_a_difference(a in plain_value(), b in plain_value()) {
            let a = Recipe::new("op", 1, Record::of([("v", a)])).unwrap();
            let b = Recipe::new("op", 1, Record::of([("v", b)])).unwrap();
            prop_assert_eq!(a.key() == b.key(), diff(&a, &b).changes.is_empty());
        }
    }
}
