//! Models by hub name: fetched from a server as the hub answers, pinned, found again without network, and what is
//! said when there is none.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const STUDY: &str = r#"edition 2026
use std.retrieval { bm25_run }
param data: Path = "DATA"
dataset tiny: TestCollection = local { docs = "{data}/corpus.jsonl", queries = "{data}/queries.jsonl", qrels = "{data}/qrels.tsv" }
stage first = bm25_run(corpus = tiny.corpus, queries = tiny.queries, depth = 10)
stage again = rerank.cross_encoder { model = hf("lab/tiny"), run = first, input = query_document(query = 16, document = 45) }
stage scores = evaluate { run = again, qrels = tiny.qrels, metrics = [ndcg(10)] }
"#;

/// A server of one folder at `/lab/tiny/resolve/…`, in the hub's manner; the first answer of weights is cut short.
struct Hub {
    address: String,
    requests: Arc<AtomicUsize>,
}

impl Hub {
    fn start(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let (count, cuts) = (requests.clone(), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let (folder, cuts) = (folder.clone(), cuts.clone());
                std::thread::spawn(move || answer(stream, &folder, &cuts));
            }
        });
        Self { address, requests }
    }
}

fn answer(mut stream: TcpStream, folder: &Path, cuts: &AtomicUsize) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split_whitespace().nth(1).unwrap_or("");
    let file = path.strip_prefix("/lab/tiny/resolve/").and_then(|p| p.split_once('/')).map(|(_, f)| f);
    let Some(bytes) = file.and_then(|f| std::fs::read(folder.join(f)).ok()) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let range = head.to_lowercase().lines().find_map(|l| {
        let (from, to) = l.strip_prefix("range: bytes=")?.split_once('-')?;
        Some((from.parse::<usize>().ok()?, to.trim().parse::<usize>().map_or(bytes.len(), |t| t + 1)))
    });
    let (from, to) = range.unwrap_or((0, bytes.len()));
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{}\r\nETag: \"{}\"\r\n\
         x-repo-commit: {COMMIT}\r\nConnection: close\r\n\r\n",
        to - from,
        to.max(1) - 1,
        bytes.len(),
        blake3_of(&bytes),
    )?;
    let cut = to - from > 100_000 && cuts.fetch_add(1, Ordering::SeqCst) == 0;
    stream.write_all(&bytes[from..if cut { from + 50_000 } else { to }])
}

fn blake3_of(bytes: &[u8]) -> String {
    bytes.iter().fold(bytes.len() as u64, |a, b| a.wrapping_mul(31).wrapping_add(u64::from(*b))).to_string()
}

fn xpipe(folder: &Path, endpoint: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xpipe"))
        .args(args)
        .env("XPIPE_CACHE", folder.join("cache"))
        .env("HF_HOME", folder.join("hub"))
        .env("HF_ENDPOINT", endpoint)
        .env_remove("HF_HUB_CACHE")
        .env_remove("HF_HUB_OFFLINE")
        .env_remove("XPIPE_MODELS")
        .current_dir(folder)
        .output()
        .unwrap()
}

fn space() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny");
    let text = STUDY.replace("DATA", &data.display().to_string());
    std::fs::write(folder.path().join("study.xpipe"), text).unwrap();
    folder
}

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/model")
}

#[test]
fn a_hub_model_is_fetched_pinned_and_found_again() {
    let space = space();
    let hub = Hub::start(model());
    let first = xpipe(space.path(), &hub.address, &["run", "study.xpipe", "--plain"]);
    assert_eq!(first.status.code(), Some(0), "{}", String::from_utf8_lossy(&first.stderr));
    let lock = std::fs::read_to_string(space.path().join("study.lock")).unwrap();
    assert!(lock.contains("lab/tiny") && lock.contains(COMMIT), "{lock}");
    // The whole file came, though the connection was cut in the middle of it.
    let snapshot = space.path().join("hub/hub/models--lab--tiny/snapshots").join(COMMIT);
    let bytes = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
    assert!(bytes(&snapshot) == bytes(&model()));

    let asked = hub.requests.load(Ordering::SeqCst);
    std::fs::remove_dir_all(space.path().join("cache")).unwrap();
    let again = xpipe(space.path(), &hub.address, &["run", "study.xpipe", "--locked", "--plain"]);
    assert_eq!(again.status.code(), Some(0), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(hub.requests.load(Ordering::SeqCst), asked, "nothing is asked of the hub again");
}

#[test]
fn the_modules_of_a_bi_encoder_are_fetched() {
    let space = space();
    let hub = Hub::start(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dense/tiny"));
    let study = std::fs::read_to_string(space.path().join("study.xpipe")).unwrap();
    let first = study.lines().take(4).collect::<Vec<_>>().join("\n");
    let dense = "stage first = dense_run(collection = tiny, model = hf(\"lab/tiny\"), depth = 3)\n";
    let text = first.replace("std.retrieval { bm25_run }", "std.dense { dense_run }");
    std::fs::write(space.path().join("study.xpipe"), format!("{text}\n{dense}")).unwrap();
    let ran = xpipe(space.path(), &hub.address, &["run", "study.xpipe", "--plain"]);
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    let snapshot = space.path().join("hub/hub/models--lab--tiny/snapshots").join(COMMIT);
    for file in ["modules.json", "1_Pooling/config.json", "config_sentence_transformers.json"] {
        assert!(snapshot.join(file).is_file(), "{file}");
    }
}

#[test]
fn a_plan_fetches_nothing() {
    let space = space();
    let hub = Hub::start(model());
    let plan = xpipe(space.path(), &hub.address, &["plan", "study.xpipe"]);
    assert_eq!(plan.status.code(), Some(0), "{}", String::from_utf8_lossy(&plan.stderr));
    assert_eq!(hub.requests.load(Ordering::SeqCst), 0);
}

#[test]
fn a_model_that_cannot_be_had_says_what_to_do() {
    let space = space();
    let hub = Hub::start(space.path().join("nothing"));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for endpoint in [hub.address.clone(), format!("http://{silent}")] {
        let out = xpipe(space.path(), &endpoint, &["run", "study.xpipe", "--plain"]);
        let text = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(4), "{text}");
        assert!(text.contains("lab/tiny") && text.contains("--models"), "{text}");
        assert!(!space.path().join("study.lock").exists(), "nothing is pinned");
    }
}
