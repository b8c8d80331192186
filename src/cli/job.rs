//! The graph as the engine wants it.

use std::collections::BTreeMap;

use super::args::{Common, Verify};
use super::out::Stop;
use super::study::{Loaded, cache_root};
use crate::cache::Store;
use crate::engine;
use crate::graph::Graph;
use crate::value::{ActionId, Value};

/// The job of a study. Programs that are part of xpipe are replaced by their identity, which keys see.
pub(super) fn job(loaded: &Loaded) -> Result<engine::Job, Stop> {
    let mut also: BTreeMap<ActionId, Vec<String>> = BTreeMap::new();
    for row in &loaded.graph.rows {
        for cell in &row.cells {
            let address = row.address(cell);
            let first = &loaded.graph.action(cell.action).address;
            if *first != address {
                also.entry(cell.action).or_default().push(address);
            }
        }
    }
    let mut actions = Vec::with_capacity(loaded.graph.actions.len());
    for (i, a) in loaded.graph.actions.iter().enumerate() {
        let mut args = a.args.clone();
        if a.op == "exec"
            && let Some(Value::Str(program)) = args.get("program").cloned()
            && let Some(located) = crate::ops::exec::builtin::located(&program)?
        {
            args = args.with("program", Value::Located(std::sync::Arc::new(located)));
        }
        let id = ActionId(i as u32);
        actions.push(engine::Action {
            op: a.op.to_owned(),
            version: a.version,
            heavy: a.heavy,
            address: a.address.clone(),
            also: also.remove(&id).unwrap_or_default(),
            deps: engine::dependencies(&args),
            args,
            policy: a.policy.clone(),
        });
    }
    Ok(engine::Job { study: loaded.path.display().to_string(), actions, wanted: loaded.wanted.clone() })
}

/// The store for looking.
pub(super) fn reading(common: &Common) -> Result<Store, Stop> {
    Ok(Store::reading(&cache_root(common)?)?.verify_always(common.verify == Verify::Always))
}

/// The store for running.
pub(super) fn writing(common: &Common) -> Result<Store, Stop> {
    let root = cache_root(common)?;
    std::fs::create_dir_all(&root)
        .map_err(|e| Stop::missing(format!("cannot make the cache {}: {e}", root.display()), None))?;
    Ok(Store::open(&root)?.verify_always(common.verify == Verify::Always))
}

/// Threads to use.
pub(super) fn threads(common: &Common) -> usize {
    common
        .threads
        .filter(|n| *n > 0)
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get))
}

/// What this build cannot carry out among what is needed: what it lacks, first cell and place.
pub(super) fn unimplemented(graph: &Graph, job: &engine::Job) -> Vec<(String, String, crate::diag::Span)> {
    let mut found: Vec<(String, String, crate::diag::Span)> = Vec::new();
    for (i, needed) in job.needed().into_iter().enumerate() {
        let a = &graph.actions[i];
        let Some((what, at)) = a.lacks.as_ref().filter(|_| needed) else { continue };
        if !found.iter().any(|(w, _, span)| w == what && span == at) {
            found.push((what.clone(), a.address.clone(), *at));
        }
    }
    found
}
