//! Remote caches in memory: what is sent is taken, and nothing that was tampered with is.

mod parts;
mod replacing;
mod sending;
mod threats;

use std::sync::{Arc, Mutex};

use object_store::memory::InMemory;
use object_store::path::Path;

use super::credentials::Credentials;
use super::objects::{Large, Objects};
use super::record::Trust;
use super::*;
use xpipe_base::value::{Digest, Record, Value};
use xpipe_engine::RemoteCache;
use xpipe_engine::cache::{Manifest, Publication, Recipe, Store};

/// A cache of a machine.
struct Machine {
    _dir: tempfile::TempDir,
    store: Store,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap().durable(false);
        Self { _dir: dir, store }
    }

    /// Makes the result of recipe `seed` with two files.
    fn make(&self, seed: i64, text: &str) -> Digest {
        let recipe = Recipe::new("test.op", 1, Record::of([("seed", Value::Int(seed))])).unwrap();
        let work = self.store.workspace(&recipe.key()).unwrap();
        std::fs::create_dir_all(work.out.join("sub")).unwrap();
        std::fs::write(work.out.join("a.txt"), text).unwrap();
        std::fs::write(work.out.join("sub/zeros"), [0; 5000]).unwrap();
        let what = Publication {
            recipe: &recipe,
            study: "/home/anna/study.xpipe",
            address: &format!("model[{seed}]"),
            digest: None,
            values: [("ap".to_owned(), 0.25)].into_iter().collect(),
            caveats: Vec::new(),
            facts: serde_json::Map::new(),
            inputs: Vec::new(),
            seconds: 1.0,
            peak_memory: None,
            device: "cpu".into(),
            kernels: "auto".into(),
            threads: 1,
            started: "2026-11-24T10:00:00Z".parse().unwrap(),
            log: None,
            replace: false,
        };
        self.store.publish(work, what).unwrap();
        recipe.key()
    }

    fn text(&self, key: &Digest) -> String {
        let manifest = self.store.lookup(key).unwrap();
        std::fs::read_to_string(self.store.tree(&manifest).unwrap().unwrap().join("a.txt")).unwrap()
    }
}

/// An object store in memory, and the key of the machine that sends to it.
struct Lab {
    memory: Arc<InMemory>,
    anna: Arc<[u8]>,
    anna_public: PublicKey,
}

/// A remote cache, and what it told.
struct Opened {
    remote: Remote,
    told: Arc<Mutex<Vec<String>>>,
}

impl Lab {
    fn new() -> Self {
        let (anna, anna_public) = new_key();
        Self { memory: Arc::new(InMemory::new()), anna, anna_public }
    }

    fn objects(&self) -> Objects {
        let store = self.memory.clone();
        Objects::new(store.clone(), Large::Parts(store), Path::from("a/prefix"), Credentials::default())
    }

    /// The remote cache as Anna sees it: she sends and takes.
    fn anna(&self) -> Opened {
        self.open("lab", Some(&self.anna), &[])
    }

    /// The remote cache as somebody sees it who trusts Anna.
    fn reader(&self) -> Opened {
        self.open("lab", None, &[self.anna_public])
    }

    fn open(&self, namespace: &str, key: Option<&[u8]>, trusted: &[PublicKey]) -> Opened {
        let mode = if key.is_some() { "readwrite" } else { "read" };
        let settings = serde_json::json!({ "url": "file:///nowhere", "namespace": namespace, "mode": mode });
        self.open_with(settings, key, trusted)
    }

    fn open_with(&self, settings: serde_json::Value, key: Option<&[u8]>, trusted: &[PublicKey]) -> Opened {
        let settings: RemoteSettings = serde_json::from_value(settings).unwrap();
        let key = key.map(read_key);
        let own = key.as_ref().map(SigningKey::public);
        let trust =
            Trust { keys: trusted.iter().copied().chain(own).collect(), not_before: settings.not_before };
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = told.clone();
        let tell: Tell = Arc::new(move |text: &str| heard.lock().unwrap().push(text.to_owned()));
        Opened { remote: Remote::with("lab", settings, self.objects(), trust, key, tell), told }
    }

    /// A lab to which Anna has sent a result.
    fn with_result() -> (Self, Digest) {
        let (lab, machine) = (Self::new(), Machine::new());
        let key = machine.make(1, "hello");
        lab.anna().send(&machine, &[key]);
        (lab, key)
    }

    fn record_path(key: &Digest) -> String {
        layout::record(&"lab".to_owned().try_into().unwrap(), key)
    }

    fn record(&self, key: &Digest) -> serde_json::Value {
        let bytes = self.objects().read_small(&Self::record_path(key), 1 << 20).unwrap().unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    fn write(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.objects().write(path, bytes.into().into()).unwrap();
    }

    fn write_record(&self, key: &Digest, record: &serde_json::Value) {
        self.write(&Self::record_path(key), serde_json::to_vec(record).unwrap());
    }
}

impl Opened {
    fn send(&self, machine: &Machine, keys: &[Digest]) -> Outcome {
        self.remote.send_all(keys, &machine.store, &|| false);
        self.remote.outcome()
    }

    fn bring(&self, machine: &Machine, key: &Digest) -> Option<Manifest> {
        self.remote.bring(key, &machine.store, &|| false)
    }

    fn told(&self) -> String {
        self.told.lock().unwrap().join("\n")
    }
}

/// The file of a new signing key, and the public key.
fn new_key() -> (Arc<[u8]>, PublicKey) {
    let dir = tempfile::tempdir().unwrap();
    let (path, key) = (dir.path().join("key"), SigningKey::generate().unwrap());
    key.write(&path).unwrap();
    (std::fs::read(&path).unwrap().into(), key.public())
}

fn read_key(file: &[u8]) -> SigningKey {
    let temp = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(temp.path(), file).unwrap();
    SigningKey::read(temp.path()).unwrap()
}
