//! A web server with PUT, MKCOL and a password, as WebDAV servers are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Machine, keeps_secrets, shared};
use crate::space::Ended;

/// Basic authorisation of `anna` with the password `s3cr3tpw`.
const AUTHORIZATION: &str = "authorization: basic YW5uYTpzM2NyM3Rwdw==";

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    folders: BTreeSet<String>,
    refused: usize,
    /// The paths of files that were asked for.
    asked: BTreeSet<String>,
    /// Whether files of results wait before they are taken.
    holds: bool,
}

/// Starts a server; its thread ends with the test process.
fn start() -> (String, Arc<Mutex<State>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/dav/", listener.local_addr().unwrap());
    let state = Arc::new(Mutex::new(State { folders: ["/dav".to_owned()].into(), ..State::default() }));
    let shared = state.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = shared.clone();
            std::thread::spawn(move || while answer(&stream, &state).is_some() {});
        }
    });
    (address, state)
}

/// One request and its answer; `None` when the other side is gone.
fn answer(mut stream: &TcpStream, state: &Mutex<State>) -> Option<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut words = head.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.trim_end_matches('/').to_owned());
    let length = head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    while method == "PUT" && path.contains("/objects/") && state.lock().unwrap().holds {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut state = state.lock().unwrap();
    if method == "GET" {
        state.asked.insert(path.clone());
    }
    let known = head.lines().any(|l| {
        let (name, value) = l.split_once(": ").unwrap_or_default();
        format!("{}: {}", name.to_lowercase(), value.replacen("Basic", "basic", 1)) == AUTHORIZATION
    });
    let parent = path.rsplit_once('/').map(|(p, _)| p.to_owned()).unwrap_or_default();
    let (status, found) = match method.as_str() {
        _ if !known => {
            state.refused += 1;
            // As servers do for whoever looks for a mistake.
            (401, Some(head.clone().into_bytes()))
        }
        "GET" | "HEAD" => match state.files.get(&path) {
            Some(bytes) => (200, Some(bytes.clone())),
            None => (404, None),
        },
        "PUT" | "MKCOL" if !state.folders.contains(&parent) => (409, None),
        "MKCOL" => (if state.folders.insert(path) { 201 } else { 405 }, None),
        "PUT" => {
            state.files.insert(path, body);
            (201, None)
        }
        "DELETE" => (if state.files.remove(&path).is_some() { 204 } else { 404 }, None),
        _ => (405, None),
    };
    drop(state);
    let found = found.unwrap_or_default();
    let modified = "Last-Modified: Mon, 30 Nov 2026 12:00:00 GMT\r\nETag: \"x\"";
    write!(stream, "HTTP/1.1 {status} X\r\n{modified}\r\nContent-Length: {}\r\n\r\n", found.len()).ok()?;
    if method == "GET" {
        stream.write_all(&found).ok()?;
    }
    Some(())
}

/// The table of the server at an address.
fn table(url: &str) -> String {
    format!("url = \"{url}\"\nnamespace = \"lab\"")
}

fn with_password(mut machine: Machine, password: &str) -> Machine {
    machine.variables.push(("XPIPE_REMOTE_USER".into(), "anna".into()));
    machine.variables.push(("XPIPE_REMOTE_PASSWORD".into(), password.into()));
    machine
}

#[test]
fn a_web_server_with_a_password_is_a_remote_cache() {
    let (url, state) = start();
    let table = table(&url);
    let (sender, key) = Machine::sender(&table);
    let sender = with_password(sender, "s3cr3tpw");
    let reader = with_password(Machine::reader(&table, &key), "s3cr3tpw");
    shared(&sender, &reader);
    assert_eq!(state.lock().unwrap().refused, 0);
    // With another password everything is computed here, and it is told.
    let locked_out = with_password(Machine::reader(&table, &key), "s3cr3tpx");
    let ((ran, cached, code), did, ended) = locked_out.run();
    assert!(ran > 0 && cached == 0 && code == 0 && did["given_up"] == true, "{ended:#?}");
    assert!(ended.err.contains("401"), "{}", ended.err);
    assert!(ended.err.to_lowercase().contains("authorization: basic ***"), "{}", ended.err);
    keeps_secrets(&locked_out, &[&ended], &["s3cr3tpx", "YW5uYTpzM2NyM3RweA=="]);
    keeps_secrets(&sender, &[], &["s3cr3tpw", "YW5uYTpzM2NyM3Rwdw=="]);
}

#[test]
fn a_push_asks_only_for_what_it_sends() {
    let (url, state) = start();
    let (sender, _) = Machine::sender(&table(&url));
    let sender = with_password(sender, "s3cr3tpw");
    sender.space.xpipe(&["run", "study.xpipe", "--target", "first"]).says(0, &[]);
    let here = sender.xpipe(&["cache", "ls", "--json"]).json().as_array().unwrap().len();
    let pushed = sender.xpipe(&["cache", "push", "study.xpipe", "--remote", "lab", "--json"]);
    assert_eq!((pushed.code, pushed.json()["sent"].as_u64()), (Some(0), Some(here as u64)), "{pushed:#?}");
    let asked = state.lock().unwrap().asked.iter().filter(|path| path.contains("/actions/")).count();
    assert_eq!(asked, here, "the scores were not computed, and are not looked for");
}

#[test]
fn tables_pages_and_notifications_do_not_wait_for_sending() {
    let (url, state) = start();
    state.lock().unwrap().holds = true;
    let (sender, _) = Machine::sender(&table(&url));
    let sender = with_password(sender, "s3cr3tpw");
    let told = "test $XPIPE_EVENT = finished && touch told";
    let run = ["run", "study.xpipe", "--remote", "lab", "--json", "--notify", told];
    let mut command = sender.command(&run);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    for file in ["told", "results/study/tables/t.csv", "results/study/report.html"] {
        while !sender.space.path(file).exists() {
            assert!(begun.elapsed() < Duration::from_secs(60), "no {file} while files of results are sent");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    assert!(child.try_wait().unwrap().is_none(), "it waits for the server");
    assert!(!state.lock().unwrap().files.keys().any(|path| path.contains("/objects/")));
    state.lock().unwrap().holds = false;
    let ended = Ended::of(child.wait_with_output().unwrap());
    let (ran, ..) = ended.counts();
    let did = ended.json()["remote"]["outcome"].clone();
    assert_eq!((ended.code, did["sent"].as_u64()), (Some(0), Some(ran)), "{ended:#?}");
}
