//! A run that is itself a job, over the queue of shell commands.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::commands::{command, with_queue};
use super::{slow, started};
use crate::space::Ended;

/// All files below a folder that hold a text.
fn holding(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains(text) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_run_as_a_job_tells_others_without_a_secret_in_any_file() {
    let space = slow("0");
    with_queue(&space);
    let notify = "cat >> told; : s3cr3t";
    let nobody = "--notify-url=http://127.0.0.1:9/s3cr3t";
    let ended = Ended::of(command(&space, &["--driver-job", "--notify", notify, nobody]).output().unwrap());
    ended.says(0, &["the run is job "]);
    for text in ["submitted job", "4 ran", "the address of `--notify-url` was not told"] {
        assert!(ended.out.contains(text), "no `{text}` in {ended:?}");
    }
    assert_eq!(started(&space), [1; 4]);
    assert!(space.read("told").contains("\"finished\""));
    assert_eq!(holding(&space.cache(), "s3cr3t"), Vec::<PathBuf>::new());
    assert_eq!(holding(&space.path("queue"), "s3cr3t"), Vec::<PathBuf>::new());
}

#[test]
fn what_a_run_as_a_job_cannot_do_is_said_before_it_is_submitted() {
    let space = slow("0");
    with_queue(&space);
    let of = |args: &[&OsStr]| Ended::of(command(&space, &["--driver-job"]).args(args).output().unwrap());
    of(&[OsStr::new("--watch")]).says(2, &["cannot be used with"]);
    let odd = of(&[OsStr::new("--output"), OsStr::from_bytes(b"caf\xe9")]);
    odd.says(2, &["UTF-8"]);
    assert!(!space.cache().join("v1/runs").exists() && !space.path("ran").exists());
}

#[test]
fn a_run_as_a_job_that_dies_is_told() {
    let space = slow("0");
    with_queue(&space);
    space.edit("settings.toml", "light = \"job\"", "light = \"job\"\nenvironment = [\"exit 9\"]");
    let ended = Ended::of(command(&space, &["--driver-job"]).output().unwrap());
    ended.says(4, &["has ended without an exit code (finished)", "`driver_time`"]);
}
