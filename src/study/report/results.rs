//! Where the numbers of tables and claims come from.

use std::path::PathBuf;

use xpipe_base::task::Caveat;
use xpipe_base::value::ActionId;

/// What finished actions have published. `None` where an action has no result (yet).
pub trait Results {
    /// A number by its published name, for instance `ndcg_10`.
    fn number(&self, action: ActionId, member: &str) -> Option<f64>;
    /// The values of each query behind a number: (query id, value), each query once.
    fn per_query(&self, action: ActionId, member: &str) -> Option<Vec<(String, f64)>>;
    /// The facts that the action recorded.
    fn facts(&self, action: ActionId) -> Option<serde_json::Map<String, serde_json::Value>>;
    /// Seconds that the action took when it was carried out.
    fn seconds(&self, action: ActionId) -> Option<f64>;
    /// The folder of the action's files.
    fn folder(&self, action: ActionId) -> Option<PathBuf> {
        let _ = action;
        None
    }
    /// Why an action without a result has none, when it failed.
    fn failure(&self, action: ActionId) -> Option<String> {
        let _ = action;
        None
    }
    /// What a reader of the action's result has to know.
    fn caveats(&self, action: ActionId) -> Vec<Caveat> {
        let _ = action;
        Vec::new()
    }
    /// When and how the action was carried out.
    fn execution(&self, action: ActionId) -> Option<Execution> {
        let _ = action;
        None
    }
}

/// When and how an action was carried out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Execution {
    /// Seconds since 1970.
    pub started: f64,
    /// Seconds it took.
    pub seconds: f64,
    /// The most memory it used, in bytes, where that is known.
    pub peak_memory: Option<u64>,
    /// Bytes of its files.
    pub size: u64,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// The kernel level; empty when none was recorded.
    pub kernels: String,
    /// The name of the study that asked for it first, without folder and suffix.
    pub study: String,
}
