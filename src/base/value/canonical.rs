//! The canonical traversal of values, shared by the hash of keys, the JSON of manifests and the diff of `why`.
//!
//! It alone decides what a key sees: fields in name order, floats by their bits with -0 as 0, and of inputs and results
//! only the content digest. `1` and `1.0` differ here; typing makes them equal before.

use super::{Budget, Digest, Input, Value};

/// Receives a value part by part, depth first.
pub trait Visitor {
    /// A leaf.
    fn leaf(&mut self, leaf: Leaf<'_>);
    /// A list of `len` items begins.
    fn list(&mut self, len: usize);
    /// A record of `len` fields begins; `name` is the constructor of a call.
    fn record(&mut self, name: Option<&str>, len: usize);
    /// The next value is this field of the innermost open record.
    fn field(&mut self, name: &str);
    /// The innermost open list or record ends.
    fn end(&mut self);
}

/// A leaf of a value. Its text is made by [`super::text`].
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each mirrors a variant of Value")]
pub enum Leaf<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(&'a str),
    Bytes(u64),
    Seconds(f64),
    Percent(f64),
    Steps(u64),
    Epochs(f64),
    /// Content of an input or result.
    Digest(&'a Digest),
    /// Symbolic: an input by address (plans only).
    Input(&'a Input),
    /// Symbolic: an action by number (plans only).
    Action(u32),
    /// Symbolic: an unresolved expression (plans only).
    Pending(&'a super::Pending),
}

/// Walks a value.
pub fn describe(value: &Value, v: &mut dyn Visitor) {
    match value {
        Value::Null => v.leaf(Leaf::Null),
        Value::Bool(b) => v.leaf(Leaf::Bool(*b)),
        Value::Int(i) => v.leaf(Leaf::Int(*i)),
        Value::Float(x) => v.leaf(Leaf::Float(*x)),
        Value::Str(s) => v.leaf(Leaf::Str(s)),
        Value::Bytes(n) => v.leaf(Leaf::Bytes(*n)),
        Value::Seconds(x) => v.leaf(Leaf::Seconds(*x)),
        Value::Percent(x) => v.leaf(Leaf::Percent(*x)),
        Value::Budget(Budget::Steps(n)) => v.leaf(Leaf::Steps(*n)),
        Value::Budget(Budget::Epochs(x)) => v.leaf(Leaf::Epochs(*x)),
        Value::List(items) => {
            v.list(items.len());
            items.iter().for_each(|i| describe(i, v));
            v.end();
        }
        Value::Record(r) => fields(None, r, v),
        Value::Call(c) => fields(Some(&c.name), &c.args, v),
        Value::Input(i) => v.leaf(Leaf::Input(i)),
        Value::Artifact(id) => v.leaf(Leaf::Action(id.0)),
        Value::Located(l) => v.leaf(Leaf::Digest(&l.digest)),
        Value::Pending(p) => v.leaf(Leaf::Pending(p)),
    }
}

fn fields(name: Option<&str>, record: &super::Record, v: &mut dyn Visitor) {
    v.record(name, record.len());
    for (name, value) in record.iter() {
        v.field(name);
        describe(value, v);
    }
    v.end();
}

/// Hashes a value with BLAKE3: every part with a kind byte, every string with its length.
#[derive(Debug)]
pub struct Hashing(pub blake3::Hasher);

impl Hashing {
    /// A hasher for one purpose. Equal values have unrelated digests under different purposes.
    pub fn new(purpose: &str) -> Self {
        Self(blake3::Hasher::new_derive_key(purpose))
    }

    /// The digest of everything hashed so far.
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }

    fn part(&mut self, kind: u8, bytes: &[u8]) {
        self.0.update(&[kind]);
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn float(&mut self, kind: u8, x: f64) {
        let x = if x == 0.0 { 0.0 } else { x };
        self.part(kind, &x.to_bits().to_le_bytes());
    }
}

impl Visitor for Hashing {
    fn leaf(&mut self, leaf: Leaf<'_>) {
        match leaf {
            Leaf::Null => self.part(0, &[]),
            Leaf::Bool(b) => self.part(1, &[u8::from(b)]),
            Leaf::Int(i) => self.part(2, &i.to_le_bytes()),
            Leaf::Float(x) => self.float(3, x),
            Leaf::Str(s) => self.part(4, s.as_bytes()),
            Leaf::Bytes(n) => self.part(5, &n.to_le_bytes()),
            Leaf::Seconds(x) => self.float(6, x),
            Leaf::Percent(x) => self.float(7, x),
            Leaf::Steps(n) => self.part(8, &n.to_le_bytes()),
            Leaf::Epochs(x) => self.float(9, x),
            Leaf::Digest(d) => self.part(10, &d.0),
            Leaf::Input(i) => self.part(11, &serde_json::to_vec(i).unwrap_or_default()),
            Leaf::Action(n) => self.part(12, &n.to_le_bytes()),
            Leaf::Pending(p) => self.part(13, &serde_json::to_vec(p).unwrap_or_default()),
        }
    }

    fn list(&mut self, len: usize) {
        self.part(20, &(len as u64).to_le_bytes());
    }

    fn record(&mut self, name: Option<&str>, len: usize) {
        self.part(21, name.unwrap_or("").as_bytes());
        self.part(22, &(len as u64).to_le_bytes());
    }

    fn field(&mut self, name: &str) {
        self.part(23, name.as_bytes());
    }

    fn end(&mut self) {
        self.part(24, &[]);
    }
}
