//! Recipes: everything that the result of an action depends on. Keys, manifests and `why` are made from them.

use xpipe_base::value::canonical::{Hashing, Leaf, Visitor, describe};
use xpipe_base::value::{Digest, Record, Value};

/// Version of the key format. Raising it, when the encoding of recipes changes, changes every key.
pub const KEY_FORMAT: u32 = 1;

/// An operation with everything its result depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// [`KEY_FORMAT`] of the program that wrote it.
    pub format: u32,
    /// The operation's full name.
    pub op: String,
    /// The operation's version.
    pub version: u32,
    /// Arguments after defaults: plain values, and [`Value::Located`] for content from outside.
    pub args: Record,
}

/// An argument that has no value yet, or no finite one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("argument `{path}` is {what}")]
pub struct NotConcrete {
    /// The argument, for instance `optimiser.learning_rate`.
    pub path: String,
    /// What it is.
    pub what: &'static str,
}

impl Recipe {
    /// A recipe of the current key format.
    ///
    /// # Errors
    /// [`NotConcrete`] when an argument is still symbolic or a number is not finite.
    pub fn new(op: &str, version: u32, args: Record) -> Result<Self, NotConcrete> {
        for (name, value) in args.iter() {
            plain(name, value)?;
        }
        Ok(Self { format: KEY_FORMAT, op: op.to_owned(), version, args })
    }

    /// Shows the recipe to a visitor: the hasher, the JSON of manifests, the diff of `why`.
    pub fn describe(&self, v: &mut dyn Visitor) {
        v.record(None, 4);
        v.field("args");
        describe(&Value::Record(self.args.clone()), v);
        v.field("format");
        v.leaf(Leaf::Int(i64::from(self.format)));
        v.field("op");
        v.leaf(Leaf::Str(&self.op));
        v.field("version");
        v.leaf(Leaf::Int(i64::from(self.version)));
        v.end();
    }

    /// The content key.
    pub fn key(&self) -> Digest {
        let mut hashing = Hashing::new("xpipe recipe key v1");
        self.describe(&mut hashing);
        hashing.finish()
    }
}

fn plain(path: &str, value: &Value) -> Result<(), NotConcrete> {
    let off = |what| Err(NotConcrete { path: path.to_owned(), what });
    match value {
        Value::Float(x) | Value::Seconds(x) | Value::Percent(x) if !x.is_finite() => {
            off("not a finite number")
        }
        Value::Budget(xpipe_base::value::Budget::Epochs(x)) if !x.is_finite() => off("not a finite number"),
        Value::List(items) => {
            items.iter().enumerate().try_for_each(|(i, v)| plain(&format!("{path}[{i}]"), v))
        }
        Value::Record(r) => r.iter().try_for_each(|(n, v)| plain(&format!("{path}.{n}"), v)),
        Value::Call(c) => c.args.iter().try_for_each(|(n, v)| plain(&format!("{path}.{n}"), v)),
        Value::Input(_) => off("an input that is not resolved yet"),
        Value::Artifact(_) => off("a result that does not exist yet"),
        Value::Pending(_) => off("a value that is not known yet"),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Str(_)
        | Value::Bytes(_)
        | Value::Seconds(_)
        | Value::Percent(_)
        | Value::Budget(_)
        | Value::Located(_) => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use xpipe_base::value::{ActionId, Budget, Located};

    pub(crate) fn located(content: &str, path: &str) -> Value {
        Value::Located(Arc::new(Located {
            path: path.into(),
            digest: Digest::of(content.as_bytes()),
            label: path.to_owned(),
        }))
    }

    pub(crate) fn training() -> Recipe {
        let args = Record::of([
            ("backbone", located("weights", "/models/bert")),
            ("batch", Value::call("pairs", Record::of([("size", Value::Int(32))]))),
            ("data", located("samples", "/cache/trees/ab")),
            ("input", Value::list(vec![Value::Int(32), Value::Int(256)])),
            ("loss", Value::call("objective.hinge", Record::of([("margin", Value::Float(1.0))]))),
            ("optimiser", Value::Record(Record::of([("learning_rate", Value::Float(2e-5))]))),
            ("precision", Value::str("fp32")),
            ("room", Value::Bytes(24 << 30)),
            ("seed", Value::Int(1)),
            ("steps", Value::Budget(Budget::Steps(200_000))),
            ("teacher", Value::Null),
            ("warmup", Value::Percent(2.5)),
        ]);
        Recipe::new("train.cross_encoder", 3, args).unwrap()
    }

    fn key(args: Record) -> Digest {
        Recipe::new("op", 1, args).unwrap().key()
    }

    #[test]
    fn a_key_is_pinned() {
        // Changes only with KEY_FORMAT: a new value here makes every existing cache worthless.
        assert_eq!(training().key().hex(), PINNED);
    }
    const PINNED: &str = "73ec3605e9c9a88dcd664d923840f4583d16595362b20c006b7ba0bbd04920d2";

    #[test]
    fn paths_and_labels_are_not_in_the_key() {
        let a = key(Record::of([("x", located("same", "/a"))]));
        assert_eq!(a, key(Record::of([("x", located("same", "/b"))])));
        assert_ne!(a, key(Record::of([("x", located("other", "/a"))])));
    }

    #[test]
    fn near_misses_have_different_keys() {
        let s = Value::str;
        fn of<const N: usize>(fields: [(&'static str, Value); N]) -> Record {
            Record::of(fields)
        }
        let list = Value::list;
        let pairs = [
            (of([("x", list(vec![s("ab"), s("c")]))]), of([("x", list(vec![s("a"), s("bc")]))])),
            (of([("ab", s("c"))]), of([("a", s("bc"))])),
            (of([("x", list(vec![]))]), of([("x", Value::Record(Record::default()))])),
            (of([("x", list(vec![list(vec![]), s("a")]))]), of([("x", list(vec![list(vec![s("a")])]))])),
            (of([("x", Value::Int(1))]), of([("x", Value::Float(1.0))])),
            (of([("x", Value::Int(1))]), of([("x", s("1"))])),
            (of([("x", Value::Int(1))]), of([("x", Value::Bool(true))])),
            (of([("x", Value::Int(0))]), of([("x", Value::Null)])),
            (of([("x", Value::Null)]), of([])),
            (of([("x", s(""))]), of([("x", Value::Null)])),
            (of([("x", Value::Seconds(1.0))]), of([("x", Value::Float(1.0))])),
            (of([("x", Value::Percent(1.0))]), of([("x", Value::Float(1.0))])),
            (of([("x", Value::Bytes(1))]), of([("x", Value::Int(1))])),
            (of([("x", Value::Budget(Budget::Steps(1)))]), of([("x", Value::Budget(Budget::Epochs(1.0)))])),
            (of([("x", Value::call("a", of([])))]), of([("x", Value::call("b", of([])))])),
            (of([("x", Value::call("", of([])))]), of([("x", Value::call("a", of([])))])),
            (of([("x", Value::call("f", of([])))]), of([("x", Value::Record(of([])))])),
            (of([("x", located("a", "/p"))]), of([("x", s(&Digest::of(b"a").hex()))])),
            (
                of([("x", Value::Record(of([("a", Value::Int(1))]))), ("y", Value::Int(2))]),
                of([("x", Value::Record(of([("a", Value::Int(1)), ("y", Value::Int(2))])))]),
            ),
        ];
        for (a, b) in pairs {
            assert_ne!(key(a.clone()), key(b.clone()), "{a:?} and {b:?}");
        }
        let base = training();
        assert_ne!(base.key(), Recipe { version: 4, ..base.clone() }.key());
        assert_ne!(base.key(), Recipe { op: "train.other".into(), ..base.clone() }.key());
        assert_ne!(base.key(), Recipe { format: 2, ..base.clone() }.key());
    }

    #[test]
    fn minus_zero_is_zero() {
        assert_eq!(key(Record::of([("x", Value::Float(-0.0))])), key(Record::of([("x", Value::Float(0.0))])));
    }

    #[test]
    fn symbolic_and_infinite_arguments_have_no_key() {
        let deep =
            Value::Record(Record::of([("b", Value::list(vec![Value::Null, Value::Artifact(ActionId(3))]))]));
        let e = Recipe::new("op", 1, Record::of([("a", deep)])).unwrap_err();
        assert_eq!(e.to_string(), "argument `a.b[1]` is a result that does not exist yet");
        assert!(Recipe::new("op", 1, Record::of([("a", Value::Float(f64::NAN))])).is_err());
        assert!(
            Recipe::new("op", 1, Record::of([("a", Value::Budget(Budget::Epochs(f64::INFINITY)))])).is_err()
        );
    }

    /// Any plain value, for property tests.
    pub(crate) fn plain_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-1e300..1e300f64).prop_map(Value::Float),
            "[$a-z0-9 é\"\\\\]{0,6}".prop_map(|s| Value::str(&s)),
            any::<u64>().prop_map(Value::Bytes),
            (0.0..1e9f64).prop_map(Value::Seconds),
            (0.0..100f64).prop_map(Value::Percent),
            any::<u64>().prop_map(|n| Value::Budget(Budget::Steps(n))),
            (0.0..1e3f64).prop_map(|x| Value::Budget(Budget::Epochs(x))),
            "[a-c]{0,2}".prop_map(|s| located(&s, "/p")),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let fields = prop::collection::vec(("[$a-d]{1,3}", inner.clone()), 0..4)
                .prop_map(|f| Record::new(f.into_iter().map(|(n, v)| (Arc::from(n), v))));
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Value::list),
                fields.clone().prop_map(Value::Record),
                ("[a-z.]{1,6}", fields).prop_map(|(n, f)| Value::call(&n, f)),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_order_of_fields_does_not_matter(
            fields in prop::collection::btree_map("[a-f]{1,3}", plain_value(), 0..6),
            turn in 0usize..6,
        ) {
            let mut shuffled: Vec<_> = fields.iter().map(|(n, v)| (Arc::from(n.as_str()), v.clone())).collect();
            let straight = key(Record::new(shuffled.clone()));
            shuffled.reverse();
            let n = shuffled.len().max(1);
            shuffled.rotate_left(turn % n);
            prop_assert_eq!(straight, key(Record::new(shuffled)));
        }
    }
}
