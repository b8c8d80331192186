//! A server of chat completions on this machine, which answers as a test wants: well, badly, slowly or not at all.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value as Json, json};

/// What a server does about a request.
pub(crate) enum Reply {
    /// Answers with this text.
    Says(String),
    /// The same, cut off at the most tokens.
    CutOff(String),
    /// Answers with this body, as it is.
    Body(String),
    /// Answers with a status, further header lines and a body.
    Status(u16, &'static str, String),
    /// Waits first.
    After(Duration, Box<Reply>),
    /// Hangs up.
    HangsUp,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The first line and the headers.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: Json,
}

impl Asked {
    /// The passages that are shown, by RankGPT's form or RankZephyr's.
    pub(crate) fn passages(&self) -> Vec<String> {
        let contents =
            self.body["messages"].as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap());
        let lines = contents.flat_map(str::lines).filter(|l| l.starts_with('['));
        lines.map(|l| l.split_once("] ").unwrap().1.to_owned()).collect()
    }
}

/// A server; it ends with the test.
pub(crate) struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

type Says = dyn Fn(usize, &Asked) -> Reply + Send + Sync;

impl Server {
    /// A server that replies by the number of the request, from 0, and what is asked.
    pub(crate) fn new(says: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, says): (_, Arc<Says>) = (asked.clone(), Arc::new(says));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, says) = (log.clone(), says.clone());
                std::thread::spawn(move || serve(stream, &log, &*says));
            }
        });
        Self { port, asked }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

/// Reads one request and replies. Whoever asked may be dead by then.
fn serve(stream: TcpStream, log: &Mutex<Vec<Asked>>, says: &Says) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(n) = line.to_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let asked = Asked { head, body: serde_json::from_slice(&body).unwrap() };
    let number = {
        let mut log = log.lock().unwrap();
        log.push(asked.clone());
        log.len() - 1
    };
    reply(stream, says(number, &asked))
}

fn reply(mut stream: TcpStream, what: Reply) -> Option<()> {
    let answer = |text: &str, reason: &str| {
        json!({
            "choices": [{ "message": { "role": "assistant", "content": text }, "finish_reason": reason }],
            "usage": { "prompt_tokens": 100, "completion_tokens": 10 },
        })
        .to_string()
    };
    let (status, headers, body) = match what {
        Reply::HangsUp => return None,
        Reply::After(wait, then) => {
            std::thread::sleep(wait);
            return reply(stream, *then);
        }
        Reply::Says(text) => (200, "", answer(&text, "stop")),
        Reply::CutOff(text) => (200, "", answer(&text, "length")),
        Reply::Body(body) => (200, "", body),
        Reply::Status(status, headers, body) => (status, headers, body),
    };
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok()
}

/// A model that orders passages by their text, from Z to A.
pub(crate) fn by_text(asked: &Asked) -> Reply {
    let mut passages: Vec<(String, usize)> =
        asked.passages().into_iter().enumerate().map(|(i, p)| (p, i + 1)).collect();
    passages.sort_by(|a, b| b.cmp(a));
    Reply::Says(passages.iter().map(|(_, i)| format!("[{i}]")).collect::<Vec<_>>().join(" > "))
}
