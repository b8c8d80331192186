//! Resource estimates made before an action runs: memory, compute, and requests to language models.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Policy;
use crate::value::{Record, Value};

/// What is known, before a run, of the values that an action's arguments name.
pub trait KnownValues {
    /// The path of an input, or of the result of a finished action.
    fn path(&self, value: &Value) -> Option<PathBuf>;
    /// The argument `name` of the action, call or record in `value`.
    fn argument(&self, value: &Value, name: &str) -> Option<Value>;
    /// The operation that produces `value`.
    fn op(&self, value: &Value) -> Option<String>;
    /// A numeric fact that the action in `value` recorded, if it has finished.
    fn fact(&self, value: &Value, name: &str) -> Option<f64>;
}

/// The action whose resources are to be estimated.
#[derive(Clone, Copy)]
pub struct EstimateRequest<'a> {
    /// The arguments. They may name results that do not exist yet.
    pub args: &'a Record,
    /// The `with` block.
    pub policy: &'a Policy,
    /// Number of threads it would get.
    pub threads: usize,
    /// Whether texts may be read to measure their lengths, which takes longer. Else length limits serve as upper bounds.
    pub sample: bool,
    /// What is known of the arguments.
    pub known: &'a dyn KnownValues,
}

impl std::fmt::Debug for EstimateRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EstimateRequest({:?})", self.args)
    }
}

impl EstimateRequest<'_> {
    /// The argument; [`Value::Null`] if it is absent.
    pub fn arg(&self, name: &str) -> &Value {
        self.args.get(name).unwrap_or(&Value::Null)
    }
}

/// An estimated amount.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate<T> {
    /// The amount.
    pub amount: T,
    /// Whether it is only an upper bound.
    pub upper_bound: bool,
}

/// Peak memory of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes.
    pub bytes: u64,
    /// Settings of `with { … }` that need less, the least intrusive first, with the bytes that they need.
    pub less: Vec<(String, u64)>,
}

/// Compute work of a model: estimated, or measured with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// The architecture with its sizes: models of one shape compute alike.
    pub shape: String,
    /// Hidden width.
    pub width: usize,
    /// Whether the reference engine runs the model.
    pub reference: bool,
    /// `fp32` or `bf16`.
    pub precision: String,
    /// Whether gradients are computed.
    pub training: bool,
    /// Number of pairs.
    pub pairs: f64,
    /// Number of tokens in all pairs.
    pub tokens: f64,
    /// Floating-point operations of matrix products.
    pub flops: f64,
    /// Measured seconds; 0 in an estimate.
    pub seconds: f64,
    /// The part of them between calls of the model: waiting for tokens, packing, optimiser steps.
    pub between: f64,
}

/// Requests to a language model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LlmRequests {
    /// Number of requests.
    pub requests: f64,
    /// Approximate tokens of the prompts.
    pub prompt_tokens: f64,
    /// Maximum tokens of the answers.
    pub completion_tokens: f64,
    /// Maximum cost by the prices in `with`; 0 without prices.
    pub cost: f64,
}

/// Estimates the requests of an action to a language model, or says why it cannot.
pub type LlmRequestsFn = fn(&EstimateRequest<'_>) -> Result<Estimate<LlmRequests>, String>;

/// Estimates the peak memory of an action, or says why it cannot.
pub type MemoryFn = fn(&EstimateRequest<'_>) -> Result<Estimate<Memory>, String>;

/// Estimates the compute work of an action, or says why it cannot.
pub type WorkFn = fn(&EstimateRequest<'_>) -> Result<Estimate<Vec<Work>>, String>;

/// The resource estimators of an operation.
#[derive(Clone, Copy, Debug)]
pub struct Estimators {
    /// Peak memory.
    pub memory: MemoryFn,
    /// Compute work.
    pub work: WorkFn,
    /// Requests to a language model, if it makes any.
    pub asked: Option<LlmRequestsFn>,
}
