//! The store: opening it, and the folders that actions work in.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::digest::{files_digest, path_digest};
use super::error::At;
use super::history::History;
use super::locks::{self, FileLock};
use super::memo::Memo;
use super::network::{Network, is_local};
use super::owner::host;
use super::session::{Session, check_version, remove_leftovers};
use super::{Error, disk};
use xpipe_base::modes;
use xpipe_base::value::Digest;

/// A cache, opened once per process and shared by its threads.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    pub(super) dir: PathBuf,
    session: Option<Session>,
    pub(super) network: Network,
    pub(super) memo: Memo,
    /// Blobs whose content this process has checked or written.
    pub(super) verified: Mutex<BTreeSet<Digest>>,
    /// Folders that this process has opened to those who share the cache, and whose names it has synced.
    pub(super) anchored: Mutex<BTreeSet<PathBuf>>,
    /// Held while a folder of a result is built.
    pub(super) building: Mutex<()>,
    /// Keys whose lock file and scratch folder may exist. They are removed when the store is closed, not before: some
    /// file systems are slow at creating files just after others were removed.
    used: Mutex<BTreeSet<Digest>>,
    counter: AtomicU64,
    pub(super) verify_always: bool,
    pub(super) durable: bool,
}

/// Folders for one attempt at an action, with unique names; removed when dropped.
#[derive(Debug)]
pub struct Workspace {
    /// An empty folder for the result's files.
    pub out: PathBuf,
    /// A folder for other files; the operation creates it if it needs one.
    pub temp: PathBuf,
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.out);
        let _ = std::fs::remove_dir_all(&self.temp);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.session.is_some() {
            let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
            used.iter().for_each(|key| remove_leftovers(&self.dir, key));
        }
    }
}

/// The folder of a run's events and logs.
#[derive(Clone, Debug)]
pub struct RunDir {
    /// The run's name: its time and process, for instance `20261124-101500-4711`.
    pub id: String,
    /// The folder's path.
    pub path: PathBuf,
}

impl Store {
    /// Opens a cache for writing: creates missing folders, removes leftovers of dead processes.
    ///
    /// # Errors
    /// The root cannot be written, or has another format version.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let not_writable = |source: io::Error| match Error::io("writing", root, source) {
            Error::Io { path, source, .. } => Error::NotWritable { path, source },
            other => other,
        };
        modes::make_folder(root).map_err(not_writable)?;
        let root = root.canonicalize().map_err(not_writable)?;
        let dir = check_version(&root)?;
        let session = Session::begin(&root, &dir, is_local(&dir)).map_err(not_writable)?;
        Ok(Self::new(root, dir, Some(session)))
    }

    /// Opens a cache for reading: writes nothing, takes no lock. A cache that does not exist is empty.
    ///
    /// # Errors
    /// The root has another format version.
    pub fn reading(root: &Path) -> Result<Self, Error> {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let dir = check_version(&root)?;
        Ok(Self::new(root, dir, None))
    }

    fn new(root: PathBuf, dir: PathBuf, session: Option<Session>) -> Self {
        let network = Network::of(&dir);
        // Device numbers are those of a host, and appending together is not safe on a network file system.
        let memo =
            if network.is_local() { "memo.digests".to_owned() } else { format!("memo-{}.digests", host()) };
        Self {
            memo: Memo::new(dir.join(memo), session.is_some()),
            network,
            root,
            dir,
            session,
            verified: Mutex::default(),
            anchored: Mutex::default(),
            building: Mutex::default(),
            used: Mutex::default(),
            counter: AtomicU64::new(0),
            verify_always: false,
            durable: true,
        }
    }

    /// Whether every input is read again, without the digest memo (`--verify=always`).
    #[must_use]
    pub fn verify_always(mut self, always: bool) -> Self {
        self.verify_always = always;
        self
    }

    /// Whether every input is read again.
    pub(crate) fn verifies_always(&self) -> bool {
        self.verify_always
    }

    /// Whether results are synced to disk, which takes milliseconds each. Default: true. Without it a power failure can
    /// lose results, but never makes them wrong. Off in tests and benchmarks.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// The cache root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The root's `v1`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path as it is recorded: relative to [`Self::dir`] if it is below that.
    pub(crate) fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.dir).unwrap_or(path).to_owned()
    }

    /// The digest and size of an input file or folder, from the memo if that has them. Files that
    /// [`xpipe_base::task::is_ignored`] names are no part of a folder.
    ///
    /// # Errors
    /// It does not exist, cannot be read, or changes meanwhile.
    pub fn digest_path(&self, path: &Path) -> Result<(Digest, u64), Error> {
        path_digest(path, &self.memo, self.verify_always)
    }

    /// The same for some files of a folder. `reading` distinguishes a new way of reading the same files.
    ///
    /// # Errors
    /// As [`Store::digest_path`].
    pub fn digest_files(
        &self,
        folder: &Path,
        files: &[String],
        reading: Option<&str>,
    ) -> Result<(Digest, u64), Error> {
        files_digest(folder, files, reading, &self.memo, self.verify_always)
    }

    /// Folders for one attempt at an action.
    ///
    /// # Errors
    /// They cannot be created, or the store is read-only.
    pub fn workspace(&self, key: &Digest) -> Result<Workspace, Error> {
        let out = self.temp(&key.hex()[..16])?;
        disk::make_folder(&out).at("making", &out)?;
        let temp = out.with_added_extension("temp");
        Ok(Workspace { out, temp })
    }

    /// A unique path below this process's folder in `tmp/`.
    pub(super) fn temp(&self, stem: &str) -> Result<PathBuf, Error> {
        Ok(self.session_folder()?.join(format!("{stem}.{}", self.unique())))
    }

    /// This process's folder in `tmp/`.
    pub(super) fn session_folder(&self) -> Result<&Path, Error> {
        match &self.session {
            Some(session) => Ok(&session.dir),
            None => Err(Error::NotWritable {
                path: self.root.clone(),
                source: io::Error::new(io::ErrorKind::PermissionDenied, "opened for reading"),
            }),
        }
    }

    /// Whether this store was opened for writing.
    pub(super) fn is_writable(&self) -> bool {
        self.session.is_some()
    }

    /// A number that this store has not used.
    pub(super) fn unique(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// The folder for a key's checkpoints, kept until [`Self::clear_scratch`].
    ///
    /// # Errors
    /// It cannot be created.
    pub fn scratch(&self, key: &Digest) -> Result<PathBuf, Error> {
        let path = self.dir.join("scratch").join(key.hex());
        modes::make_folder(&path).at("making", &path)?;
        Ok(path)
    }

    /// The folder for answers of language models, which are kept for good. It may not exist yet.
    pub fn answers(&self) -> PathBuf {
        self.dir.join("answers")
    }

    /// Removes the checkpoints of a key.
    pub fn clear_scratch(&self, key: &Digest) {
        let path = self.dir.join("scratch").join(key.hex());
        if std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
            let _ = std::fs::remove_dir_all(path);
        }
    }

    /// Takes the lock of a key; `None` while another process or thread holds it.
    ///
    /// # Errors
    /// The lock file cannot be created.
    pub fn try_lock(&self, key: &Digest) -> Result<Option<FileLock>, Error> {
        let path = self.dir.join("locks").join(key.hex());
        let held = locks::try_lock(&path, false).at("locking", &path)?;
        if held.is_some() {
            self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(*key);
        }
        Ok(held)
    }

    /// The last result and failure of each address of a study.
    pub fn history(&self, study: &str) -> History {
        History::of(&self.dir.join("studies"), study, self.session.is_some())
    }

    /// The histories of all studies that were run with this cache.
    ///
    /// # Errors
    /// A history is there and cannot be read.
    pub fn histories(&self) -> Result<Vec<History>, Error> {
        History::all(&self.dir.join("studies"))
    }

    /// Creates a folder for the events and logs of a run.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn new_run(&self) -> Result<RunDir, Error> {
        let time = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
        let base = format!("{time}-{}", std::process::id());
        for n in 0u32.. {
            let id = if n == 0 { base.clone() } else { format!("{base}-{n}") };
            let path = self.dir.join("runs").join(&id);
            match std::fs::create_dir(&path) {
                Ok(()) => {
                    modes::inherit_folder(&path).at("making", &path)?;
                    return Ok(RunDir { id, path });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io("making", &path, e)),
            }
        }
        unreachable!("some name is free")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_must_be_a_writable_folder_of_this_version() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(Store::open(&file.join("below")), Err(Error::NotWritable { .. })));
        assert!(matches!(Store::open(&file), Err(Error::NotWritable { .. })));

        let later = dir.path().join("later");
        std::fs::create_dir_all(later.join("v2")).unwrap();
        let e = Store::open(&later).unwrap_err();
        assert!(e.to_string().contains("has format 2"), "{e}");
        assert_eq!(e.exit_code(), 5);

        let odd = dir.path().join("odd");
        std::fs::create_dir_all(odd.join("v1")).unwrap();
        std::fs::write(odd.join("v1/FORMAT"), "xpipe cache format 9\n").unwrap();
        assert!(matches!(Store::reading(&odd), Err(Error::OtherVersion { found, .. }) if found == "9"));
    }

    #[test]
    fn looking_into_a_cache_that_does_not_exist_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("none");
        let store = Store::reading(&root).unwrap();
        assert_eq!(store.get(&Digest::of(b"x")), Err(crate::cache::Miss::Absent));
        assert!(store.workspace(&Digest::of(b"x")).is_err());
        assert!(!root.exists());
    }

    #[test]
    fn a_key_is_locked_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (Store::open(dir.path()).unwrap(), Store::open(dir.path()).unwrap());
        let key = Digest::of(b"k");
        let held = a.try_lock(&key).unwrap().unwrap();
        assert!(b.try_lock(&key).unwrap().is_none());
        drop(held);
        assert!(b.try_lock(&key).unwrap().is_some());
    }
}
