//! What holds for every study of a session: where the cache and the models are, and how much of the machine to use.

use std::path::PathBuf;

use super::error::Error;
use xpipe_base::task::Failure;
use xpipe_engine::cache::Store;
use xpipe_engine::{Heavy, Options};

/// Places and resources.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The root of the cache. Default: [`Settings::cache_root`].
    pub cache: Option<PathBuf>,
    /// Folders of models, searched before XPIPE_MODELS and the hub's cache.
    pub models: Vec<PathBuf>,
    /// Threads. Default: one for each core.
    pub threads: Option<usize>,
    /// Bytes of memory for all stages together. Default: what the machine or its control group has.
    pub memory: Option<u64>,
    /// Whether a change of the lock file is an error.
    pub locked: bool,
    /// Whether inputs are read again although their size and times are unchanged.
    pub verify_always: bool,
}

impl Settings {
    /// The root of the cache: the setting, XPIPE_CACHE, `cache/` of a checkout of xpipe, or the user's cache folder.
    ///
    /// # Errors
    /// None of them is known.
    pub fn cache_root(&self) -> Result<PathBuf, Error> {
        if let Some(dir) = &self.cache {
            return Ok(dir.clone());
        }
        if let Some(dir) = std::env::var_os("XPIPE_CACHE").filter(|d| !d.is_empty()) {
            return Ok(PathBuf::from(dir));
        }
        if let Ok(cwd) = std::env::current_dir() {
            let is_checkout = |dir: &&std::path::Path| {
                dir.join("grammar/xpipe.pest").exists() && dir.join("cache/CACHEDIR.TAG").exists()
            };
            if let Some(checkout) = cwd.ancestors().find(is_checkout) {
                return Ok(checkout.join("cache"));
            }
        }
        let user = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache")));
        user.map(|folder| folder.join("xpipe")).ok_or_else(|| no_cache().into())
    }

    /// The folders that models are looked for in.
    pub fn model_folders(&self) -> Vec<PathBuf> {
        let mut folders = self.models.clone();
        folders.extend(std::env::var_os("XPIPE_MODELS").map(PathBuf::from));
        folders
    }

    /// How many threads to use.
    pub fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        self.threads.filter(|n| *n > 0).unwrap_or_else(cores)
    }

    /// Options of a run or a plan.
    pub fn options(&self, heavy: Heavy) -> Options {
        let mut options = Options::new(self.threads(), heavy);
        options.memory = self.memory.unwrap_or(options.memory);
        options
    }

    /// The cache, to read from.
    ///
    /// # Errors
    /// It has no place, or threads cannot be started.
    pub fn open_to_read(&self) -> Result<Store, Error> {
        start_threads()?;
        let store = Store::reading(&self.cache_root()?)?.verify_always(self.verify_always);
        require_utf8(&store)?;
        Ok(store)
    }

    /// The cache, to write to. It is made where there is none.
    ///
    /// # Errors
    /// It has no place, cannot be written, or threads cannot be started.
    pub fn open_to_write(&self) -> Result<Store, Error> {
        let root = self.cache_root()?;
        std::fs::create_dir_all(&root)
            .map_err(|e| Error::missing(format!("cannot make the cache {}: {e}", root.display())))?;
        start_threads()?;
        require_utf8(&Store::reading(&root)?)?;
        Ok(Store::open(&root)?.verify_always(self.verify_always))
    }
}

/// The failure of a look-up that needs a cache where none has a place.
pub(super) fn no_cache() -> Failure {
    Failure::missing("there is no place for the cache").help("give `--cache DIR` or set XPIPE_CACHE")
}

/// Starts the threads that the process shares, which hashing and reading use.
fn start_threads() -> Result<(), Error> {
    xpipe_engine::process::start_global_pool().map_err(|e| Failure::no_threads(e).into())
}

/// Refuses a cache whose path, links followed, is not UTF-8: task specifications and manifests hold paths as text.
fn require_utf8(store: &Store) -> Result<(), Error> {
    match store.root().to_str() {
        Some(_) => Ok(()),
        None => Err(Error::usage(format!(
            "the path of the cache, {}, is not UTF-8; give another with `--cache DIR`",
            store.root().display()
        ))),
    }
}
