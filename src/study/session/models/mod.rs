//! Where the folder of a model is: a path, a folder under `--models`, the hub's cache, or the hub.
//!
//! A hub name is pinned to a commit in the study's lock file when it is first used, so that a study means the same
//! weights next year. A snapshot in the hub's cache is used when everything that is read of it is there, and when it is
//! known which of the optional files the repository does not have.

mod adapters;
mod from_hub;
mod progress;
mod snapshots;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use self::progress::ModelProgress;
use self::snapshots::{Snapshot, Unusable};
use super::lock::Lock;
use super::notice::{Listener, Notice};
use super::settings::no_cache;
use xpipe_base::task::{Failure, FailureKind};
use xpipe_engine::fetch::hub::{self, Repository};
use xpipe_engine::{CancelToken, Found, Parts, Reach};

/// The file that makes a folder a model.
const CONFIG: &str = "config.json";

/// The models of this machine and of the hub.
pub(super) struct Models {
    folders: Vec<PathBuf>,
    lock: Arc<Mutex<Lock>>,
    listener: Listener,
    offline: bool,
    cancel: CancelToken,
    /// The folder in which adapters and their base models are joined; `None` where there is no place for a cache.
    joined: Option<PathBuf>,
    /// Complete snapshots found so far, by name and revision.
    complete: Mutex<BTreeMap<(String, String), Snapshot>>,
}

impl Models {
    /// Looks in `folders` first; adapters and their base models are joined below the root of the cache.
    pub(super) fn new(
        folders: Vec<PathBuf>,
        lock: Arc<Mutex<Lock>>,
        cache: Option<&Path>,
        listener: Listener,
    ) -> Self {
        Self {
            folders,
            lock,
            listener,
            offline: false,
            cancel: CancelToken::new(),
            joined: cache.map(|root| root.join("v1/adapters")),
            complete: Mutex::default(),
        }
    }

    /// Whether the hub may not be asked, and what stops a download from it.
    pub(super) fn configure_network(&mut self, offline: bool, cancel: CancelToken) {
        (self.offline, self.cancel) = (offline, cancel);
    }

    /// The folder of the model `name`, at `revision` of the hub's repository. An adapter is joined with its base model.
    pub(super) fn find(&self, name: &str, revision: Option<&str>, reach: Reach) -> Result<Found, Failure> {
        let found = self.locate(name, revision, reach)?;
        match is_adapter(&found.path) {
            true => self.join(found, reach),
            false => Ok(found),
        }
    }

    /// An adapter with its base model.
    fn join(&self, adapter: Found, reach: Reach) -> Result<Found, Failure> {
        let (name, revision) = adapters::base(&adapter.path)?;
        let base = self.locate(&name, revision.as_deref(), reach).map_err(|mut failure| {
            let of = format!("{} is an adapter of the model {name}, which is not at hand: ", adapter.label);
            failure.message.insert_str(0, &of);
            failure
        })?;
        if is_adapter(&base.path) {
            return Err(Failure::wrong(format!(
                "{} is an adapter of {name}, which is an adapter too",
                adapter.label
            ))
            .help("merge one of them with PEFT's `merge_and_unload()`"));
        }
        let root = self.joined.as_deref().ok_or_else(no_cache)?;
        let [of_adapter, of_base, root] = [&adapter.path, &base.path, root].map(std::path::absolute);
        Ok(Found { path: adapters::joined(&of_adapter?, &of_base?, &root?)?, ..adapter })
    }

    /// The folder of the model `name` itself.
    fn locate(&self, name: &str, revision: Option<&str>, reach: Reach) -> Result<Found, Failure> {
        let path = Path::new(name);
        if path.is_absolute() {
            return match is_model(path) {
                true => Ok(found(path.to_path_buf(), name.to_owned())),
                false => Err(Failure::missing(format!("{name} is not a model folder: it has no {CONFIG}"))
                    .help("give the folder that holds config.json, model.safetensors and tokenizer.json")),
            };
        }
        let last = name.rsplit('/').next().unwrap_or(name);
        let local = self.folders.iter().flat_map(|f| [f.join(name), f.join(last)]);
        if let Some(folder) = local.into_iter().find(|f| is_model(f)) {
            return Ok(found(folder, name.to_owned()));
        }
        // The pin is of the name with the revision that the study writes: another revision is another pin.
        let pin = revision.map_or_else(|| name.to_owned(), |r| format!("{name}@{r}"));
        let mut lock = self.lock.lock().map_err(|_| poisoned())?;
        let wanted = lock.revision(&pin).or(revision).unwrap_or("main").to_owned();
        hub::check_revision(&wanted)?;
        let (folder, commit) = self.snapshot(name, &wanted, reach)?;
        lock.pin(&pin, &commit)?;
        Ok(found(folder, format!("{name}@{}", commit.get(..8).unwrap_or(&commit))))
    }

    /// The snapshot of a revision, from the hub's cache or the hub.
    fn snapshot(&self, name: &str, revision: &str, reach: Reach) -> Result<Snapshot, Failure> {
        let key = (name.to_owned(), revision.to_owned());
        let mut complete = self.complete.lock().map_err(|_| poisoned())?;
        if let Some(known) = complete.get(&key) {
            return Ok(known.clone());
        }
        let root = hub::cache();
        let repository = root.as_deref().map(|root| Repository::new(root, name)).transpose()?;
        let cached = match &repository {
            Some(repository) => snapshots::complete(repository, revision),
            None => Err(Unusable::Absent),
        };
        let forbidden = if self.offline { Some("`--offline`") } else { hub::offline() };
        let snapshot = match cached {
            Ok(snapshot) => snapshot,
            Err(Unusable::Unknown(cached, files)) => {
                let Some(repository) = repository.filter(|_| forbidden.is_none() && reach != Reach::Local)
                else {
                    return Ok(cached);
                };
                self.fetch(name, revision, repository).unwrap_or_else(|failure| {
                    let (model, why) = (name.to_owned(), failure.to_string());
                    (self.listener)(&Notice::FilesUnknown { model, files, why });
                    cached
                })
            }
            Err(Unusable::Absent | Unusable::Incomplete(_)) if reach == Reach::Local => {
                return Err(Failure::missing(format!("{} yet", unusable(name, revision, &cached)))
                    .help("`xpipe fetch` or `xpipe run` fetches it"));
            }
            Err(ref why) => {
                if let Some(by) = forbidden {
                    let what = unusable(name, revision, &cached);
                    return Err(Failure::missing(format!("{what}, and {by} forbids to fetch it"))
                        .help(without_network(name, why)));
                }
                let repository = repository.ok_or_else(|| {
                    Failure::missing("there is no folder for models: HOME is not set")
                        .help("set HF_HOME to a folder")
                })?;
                self.fetch(name, revision, repository)?
            }
        };
        complete.insert(key, snapshot.clone());
        Ok(snapshot)
    }

    /// Fetches the missing files of a snapshot.
    fn fetch(&self, name: &str, revision: &str, repository: Repository) -> Result<Snapshot, Failure> {
        (self.listener)(&Notice::FetchingModel {
            model: name.to_owned(),
            revision: revision.to_owned(),
            hub: hub::endpoint(),
        });
        let progress = ModelProgress::new(Arc::clone(&self.listener), self.cancel.clone());
        let client = hub::Client::of_environment();
        from_hub::fetch(&client, repository, name, revision, &progress).map_err(|mut failure| {
            if failure.kind == FailureKind::Missing {
                let before = failure.help.map(|h| format!("{h}. ")).unwrap_or_default();
                failure.help = Some(format!("{before}{}", advice(name)));
            }
            failure
        })
    }
}

/// What is wrong with the snapshot in the hub's cache.
fn unusable(name: &str, revision: &str, cached: &Result<Snapshot, Unusable>) -> String {
    match cached {
        Err(Unusable::Incomplete(files)) => {
            format!("the model {name} at `{revision}` is not whole on this machine: {files}")
        }
        _ => format!("the model {name} at `{revision}` is not on this machine"),
    }
}

/// What to do about it where the hub may not be asked.
fn without_network(name: &str, why: &Unusable) -> String {
    match why {
        Unusable::Incomplete(_) => {
            format!("run once with network: what is missing is fetched. {}", advice(name))
        }
        _ => advice(name),
    }
}

fn found(path: PathBuf, label: String) -> Found {
    let parts = parts(&path);
    Found { path, label, digest: None, parts }
}

/// The files of a folder that are its content: those that are read, so that a model card, other forms of the same weights
/// or a trainer's files run nothing again. `None`: all files of the folder.
fn parts(folder: &Path) -> Option<Parts> {
    static KNOWN: std::sync::LazyLock<Mutex<BTreeMap<PathBuf, Option<Parts>>>> =
        std::sync::LazyLock::new(Mutex::default);
    let known = |folder: &Path| {
        let files = xpipe_nn::files::of_folder(folder)?;
        let reading = xpipe_nn::arch::read(folder).ok().and_then(|_| xpipe_nn::tokenizer::reading(folder));
        Some(Parts { files, reading })
    };
    // Plans ask for the same folder thousands of times.
    let mut all = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    all.entry(folder.to_owned()).or_insert_with(|| known(folder)).clone()
}

/// Whether a folder is a model, or an adapter of one.
fn is_model(folder: &Path) -> bool {
    folder.join(CONFIG).is_file() || is_adapter(folder)
}

/// Whether a folder is an adapter alone.
fn is_adapter(folder: &Path) -> bool {
    folder.join("adapter_config.json").is_file() && !folder.join(CONFIG).is_file()
}

pub(super) fn poisoned() -> Failure {
    Failure::bug("the lock of the lock file is poisoned")
}

/// What to do about a model that cannot be fetched.
fn advice(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    format!(
        "without network, put its folder (config.json, model.safetensors, tokenizer.json) at DIR/{last} and give \
         `--models DIR`"
    )
}
