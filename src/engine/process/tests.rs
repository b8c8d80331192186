use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;

#[test]
#[ignore = "is the guard of the programs that other tests start"]
fn plays_the_guard() {
    std::process::exit(i32::from(guard_main()));
}

fn start(call: &Call<'_>) -> std::io::Result<(Program, std::process::ChildStderr)> {
    guard_arguments(&["--exact", "process::tests::plays_the_guard", "--ignored", "--nocapture", "--quiet"]);
    Program::start(call)
}

fn sh(text: &str, folder: &Path) -> (Program, std::process::ChildStderr) {
    let env =
        vec![("PATH".into(), std::env::var_os("PATH").unwrap()), (OUT.into(), folder.join("out").into())];
    let call = Call { program: Path::new("/bin/sh"), args: vec!["-c".into(), text.into()], env, folder };
    start(&call).unwrap()
}

fn end(program: &mut Program) -> End {
    let begun = Instant::now();
    loop {
        if let Some(end) = program.ended() {
            return end;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not end");
    }
}

/// Waits for a file that holds a line, and reads it.
fn line(path: &Path) -> String {
    let begun = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(path)
            && text.ends_with('\n')
        {
            return text.trim().to_owned();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{} does not appear", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a process is gone, or dead and not collected.
#[track_caller]
fn gone(pid: &str) {
    let begun = Instant::now();
    while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z")) {
        assert!(begun.elapsed() < Duration::from_secs(30), "process {pid} still runs");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_program_ends_with_its_code_and_its_streams_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let (mut program, mut output) =
        sh("for i in 1 2 3; do echo out $i; echo err $i >&2; done; cat; exit 3", dir.path());
    assert_eq!(end(&mut program), End::Code(3));
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(text, "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n");
    let (mut program, _output) = sh("kill -9 $$", dir.path());
    assert_eq!(end(&mut program), End::Signal(9));
    let call = Call { program: &dir.path().join("none"), args: vec![], env: vec![], folder: dir.path() };
    assert_eq!(start(&call).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_program_left_running_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    // One in the background, and one that has left group and session and forgotten its environment.
    let text = "sleep 1000 & echo $! > child
        setsid sh -c 'trap \"\" TERM HUP; env -i sh -c \"echo \\$\\$ > daemon; exec sleep 1000\" & exit 0'
        while ! test -s daemon; do sleep 0.01; done; exit 0";
    let (mut program, _output) = sh(text, dir.path());
    assert_eq!(end(&mut program), End::Code(0));
    for file in ["child", "daemon"] {
        let stat = format!("/proc/{}/stat", line(&dir.path().join(file)));
        assert!(!std::fs::read_to_string(&stat).is_ok_and(|s| !s.contains(") Z")), "{file} was left");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_that_does_not_listen_is_killed_with_its_guard_or_without() {
    let dir = tempfile::tempdir().unwrap();
    let text = "trap '' TERM; sleep 1000 & echo $! > child; echo $$ > self; wait; sleep 1000; sleep 1000";
    for kill_the_guard in [false, true] {
        let here = dir.path().join(kill_the_guard.to_string());
        std::fs::create_dir(&here).unwrap();
        let (mut program, _output) = sh(text, &here);
        let pids = [line(&here.join("child")), line(&here.join("self"))];
        program.stop();
        std::thread::sleep(Duration::from_millis(50));
        assert!(Path::new(&format!("/proc/{}", pids[1])).exists(), "it listens to SIGTERM");
        if kill_the_guard {
            program.guard.kill().unwrap();
            assert_eq!(end(&mut program), End::Lost);
        }
        drop(program);
        pids.iter().for_each(|pid| gone(pid));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn strays_are_known_by_the_folder_they_write_to() {
    let dir = tempfile::tempdir().unwrap();
    let start = |session: &str| {
        let out = dir.path().join(session).join("out");
        std::process::Command::new("sleep").arg("1000").env(OUT, out).spawn().unwrap()
    };
    let (mut mine, mut other) = (start("1"), start("10"));
    // Between fork and exec the environment is still ours.
    let begun = Instant::now();
    while kill_orphans(&dir.path().join("1")) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    assert!(!mine.wait().unwrap().success());
    assert!(other.try_wait().unwrap().is_none(), "another folder's program was ended");
    other.kill().unwrap();
    other.wait().unwrap();
}
