//! Bringing results from the remote cache before a run starts.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::forecast::{Forecast, survey};
use super::job::Job;
use super::options::Options;
use super::remote::at_once;
use super::runner::Runner;
use crate::cache::Store;
use xpipe_base::value::Digest;

/// Brings every result into the store that a job needs, that the store lacks, and that the remote cache has. Keys that
/// depend on actions which must run are not known yet: the run asks for them. Returns how many results came.
pub fn bring_known(
    job: &Job,
    runner: &dyn Runner,
    store: &Store,
    options: &Options,
    stop: &(dyn Fn() -> bool + Sync),
) -> usize {
    let Some(remote) = runner.remote() else { return 0 };
    let (_, forecasts) = survey(job, runner, store, options);
    let mut keys: Vec<Digest> = forecasts
        .iter()
        .filter_map(|f| if let Forecast::Remote { key } = f { Some(*key) } else { None })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let came = AtomicUsize::new(0);
    at_once(&keys, &|key| {
        if !stop() && remote.bring(key, store, stop).is_some() {
            came.fetch_add(1, Ordering::Relaxed);
        }
    });
    came.into_inner()
}
