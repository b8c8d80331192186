//! Another queue than Slurm: task-spooler (`tsp`), reached by the commands of a settings file.

use std::process::Command;

use super::{commands, ran, same_as_here, slow, started};
use crate::space::{Ended, Space};

/// A queue of its own, with two slots, that ends with the test.
struct Spooler<'a>(&'a Space);

impl<'a> Spooler<'a> {
    /// `None`, and a note, where it is not installed.
    fn start(space: &'a Space) -> Option<Self> {
        if !Command::new("tsp").arg("-V").output().is_ok_and(|out| out.status.success()) {
            xpipe_testing::skip("no task-spooler");
            return None;
        }
        let spooler = Self(space);
        spooler.call(&["-S", "2"]);
        let tsp = format!("TS_SOCKET={} tsp", spooler.socket());
        space.write(
            "settings.toml",
            &format!(
                "[cluster.own]\nkind = \"commands\"\npoll = \"0.2s\"\ngrace = \"2s\"\nlight = \"job\"\n\
                 submit = \"{tsp} sh {{script}}\"\n\
                 status = \"{tsp} -l | awk 'NR > 1 {{ print $1, $2 }}'\"\n\
                 cancel = \"for id in {{ids}}; do {tsp} -r $id || {tsp} -k $id; done\"\n"
            ),
        );
        Some(spooler)
    }

    fn socket(&self) -> String {
        self.0.path("socket").display().to_string()
    }

    fn call(&self, args: &[&str]) -> String {
        let out = Command::new("tsp").args(args).env("TS_SOCKET", self.socket()).output().unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    }
}

impl Drop for Spooler<'_> {
    fn drop(&mut self) {
        self.call(&["-K"]);
    }
}

fn run(space: &Space) -> Ended {
    Ended::of(commands::command(space, &[]).output().unwrap())
}

#[test]
fn task_spooler_carries_a_study_out() {
    let space = slow("0.2");
    let Some(spooler) = Spooler::start(&space) else { return };
    run(&space).says(0, &[]);
    assert_eq!((started(&space), ran(&space)), (vec![1; 4], 4));
    assert_eq!(spooler.call(&["-l"]).matches("finished").count(), 4, "each was a job of the queue");
    same_as_here(&space);
}

#[test]
fn jobs_of_task_spooler_outlive_a_killed_run_and_are_cancelled_by_ctrl_c() {
    let space = slow("4");
    let Some(spooler) = Spooler::start(&space) else { return };
    let running = || spooler.call(&["-l"]).matches("running").count();
    let wait_for = |what: &str, done: &dyn Fn() -> bool| {
        for _ in 0..150 {
            if done() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        panic!("{what}: {}", spooler.call(&["-l"]));
    };
    // Killed: its jobs go on, and the next run takes them over.
    let first = super::Run::start(&mut commands::command(&space, &[]));
    wait_for("two run", &|| running() == 2 && spooler.call(&["-l"]).matches("queued").count() == 2);
    rustix::process::kill_process(first.pid(), rustix::process::Signal::KILL).unwrap();
    first.end();
    run(&space).says(0, &[]);
    assert_eq!((started(&space), ran(&space)), (vec![1; 4], 4));
    // Ctrl-C: they are cancelled, running ones and waiting ones.
    std::fs::remove_file(space.path("ran")).unwrap();
    let second = super::Run::start(&mut commands::command(&space, &["--force", "slow"]));
    wait_for("two run", &|| running() == 2);
    rustix::process::kill_process(second.pid(), rustix::process::Signal::INT).unwrap();
    assert_ne!(second.end().code, Some(0));
    wait_for("none is left", &|| running() == 0 && !spooler.call(&["-l"]).contains("queued"));
    assert_eq!(started(&space).iter().sum::<usize>(), 2, "waiting ones never ran");
    run(&space).says(0, &[]);
    same_as_here(&space);
}
