//! Thread pools of actions.

use xpipe_base::task::{Failure, Job};

/// Runs work on a rayon pool with the threads that the job may use.
pub(super) fn with_threads<T: Send>(
    job: &Job<'_>,
    work: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(job.spec.threads.max(1))
        .build()
        .map_err(Failure::no_threads)?
        .install(work)
}
