//! What an action will need (memory, work, requests), estimated by its operation from its arguments and from the
//! results and inputs that are at hand.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::job::Job;
use super::options::{Device, Options};
use super::recipes::ResultTable;
use super::runner::{Reach, Runner};
use xpipe_base::task::{Action, Estimate, EstimateRequest, KnownValues, LlmRequests, Memory, Work};
use xpipe_base::value::{Input, Value};

/// Asks operations what their actions will need.
pub struct Forecaster<'a> {
    job: &'a Job,
    runner: &'a dyn Runner,
    table: Option<&'a ResultTable<'a>>,
    inputs: RefCell<BTreeMap<Arc<Input>, Option<PathBuf>>>,
}

impl<'a> Forecaster<'a> {
    /// With what a table knows; without one nothing is known of results.
    pub fn new(job: &'a Job, runner: &'a dyn Runner, table: Option<&'a ResultTable<'a>>) -> Self {
        Self { job, runner, table, inputs: RefCell::default() }
    }

    /// The peak memory of an action: what its `with` declares, else the estimate of its operation.
    pub fn memory(&self, action: &Action, options: &Options) -> Option<Estimate<Memory>> {
        if let Some(bytes) = action.policy.memory {
            return Some(Estimate { amount: Memory { bytes, less: Vec::new() }, upper_bound: false });
        }
        // Operations estimate the buffers of the explicit engine.
        if options.kernels == xpipe_base::task::Kernels::Reference {
            return None;
        }
        let estimators = self.runner.estimators(action.op)?;
        let memory = (estimators.memory)(&self.ask(action, options, false)).ok()?;
        if memory.upper_bound && memory.amount.bytes > options.memory {
            return (estimators.memory)(&self.ask(action, options, true)).ok();
        }
        Some(memory)
    }

    /// What the operation is told about its action.
    fn ask<'b>(&'b self, action: &'b Action, options: &Options, sample: bool) -> EstimateRequest<'b> {
        let threads = self.threads(action, options);
        EstimateRequest { args: &action.args, policy: &action.policy, threads, sample, known: self }
    }

    /// Threads that a heavy action gets.
    pub fn threads(&self, action: &Action, options: &Options) -> usize {
        action.policy.cpus.unwrap_or(options.threads).clamp(1, options.threads)
    }

    /// The work of an action, or why it cannot be estimated; `None` when its operation runs no model.
    pub fn work(&self, action: &Action, options: &Options) -> Option<Result<Estimate<Vec<Work>>, String>> {
        let estimators = self.runner.estimators(action.op)?;
        if on_gpu(action, options) {
            return Some(Err("it runs on a GPU, whose speed is not measured".to_owned()));
        }
        Some((estimators.work)(&self.ask(action, options, true)))
    }

    /// The requests of an action to a language model, or why they cannot be estimated; `None` when it makes none.
    pub fn asked(&self, action: &Action, options: &Options) -> Option<Result<Estimate<LlmRequests>, String>> {
        let asked = self.runner.estimators(action.op)?.asked?;
        Some(asked(&self.ask(action, options, true)))
    }

    fn manifest(&self, value: &Value) -> Option<&crate::cache::Manifest> {
        let Value::Artifact(id) = value else { return None };
        self.table?.results.get(id.0 as usize)?.as_deref()
    }
}

impl KnownValues for Forecaster<'_> {
    fn path(&self, value: &Value) -> Option<PathBuf> {
        match value {
            Value::Located(l) => Some(l.path.clone()),
            Value::Artifact(_) => Some(self.table?.store.tree_path(self.manifest(value)?)),
            Value::Input(input) => {
                if let Some(Ok(found)) = self.table.and_then(|b| b.inputs.get(input)) {
                    return Some(found.located.path.clone());
                }
                let find = || Some(self.runner.find_input(input, Reach::Local).ok()?.path);
                self.inputs.borrow_mut().entry(input.clone()).or_insert_with(find).clone()
            }
            _ => None,
        }
    }

    fn argument(&self, value: &Value, name: &str) -> Option<Value> {
        match value {
            Value::Artifact(id) => self.job.action(*id).args.get(name).cloned(),
            Value::Call(call) => call.args.get(name).cloned(),
            Value::Record(record) => record.get(name).cloned(),
            _ => None,
        }
    }

    fn op(&self, value: &Value) -> Option<String> {
        if let Value::Artifact(id) = value { Some(self.job.action(*id).op.to_owned()) } else { None }
    }

    fn fact(&self, value: &Value, name: &str) -> Option<f64> {
        self.manifest(value)?.facts.get(name)?.as_f64()
    }
}

/// Whether the action runs on a GPU when one is free. Then GPU memory counts, which operations do not estimate.
pub(crate) fn on_gpu(action: &Action, options: &Options) -> bool {
    match options.device {
        Device::Cpu => false,
        Device::Auto => {
            !options.gpus.is_empty() && (action.policy.gpu.is_some() || action.policy.vram.is_some())
        }
        Device::Cuda => true,
    }
}
