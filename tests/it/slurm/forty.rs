//! A study of more than forty actions on two nodes.

use super::cluster::cluster;
use super::{ran, same_as_here};
use crate::space::{RETRIEVAL, Space, TRAINING};

/// Twenty values of k1: imports, an index, twenty searches, twenty evaluations.
fn forty() -> Space {
    let space = Space::new(RETRIEVAL);
    let labels: Vec<String> = (0..20).map(|i| format!("low{i} = {}", 0.5 + f64::from(i) * 0.05)).collect();
    space.edit("study.xpipe", "low = 0.9, high = 1.2", &labels.join(", "));
    space.edit("study.xpipe", "k1 = low", "k1 = low1");
    space
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn a_study_of_forty_stages_gives_the_results_of_a_local_run_and_runs_nothing_twice() {
    let Some(cluster) = cluster() else { return };
    let space = forty();
    cluster.settings(&space, "max_jobs = 16");
    let ended = cluster.run(&space);
    ended.says(0, &["submitted job"]);
    assert_eq!(space.contents().len(), 44);
    assert_eq!(ran(&space), 44, "each action once");
    same_as_here(&space);
    let again = cluster.run(&space);
    assert!(again.out.contains("nothing to do"), "{again:?}");
    // What is light stays here by default.
    let other = forty();
    other.write("settings.toml", "[cluster.default]\npoll = \"1s\"\n");
    cluster.run(&other).says(0, &[]);
    assert_eq!(ran(&other), 21, "an index and twenty searches are heavy");
    same_as_here(&other);
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn jobs_that_share_a_stage_give_the_results_of_one() {
    let Some(cluster) = cluster() else { return };
    let space = Space::new(TRAINING);
    space.edit("study.xpipe", "{ model, run = found }", "{ model, run = found } with { jobs = 3 }");
    cluster.settings(&space, "");
    cluster.run(&space).says(0, &[]);
    let runs = std::fs::read_dir(space.cache().join("v1/runs")).unwrap();
    let jobs = runs.flat_map(|run| std::fs::read_dir(run.unwrap().path().join("jobs")).unwrap());
    let ranked =
        jobs.map(|job| job.unwrap().path()).filter(|j| j.display().to_string().contains("xpipe-ranked"));
    let tasks: usize = ranked.map(|job| (0..9).filter(|t| job.join(t.to_string()).is_dir()).count()).sum();
    assert_eq!(tasks, 6, "three jobs for each of two stages");
    let scratch = std::fs::read_dir(space.cache().join("v1/scratch")).unwrap();
    assert!(scratch.flatten().all(|e| std::fs::read_dir(e.path()).unwrap().count() == 0), "scores are left");
    same_as_here(&space);
}
