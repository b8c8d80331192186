//! Real S3-compatible servers: `localbucket` honours conditional writes and checks no signatures, `nanio` ignores
//! conditions in silence and checks signatures. They are looked for in the environment of Python in `XPIPE_TEST_STORES`,
//! else `~/.cache/xpipe-test-stores`, which `.ci/run` makes.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Machine, files, keeps_secrets, shared};

/// A server that ends with the test.
struct Server {
    child: Child,
    data: tempfile::TempDir,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program of a server; `None` and a note when it is not on this machine.
#[track_caller]
fn program(name: &str) -> Option<PathBuf> {
    let cache = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/xpipe-test-stores"));
    let folder = std::env::var_os("XPIPE_TEST_STORES").map(PathBuf::from).or_else(cache);
    let found = folder.unwrap_or_default().join("bin").join(name);
    if found.is_file() {
        return Some(found);
    }
    xpipe_testing::skip(&format!("no server {name}"));
    None
}

impl Server {
    /// Starts a server with an empty bucket `bucket`. `arguments` get the folder of its data and the port.
    fn start(program: &Path, arguments: &dyn Fn(&str, &str) -> Vec<String>) -> Self {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("bucket")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program);
        command.args(arguments(data.path().to_str().unwrap(), &port.to_string()));
        command.env("NANIO_ACCESS_KEY", "AKIAEXAMPLE").env("NANIO_SECRET_KEY", "s3cr3tk3y");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { child, data, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{} does not start", program.display());
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn localbucket(program: &Path) -> Self {
        Self::start(program, &|data, port| vec!["--port".into(), port.into(), data.into()])
    }

    fn nanio(program: &Path) -> Self {
        Self::start(program, &|data, port| {
            ["serve", "--data-dir", data, "--host", "127.0.0.1", "--port", port].map(str::to_owned).to_vec()
        })
    }

    fn table(&self) -> String {
        let port = self.port;
        format!("url = \"s3://bucket/a/prefix\"\nendpoint = \"http://127.0.0.1:{port}\"\nnamespace = \"lab\"")
    }
}

fn with_credentials(mut machine: Machine, secret: &str) -> Machine {
    machine.variables.push(("AWS_ACCESS_KEY_ID".into(), "AKIAEXAMPLE".into()));
    machine.variables.push(("AWS_SECRET_ACCESS_KEY".into(), secret.into()));
    machine
}

#[test]
fn a_store_with_conditional_writes() {
    let Some(program) = program("localbucket") else { return };
    let server = Server::localbucket(&program);
    let (sender, key) = Machine::sender(&server.table());
    let reader = Machine::reader(&server.table(), &key);
    shared(&sender, &reader);
    assert!(server.data.path().join("bucket/a/prefix/v1/objects").is_dir());
    let probes = std::fs::read_dir(server.data.path().join("bucket/a/prefix/v1/probe"));
    assert_eq!(probes.map_or(0, Iterator::count), 0, "probes are removed");
}

#[test]
fn a_store_that_ignores_conditions_and_checks_signatures() {
    let Some(program) = program("nanio") else { return };
    let server = Server::nanio(&program);
    let (sender, key) = Machine::sender(&server.table());
    let sender = with_credentials(sender, "s3cr3tk3y");
    let reader = with_credentials(Machine::reader(&server.table(), &key), "s3cr3tk3y");
    shared(&sender, &reader);
    let (other, _) = Machine::sender(&server.table());
    let other = with_credentials(other, "s3cr3tk3y");
    other.space.edit("study.xpipe", "high = 1.2", "high = 1.3");
    let (_, did, ended) = other.run();
    assert!(ended.err.contains("does not honour conditional writes"), "{}", ended.err);
    assert!(did["sent"].as_u64() > Some(0), "{did}");
    // A wrong secret: everything is computed here, and it is told without the secret.
    let locked_out = with_credentials(Machine::reader(&server.table(), &key), "s3cr3tk3z");
    let ((ran, cached, code), did, ended) = locked_out.run();
    assert!(ran > 0 && cached == 0 && code == 0 && did["given_up"] == true, "{ended:#?}");
    assert!(ended.err.contains("403"), "{}", ended.err);
    keeps_secrets(&locked_out, &[&ended], &["s3cr3tk3z"]);
    keeps_secrets(&sender, &[], &["s3cr3tk3y"]);
}

/// 150 queries of a million characters.
const LARGE: &str = r#"#!/bin/sh
for i in $(seq 150); do
    printf 'q%s\t' $i; head -c 1000000 /dev/zero | tr '\0' 'a'; printf '\n'
done > "$XPIPE_OUT/queries.tsv"
"#;

#[test]
fn a_push_that_was_killed_goes_on() {
    let Some(program) = program("localbucket") else { return };
    let server = Server::localbucket(&program);
    let (sender, key) = Machine::sender(&server.table());
    sender.space.write(
        "study.xpipe",
        "edition 2026\nstage q = exec { program = \"large.sh\", gives = \"Queries\" }\n",
    );
    sender.space.write("large.sh", LARGE);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(sender.space.path("large.sh"), mode).unwrap();
    assert_eq!(sender.space.run(), (1, 0, 0));
    let mut push = sender.command(&["cache", "push", "study.xpipe", "--remote", "lab"]).spawn().unwrap();
    let states = sender.space.cache().join("v1/uploads");
    let begun = Instant::now();
    while !files(states.clone()).iter().any(|f| f.extension().is_some_and(|e| e == "json")) {
        assert!(begun.elapsed() < Duration::from_secs(60), "no part was sent");
        std::thread::sleep(Duration::from_millis(1));
    }
    push.kill().unwrap();
    push.wait().unwrap();
    let pushed = sender.xpipe(&["cache", "push", "study.xpipe", "--remote", "lab", "--json"]);
    let did = pushed.json();
    assert_eq!((pushed.code, did["sent"].as_u64()), (Some(0), Some(1)), "{pushed:#?}");
    let size = sender.xpipe(&["cache", "ls", "--json"]).json()[0]["size"].as_u64().unwrap();
    let sent = did["sent_bytes"].as_u64().unwrap();
    assert!(size > 100_000_000 && sent <= size - (16 << 20), "{sent} of {size} were sent by the second push");
    assert_eq!(files(states).len(), 0, "no state is left");
    let reader = Machine::reader(&server.table(), &key);
    reader.space.write("study.xpipe", &sender.space.read("study.xpipe"));
    reader.space.write("large.sh", LARGE);
    std::fs::set_permissions(
        reader.space.path("large.sh"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let ((ran, taken, code), ..) = reader.run();
    assert_eq!((ran, taken, code), (0, 1, 0));
    assert_eq!(reader.contents(), sender.contents());
}
