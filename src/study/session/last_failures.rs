//! What failed the last time among what has no result.

use super::Session;
use xpipe_base::value::ActionId;
use xpipe_engine::cache::{LastFailure, Store};
use xpipe_engine::{self as engine, Forecast};

/// The last failure of an action that has no result.
#[derive(Clone, Debug)]
pub struct FailedBefore {
    /// The action's address.
    pub address: String,
    /// How it failed.
    pub failure: LastFailure,
}

impl Session {
    /// The last failures of what a run would carry out.
    pub fn last_failures(&self, store: &Store, forecasts: &[Forecast]) -> Vec<FailedBefore> {
        let history = store.history(&self.job.study);
        let open = (0u32..).map(ActionId).zip(forecasts).filter(|(_, forecast)| forecast.is_open());
        open.filter_map(|(id, _)| {
            let failure = engine::last_failure(&history, store, &self.job, id)?;
            Some(FailedBefore { address: self.job.action(id).address.clone(), failure })
        })
        .collect()
    }
}
