//! The graph as the engine wants it.

use std::collections::BTreeSet;

use super::args::{Common, Verify};
use super::out::Stop;
use super::runner::Local;
use super::study::{Loaded, cache_root};
use xpipe_base::diag::render::Sources as _;
use xpipe_base::task::{Action, Failure};
use xpipe_base::value::{ActionId, Input, Record, Value, inputs_of};
use xpipe_engine::cache::Store;
use xpipe_engine::{self, Found, Reach, Runner as _};
use xpipe_lang::graph::Graph;

/// The job of a study. Programs that are part of xpipe are replaced by their identity, which keys see.
pub(super) fn job(loaded: &Loaded) -> Result<xpipe_engine::Job, Stop> {
    let mut actions = loaded.graph.actions.clone();
    for action in &mut actions {
        action.policy = policy(action);
        if action.op == "exec"
            && let Some(Value::Str(program)) = action.args.get("program")
            && let Some(located) = xpipe_study::ops::exec::builtin::located(program)?
        {
            action.args = action.args.with("program", Value::Located(std::sync::Arc::new(located)));
        }
    }
    Ok(xpipe_engine::Job { study: loaded.path.display().to_string(), actions, wanted: loaded.wanted.clone() })
}

/// The `with` block of an action; what waits for a model elsewhere leaves the threads to others.
fn policy(action: &Action) -> Record {
    if xpipe_study::ops::waits_elsewhere(&action.args) && action.policy.get("cpus").is_none() {
        return action.policy.with("cpus", Value::Int(1));
    }
    action.policy.clone()
}

/// The store for looking.
pub(super) fn reading(common: &Common) -> Result<Store, Stop> {
    threads_are_there()?;
    let store = Store::reading(&cache_root(common)?)?.verify_always(common.verify == Verify::Always);
    in_text(&store)?;
    Ok(store)
}

/// The store for running.
pub(super) fn writing(common: &Common) -> Result<Store, Stop> {
    let root = cache_root(common)?;
    std::fs::create_dir_all(&root)
        .map_err(|e| Stop::missing(format!("cannot make the cache {}: {e}", root.display()), None))?;
    threads_are_there()?;
    in_text(&Store::reading(&root)?)?;
    Ok(Store::open(&root)?.verify_always(common.verify == Verify::Always))
}

/// What follows uses the threads that the process shares.
fn threads_are_there() -> Result<(), Stop> {
    xpipe_engine::process::pool_of_the_process().map_err(|e| Failure::no_threads(e).into())
}

/// A link may lead to a path that is not UTF-8, which specs and manifests cannot hold.
fn in_text(store: &Store) -> Result<(), Stop> {
    match store.root().to_str() {
        Some(_) => Ok(()),
        None => Err(Stop::usage(format!(
            "the path of the cache, {}, is not UTF-8; give another with `--cache DIR`",
            store.root().display()
        ))),
    }
}

/// Threads to use.
pub(super) fn threads(common: &Common) -> usize {
    common
        .threads
        .filter(|n| *n > 0)
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get))
}

/// Options of a run or a plan with the threads and the memory asked for.
pub(super) fn options(common: &Common, heavy: xpipe_engine::Heavy) -> xpipe_engine::Options {
    let mut options = xpipe_engine::Options::new(threads(common), heavy);
    options.memory = common.memory.unwrap_or(options.memory);
    options
}

/// What needs more memory than there is among what would run, each with its place.
pub(super) fn too_large(
    loaded: &Loaded,
    job: &xpipe_engine::Job,
    runner: &Local,
    store: &Store,
    options: &xpipe_engine::Options,
) -> Vec<Failure> {
    placed(loaded, xpipe_engine::short_of_memory(job, runner, store, options))
}

/// What cannot start on this machine among what would run, each with its place.
pub(super) fn unready(
    loaded: &Loaded,
    job: &xpipe_engine::Job,
    runner: &Local,
    store: &Store,
    options: &xpipe_engine::Options,
) -> Vec<Failure> {
    placed(loaded, xpipe_engine::unready(job, runner, store, options))
}

/// Failures of actions with the places of their stages.
fn placed(loaded: &Loaded, failures: Vec<(ActionId, Failure)>) -> Vec<Failure> {
    let placed = |(id, mut failure): (ActionId, Failure)| {
        let span = loaded.graph.call_site(id).span;
        let at = loaded.sources.position(span.file, span.start);
        let file = loaded.sources.name(span.file);
        failure.message = format!("{} ({file}:{}:{})", failure.message, at.line, at.column);
        failure
    };
    failures.into_iter().map(placed).collect()
}

/// What this build cannot carry out among what is needed: what it lacks, first cell and place.
pub(super) fn unimplemented(
    graph: &Graph,
    job: &xpipe_engine::Job,
) -> Vec<(String, String, xpipe_base::diag::Span)> {
    let mut found: Vec<(String, String, xpipe_base::diag::Span)> = Vec::new();
    for (i, needed) in job.needed().into_iter().enumerate() {
        let Some((what, at)) = graph.call_sites[i].unimplemented.as_ref().filter(|_| needed) else {
            continue;
        };
        if !found.iter().any(|(w, _, span)| w == what && span == at) {
            found.push((what.clone(), graph.actions[i].address.clone(), *at));
        }
    }
    found
}

/// An input that is not on this machine, or a model that this build cannot compute.
pub(super) struct Missing {
    /// What is wrong with it.
    pub failure: Failure,
    /// Whether it is a file of this machine, which nothing can bring.
    pub is_file: bool,
    /// Whether it is a download.
    pub is_remote: bool,
    /// The cell that reads it first, and where that is written.
    reader: String,
}

impl Missing {
    /// A line about it.
    pub(super) fn told(&self) -> String {
        format!("{} (for {})", self.failure.message, self.reader)
    }
}

/// Every input of what is needed that cannot be used, each once.
pub(super) fn missing(
    loaded: &Loaded,
    job: &xpipe_engine::Job,
    runner: &Local,
    reach: Reach,
) -> Vec<Missing> {
    let mut seen = BTreeSet::new();
    let mut missing = Vec::new();
    for (i, _) in job.needed().into_iter().enumerate().filter(|(_, needed)| *needed) {
        let action = &loaded.graph.actions[i];
        inputs_of(&job.actions[i].args, &mut |input| {
            if seen.insert(input.clone())
                && let Err(failure) =
                    runner.find_input(input, reach).and_then(|f| usable(action.op, input, &f))
            {
                let failure = match &**input {
                    Input::File(path)
                        if action.op == "exec"
                            && action
                                .args
                                .get("program")
                                .is_some_and(|p| matches!(p, Value::Input(i) if i == input)) =>
                    {
                        match xpipe_study::ops::exec::advice(path) {
                            Some(help) => failure.help(help),
                            None => failure,
                        }
                    }
                    _ => failure,
                };
                let reader = place(loaded, i);
                let is_file = matches!(**input, Input::File(_));
                let is_remote = matches!(**input, Input::Remote { .. });
                missing.push(Missing { failure, is_file, is_remote, reader });
            }
        });
    }
    missing
}

/// A cell and where its stage is written.
pub(super) fn place(loaded: &Loaded, action: usize) -> String {
    let (action, span) = (&loaded.graph.actions[action], loaded.graph.call_sites[action].span);
    let at = loaded.sources.position(span.file, span.start);
    format!("{}, {}:{}:{}", action.address, loaded.sources.name(span.file), at.line, at.column)
}

/// Whether this build can compute a model that was found, as far as its folder tells.
fn usable(op: &str, input: &Input, found: &Found) -> Result<(), Failure> {
    match input {
        Input::Model { .. } if xpipe_study::ops::asks(op) => talks(&found.path),
        Input::Model { .. } => xpipe_nn::arch::read(&found.path).map(|_| ()),
        Input::File(_) | Input::Remote { .. } => Ok(()),
    }
}

/// The same of a language model.
#[cfg(feature = "llm")]
fn talks(folder: &std::path::Path) -> Result<(), Failure> {
    xpipe_study::llm::local::usable(folder)
}

/// A build that runs no language models says so before this.
#[cfg(not(feature = "llm"))]
fn talks(_: &std::path::Path) -> Result<(), Failure> {
    Ok(())
}
