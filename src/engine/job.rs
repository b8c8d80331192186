//! What a run is asked to do.

use xpipe_base::task::Action;
use xpipe_base::value::ActionId;

/// Actions, and those of them whose results are wanted.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// What the study is called in the store's history: the path of its root file.
    pub study: String,
    /// The actions; [`ActionId`] is the index. An action comes after those it depends on.
    pub actions: Vec<Action>,
    /// The actions whose results are asked for. Others run only when these depend on them.
    pub wanted: Vec<ActionId>,
}

impl Job {
    /// The action of a number.
    pub fn action(&self, id: ActionId) -> &Action {
        &self.actions[id.0 as usize]
    }

    /// Which actions are wanted or needed by wanted ones, by index.
    pub fn needed(&self) -> Vec<bool> {
        let mut needed = vec![false; self.actions.len()];
        let mut stack = self.wanted.clone();
        while let Some(id) = stack.pop() {
            if !std::mem::replace(&mut needed[id.0 as usize], true) {
                stack.extend(&self.action(id).deps);
            }
        }
        needed
    }
}
