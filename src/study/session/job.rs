//! The graph as the job that the engine carries out.

use std::sync::Arc;

use super::error::Error;
use super::load::Loaded;
use xpipe_base::task::Action;
use xpipe_base::value::{Record, Value};
use xpipe_engine::Job;

/// The job of a study. A program that is part of xpipe is replaced by its identity, which enters the key.
pub(super) fn job(loaded: &Loaded) -> Result<Job, Error> {
    let mut actions = loaded.graph.actions.clone();
    for action in &mut actions {
        action.policy = policy(action);
        if action.op == "exec"
            && let Some(Value::Str(program)) = action.args.get("program")
            && let Some(located) = crate::ops::exec::builtin::located(program)?
        {
            action.args = action.args.with("program", Value::Located(Arc::new(located)));
        }
    }
    Ok(Job { study: loaded.path.display().to_string(), actions, wanted: loaded.wanted.clone() })
}

/// The `with` block of an action; what waits for a model elsewhere leaves the threads to others.
fn policy(action: &Action) -> Record {
    if crate::ops::waits_elsewhere(&action.args) && action.policy.get("cpus").is_none() {
        return action.policy.with("cpus", Value::Int(1));
    }
    action.policy.clone()
}
