//! What an action will need, told before it runs: memory, and the work of a model.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Policy;
use crate::value::{Record, Value};

/// What is known of values that an action's arguments name.
pub trait Known {
    /// Where an input, or the result of an action that is done, lies on this machine.
    fn path(&self, value: &Value) -> Option<PathBuf>;
    /// The argument `name` of the action, call or record in `value`.
    fn argument(&self, value: &Value, name: &str) -> Option<Value>;
    /// The operation that makes `value`.
    fn op(&self, value: &Value) -> Option<String>;
    /// A number that the action in `value`, which is done, recorded as a fact.
    fn fact(&self, value: &Value, name: &str) -> Option<f64>;
}

/// An action whose need is asked for.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Its arguments; they may name results that are not there.
    pub args: &'a Record,
    /// Its `with` block.
    pub policy: &'a Policy,
    /// Threads it would be given.
    pub threads: usize,
    /// Whether texts may be read to tell lengths, which takes longer; else limits are taken as upper bounds.
    pub sample: bool,
    /// What is known of its arguments.
    pub known: &'a dyn Known,
}

impl std::fmt::Debug for Ask<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ask({:?})", self.args)
    }
}

impl Ask<'_> {
    /// The argument, [`Value::Null`] when it is not there.
    pub fn arg(&self, name: &str) -> &Value {
        self.args.get(name).unwrap_or(&Value::Null)
    }
}

/// An amount told before it is known: what is likely, or no more than an upper bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Told<T> {
    /// How much.
    pub amount: T,
    /// Whether it may be less.
    pub most: bool,
}

/// Memory that an action needs at its peak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes.
    pub bytes: u64,
    /// What can be written into `with { … }` to need less, the least intrusive first, and what it needs then.
    pub less: Vec<(String, u64)>,
}

/// Work of a model: what is to be done, or what was done in so many seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Names all models that compute alike.
    pub shape: String,
    /// Their hidden width.
    pub width: usize,
    /// Whether the reference engine runs it.
    pub reference: bool,
    /// `fp32` or `bf16`.
    pub precision: String,
    /// Whether gradients are computed.
    pub training: bool,
    /// Pairs.
    pub pairs: f64,
    /// Their tokens.
    pub tokens: f64,
    /// Operations of matrix products.
    pub flops: f64,
    /// Seconds it took; 0 before.
    pub seconds: f64,
    /// Those of them that passed between calls of the model: waiting for tokens, packing, the optimiser's steps.
    pub between: f64,
}

/// What a language model is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Asked {
    /// Questions.
    pub requests: f64,
    /// Their tokens, about.
    pub prompt_tokens: f64,
    /// Tokens of the answers at most.
    pub completion_tokens: f64,
    /// What all of it costs at most by the prices in `with`; 0 without prices.
    pub cost: f64,
}

/// What an action will ask a language model, or why that cannot be told.
pub type AskedFn = fn(&Ask<'_>) -> Result<Told<Asked>, String>;

/// The most memory that an action will need, or why that cannot be told.
pub type MemoryFn = fn(&Ask<'_>) -> Result<Told<Memory>, String>;

/// The work of an action, or why that cannot be told.
pub type WorkFn = fn(&Ask<'_>) -> Result<Told<Vec<Work>>, String>;

/// How an operation tells what it will need.
#[derive(Clone, Copy, Debug)]
pub struct Demands {
    /// Memory.
    pub memory: MemoryFn,
    /// Work.
    pub work: WorkFn,
    /// Questions to a language model, where it asks any.
    pub asked: Option<AskedFn>,
}
