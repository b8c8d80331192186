//! Where the folder of a model is: a path, a folder under `--models`, the hub's cache, or the hub.
//!
//! A hub name is pinned to a commit in the study's lock file when it is first used, so that a study means the same
//! weights next year. Must not know: what is in the folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::lock::Lock;
use crate::engine::{Found, Reach};
use crate::task::Failure;

/// The file that makes a folder a model.
const CONFIG: &str = "config.json";
/// The forms that weights have, best first.
const WEIGHTS: [&str; 3] = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"];

/// The models of this machine.
#[derive(Debug)]
pub(super) struct Models {
    folders: Vec<PathBuf>,
    lock: Arc<Mutex<Lock>>,
    offline: bool,
}

impl Models {
    /// Looks in `folders` first.
    pub(super) fn new(folders: Vec<PathBuf>, lock: Arc<Mutex<Lock>>) -> Self {
        Self { folders, lock, offline: false }
    }

    /// Whether the hub may not be asked.
    pub(super) fn offline(&mut self, offline: bool) {
        self.offline = offline;
    }

    /// The folder of the model `name`, at `revision` of the hub's repository.
    pub(super) fn find(&self, name: &str, revision: Option<&str>, reach: Reach) -> Result<Found, Failure> {
        let path = Path::new(name);
        if path.is_absolute() {
            return match path.join(CONFIG).is_file() {
                true => Ok(found(path.to_path_buf(), name.to_owned())),
                false => Err(Failure::missing(format!("{name} is not a model folder: it has no {CONFIG}"))
                    .help("give the folder that holds config.json, model.safetensors and tokenizer.json")),
            };
        }
        let last = name.rsplit('/').next().unwrap_or(name);
        let local = self.folders.iter().flat_map(|f| [f.join(name), f.join(last)]);
        if let Some(folder) = local.into_iter().find(|f| f.join(CONFIG).is_file()) {
            return Ok(found(folder, name.to_owned()));
        }
        // What is pinned is the name with the revision that the study writes: another revision is another pin.
        let pin = revision.map_or_else(|| name.to_owned(), |r| format!("{name}@{r}"));
        let mut lock = self.lock.lock().map_err(|_| lost())?;
        let wanted = lock.revision(&pin).or(revision).unwrap_or("main").to_owned();
        let (folder, commit) = match cached(name, &wanted) {
            Some(hit) => hit,
            None if reach == Reach::Local => {
                return Err(Failure::missing(format!("the model {name} is not on this machine yet")));
            }
            None if self.offline => {
                return Err(Failure::missing(format!(
                    "the model {name} at `{wanted}` is not on this machine, and `--offline` forbids to fetch it from the hub"
                ))
                .help(advice(name)));
            }
            None => download(name, &wanted)?,
        };
        lock.pin(&pin, &commit)?;
        Ok(found(folder, format!("{name}@{}", commit.get(..8).unwrap_or(&commit))))
    }
}

fn found(path: PathBuf, label: String) -> Found {
    Found { path, label, digest: None }
}

pub(super) fn lost() -> Failure {
    Failure::bug("the lock file's state is lost")
}

/// The hub's cache on this machine, as the Python tools place it.
pub(super) fn hub_cache() -> Option<PathBuf> {
    let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    var("HF_HUB_CACHE")
        .or_else(|| var("HF_HOME").map(|h| h.join("hub")))
        .or_else(|| var("HOME").map(|h| h.join(".cache/huggingface/hub")))
}

/// A whole snapshot in the hub's cache: its folder and commit.
fn cached(name: &str, revision: &str) -> Option<(PathBuf, String)> {
    let repo = hub_cache()?.join(format!("models--{}", name.replace('/', "--")));
    let commit = std::fs::read_to_string(repo.join("refs").join(revision))
        .map_or_else(|_| revision.to_owned(), |c| c.trim().to_owned());
    let folder = repo.join("snapshots").join(&commit);
    let has = |file: &str| folder.join(file).is_file();
    (has(CONFIG) && WEIGHTS.iter().any(|w| has(w))).then_some((folder, commit))
}

/// What to do about a model that cannot be fetched.
fn advice(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    format!(
        "without network, put its folder (config.json, model.safetensors, tokenizer.json) at DIR/{last} and give \
         `--models DIR`"
    )
}

#[cfg(not(feature = "hub"))]
fn download(name: &str, _: &str) -> Result<(PathBuf, String), Failure> {
    Err(Failure::missing(format!(
        "the model {name} is not on this machine, and this build of xpipe does not download (feature `hub`)"
    ))
    .help(advice(name)))
}

/// Fetches configuration, tokenizer and weights into the hub's cache; the snapshot's folder and commit.
#[cfg(feature = "hub")]
fn download(name: &str, revision: &str) -> Result<(PathBuf, String), Failure> {
    use hf_hub::{Repo, RepoType, api::sync::ApiBuilder};

    let fail = |what: &str, why: &str| {
        Failure::missing(format!("cannot fetch {what} of {name} at `{revision}` from the hub: {why}"))
            .help(advice(name))
    };
    if std::env::var("HF_HUB_OFFLINE").is_ok_and(|v| !matches!(v.as_str(), "" | "0")) {
        return Err(Failure::missing(format!(
            "the model {name} at `{revision}` is not on this machine, and HF_HUB_OFFLINE forbids to fetch it"
        ))
        .help(advice(name)));
    }
    let root = hub_cache().ok_or_else(|| {
        Failure::missing("there is no folder for models: HOME is not set").help("set HF_HOME to a folder")
    })?;
    super::out::warn(&format!("fetching {name} at `{revision}` from the hub into {}", root.display()));
    let builder = ApiBuilder::from_env().with_cache_dir(root).with_progress(false).with_retries(3);
    let api = builder.build().map_err(|e| fail("anything", &e.to_string()))?;
    let repo = api.repo(Repo::with_revision(name.to_owned(), RepoType::Model, revision.to_owned()));
    let config = repo.get(CONFIG).map_err(|e| fail(CONFIG, &e.to_string()))?;
    // A repository has one form of the weights, and a tokenizer in one file or as a vocabulary: the first that is there.
    if repo.get("tokenizer.json").is_err() {
        repo.get("vocab.txt").map_err(|e| fail("tokenizer.json or vocab.txt", &e.to_string()))?;
    }
    // What a model of sentence vectors has beside them, by which they are pooled; most repositories have none of it.
    if let Ok(modules) = repo.get("modules.json") {
        for file in module_files(&modules)? {
            let _ = repo.get(&file);
        }
    }
    let mut last = None;
    for form in WEIGHTS {
        match repo.get(form) {
            Ok(path) if form.ends_with(".json") => {
                for shard in shards(&path)? {
                    repo.get(&shard).map_err(|e| fail(&shard, &e.to_string()))?;
                }
                last = None;
                break;
            }
            Ok(_) => {
                last = None;
                break;
            }
            Err(e) => last = Some(last.unwrap_or_else(|| fail(form, &e.to_string()))),
        }
    }
    if let Some(failure) = last {
        return Err(failure);
    }
    let folder = config.parent().map(Path::to_path_buf).unwrap_or_default();
    let commit = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Ok((folder, commit))
}

/// The files of settings that a list of modules may mean: which of them are needed is told when the model is read.
#[cfg(feature = "hub")]
fn module_files(modules: &Path) -> Result<Vec<String>, Failure> {
    let wrong = |why: String| Failure::wrong(format!("{}: {why}", modules.display()));
    let text = std::fs::read_to_string(modules).map_err(|e| wrong(e.to_string()))?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let list = json.as_array().map(Vec::as_slice).unwrap_or_default();
    let paths = list.iter().filter_map(|m| m["path"].as_str()).filter(|p| !p.is_empty() && !p.contains(".."));
    let beside = ["sentence_bert_config.json", "config_sentence_transformers.json", "tokenizer_config.json"];
    Ok(paths.map(|p| format!("{p}/config.json")).chain(beside.map(str::to_owned)).collect())
}

/// The files that an index of sharded weights names.
#[cfg(feature = "hub")]
fn shards(index: &Path) -> Result<Vec<String>, Failure> {
    let wrong = |why: String| Failure::wrong(format!("{}: {why}", index.display()));
    let text = std::fs::read_to_string(index).map_err(|e| wrong(e.to_string()))?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let map = json["weight_map"].as_object().ok_or_else(|| wrong("it has no `weight_map`".into()))?;
    let mut files: Vec<String> = map.values().filter_map(|v| v.as_str()).map(str::to_owned).collect();
    files.sort();
    files.dedup();
    match files.iter().find(|f| f.contains(['/', '\\'])) {
        Some(odd) => Err(wrong(format!("`{odd}` is not a file beside it"))),
        None => Ok(files),
    }
}
