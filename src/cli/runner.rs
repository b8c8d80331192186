//! How the engine reaches operations, files and models of this machine.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use super::args::Common;
use super::lock::Lock;
use super::models::{Models, lost};
use xpipe_base::task::{Demands, Failure, ReadyFn, RunFn};
use xpipe_base::value::{Checksum, Input};
use xpipe_engine::cache::downloads::{Download, downloads};
use xpipe_engine::{CancelToken, Found, Reach, Runner};
use xpipe_lang::types::Registry;

/// The operations of this build over the files of this machine.
pub(super) struct Local {
    registry: Registry,
    models: Models,
    lock: Arc<Mutex<Lock>>,
    /// The folder of downloads; `None` where there is no place for a cache.
    downloads: Option<PathBuf>,
}

impl Local {
    /// With a study's lock file, which pins the revisions of hub models and the digests of downloads.
    pub(super) fn new(common: &Common, lock: Lock) -> Self {
        let lock = Arc::new(Mutex::new(lock));
        let cache = super::study::cache_root(common).ok();
        Self {
            registry: xpipe_study::ops::registry(),
            models: Models::new(super::study::model_folders(common), lock.clone(), cache.as_deref()),
            lock,
            downloads: cache.map(|root| downloads(&root)),
        }
    }

    /// Asks nothing of the hub.
    #[must_use]
    pub(super) fn offline(mut self, offline: bool) -> Self {
        self.models.offline(offline);
        self
    }

    /// Stops what it fetches when this is asked to.
    #[must_use]
    pub(super) fn stopping_by(mut self, cancel: &CancelToken) -> Self {
        self.models.stopping_by(cancel.clone());
        self
    }

    /// The study's lock file.
    pub(super) fn lock(&self) -> Result<MutexGuard<'_, Lock>, Failure> {
        self.lock.lock().map_err(|_| lost())
    }

    /// Writes pins that are new to the lock file.
    pub(super) fn save_lock(&self) -> Result<(), Failure> {
        self.lock()?.save()
    }

    /// The digest of a download: as it is declared, else as it is pinned.
    pub(super) fn digest(&self, url: &str, declared: Option<&str>) -> Result<Option<Checksum>, Failure> {
        let lock = self.lock()?;
        let Some(text) = declared.or_else(|| lock.download(url)) else { return Ok(None) };
        Checksum::parse(text).map(Some).map_err(|why| {
            Failure::missing(format!("{}: the digest of {url} is damaged: {why}", lock.name()))
                .help("remove it there to pin it anew")
        })
    }

    /// Where a download is or will be. Its content is known before it is here, so nothing is asked of the network.
    fn remote(
        &self,
        input: &Input,
        url: &str,
        digest: Option<&str>,
        member: Option<&str>,
    ) -> Result<Found, Failure> {
        let Some(digest) = self.digest(url, digest)? else {
            return Err(Failure::missing(format!(
                "{url} was not downloaded yet, and no digest is declared for it"
            ))
            .help("`xpipe fetch` or `xpipe run` downloads it and pins its digest in the lock file"));
        };
        let folder = self.downloads.as_ref().ok_or_else(|| {
            Failure::missing("there is no place for the cache").help("give `--cache DIR` or set XPIPE_CACHE")
        })?;
        Ok(Found {
            path: Download::new(folder, url, &digest).path(member),
            label: input.to_string(),
            digest: Some(Download::identity(&digest, member)),
            parts: None,
        })
    }
}

impl Runner for Local {
    fn implementation(&self, op: &str) -> Option<RunFn> {
        self.registry.get(op)?.run
    }

    fn demands(&self, op: &str) -> Option<Demands> {
        self.registry.get(op)?.demands
    }

    fn ready(&self, op: &str) -> Option<ReadyFn> {
        self.registry.get(op)?.ready
    }

    fn find_input(&self, input: &Input, reach: Reach) -> Result<Found, Failure> {
        match input {
            Input::File(path) => match path.exists() {
                true => Ok(Found {
                    path: path.clone(),
                    label: path.display().to_string(),
                    digest: None,
                    parts: None,
                }),
                false => Err(Failure::missing(format!("there is no file {}", path.display())).help(
                    "paths are relative to the file that writes them, in `--set` to the working directory",
                )),
            },
            Input::Model { name, revision } => self.models.find(name, revision.as_deref(), reach),
            Input::Remote { url, digest, member } => {
                self.remote(input, url, digest.as_deref(), member.as_deref())
            }
        }
    }
}
