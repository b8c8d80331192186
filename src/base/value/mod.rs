//! Values of the language, their units, and placeholders for results that do not exist yet.
//!
//! A value is plain data: numbers with units, strings, lists, records, constructor calls such as `objective.bce()`, and
//! references (an input file, another action's result, a number that is known only after a stage has run).
//! Must not know: syntax, types, operations.

pub mod address;
pub mod canonical;
pub mod checksum;
pub mod compare;
pub mod half;
pub mod human;
mod inner;
pub mod pending;
mod references;
pub mod rng;
pub mod sealed;
pub mod text;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use address::Address;
pub use checksum::{Algorithm, Checksum};
pub use inner::InnerPath;
pub use pending::{BinaryOp, Pending, Reduction, UnaryOp, Unresolved};
pub use references::{dependencies, inputs_of};

/// A name inside values: a field, a constructor, an axis, a label.
pub type Name = Arc<str>;

/// The number of an action in a `Graph`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ActionId(pub u32);

/// A 256-bit blake3 digest of content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The first 128 bits: enough to tell values of one process apart, never part of a key.
    pub fn short(&self) -> u128 {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = self.0;
        u128::from_le_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }

    /// 64 lowercase hexadecimal digits.
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// Parses 64 hexadecimal digits; `None` for anything else.
    pub fn parse(hex: &str) -> Option<Self> {
        blake3::Hash::from_hex(hex).ok().map(|h| Self(*h.as_bytes()))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", &self.hex()[..12])
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.hex())
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a digest has 64 hexadecimal digits"))
    }
}

/// The length of a training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Budget {
    /// Optimiser steps.
    Steps(u64),
    /// Passes over the data.
    Epochs(f64),
}

/// Something outside the cache that a recipe reads. Keys see its content, not its address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Input {
    /// A file or folder on this machine, absolute.
    File(PathBuf),
    /// A model by hub name and optional revision.
    Model {
        /// `owner/name`, or a folder under `--models`.
        name: String,
        /// Branch, tag or commit; pinned in the lock file on first use.
        revision: Option<String>,
    },
    /// A file to download, or a member of an archive to download.
    Remote {
        /// The address of the file or archive.
        url: Address,
        /// The digest of the file or archive that the study declares. Without one, the first download is pinned in the lock
        /// file.
        digest: Option<String>,
        /// The member of the archive; `None` for the file itself.
        member: Option<String>,
    },
}

impl std::fmt::Display for Input {
    /// The name in messages: the path, the model's name, or the address with the member.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Model { name, revision: None } => f.write_str(name),
            Self::Model { name, revision: Some(r) } => write!(f, "{name}@{r}"),
            Self::Remote { url, member: None, .. } => f.write_str(url),
            Self::Remote { url, member: Some(m), .. } => write!(f, "{url}#{m}"),
        }
    }
}

/// A resolved input or result: its path on this machine, and its content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Located {
    /// A file or folder. Never part of a key.
    pub path: PathBuf,
    /// The content digest, the only part that keys see.
    pub digest: Digest,
    /// The name in messages, for instance `model[infonce, bert_tiny, 1]`. Never part of a key.
    pub label: String,
}

/// A constructor applied to arguments, for instance `objective.hinge(margin = 1.0)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The constructor's full name.
    pub name: Name,
    /// The arguments, defaults included.
    pub args: Record,
}

/// A value of the language.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub enum Value {
    /// An optional argument that was not given.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A finite number.
    Float(f64),
    /// A string, or a word of an enumeration (`fp32`, `log2`, `last`).
    Str(Name),
    /// An amount of memory, in bytes.
    Bytes(u64),
    /// A duration, in seconds.
    Seconds(f64),
    /// A percentage: `2.5%` is 2.5.
    Percent(f64),
    /// A training budget.
    Budget(Budget),
    /// A list.
    List(Arc<[Value]>),
    /// A record.
    Record(Record),
    /// A constructor applied to arguments.
    Call(Arc<Call>),
    /// A file, model or download, not resolved yet.
    Input(Arc<Input>),
    /// The result of another action of the same graph.
    Artifact(ActionId),
    /// A resolved input or result (only in recipes and specs, never in a plan).
    Located(Arc<Located>),
    /// A value known only after a stage has run.
    Pending(Arc<Pending>),
}

impl Value {
    /// A string value.
    pub fn str(text: &str) -> Self {
        Self::Str(Arc::from(text))
    }

    /// A list value.
    pub fn list(items: Vec<Value>) -> Self {
        Self::List(items.into())
    }

    /// A constructor call value.
    pub fn call(name: &str, args: Record) -> Self {
        Self::Call(Arc::new(Call { name: Arc::from(name), args }))
    }

    /// The number, if this is an `Int` or a `Float`.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(i) => Some(*i as f64),
            Self::Float(f) => Some(*f),
            _ => None,
        }
    }

    /// The integer, if this is an `Int`.
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(i) = self { Some(*i) } else { None }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Str(s) = self { Some(s) } else { None }
    }

    /// The fields, if this is a record.
    pub fn as_record(&self) -> Option<&Record> {
        if let Self::Record(r) = self { Some(r) } else { None }
    }

    /// The call, if this is a constructor call.
    pub fn as_call(&self) -> Option<&Call> {
        if let Self::Call(c) = self { Some(c) } else { None }
    }

    /// The items, if this is a list.
    pub fn as_list(&self) -> Option<&[Value]> {
        if let Self::List(l) = self { Some(l) } else { None }
    }

    /// Calls `f` on this value and every value inside it, outermost first. Pending expressions are not entered.
    pub fn walk<'a>(&'a self, f: &mut dyn FnMut(&'a Value)) {
        f(self);
        match self {
            Self::List(items) => items.iter().for_each(|v| v.walk(f)),
            Self::Record(r) => r.iter().for_each(|(_, v)| v.walk(f)),
            Self::Call(c) => c.args.iter().for_each(|(_, v)| v.walk(f)),
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Str(_)
            | Self::Bytes(_)
            | Self::Seconds(_)
            | Self::Percent(_)
            | Self::Budget(_)
            | Self::Input(_)
            | Self::Artifact(_)
            | Self::Located(_)
            | Self::Pending(_) => {}
        }
    }

    /// Rebuilds this value with every leaf (anything but lists, records and calls) replaced by `f(leaf)`.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn map_leaves<E>(&self, f: &mut dyn FnMut(&Value) -> Result<Value, E>) -> Result<Value, E> {
        Ok(match self {
            Self::List(items) => {
                Self::list(items.iter().map(|v| v.map_leaves(f)).collect::<Result<Vec<_>, _>>()?)
            }
            Self::Record(r) => Self::Record(r.map_leaves(f)?),
            Self::Call(c) => Self::Call(Arc::new(Call { name: c.name.clone(), args: c.args.map_leaves(f)? })),
            leaf => f(leaf)?,
        })
    }
}

/// Named values, sorted by name, without duplicates.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Record(Arc<[(Name, Value)]>);

impl Record {
    /// A record of fields in any order. Of equal names the last wins.
    pub fn new(fields: impl IntoIterator<Item = (Name, Value)>) -> Self {
        let mut all: Vec<(Name, Value)> = fields.into_iter().collect();
        if all.windows(2).all(|w| w[0].0 < w[1].0) {
            return Self(all.into());
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let mut kept: Vec<(Name, Value)> = Vec::with_capacity(all.len());
        for field in all {
            match kept.last_mut() {
                Some(last) if last.0 == field.0 => *last = field,
                _ => kept.push(field),
            }
        }
        Self(kept.into())
    }

    /// The same from static names.
    pub fn of(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        Self::new(fields.into_iter().map(|(n, v)| (Arc::from(n), v)))
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.binary_search_by(|(n, _)| (**n).cmp(name)).ok().map(|i| &self.0[i].1)
    }

    /// The fields, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &(Name, Value)> {
        self.0.iter()
    }

    /// The values of the fields, in the order of their names.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.0.iter().map(|(_, value)| value)
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// This record with one field set.
    #[must_use]
    pub fn with(&self, name: &str, value: Value) -> Self {
        Self::new(self.0.iter().cloned().chain([(Arc::from(name), value)]))
    }

    /// Rebuilds this record with every leaf replaced by `f(leaf)`, as [`Value::map_leaves`] does.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn map_leaves<E>(&self, f: &mut dyn FnMut(&Value) -> Result<Value, E>) -> Result<Self, E> {
        let fields: Vec<(Name, Value)> =
            self.0.iter().map(|(n, v)| Ok((n.clone(), v.map_leaves(f)?))).collect::<Result<_, E>>()?;
        Ok(Self(fields.into()))
    }
}
