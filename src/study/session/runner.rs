//! How the engine reaches operations, files, downloads and models of this machine.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use super::lock::Lock;
use super::models::{Models, poisoned};
use super::notice::{Listener, Notice};
use super::settings::{Settings, no_cache};
use crate::ops::exec::builtin;
use xpipe_base::task::{Estimators, Failure, ReadyFn, RunFn};
use xpipe_base::value::{Checksum, Digest, Input, Located};
use xpipe_engine::cache::downloads::{Download, downloads};
use xpipe_engine::{CancelToken, Found, Reach, RemoteCache, Runner};
use xpipe_lang::types::{Op, Registry};
use xpipe_remote::Remote;

/// The operations of this build over the files of this machine.
pub struct LocalRunner {
    registry: Registry,
    models: Models,
    lock: Arc<Mutex<Lock>>,
    /// The folder of downloads; `None` where there is no place for a cache.
    downloads: Option<PathBuf>,
    listener: Listener,
    remote: Option<Remote>,
}

impl LocalRunner {
    /// A runner whose hub revisions and digests of downloads are pinned by a study's lock file.
    pub fn new(settings: &Settings, lock: Lock, listener: Listener) -> Self {
        let lock = Arc::new(Mutex::new(lock));
        let cache = settings.cache_root().ok();
        Self {
            registry: crate::ops::registry(),
            models: Models::new(
                settings.model_folders(),
                lock.clone(),
                cache.as_deref(),
                Arc::clone(&listener),
            ),
            lock,
            downloads: cache.map(|root| downloads(&root)),
            listener,
            remote: None,
        }
    }

    /// Uses a remote cache.
    pub(super) fn use_remote(&mut self, remote: Remote) {
        self.remote = Some(remote);
    }

    /// The remote cache that is used.
    pub(super) fn remote_cache(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    /// Whether the hub may not be asked, and what stops a download from it.
    pub(super) fn configure_network(&mut self, offline: bool, cancel: &CancelToken) {
        self.models.configure_network(offline, cancel.clone());
    }

    /// Tells what is worth knowing.
    pub(super) fn notify(&self, notice: &Notice) {
        (self.listener)(notice);
    }

    /// An operation of this build.
    pub(super) fn operation(&self, name: &str) -> Option<&Op> {
        self.registry.get(name)
    }

    /// What takes notices.
    pub(super) fn listener(&self) -> Listener {
        Arc::clone(&self.listener)
    }

    /// The study's lock file.
    pub(super) fn lock(&self) -> Result<MutexGuard<'_, Lock>, Failure> {
        self.lock.lock().map_err(|_| poisoned())
    }

    /// Writes new pins to the lock file.
    pub(super) fn save_lock(&self) -> Result<(), Failure> {
        self.lock()?.save()
    }

    /// The digest of a download: the declared one, else the pinned one.
    pub(super) fn digest(&self, url: &str, declared: Option<&str>) -> Result<Option<Checksum>, Failure> {
        let lock = self.lock()?;
        let Some(text) = declared.or_else(|| lock.download(url)) else { return Ok(None) };
        Checksum::parse(text).map(Some).map_err(|why| {
            Failure::missing(format!("{}: the digest of {url} is damaged: {why}", lock.name()))
                .help("remove it there to pin it anew")
        })
    }

    /// Where a download is or will be. Its content is known before it is here, so the network is not asked.
    fn download(
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
        let folder = self.downloads.as_ref().ok_or_else(no_cache)?;
        Ok(Found {
            path: Download::new(folder, url, &digest).path(member),
            label: input.to_string(),
            digest: Some(Download::identity(&digest, member)),
            parts: None,
        })
    }
}

impl Runner for LocalRunner {
    fn implementation(&self, op: &str) -> Option<RunFn> {
        self.registry.get(op)?.run
    }

    fn estimators(&self, op: &str) -> Option<Estimators> {
        self.registry.get(op)?.resources
    }

    fn computes_on_gpus(&self) -> bool {
        cfg!(feature = "cuda")
    }

    fn ready(&self, op: &str) -> Option<ReadyFn> {
        self.registry.get(op)?.ready
    }

    fn built_in(&self, identity: &Digest) -> Option<Located> {
        let names = builtin::all().iter().map(|b| format!("self:{}", b.name));
        let mut located = names.filter_map(|name| builtin::located(&name).ok().flatten());
        located.find(|l| l.digest == *identity)
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
                    "a path is relative to the file that it is written in; in `--set`, to the working directory",
                )),
            },
            Input::Model { name, revision } => self.models.find(name, revision.as_deref(), reach),
            Input::Remote { url, digest, member } => {
                self.download(input, url, digest.as_deref(), member.as_deref())
            }
        }
    }

    fn remote(&self) -> Option<&dyn RemoteCache> {
        self.remote.as_ref().map(|remote| remote as &dyn RemoteCache)
    }
}
