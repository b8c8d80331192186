//! The Slurm that tests/slurm/up.sh starts on this machine. One test has it at a time.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::Run;
use crate::space::{Ended, Space, repository};

/// The cluster, for one test.
pub(super) struct Cluster {
    home: PathBuf,
    _one: MutexGuard<'static, ()>,
}

/// The cluster with all its nodes; `None` where it cannot be started, which is noted.
#[track_caller]
pub(super) fn cluster() -> Option<Cluster> {
    static ONE: Mutex<()> = Mutex::new(());
    static UP: OnceLock<bool> = OnceLock::new();
    if !rustix::process::getuid().is_root() {
        xpipe_testing::skip("a private Slurm needs root");
        return None;
    }
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let home = std::env::var_os("XPIPE_SLURM").map_or_else(|| "/tmp/xpipe-slurm-tests".into(), PathBuf::from);
    let cluster = Cluster { home, _one: one };
    let up = *UP.get_or_init(|| cluster.script("up.sh", &[]));
    if !up {
        xpipe_testing::skip("tests/slurm/up.sh cannot start Slurm here");
        return None;
    }
    cluster.calm();
    Some(cluster)
}

impl Cluster {
    fn script(&self, name: &str, args: &[&str]) -> bool {
        let script = repository("tests/slurm").join(name);
        let mut command = Command::new("bash");
        // Its daemons must not hold the pipes of the test.
        command
            .arg(script)
            .args(args)
            .env("XPIPE_SLURM", &self.home)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command.status().is_ok_and(|s| s.success())
    }

    /// What happens to a node: `crash`, `part`, `start`.
    #[track_caller]
    pub(super) fn node(&self, what: &str, node: &str) {
        assert!(self.script("node.sh", &[what, node]), "{what} {node}");
    }

    /// A program of Slurm; its output.
    #[track_caller]
    pub(super) fn slurm(&self, program: &str, args: &[&str]) -> String {
        let output = Command::new(program).args(args).env("SLURM_CONF", self.conf()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// The file of its settings.
    pub(super) fn conf(&self) -> PathBuf {
        self.home.join("slurm.conf")
    }

    /// No job, and all nodes are idle.
    #[track_caller]
    fn calm(&self) {
        let _ = self.slurm("scancel", &["--me"]);
        let idle =
            || self.slurm("sinfo", &["-h", "-N", "-p", "main", "-o", "%t"]).matches("idle").count() == 2;
        self.wait("the cluster does not come to rest", || {
            if !idle() {
                assert!(self.script("up.sh", &[]));
            }
            idle() && self.slurm("squeue", &["-h"]).trim().is_empty()
        });
    }

    #[track_caller]
    pub(super) fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(90), "{what}: {}", self.slurm("squeue", &["-r"]));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The nodes of running jobs.
    pub(super) fn busy_nodes(&self) -> Vec<String> {
        self.slurm("squeue", &["-h", "-r", "-t", "R", "-o", "%N"]).lines().map(str::to_owned).collect()
    }

    /// Waits until all four jobs of the slow study run.
    #[track_caller]
    pub(super) fn wait_for_four(&self, space: &Space) {
        self.wait("no four programs run", || super::started(space).iter().sum::<usize>() == 4);
    }

    /// The process of the controller.
    pub(super) fn controller(&self) -> rustix::process::Pid {
        let text = std::fs::read_to_string(self.home.join("run/slurmctld.pid")).unwrap();
        rustix::process::Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }

    /// Writes the settings of the cluster into a space.
    pub(super) fn settings(&self, space: &Space, more: &str) {
        let text = format!("[cluster.default]\npoll = \"1s\"\ngrace = \"3s\"\nlight = \"job\"\n{more}\n");
        space.write("settings.toml", &text);
    }

    /// `xpipe run` on the cluster, with programs in `bin` of the space first on PATH.
    pub(super) fn command(&self, space: &Space, args: &[&str]) -> Command {
        let mut all = vec!["run", "study.xpipe", "--plain", "--executor", "slurm"];
        all.extend(args);
        let mut command = space.command(&all);
        let path = format!("{}:{}", space.path("bin").display(), std::env::var("PATH").unwrap());
        command
            .env("PATH", path)
            .env("SLURM_CONF", self.conf())
            .env("XPIPE_SETTINGS", space.path("settings.toml"));
        command
    }

    pub(super) fn start(&self, space: &Space) -> Run {
        Run::start(&mut self.command(space, &[]))
    }

    pub(super) fn run(&self, space: &Space) -> Ended {
        Ended::of(self.command(space, &[]).output().unwrap())
    }
}
