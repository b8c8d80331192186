//! Small files in the folder of a run: its cluster, the ids of its jobs, the jobs of other runs that it took over, the wish
//! that it stops.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::claims::Claim;
use super::files::{read, write};
use xpipe_base::modes;

/// In the folder of a run: names its cluster.
const CLUSTER: &str = "queue.json";
/// In the folder of a run: asks it to stop.
const STOP: &str = "stop.json";
/// In the folder of a run: a file for each job that it took over.
const TAKEN_OVER: &str = "taken-over";
/// In the folder of a submission: the id in the queue.
const ID: &str = "job.json";

#[derive(Serialize, Deserialize)]
struct Uses {
    cluster: String,
}

#[derive(Serialize, Deserialize)]
struct Recorded {
    id: String,
}

/// Records the cluster of a run.
pub(super) fn record_cluster(run: &Path, name: &str) {
    // Without it `status` finds no jobs.
    let _ = write(&run.join(CLUSTER), &Uses { cluster: name.to_owned() }, false);
}

/// The cluster that a run uses; `None` when it uses none.
pub fn cluster_of(run: &Path) -> Option<String> {
    read::<Uses>(&run.join(CLUSTER)).ok().map(|uses| uses.cluster)
}

/// Asks a living run to stop: it cancels its jobs itself.
///
/// # Errors
/// The folder of the run cannot be written.
pub fn ask_to_stop(run: &Path) -> std::io::Result<()> {
    write(&run.join(STOP), &(), true)
}

/// Whether somebody asked the run to stop.
pub(super) fn is_asked_to_stop(run: &Path) -> bool {
    run.join(STOP).exists()
}

/// Records the id of a submission. It can also be found by its name.
pub(super) fn record_id(submission: &Path, id: &str) {
    let _ = write(&submission.join(ID), &Recorded { id: id.to_owned() }, true);
}

/// The id of a submission, if it was recorded.
pub(super) fn recorded_id(submission: &Path) -> Option<String> {
    read::<Recorded>(&submission.join(ID)).ok().map(|r| r.id)
}

/// A job of another run that this one took over.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TakenOver {
    /// The action of this run that it carries out.
    pub(super) address: String,
    pub(super) claim: Claim,
}

/// Records a job that a run took over.
pub(super) fn record_taken_over(run: &Path, job: &TakenOver) {
    let folder = run.join(TAKEN_OVER);
    let path = folder.join(format!("{}-{}.json", job.claim.name, job.claim.task));
    // Without it `status` does not show the job, and `cancel` does not find it.
    let _ = modes::make_folder(&folder).and_then(|()| write(&path, job, false));
}

/// The jobs that a run took over, by name and task.
pub(super) fn taken_over(run: &Path) -> Vec<TakenOver> {
    let entries = std::fs::read_dir(run.join(TAKEN_OVER)).into_iter().flatten().flatten();
    let mut found: Vec<TakenOver> = entries.filter_map(|e| read(&e.path()).ok()).collect();
    found.sort_by(|a, b| (&a.claim.name, a.claim.task).cmp(&(&b.claim.name, b.claim.task)));
    found
}
