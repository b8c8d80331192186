//! A server of files on this machine's loopback that does what servers do: it cuts connections, knows ranges or not,
//! sends other bytes, asks to wait.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a server does once with a request, before it answers as it should.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Sends this many bytes of the body and ends.
    Cut(usize),
    /// Sends this many bytes of the body and then nothing, without ending.
    Hang(usize),
    /// Answers with a status and a header.
    Status(u16, &'static str),
    /// Sends other bytes.
    Instead(Vec<u8>),
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The path with its query.
    pub(crate) path: String,
    /// The first byte of a range.
    pub(crate) from: Option<usize>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    deeds: BTreeMap<String, VecDeque<Deed>>,
    asked: Vec<Asked>,
    no_ranges: bool,
    open: usize,
    most_open: usize,
}

/// A server; its thread ends with the test process.
#[derive(Clone)]
pub(crate) struct Server {
    /// `http://127.0.0.1:PORT`.
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || answer(stream, &state));
            }
        });
        Self { address, state }
    }

    /// Serves bytes at a path; its address.
    pub(crate) fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) -> String {
        self.state.lock().unwrap().files.insert(path.to_owned(), bytes.into());
        format!("{}{path}", self.address)
    }

    /// What is done first with the next requests of a path.
    pub(crate) fn first(&self, path: &str, deeds: &[Deed]) {
        self.state.lock().unwrap().deeds.insert(path.to_owned(), deeds.iter().cloned().collect());
    }

    /// Ranges are not known any more.
    pub(crate) fn without_ranges(&self) {
        self.state.lock().unwrap().no_ranges = true;
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// The first bytes of the ranges that were asked of a path, `None` for the whole.
    pub(crate) fn ranges(&self, path: &str) -> Vec<Option<usize>> {
        self.asked().into_iter().filter(|a| a.path == path).map(|a| a.from).collect()
    }

    /// How many requests were open at once, at most.
    pub(crate) fn most_open(&self) -> usize {
        self.state.lock().unwrap().most_open
    }
}

fn head_of(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let head = head_of(&mut stream)?;
    let path = head.split_whitespace().nth(1)?.to_owned();
    let lower = head.to_lowercase();
    let from = lower.lines().find_map(|l| l.strip_prefix("range: bytes=")?.split('-').next()?.parse().ok());
    let if_range = head.lines().find_map(|l| {
        let (name, value) = l.split_once(": ")?;
        name.eq_ignore_ascii_case("if-range").then(|| value.to_owned())
    });
    let (bytes, deed, ranges) = {
        let mut state = state.lock().unwrap();
        state.asked.push(Asked { path: path.clone(), from });
        state.open += 1;
        state.most_open = state.most_open.max(state.open);
        let deed = state.deeds.get_mut(&path).and_then(VecDeque::pop_front);
        (state.files.get(&path).cloned(), deed, !state.no_ranges)
    };
    let done = reply(&mut stream, bytes, deed.as_ref(), from.filter(|_| ranges), if_range.as_deref());
    state.lock().unwrap().open -= 1;
    done.ok()
}

fn reply(
    stream: &mut TcpStream,
    bytes: Option<Vec<u8>>,
    deed: Option<&Deed>,
    from: Option<usize>,
    if_range: Option<&str>,
) -> std::io::Result<()> {
    let close = "Connection: close\r\n\r\n";
    if let Some(Deed::Status(code, header)) = deed {
        return write!(stream, "HTTP/1.1 {code} Other\r\nContent-Length: 0\r\n{header}\r\n{close}");
    }
    let bytes = match (deed, bytes) {
        (Some(Deed::Instead(other)), _) => other.clone(),
        (_, Some(bytes)) => bytes,
        (_, None) => return write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n{close}"),
    };
    let tag =
        format!("\"{}\"", bytes.iter().fold(7u64, |a, b| a.wrapping_mul(31).wrapping_add(u64::from(*b))));
    let from = from.filter(|_| if_range.is_none_or(|t| t == tag));
    match from {
        Some(from) if from >= bytes.len() => {
            return write!(stream, "HTTP/1.1 416 No\r\nContent-Length: 0\r\n{close}");
        }
        Some(from) => write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{}\r\n",
            bytes.len() - 1,
            bytes.len()
        )?,
        None => write!(stream, "HTTP/1.1 200 OK\r\n")?,
    }
    let body = &bytes[from.unwrap_or(0)..];
    write!(stream, "Content-Length: {}\r\nETag: {tag}\r\n{close}", body.len())?;
    match deed {
        Some(Deed::Cut(n)) => stream.write_all(&body[..body.len().min(*n)]),
        Some(Deed::Hang(n)) => {
            stream.write_all(&body[..body.len().min(*n)])?;
            stream.flush()?;
            // Until the other side is gone.
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            let _ = stream.read(&mut [0]);
            Ok(())
        }
        _ => stream.write_all(body),
    }
}
