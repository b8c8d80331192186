//! A hub on loopback that answers as the real one does: a list of files by revision, small files by itself, large ones by
//! another host, and refusals with `X-Error-Code`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sha2::Digest as _;

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// How the hub answers.
#[derive(Clone, Default)]
pub(crate) struct Manner {
    /// Repositories: name, folder.
    pub(crate) models: BTreeMap<String, PathBuf>,
    /// A server of files alone, without lists.
    pub(crate) no_list: bool,
    /// Names that are answered to the holder of this token only.
    pub(crate) private: Option<(String, String)>,
    /// Names that ask for consent; the token's account has given it.
    pub(crate) gated: Option<(String, String)>,
    /// An old name and the new one.
    pub(crate) renamed: Option<(String, String)>,
    /// The size of large files that the list tells is wrong.
    pub(crate) wrong_size: bool,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// Whether the other host was asked.
    pub(crate) elsewhere: bool,
    pub(crate) line: String,
    pub(crate) authorization: Option<String>,
    pub(crate) range: Option<String>,
}

pub(crate) struct Hub {
    pub(crate) address: String,
    log: Arc<Mutex<Vec<Asked>>>,
}

struct State {
    manner: Manner,
    other: String,
    log: Arc<Mutex<Vec<Asked>>>,
    cuts: Mutex<usize>,
}

impl Hub {
    pub(crate) fn start(manner: Manner) -> Self {
        let hub = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", hub.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let state = Arc::new(State {
            manner,
            other: format!("http://{}", other.local_addr().unwrap()),
            log: log.clone(),
            cuts: Mutex::new(0),
        });
        for (listener, elsewhere) in [(hub, false), (other, true)] {
            let state = state.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = state.clone();
                    std::thread::spawn(move || state.answer(stream, elsewhere));
                }
            });
        }
        Self { address, log }
    }

    /// A hub with one repository.
    pub(crate) fn of(name: &str, folder: PathBuf) -> Self {
        Self::start(Manner { models: BTreeMap::from([(name.to_owned(), folder)]), ..Manner::default() })
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }
}

/// Files that the hub keeps outside of git.
fn is_large(file: &str) -> bool {
    [".safetensors", ".bin", ".model", ".h5", ".onnx", ".ot", ".msgpack"].iter().any(|e| file.ends_with(e))
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Every file below a folder, by its path in it.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    found.sort();
    found
}

type Refusal = Option<(&'static str, &'static str)>;

impl State {
    fn answer(&self, mut stream: TcpStream, elsewhere: bool) -> std::io::Result<()> {
        let Some(asked) = Asked::read(&mut stream, elsewhere)? else { return Ok(()) };
        self.log.lock().unwrap().push(asked.clone());
        let mut reply = Reply { hub: self, asked, stream };
        let path = reply.asked.line.split_once(' ').unwrap_or_default().1.to_owned();
        if elsewhere {
            let (name, file) = path.trim_start_matches('/').split_once("//").unwrap();
            let bytes = std::fs::read(self.manner.models[name].join(file)).unwrap();
            return reply.send(&bytes, "");
        }
        if let Some((old, new)) = &self.manner.renamed
            && path.contains(&**old)
        {
            let to = format!("Location: {}\r\n", path.replacen(&**old, new, 1));
            return reply.respond("307 Temporary Redirect", &to, b"");
        }
        if let Some(rest) = path.strip_prefix("/api/models/") {
            return reply.list(rest);
        }
        if path.starts_with("/api/models?") {
            let ids: Vec<_> = self.manner.models.keys().map(|id| serde_json::json!({ "id": id })).collect();
            return reply.respond("200 OK", "", serde_json::to_string(&ids).unwrap().as_bytes());
        }
        match path[1..].split_once("/resolve/") {
            Some((name, rest)) => reply.resolve(name, rest),
            None => reply.respond("404 Not Found", "", b""),
        }
    }
}

impl Asked {
    /// Reads the head of a request; `None` when the connection ends first.
    fn read(stream: &mut TcpStream, elsewhere: bool) -> std::io::Result<Option<Self>> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte)? == 0 {
                return Ok(None);
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let header = |name: &str| {
            head.lines().find_map(|l| {
                let (n, v) = l.split_once(':')?;
                n.eq_ignore_ascii_case(name).then(|| v.trim().to_owned())
            })
        };
        let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
        Ok(Some(Self { elsewhere, line, authorization: header("authorization"), range: header("range") }))
    }

    fn method(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    fn token(&self) -> Option<&str> {
        self.authorization.as_deref()?.strip_prefix("Bearer ")
    }
}

/// A connection to answer.
struct Reply<'h> {
    hub: &'h State,
    asked: Asked,
    stream: TcpStream,
}

impl Reply<'_> {
    fn respond(&mut self, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
        write!(
            self.stream,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
            body.len()
        )?;
        if self.asked.method() == "GET" { self.stream.write_all(body) } else { Ok(()) }
    }

    fn send(&mut self, bytes: &[u8], headers: &str) -> std::io::Result<()> {
        self.hub.send(&mut self.stream, bytes, self.asked.range.as_deref(), headers)
    }

    /// The list of files of a repository: `NAME/revision/REVISION`.
    fn list(&mut self, path: &str) -> std::io::Result<()> {
        let Some((name, rest)) = path.split_once("/revision/") else {
            return self.respond("404 Not Found", "", b"");
        };
        let revision = rest.split('?').next().unwrap_or_default();
        match self.hub.refusal(name, revision, self.asked.token(), false) {
            _ if self.hub.manner.no_list => self.respond("404 Not Found", "", b"<html>"),
            Some((status, code)) => self.respond(status, &format!("X-Error-Code: {code}\r\n"), b""),
            None => {
                let list = self.hub.list(name);
                self.respond("200 OK", "Content-Type: application/json\r\n", list.as_bytes())
            }
        }
    }

    /// A file of a repository: `REVISION/FILE`.
    fn resolve(&mut self, name: &str, path: &str) -> std::io::Result<()> {
        let (revision, file) = path.split_once('/').unwrap_or_default();
        if let Some((status, code)) = self.hub.refusal(name, revision, self.asked.token(), true) {
            return self.respond(status, &format!("X-Error-Code: {code}\r\n"), b"");
        }
        let Ok(bytes) = std::fs::read(self.hub.manner.models[name].join(file)) else {
            let headers = format!("X-Error-Code: EntryNotFound\r\nX-Repo-Commit: {COMMIT}\r\n");
            return self.respond("404 Not Found", &headers, b"");
        };
        let (size, digest) = (bytes.len(), sha256(&bytes));
        if is_large(file) {
            let headers = format!(
                "Location: {}/{name}//{file}\r\nX-Repo-Commit: {COMMIT}\r\nX-Linked-Size: {size}\r\nX-Linked-Etag: \"{digest}\"\r\n",
                self.hub.other
            );
            return self.respond("302 Found", &headers, b"Found. Redirecting.");
        }
        if self.asked.method() == "HEAD" {
            let headers = format!("X-Repo-Commit: {COMMIT}\r\nETag: \"{}\"\r\n", &digest[..40]);
            return self.respond("200 OK", &headers, &bytes);
        }
        self.send(&bytes, &format!("X-Repo-Commit: {COMMIT}\r\n"))
    }
}

impl State {
    fn send(
        &self,
        stream: &mut TcpStream,
        bytes: &[u8],
        range: Option<&str>,
        headers: &str,
    ) -> std::io::Result<()> {
        let from = range.and_then(|r| r.strip_prefix("bytes=")?.split('-').next()?.parse::<usize>().ok());
        let (from, status) = from.map_or((0, "200 OK"), |from| (from, "206 Partial Content"));
        let total = bytes.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{total}\r\nETag: \"{}\"\r\n\
             Connection: close\r\n{headers}\r\n",
            total - from,
            total.max(1) - 1,
            &sha256(bytes)[..40],
        )?;
        let mut cuts = self.cuts.lock().unwrap();
        let cut = total - from > 1_000_000 && *cuts == 0;
        *cuts += usize::from(cut);
        drop(cuts);
        stream.write_all(&bytes[from..if cut { from + 500_000 } else { total }])
    }

    fn refusal(&self, name: &str, revision: &str, token: Option<&str>, bytes: bool) -> Refusal {
        let holds = |rule: &Option<(String, String)>| {
            rule.as_ref().is_none_or(|(of, wanted)| of != name || token == Some(&**wanted))
        };
        if !self.manner.models.contains_key(name) || !holds(&self.manner.private) {
            let status = if token.is_some() { "404 Not Found" } else { "401 Unauthorized" };
            return Some((status, "RepoNotFound"));
        }
        // What a gated repository has is public, its files are not.
        if bytes && !holds(&self.manner.gated) {
            let status = if token.is_some() { "403 Forbidden" } else { "401 Unauthorized" };
            return Some((status, "GatedRepo"));
        }
        (revision != COMMIT && revision != "main").then_some(("404 Not Found", "RevisionNotFound"))
    }

    fn list(&self, name: &str) -> String {
        let folder = &self.manner.models[name];
        let entry = |file: String| {
            let bytes = std::fs::read(folder.join(&file)).unwrap();
            let blob = &sha256(file.as_bytes())[..40];
            let size = bytes.len() + usize::from(self.manner.wrong_size);
            match is_large(&file) {
                true => serde_json::json!({"rfilename": file, "blobId": blob, "size": size,
                    "lfs": {"sha256": sha256(&bytes), "size": size, "pointerSize": 134}}),
                false => serde_json::json!({"rfilename": file, "blobId": blob, "size": bytes.len()}),
            }
        };
        let mut siblings: Vec<_> = files(folder).into_iter().map(entry).collect();
        // A name that leads out of the folder is passed over.
        siblings.push(
            serde_json::json!({"rfilename": "../../outside.json", "blobId": "0".repeat(40), "size": 2}),
        );
        serde_json::json!({"id": name, "sha": COMMIT, "private": false, "gated": false, "siblings": siblings})
            .to_string()
    }
}
