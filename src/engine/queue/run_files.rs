//! Small files in the folder of a run: its cluster, the ids of its jobs, the wish that it stops.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::{read, write};

/// In the folder of a run: names its cluster.
const CLUSTER: &str = "queue.json";
/// In the folder of a run: asks it to stop.
const STOP: &str = "stop.json";
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
