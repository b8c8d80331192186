//! Where the folder of a model is: a path, a folder under `--models`, the hub's cache, or the hub.
//!
//! A hub name is pinned to a commit in the study's lock file when it is first used, so that a study means the same
//! weights next year. A snapshot in the hub's cache is used when all that is read of it is there, and when it is known
//! which of the files that may be missing the repository does not have.

mod fetched;
mod joined;
mod told;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::lock::Lock;
use xpipe_base::task::Failure;
use xpipe_engine::fetch::hub::{self, Repository};
use xpipe_engine::{CancelToken, Found, Parts, Reach};

/// The file that makes a folder a model.
const CONFIG: &str = "config.json";

/// The models of this machine.
#[derive(Debug)]
pub(super) struct Models {
    folders: Vec<PathBuf>,
    lock: Arc<Mutex<Lock>>,
    offline: bool,
    cancel: CancelToken,
    /// The folder in which adapters and their models are put together; `None` where there is no place for a cache.
    joined: Option<PathBuf>,
    /// Folders and commits that were found whole, by name and revision.
    whole: Mutex<BTreeMap<(String, String), (PathBuf, String)>>,
}

/// Why a snapshot in the hub's cache is not used.
enum Not {
    /// There is none.
    There,
    /// These files are missing.
    Whole(String),
    /// All that must be there is, and whether the repository has these files, which are read where they are, was never
    /// asked.
    Known(PathBuf, String, String),
}

impl Models {
    /// Looks in `folders` first; adapters and their models are put together below a cache's root.
    pub(super) fn new(folders: Vec<PathBuf>, lock: Arc<Mutex<Lock>>, cache: Option<&Path>) -> Self {
        let joined = cache.map(|root| root.join("v1/adapters"));
        Self { folders, lock, offline: false, cancel: CancelToken::new(), joined, whole: Mutex::default() }
    }

    /// Whether the hub may not be asked.
    pub(super) fn offline(&mut self, offline: bool) {
        self.offline = offline;
    }

    /// Stops fetching when this is asked to.
    pub(super) fn stopping_by(&mut self, cancel: CancelToken) {
        self.cancel = cancel;
    }

    /// The folder of the model `name`, at `revision` of the hub's repository. An adapter is put together with its model.
    pub(super) fn find(&self, name: &str, revision: Option<&str>, reach: Reach) -> Result<Found, Failure> {
        let found = self.place(name, revision, reach)?;
        match is_adapter(&found.path) {
            true => self.join(found, reach),
            false => Ok(found),
        }
    }

    /// An adapter with its model.
    fn join(&self, adapter: Found, reach: Reach) -> Result<Found, Failure> {
        let (name, revision) = joined::base(&adapter.path)?;
        let base = self.place(&name, revision.as_deref(), reach).map_err(|mut failure| {
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
        let root = self.joined.as_deref().ok_or_else(|| {
            Failure::missing("there is no place for the cache").help("give `--cache DIR` or set XPIPE_CACHE")
        })?;
        let [one, other, root] = [&adapter.path, &base.path, root].map(std::path::absolute);
        Ok(Found { path: joined::folder(&one?, &other?, &root?)?, ..adapter })
    }

    /// The folder of the model `name` itself.
    fn place(&self, name: &str, revision: Option<&str>, reach: Reach) -> Result<Found, Failure> {
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
        // What is pinned is the name with the revision that the study writes: another revision is another pin.
        let pin = revision.map_or_else(|| name.to_owned(), |r| format!("{name}@{r}"));
        let mut lock = self.lock.lock().map_err(|_| lost())?;
        let wanted = lock.revision(&pin).or(revision).unwrap_or("main").to_owned();
        hub::check_revision(&wanted)?;
        let (folder, commit) = self.snapshot(name, &wanted, reach)?;
        lock.pin(&pin, &commit)?;
        Ok(found(folder, format!("{name}@{}", commit.get(..8).unwrap_or(&commit))))
    }

    /// The snapshot of a revision, from the hub's cache or the hub.
    fn snapshot(&self, name: &str, revision: &str, reach: Reach) -> Result<(PathBuf, String), Failure> {
        let key = (name.to_owned(), revision.to_owned());
        let mut whole = self.whole.lock().map_err(|_| lost())?;
        if let Some(found) = whole.get(&key) {
            return Ok(found.clone());
        }
        let root = hub::cache();
        let repository = root.as_deref().map(|root| Repository::new(root, name)).transpose()?;
        let not = match repository.as_ref().map_or(Err(Not::There), |r| cached(r, revision)) {
            Ok(hit) => {
                whole.insert(key, hit.clone());
                return Ok(hit);
            }
            Err(not) => not,
        };
        let forbidden = match self.offline {
            true => Some("`--offline`"),
            false => hub::offline(),
        };
        let (what, help) = match not {
            Not::Known(folder, commit, files) => {
                if forbidden.is_some() || reach == Reach::Local {
                    return Ok((folder, commit));
                }
                let Some(repository) = repository else { return Ok((folder, commit)) };
                let hit = self.fetch(name, revision, repository).unwrap_or_else(|failure| {
                    let note = format!(
                        "note: {name}: whether the hub has {files} of it could not be asked: {failure}"
                    );
                    super::out::warn(&note);
                    (folder, commit)
                });
                whole.insert(key, hit.clone());
                return Ok(hit);
            }
            Not::There => (format!("the model {name} at `{revision}` is not on this machine"), advice(name)),
            Not::Whole(files) => (
                format!("the model {name} at `{revision}` is not whole on this machine: {files}"),
                format!("run once with network: what is missing is fetched. {}", advice(name)),
            ),
        };
        if reach == Reach::Local {
            return Err(
                Failure::missing(format!("{what} yet")).help("`xpipe fetch` or `xpipe run` fetches it")
            );
        }
        if let Some(by) = forbidden {
            return Err(Failure::missing(format!("{what}, and {by} forbids to fetch it")).help(help));
        }
        let repository = repository.ok_or_else(|| {
            Failure::missing("there is no folder for models: HOME is not set").help("set HF_HOME to a folder")
        })?;
        let fetched = self.fetch(name, revision, repository)?;
        whole.insert(key, fetched.clone());
        Ok(fetched)
    }

    /// Brings what is missing of a snapshot.
    fn fetch(
        &self,
        name: &str,
        revision: &str,
        repository: Repository,
    ) -> Result<(PathBuf, String), Failure> {
        super::out::warn(&format!("fetching {name} at `{revision}` from {}", hub::endpoint()));
        let progress = told::Told::new(self.cancel.clone());
        let client = hub::Client::of_environment();
        fetched::fetch(&client, repository, name, revision, &progress).map_err(|mut failure| {
            if failure.kind == xpipe_base::task::FailureKind::Missing {
                let before = failure.help.map(|h| format!("{h}. ")).unwrap_or_default();
                failure.help = Some(format!("{before}{}", advice(name)));
            }
            failure
        })
    }
}

fn found(path: PathBuf, label: String) -> Found {
    let parts = parts(&path);
    Found { path, label, digest: None, parts }
}

/// What of a folder makes its content: what is read of it, so that a model card, other forms of the same weights or a
/// trainer's files run nothing again. Folders of other kinds count whole.
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

pub(super) fn lost() -> Failure {
    Failure::bug("the lock file's state is lost")
}

/// A whole snapshot in the hub's cache: its folder and commit.
fn cached(repository: &Repository, revision: &str) -> Result<(PathBuf, String), Not> {
    let commit = repository.commit(revision).ok_or(Not::There)?;
    let folder = repository.snapshot(&commit);
    if !folder.is_dir() {
        return Err(Not::There);
    }
    lacking(repository, commit, folder)
}

/// The same of a snapshot that is there.
fn lacking(repository: &Repository, commit: String, folder: PathBuf) -> Result<(PathBuf, String), Not> {
    use xpipe_engine::fetch::hub::Presence;
    use xpipe_nn::files;

    let presence = |file: &str| repository.presence(&commit, file);
    let Ok(chosen) =
        files::choose(|file| Ok::<_, std::convert::Infallible>(presence(file) == Presence::Here));
    let mut lacks: Vec<String> = chosen.lacks.iter().map(|l| l.expected().to_owned()).collect();
    for file in chosen.files.iter().filter(|f| f.ends_with(".json")) {
        // A file that is damaged is told where it is read.
        let named = std::fs::read(folder.join(file)).ok().and_then(|text| files::named_in(file, &text).ok());
        lacks.extend(named.unwrap_or_default().into_iter().filter(|f| presence(f) == Presence::Unknown));
    }
    let unknown = |files: &[&'static str]| -> Vec<String> {
        let unknown = files.iter().filter(|f| presence(f) == Presence::Unknown);
        unknown.map(|f| (*f).to_owned()).collect()
    };
    // Without these, texts may become other tokens.
    lacks.extend(unknown(&["tokenizer_config.json", files::TOKENIZER]));
    if !lacks.is_empty() {
        return Err(Not::Whole(format!("it lacks {}", lacks.join(", "))));
    }
    let others = unknown(&chosen.absent);
    match others.is_empty() {
        true => Ok((folder, commit)),
        false => Err(Not::Known(folder, commit, others.join(", "))),
    }
}

/// What to do about a model that cannot be fetched.
fn advice(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    format!(
        "without network, put its folder (config.json, model.safetensors, tokenizer.json) at DIR/{last} and give \
         `--models DIR`"
    )
}
