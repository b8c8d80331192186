//! Stages that encode texts, shared by several jobs.

use super::cluster::cluster;
use super::same_as_here;
use crate::golden::{DENSE, SPARSE};
use crate::space::Space;

/// Runs the study with `jobs = 3` for all stages that encode; `encodings` tells how many these are.
fn shared(space: &Space, encodings: usize) {
    let Some(cluster) = cluster() else { return };
    let text = std::fs::read_to_string(space.path("study.xpipe")).unwrap();
    let lines = text.lines().map(|line| match line.contains(".encode {") {
        true => format!("{line} with {{ jobs = 3 }}"),
        false => line.to_owned(),
    });
    space.write("study.xpipe", &lines.collect::<Vec<_>>().join("\n"));
    cluster.settings(space, "");
    cluster.run(space).says(0, &[]);
    let mut tasks = 0;
    for run in std::fs::read_dir(space.cache().join("v1/runs")).unwrap() {
        for job in std::fs::read_dir(run.unwrap().path().join("jobs")).unwrap() {
            let job = job.unwrap().path();
            let specs =
                (0..99).filter_map(|t| std::fs::read_to_string(job.join(format!("{t}/spec.json"))).ok());
            tasks += specs.filter(|spec| spec.contains("\"jobs\":3")).count();
        }
    }
    assert_eq!(tasks, 3 * encodings, "three jobs for each encoding");
    let scratch = std::fs::read_dir(space.cache().join("v1/scratch")).unwrap();
    assert!(scratch.flatten().all(|e| std::fs::read_dir(e.path()).unwrap().count() == 0), "chunks are left");
    same_as_here(space);
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn jobs_that_share_a_sparse_encoding_give_the_results_of_one() {
    let space = Space::new(SPARSE);
    space.add_masked_model();
    shared(&space, 3);
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn jobs_that_share_a_dense_encoding_give_the_results_of_one() {
    let space = Space::new(DENSE);
    space.add_bi_encoder();
    shared(&space, 3);
}
