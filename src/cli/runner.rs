//! How the engine reaches operations, files and models of this machine.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::args::Common;
use super::lock::Lock;
use crate::engine::{Found, Reach, Runner};
use crate::task::{Failure, RunFn};
use crate::types::Registry;
use crate::value::Input;

/// The operations of this build over the files of this machine.
pub(super) struct Local {
    registry: Registry,
    models: Vec<PathBuf>,
    lock: Mutex<Lock>,
}

impl Local {
    pub(super) fn new(common: &Common) -> Self {
        Self {
            registry: crate::ops::registry(),
            models: super::study::model_folders(common),
            lock: Mutex::new(Lock::default()),
        }
    }

    /// The same with a study's lock file.
    pub(super) fn with_lock(mut self, lock: Lock) -> Self {
        self.lock = Mutex::new(lock);
        self
    }

    /// Writes pins that are new to the lock file.
    pub(super) fn save_lock(&self) -> Result<(), Failure> {
        self.lock.lock().map_err(|_| Failure::bug("the lock file's state is lost"))?.save()
    }

    fn model(&self, name: &str, revision: Option<&str>) -> Result<Found, Failure> {
        let path = Path::new(name);
        if path.is_absolute() {
            return match path.join("config.json").is_file() {
                true => Ok(Found { path: path.to_path_buf(), label: name.to_owned(), digest: None }),
                false => {
                    Err(Failure::missing(format!("{name} is not a model folder: it has no config.json"))
                        .help("give the folder that holds config.json, model.safetensors and tokenizer.json"))
                }
            };
        }
        let last = name.rsplit('/').next().unwrap_or(name);
        for folder in &self.models {
            for candidate in [folder.join(name), folder.join(last)] {
                if candidate.join("config.json").is_file() {
                    return Ok(Found { path: candidate, label: name.to_owned(), digest: None });
                }
            }
        }
        let mut lock = self.lock.lock().map_err(|_| Failure::bug("the lock file's state is lost"))?;
        let pinned = lock.revision(name).map(str::to_owned);
        let wanted = pinned.as_deref().or(revision).unwrap_or("main");
        if let Some((path, commit)) = hub_snapshot(name, wanted) {
            lock.pin(name, &commit)?;
            return Ok(Found {
                path,
                label: format!("{name}@{}", &commit[..commit.len().min(8)]),
                digest: None,
            });
        }
        drop(lock);
        self.download(name, wanted)
    }

    #[cfg(feature = "hub")]
    fn download(&self, name: &str, revision: &str) -> Result<Found, Failure> {
        let api = hf_hub::api::sync::Api::new().map_err(|e| Failure::missing(format!("the hub: {e}")))?;
        let repo = api.repo(hf_hub::Repo::with_revision(
            name.to_owned(),
            hf_hub::RepoType::Model,
            revision.to_owned(),
        ));
        let get = |file: &str| {
            repo.get(file).map_err(|e| {
                Failure::missing(format!("cannot fetch {file} of {name}: {e}"))
                    .help("without network, put the model's folder under a folder given with `--models DIR`")
            })
        };
        let config = get("config.json")?;
        get("model.safetensors")?;
        if repo.get("tokenizer.json").is_err() {
            get("vocab.txt")?;
        }
        let folder = config.parent().map(Path::to_path_buf).unwrap_or_default();
        let commit = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        self.lock.lock().map_err(|_| Failure::bug("the lock file's state is lost"))?.pin(name, &commit)?;
        Ok(Found { path: folder, label: name.to_owned(), digest: None })
    }

    #[cfg(not(feature = "hub"))]
    #[expect(clippy::unused_self, reason = "the same call with the feature `hub`")]
    fn download(&self, name: &str, _: &str) -> Result<Found, Failure> {
        let last = name.rsplit('/').next().unwrap_or(name);
        Err(Failure::missing(format!("the model {name} is not on this machine")).help(format!(
            "put its folder (config.json, model.safetensors, tokenizer.json) at DIR/{last} and give `--models DIR`, or \
             build with `--features hub` to fetch it"
        )))
    }
}

/// A snapshot in the hub's own cache: its folder and commit.
fn hub_snapshot(name: &str, revision: &str) -> Option<(PathBuf, String)> {
    let root = std::env::var_os("HF_HUB_CACHE")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HF_HOME").map(|h| PathBuf::from(h).join("hub")))
        .or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache/huggingface/hub")))?;
    let repo = root.join(format!("models--{}", name.replace('/', "--")));
    let commit = std::fs::read_to_string(repo.join("refs").join(revision))
        .map_or_else(|_| revision.to_owned(), |c| c.trim().to_owned());
    let folder = repo.join("snapshots").join(&commit);
    let whole = folder.join("config.json").is_file()
        && (folder.join("model.safetensors").is_file()
            || folder.join("model.safetensors.index.json").is_file());
    whole.then_some((folder, commit))
}

impl Runner for Local {
    fn implementation(&self, op: &str) -> Option<RunFn> {
        self.registry.get(op)?.run
    }

    fn find_input(&self, input: &Input, _: Reach) -> Result<Found, Failure> {
        match input {
            Input::File(path) => match path.exists() {
                true => Ok(Found { path: path.clone(), label: path.display().to_string(), digest: None }),
                false => Err(Failure::missing(format!("there is no file {}", path.display()))
                    .help("paths are relative to the file that writes them, in `--set` to the working directory")),
            },
            Input::Model { name, revision } => self.model(name, revision.as_deref()),
            Input::Remote { url, .. } => Err(Failure::missing(format!("{url} is not on this machine")).help(
                "this version does not download collections: fetch it yourself and declare it with `local { … }`",
            )),
        }
    }
}
