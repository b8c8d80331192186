//! A folder with a study, its data and its cache, and the program run in it as a user would.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value as Json;

/// A file or folder of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    xpipe_testing::root().join(path)
}

/// Scores of BM25 at two values of k1 on tests/data/tiny; the data is a copy in `data/`, to be spoiled.
pub(crate) const RETRIEVAL: &str = r#"edition 2026
use std.retrieval { bm25_run }
param data: Path = "data"
dataset tiny: TestCollection = local { docs = "{data}/corpus.jsonl", queries = "{data}/queries.jsonl", qrels = "{data}/qrels.tsv" }
axis k1: Float = { low = 0.9, high = 1.2 }
stage first for k1 = bm25_run(corpus = tiny.corpus, queries = tiny.queries, depth = 10, k1 = k1)
stage scores for k1 = evaluate {
    run     = first
    qrels   = tiny.qrels
    metrics = [ndcg(10), ap()]
} with { retries = 1 }
table t { title = "nDCG@10", rows = k1, value = scores.ndcg_10, write = [csv, markdown, latex] }
claim found { text = "finds something", expect = scores[k1 = low].ap > 0.2 }
"#;

/// Two learning rates of a small model that really trains, re-ranks and is evaluated: 12 actions.
pub(crate) const TRAINING: &str = r#"edition 2026
use std.retrieval { bm25_run }
param steps: Budget = steps(24)
dataset tiny: TestCollection = local { docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv", role = train }
axis rate: Float = { slow = 1e-4, fast = 5e-4 }
stage found = bm25_run(corpus = tiny.corpus, queries = tiny.queries, depth = 10)
stage samples = data.samples {
    source = candidates { run = found, qrels = tiny.qrels }
    shape  = group(positives = 1, negatives = 2)
    seed   = 1
}
stage model for rate = train.cross_encoder {
    backbone  = checkpoint("MODEL")
    objective = objective.infonce()
    data      = samples
    input     = query_document(query = 16, document = 32)
    steps
    batch     = queries(4)
    optimiser = adamw { learning_rate = rate }
    schedule  = linear(warmup = 10%)
    seed      = 7
} with { checkpoint = steps(4) }
stage ranked for rate = rerank.cross_encoder { model, run = found }
stage scores for rate = evaluate { run = ranked, qrels = tiny.qrels, metrics = [ndcg(10)] }
table t { title = "nDCG@10", rows = rate, value = scores.ndcg_10 }
"#;

/// A temporary folder with `study.xpipe`, `data/` and a cache.
pub(crate) struct Space {
    /// The folder.
    pub(crate) folder: tempfile::TempDir,
}

/// What a call of the program came to.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn of(output: std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}\n{self:#?}"))
    }

    /// Checks the exit code and that standard error holds each text.
    #[track_caller]
    pub(crate) fn says(&self, code: i32, texts: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        for text in texts {
            assert!(self.err.contains(text), "no `{text}` in:\n{}", self.err);
        }
        self
    }

    /// (actions run, actions cached, exit code) of a `run --json`.
    #[track_caller]
    pub(crate) fn counts(&self) -> (u64, u64, i32) {
        let json = self.json();
        let count = |n: &str| json["counts"][n].as_u64().unwrap_or_else(|| panic!("{json:#}"));
        (count("ran"), count("cached"), self.code.unwrap())
    }
}

impl Space {
    /// A study beside a copy of tests/data/tiny in `data/`.
    pub(crate) fn new(study: &str) -> Self {
        let space = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(space.path("data")).unwrap();
        for file in ["corpus.jsonl", "queries.jsonl", "qrels.tsv"] {
            std::fs::copy(repository("tests/data/tiny").join(file), space.path("data").join(file)).unwrap();
        }
        let model = repository("examples/quickstart/model");
        space.write("study.xpipe", &study.replace("MODEL", &model.display().to_string()));
        space
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// A masked language model in `masked/`.
    pub(crate) fn add_masked_model(&self) {
        std::fs::create_dir(self.path("masked")).unwrap();
        for file in ["config.json", "model.safetensors"] {
            let from = repository("tests/data/made/bert-masked").join(file);
            std::fs::copy(from, self.path("masked").join(file)).unwrap();
        }
        let mut words: Vec<String> =
            ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from).to_vec();
        words.extend(('a'..='z').map(String::from));
        words.extend(('a'..='z').map(|c| format!("##{c}")));
        self.write("masked/vocab.txt", &words.join("\n"));
    }

    /// A bi-encoder in `bi/`. The normalising module has an empty folder, or none.
    pub(crate) fn add_bi_encoder(&self) {
        for folder in ["", "1_Pooling"] {
            std::fs::create_dir(self.path("bi").join(folder)).unwrap();
            let from = repository("tests/data/dense/tiny").join(folder);
            for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|e| e.path().is_file()) {
                std::fs::copy(entry.path(), self.path("bi").join(folder).join(entry.file_name())).unwrap();
            }
        }
    }

    /// Replaces a text that must be in a file.
    #[track_caller]
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{from} is not in {name}");
        self.write(name, &text.replace(from, to));
    }

    /// The program with arguments, in this folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xpipe"));
        command
            .args(args)
            .env("XPIPE_CACHE", self.cache())
            .env_remove("XPIPE_MODELS")
            .env("HF_HUB_CACHE", self.path("no-hub"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A shell line in this folder, in which `$X` is the program.
    pub(crate) fn shell(&self, line: &str) -> Ended {
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .env("X", env!("CARGO_BIN_EXE_xpipe"))
            .env("XPIPE_CACHE", self.cache())
            .env_remove("XPIPE_MODELS")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        Ended::of(command.output().unwrap())
    }

    pub(crate) fn xpipe(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().unwrap())
    }

    /// `xpipe run study.xpipe --json`: (actions run, actions cached, exit code).
    #[track_caller]
    pub(crate) fn run(&self) -> (u64, u64, i32) {
        self.xpipe(&["run", "study.xpipe", "--json"]).counts()
    }

    /// Key and content of every result in the cache.
    pub(crate) fn contents(&self) -> BTreeMap<String, String> {
        contents(&self.cache())
    }

    /// The cache is whole, and no work of dead processes lies in it once a run has passed over it.
    #[track_caller]
    pub(crate) fn is_whole(&self) {
        let verified = self.xpipe(&["cache", "verify", "--json"]);
        assert_eq!(verified.code, Some(0), "{verified:#?}");
        let left = std::fs::read_dir(self.cache().join("v1/tmp")).unwrap().count();
        assert_eq!(left, 0, "temporary files are left");
    }
}

/// Key and content of every result in a cache.
pub(crate) fn contents(cache: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Ok(shards) = std::fs::read_dir(cache.join("v1/actions")) else { return found };
    for shard in shards {
        for file in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            if file.as_ref().unwrap().file_name().as_encoded_bytes().starts_with(b".") {
                continue; // left by a process that was killed
            }
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let json: Json = serde_json::from_str(&text).unwrap();
            let manifest = json.get("manifest").unwrap_or(&json);
            found.insert(manifest["key"].to_string(), manifest["digest"].to_string());
        }
    }
    found
}

/// Every event of every run of a cache, in order of run; of a run that has just begun there may be none yet.
pub(crate) fn events(cache: &Path) -> Vec<Json> {
    let mut runs: Vec<PathBuf> =
        std::fs::read_dir(cache.join("v1/runs")).unwrap().map(|e| e.unwrap().path()).collect();
    runs.sort();
    let texts = runs.iter().map(|run| std::fs::read_to_string(run.join("events.jsonl")).unwrap_or_default());
    texts
        .flat_map(|text| {
            let lines = text.lines().filter_map(|l| serde_json::from_str::<Json>(l).ok());
            lines.map(|l| l["what"].clone()).collect::<Vec<_>>()
        })
        .collect()
}
