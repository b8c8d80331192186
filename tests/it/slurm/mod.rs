//! Runs whose actions are jobs of a queue. What needs a real Slurm is ignored by name, and run by .ci/run:
//! `cargo test --test it slurm:: -- --ignored`. The rest uses a queue of shell commands.

mod cluster;
mod commands;
mod driver;
mod faults;
mod forty;
mod outside;
mod sharing;
mod spooler;
mod verbs;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};

use rustix::process::Pid;

use crate::space::{Ended, Space};

/// Four stages of a program that takes a while, and says in the file `ran` that it was started.
pub(super) const SLOW: &str = r#"edition 2026
axis n: Int = { a = 1, b = 2, c = 3, d = 4 }
stage slow for n = exec { program = "slow.sh", reads = { n }, gives = "Queries", env = { HERE = "FOLDER", PAUSE = "SECONDS" } }
"#;

const PROGRAM: &str = r#"#!/bin/sh
for word in "$@"; do case $word in n=*) n=${word#n=};; esac; done
echo "$n" >> "$HERE/ran"
sleep "$PAUSE"
printf 'q%s\tbread %s\n' "$n" "$n" > "$XPIPE_OUT/queries.tsv"
"#;

/// A run that was started. It does not outlive its test, also when that fails.
pub(super) struct Run(Option<Child>);

impl Run {
    pub(super) fn start(command: &mut Command) -> Self {
        Self(Some(command.spawn().unwrap()))
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(self.0.as_ref().unwrap())
    }

    /// Waits for its end.
    pub(super) fn end(mut self) -> Ended {
        Ended::of(self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A space with the study of four slow stages.
pub(super) fn slow(seconds: &str) -> Space {
    let space = Space::new(SLOW);
    space.edit("study.xpipe", "FOLDER", &space.folder.path().display().to_string());
    space.edit("study.xpipe", "SECONDS", seconds);
    program(&space, "slow.sh", PROGRAM);
    space
}

pub(super) fn program(space: &Space, name: &str, text: &str) {
    if let Some(folder) = space.path(name).parent() {
        std::fs::create_dir_all(folder).unwrap();
    }
    space.write(name, text);
    std::fs::set_permissions(space.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// How often the program of each stage was started.
pub(super) fn started(space: &Space) -> Vec<usize> {
    let text = std::fs::read_to_string(space.path("ran")).unwrap_or_default();
    (1..=4).map(|n| text.lines().filter(|l| *l == n.to_string()).count()).collect()
}

/// The results of a run on this machine, under other paths.
#[track_caller]
pub(super) fn same_as_here(space: &Space) {
    let here = space.path("here");
    let mut command = space.command(&["run", "study.xpipe", "--json", "--cache"]);
    command.arg(&here).env_remove("XPIPE_CACHE");
    let ended = Ended::of(command.output().unwrap());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(crate::space::contents(&here), space.contents());
    space.is_whole();
    let claims = std::fs::read_dir(space.cache().join("v1/claims")).map_or(0, Iterator::count);
    assert_eq!(claims, 0, "claims are left");
}

/// The reports of all attempts in a cache, and whether each ran its operation.
pub(super) fn reports(space: &Space) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![space.cache().join("v1/runs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.starts_with("result-") {
                found.push(serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap());
            }
        }
    }
    found
}

/// How many attempts ran their operation to its end.
pub(super) fn ran(space: &Space) -> usize {
    reports(space).iter().filter(|r| r["ran"] == true && r["verdict"] == "done").count()
}
