//! The graph as the job that the engine carries out.

use std::sync::Arc;

use super::error::Error;
use super::load::Loaded;
use xpipe_base::value::Value;
use xpipe_engine::Job;

/// The job of a study. A program that is part of xpipe is replaced by its identity, which enters the key.
pub(super) fn job(loaded: &Loaded) -> Result<Job, Error> {
    let registry = crate::ops::registry();
    let mut actions = loaded.graph.actions.clone();
    for action in &mut actions {
        let Some(op) = registry.get(action.op) else { continue };
        // An action that waits for a model on another machine leaves the threads to others.
        if op.is_remote(&action.args) {
            action.policy.cpus.get_or_insert(1);
        }
        if let Some(argument) = op.program
            && let Some(Value::Str(program)) = action.args.get(argument)
            && let Some(located) = crate::ops::exec::builtin::located(program)?
        {
            action.args = action.args.with(argument, Value::Located(Arc::new(located)));
        }
    }
    Ok(Job { study: loaded.path.display().to_string(), actions, wanted: loaded.wanted.clone() })
}
