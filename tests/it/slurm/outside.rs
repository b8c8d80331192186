//! A run as a job, and the checks of a cluster, with a real Slurm.

use super::cluster::cluster;
use super::{Run, same_as_here, slow, started};
use crate::space::Ended;

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn a_run_that_is_a_job_itself_shows_what_it_prints_and_ends_with_its_jobs() {
    let Some(cluster) = cluster() else { return };
    let space = slow("1");
    cluster.settings(&space, "");
    let ended = Ended::of(cluster.command(&space, &["--driver-job"]).output().unwrap());
    ended.says(0, &["the run is job "]);
    assert!(ended.out.contains("submitted job") && ended.out.contains("4 ran"), "{ended:?}");
    assert_eq!(started(&space), [1; 4]);
    same_as_here(&space);
    // Its end is that of its jobs. With three CPUs for programs, one of the four waits.
    let space = slow("60");
    cluster.settings(&space, "");
    let run = Run::start(&mut cluster.command(&space, &["--driver-job"]));
    cluster.wait("no three programs run", || started(&space).iter().sum::<usize>() == 3);
    let jobs = cluster.slurm("squeue", &["-h", "-o", "%A %j"]);
    let driver = jobs.lines().find_map(|l| l.split_once(" xpipe-run-")).unwrap().0.to_owned();
    cluster.slurm("scancel", &[&driver]);
    let ended = run.end();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(ended.out.contains("cancelled 1 job"), "{ended:?}");
    cluster.wait("jobs are left", || cluster.slurm("squeue", &["-h"]).trim().is_empty());
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn the_doctor_sees_whether_a_node_sees_the_cache() {
    let Some(cluster) = cluster() else { return };
    let space = slow("0");
    cluster.settings(&space, "");
    let doctor = |space: &crate::space::Space| {
        let mut command = space.command(&["doctor", "slurm"]);
        let settings = space.path("settings.toml");
        Ended::of(command.env("XPIPE_SETTINGS", settings).env("SLURM_CONF", cluster.conf()).output().unwrap())
    };
    let fine = doctor(&space);
    assert_eq!(fine.code, Some(0), "{fine:?}");
    for text in ["ok       sbatch", "main* infinite", "sees the cache", "ok       clock", "ok       program"]
    {
        assert!(fine.out.contains(text), "no `{text}` in {}", fine.out);
    }
    cluster.settings(&space, "partition = \"nope\"");
    let refused = doctor(&space);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(
        refused.out.contains("problem  node") && refused.out.contains("invalid partition"),
        "{refused:?}"
    );
    assert!(std::fs::read_dir(space.cache().join("v1/runs")).unwrap().next().is_none(), "a folder is left");
}
