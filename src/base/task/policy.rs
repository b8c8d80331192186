//! The `with { … }` block of a stage: how the stage runs. No field changes a result or a key.

use serde::{Deserialize, Serialize};

use crate::value::Value;

/// Who reads a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadBy {
    /// The engine, for every operation.
    Engine,
    /// The operations that name the field in their signature.
    Operations,
}

/// A field of the block, as the checker and `describe` see it.
#[derive(Clone, Copy, Debug)]
pub struct PolicyField {
    /// The name as studies write it.
    pub name: &'static str,
    /// The type as signatures write it.
    pub ty: &'static str,
    doc: &'static str,
    /// Who reads it.
    pub read_by: ReadBy,
    /// The minimum of a whole number.
    pub minimum: i64,
}

impl PolicyField {
    /// What it means, with unit and default.
    pub fn doc(&self) -> &'static str {
        self.doc.trim()
    }
}

/// A value that a field can hold.
trait Read: Sized {
    fn read(value: &Value) -> Option<Self>;
}

impl Read for usize {
    fn read(value: &Value) -> Option<Self> {
        value.as_int().and_then(|n| Self::try_from(n).ok())
    }
}

impl Read for u64 {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Bytes(bytes) => Some(*bytes),
            other => other.as_int().and_then(|n| Self::try_from(n).ok()),
        }
    }
}

impl Read for f64 {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Seconds(seconds) => Some(*seconds),
            other => other.as_f64(),
        }
    }
}

impl Read for bool {
    fn read(value: &Value) -> Option<Self> {
        if let Value::Bool(on) = value { Some(*on) } else { None }
    }
}

impl Read for String {
    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl Read for Value {
    fn read(value: &Value) -> Option<Self> {
        matches!(value, Self::Budget(_) | Self::Percent(_)).then(|| value.clone())
    }
}

/// Declares the fields: a row is everything about a field, its documentation included.
macro_rules! policy {
    ($($(#[doc = $doc:literal])+ $name:ident: $ty:ty = $written:literal, $read_by:ident, $minimum:literal;)*) => {
        /// The `with { … }` block of a stage. Absent fields have their defaults.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Policy {
            $($(#[doc = $doc])+ #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$ty>,)*
        }

        impl Policy {
            /// Every field, in the order of the documentation.
            pub const FIELDS: &[PolicyField] = &[$(PolicyField {
                name: stringify!($name),
                ty: $written,
                doc: concat!($($doc),+),
                read_by: ReadBy::$read_by,
                minimum: $minimum,
            },)*];

            /// Sets a field; `false` when there is none of that name, or the value is not known or not of its type.
            #[must_use]
            pub fn set(&mut self, name: &str, value: &Value) -> bool {
                match name {
                    $(stringify!($name) => {
                        self.$name = Read::read(value);
                        self.$name.is_some()
                    })*
                    _ => false,
                }
            }

            /// These fields, and where they are absent those of the enclosing block.
            #[must_use]
            pub fn within(self, outer: &Self) -> Self {
                Self { $($name: self.$name.or_else(|| outer.$name.clone()),)* }
            }
        }
    };
}

policy! {
    /// Number of GPUs (≥ 0). Default: 1 if `vram` is given, else 0.
    gpu: usize = "Int", Engine, 0;
    /// Minimum memory of each GPU. Default: any GPU will do.
    vram: u64 = "Bytes", Engine, 1;
    /// Number of CPU threads (≥ 1). Default: all for an operation with its own worker process.
    cpus: usize = "Int", Engine, 1;
    /// Memory that the stage needs, instead of what xpipe estimates. Default: the estimate.
    memory: u64 = "Bytes", Engine, 1;
    /// Time limit of an attempt. Default: none.
    time: f64 = "Duration", Engine, 1;
    /// Name of a pool: as many stages of one pool run at once as `run --pool NAME=N` says. Default: no pool; of a pool that
    /// `run` does not name, 1.
    pool: String = "String", Engine, 1;
    /// Maximum number of retries after a transient failure (≥ 0). Default: 0.
    retries: usize = "Int", Engine, 0;
    /// Interval between training checkpoints. Default: by time.
    checkpoint: Value = "Budget | Percent", Operations, 1;
    /// Pairs or texts per forward pass (≥ 1). Default: as many as fit a token budget.
    batch: usize = "Int", Operations, 1;
    /// Number of jobs that share the stage on a cluster (≥ 1); one machine ignores it. Default: 1.
    jobs: usize = "Int", Operations, 1;
    /// Maximum tokens per forward and backward pass of a training step (≥ 1). Default: 4096.
    micro_batch: usize = "Int", Operations, 1;
    /// Recompute activations in the backward pass: less memory, more time. Default: `false`.
    activation_checkpointing: bool = "Bool", Operations, 1;
    /// Name of the language model endpoint: `mine` reads `XPIPE_LLM_MINE_URL`. Default: `XPIPE_LLM_URL`.
    endpoint: String = "String", Operations, 1;
    /// Maximum number of concurrent requests (≥ 1). Default: 4.
    concurrency: usize = "Int", Operations, 1;
    /// Timeout of a request. Default: 120s.
    timeout: f64 = "Duration", Operations, 1;
    /// Maximum number of prompt and completion tokens, kept answers included (≥ 1). Default: unlimited.
    token_limit: u64 = "Int", Operations, 1;
    /// Maximum cost, in the currency of the prices. Default: unlimited.
    cost_limit: f64 = "Float", Operations, 1;
    /// Price per million prompt tokens. Default: 0.
    input_price: f64 = "Float", Operations, 1;
    /// Price per million completion tokens. Default: 0.
    output_price: f64 = "Float", Operations, 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_takes_values_of_its_type_only() {
        let mut policy = Policy::default();
        assert!(policy.set("vram", &Value::Bytes(40)) && policy.set("cpus", &Value::Int(2)));
        assert!(policy.set("time", &Value::Seconds(1.5)) && policy.set("checkpoint", &Value::Percent(5.0)));
        assert_eq!((policy.vram, policy.cpus, policy.time), (Some(40), Some(2), Some(1.5)));
        assert!(!policy.set("cpus", &Value::Int(-1)) && !policy.set("checkpoint", &Value::Int(1)));
        assert!(!policy.set("nothing", &Value::Int(1)) && !policy.set("endpoint", &Value::Null));
    }

    #[test]
    fn an_inner_block_goes_before_the_outer_one() {
        let outer = Policy { gpu: Some(1), retries: Some(3), ..Policy::default() };
        let inner = Policy { gpu: Some(2), ..Policy::default() };
        assert_eq!(inner.within(&outer), Policy { gpu: Some(2), retries: Some(3), ..Policy::default() });
    }

    #[test]
    fn a_block_survives_json() {
        let policy = Policy { memory: Some(1 << 40), timeout: Some(0.1), ..Policy::default() };
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
        assert_eq!(serde_json::to_string(&Policy::default()).unwrap(), "{}");
    }

    #[test]
    fn every_field_is_documented_with_its_default() {
        for field in Policy::FIELDS {
            assert!(field.doc().contains("Default: ") && field.doc().ends_with('.'), "{field:?}");
        }
    }
}
