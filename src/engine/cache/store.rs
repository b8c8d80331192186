//! The folder on disk: opening it, finding results in it, and the places where work is done.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::digest::{files_digest, path_digest, remembered};
use super::error::At;
use super::history::History;
use super::locks::{self, Held};
use super::memo::Memo;
use super::{Error, Manifest, Miss, Output, Recipe, json};
use xpipe_base::value::Digest;

const FORMAT: &str = "xpipe cache format 1\n";
const FOLDERS: [&str; 8] = ["objects", "trees", "actions", "tmp", "runs", "studies", "locks", "scratch"];

/// A cache. One value a process; shared by its threads.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    pub(super) dir: PathBuf,
    session: Option<Session>,
    pub(super) memo: Memo,
    /// Blobs whose content this process has checked or written.
    pub(super) verified: Mutex<BTreeSet<Digest>>,
    /// Keys whose lock file and folder for checkpoints may be there; cleared away when the store is closed, since
    /// some file systems are slow at making files just after others were removed.
    used: Mutex<BTreeSet<Digest>>,
    counter: AtomicU64,
    pub(super) verify_always: bool,
    pub(super) durable: bool,
}

/// What a living, writing process holds.
#[derive(Debug)]
struct Session {
    /// Below `tmp/`.
    dir: PathBuf,
    /// The session's own lock: whoever can take it knows that the process is gone.
    _own: Held,
    /// Keeps a future `gc` away.
    _shared: File,
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Folders for one attempt at an action, under names that no other attempt of any process uses; removed when dropped.
#[derive(Debug)]
pub struct Workspace {
    /// Where the operation writes its files; fresh and empty.
    pub out: PathBuf,
    /// Where it may write what is no result; not there before it is made.
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
            used.iter().for_each(|key| tidy(&self.dir, key));
        }
    }
}

/// Where a run keeps its events and logs.
#[derive(Clone, Debug)]
pub struct RunDir {
    /// The run's name: its time and process, for instance `20261124-101500-4711`.
    pub id: String,
    /// The folder.
    pub path: PathBuf,
}

impl Store {
    /// Opens a cache for a run: makes what is missing, takes the shared lock, clears up after dead processes.
    ///
    /// # Errors
    /// When the root cannot be written, or was made by another version.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let not_writable = |source: io::Error| match Error::io("writing", root, source) {
            Error::Io { path, source, .. } => Error::NotWritable { path, source },
            other => other,
        };
        std::fs::create_dir_all(root).map_err(not_writable)?;
        let root = root.canonicalize().map_err(not_writable)?;
        let dir = check_version(&root)?;
        for folder in FOLDERS {
            std::fs::create_dir_all(dir.join(folder)).map_err(not_writable)?;
        }
        let tag = root.join("CACHEDIR.TAG");
        if !tag.exists() {
            std::fs::write(tag, CACHEDIR_TAG).map_err(not_writable)?;
        }
        if !dir.join("FORMAT").exists() {
            std::fs::write(dir.join("FORMAT"), FORMAT).map_err(not_writable)?;
        }
        let shared = locks::share(&dir.join("locks/store")).map_err(not_writable)?;
        sweep(&dir);
        let (session, own) = new_session(&dir.join("tmp")).map_err(not_writable)?;
        let session = Session { dir: session, _own: own, _shared: shared };
        Ok(Self::new(root, dir, Some(session)))
    }

    /// Opens a cache to look into it: writes nothing, takes no lock. A cache that does not exist is an empty one.
    ///
    /// # Errors
    /// When the root was made by another version.
    pub fn reading(root: &Path) -> Result<Self, Error> {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let dir = check_version(&root)?;
        Ok(Self::new(root, dir, None))
    }

    fn new(root: PathBuf, dir: PathBuf, session: Option<Session>) -> Self {
        Self {
            memo: Memo::new(dir.join("memo.digests"), session.is_some()),
            root,
            dir,
            session,
            verified: Mutex::default(),
            used: Mutex::default(),
            counter: AtomicU64::new(0),
            verify_always: false,
            durable: true,
        }
    }

    /// Makes this process read every input again instead of trusting the memo (`--verify=always`).
    #[must_use]
    pub fn verify_always(mut self, always: bool) -> Self {
        self.verify_always = always;
        self
    }

    /// Whether what is published is made to survive a loss of power, which takes milliseconds a result. On unless
    /// switched off; without it such a loss can cost results, never give wrong ones. For tests and benchmarks.
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

    /// A path as it is recorded: relative to [`Self::dir`] where it is below it.
    pub(crate) fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.dir).unwrap_or(path).to_owned()
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.dir.join("objects").join(&hex[..2]).join(&hex[2..])
    }

    pub(super) fn manifest_path(&self, key: &Digest) -> PathBuf {
        manifest_of(&self.dir, key)
    }

    /// The result of a key: readable, and every file there with the right size. Content is checked on first use, by
    /// [`Self::tree`].
    ///
    /// # Errors
    /// Why it is no hit. A blob of the wrong size is set aside.
    pub fn look(&self, key: &Digest) -> Result<Manifest, Miss> {
        let path = self.manifest_path(key);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Miss::Absent),
            Err(e) => return Err(Miss::Unreadable { path, why: e.to_string() }),
        };
        let manifest = Manifest::parse(&bytes, key).map_err(|why| Miss::Unreadable { path, why })?;
        for output in &manifest.outputs {
            self.sized(output)?;
        }
        Ok(manifest)
    }

    /// [`Self::look`] without the reason.
    pub fn lookup(&self, key: &Digest) -> Option<Manifest> {
        self.look(key).ok()
    }

    fn sized(&self, output: &Output) -> Result<(), Miss> {
        let miss = |problem| Err(Miss::Output { name: output.name.to_string(), problem });
        match std::fs::metadata(self.blob(&output.digest)) {
            Ok(meta) if meta.len() == output.size => Ok(()),
            Ok(_) => {
                self.set_aside(&output.digest);
                miss("has another size than was recorded")
            }
            Err(_) => miss("is gone"),
        }
    }

    /// Checks the content of every file of a result, once a process and unchanged file.
    ///
    /// # Errors
    /// The file that is damaged; it has been set aside, so that the action can be run again.
    pub fn check(&self, manifest: &Manifest) -> Result<(), Miss> {
        for output in &manifest.outputs {
            self.sized(output)?;
            if !self.sound(&output.digest) {
                self.set_aside(&output.digest);
                return Err(Miss::Output {
                    name: output.name.to_string(),
                    problem: "has other content than was recorded",
                });
            }
        }
        Ok(())
    }

    /// Whether a blob's content is what its name says.
    pub(super) fn sound(&self, digest: &Digest) -> bool {
        let known = |s: &Self| s.verified.lock().unwrap_or_else(PoisonError::into_inner).contains(digest);
        if known(self) {
            return true;
        }
        let path = self.blob(digest);
        let Ok(meta) = std::fs::metadata(&path) else { return false };
        let sound = remembered(&path, &meta, &self.memo, self.verify_always).is_ok_and(|d| d == *digest);
        if sound {
            self.verified.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest);
        }
        sound
    }

    /// Moves a damaged blob out of the way. A store opened for reading leaves it.
    pub(super) fn set_aside(&self, digest: &Digest) {
        if self.session.is_some() {
            self.verified.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
        }
        self.put_aside(&self.blob(digest), &digest.hex());
    }

    /// Moves a damaged file out of the way, to a name that begins as is said. A store opened for reading leaves it.
    pub(super) fn put_aside(&self, file: &Path, name: &str) {
        if self.session.is_none() {
            return;
        }
        let folder = self.dir.join("damaged");
        let to = folder.join(format!("{name}.{}-{}", std::process::id(), self.unique()));
        let _ = std::fs::create_dir_all(&folder).and_then(|()| std::fs::rename(file, to));
    }

    /// Where the folder of a result is, or will be; touches nothing.
    pub fn tree_path(&self, manifest: &Manifest) -> PathBuf {
        self.dir.join("trees").join(manifest.tree.hex())
    }

    /// The folder of a result, checked and complete; made again from the blobs when something is missing in it.
    ///
    /// # Errors
    /// `Ok(Err(miss))` when a blob is damaged (then the action must run again), an [`Error`] when the folder cannot
    /// be made.
    pub fn tree(&self, manifest: &Manifest) -> Result<Result<PathBuf, Miss>, Error> {
        if let Err(miss) = self.check(manifest) {
            return Ok(Err(miss));
        }
        let path = self.tree_path(manifest);
        if !manifest.outputs.iter().all(|o| self.in_tree(&path, o)) || !path.is_dir() {
            self.build_tree(manifest, &path)?;
        }
        Ok(Ok(path))
    }

    /// Whether a tree's file is its blob, or (on file systems without hard links) an unchanged copy of it.
    fn in_tree(&self, tree: &Path, output: &Output) -> bool {
        use std::os::unix::fs::MetadataExt;
        let path = output.name.below(tree);
        let (Ok(here), Ok(blob)) = (std::fs::metadata(&path), std::fs::metadata(self.blob(&output.digest)))
        else {
            return false;
        };
        (here.dev(), here.ino()) == (blob.dev(), blob.ino())
            || (here.len() == output.size
                && blob.nlink() == 1
                && remembered(&path, &here, &self.memo, false).is_ok_and(|d| d == output.digest))
    }

    /// The recipe recorded under a key, without paths and labels.
    pub fn recipe(&self, key: &Digest) -> Option<Recipe> {
        #[derive(serde::Deserialize)]
        struct Only {
            recipe: serde_json::Value,
        }
        let bytes = std::fs::read(self.manifest_path(key)).ok()?;
        Manifest::parse(&bytes, key).ok()?;
        json::read(&serde_json::from_slice::<Only>(&bytes).ok()?.recipe)
    }

    /// The manifest recorded under a key, whether or not its files are still there.
    pub fn record(&self, key: &Digest) -> Option<Manifest> {
        Manifest::parse(&std::fs::read(self.manifest_path(key)).ok()?, key).ok()
    }

    /// The digest and size of an input file or folder, from the memo unless every input must be read again. Of
    /// a folder counts what [`xpipe_base::task::passed_over`] says.
    ///
    /// # Errors
    /// When it does not exist, cannot be read, or changes meanwhile.
    pub fn digest_path(&self, path: &Path) -> Result<(Digest, u64), Error> {
        path_digest(path, &self.memo, self.verify_always)
    }

    /// The same of a folder of which these files are read; `reading` tells a new way of reading the same files apart.
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
    /// When it cannot be made, or the store is open for reading only.
    pub fn workspace(&self, key: &Digest) -> Result<Workspace, Error> {
        let out = self.temp(&key.hex()[..16])?;
        std::fs::create_dir(&out).at("making", &out)?;
        let temp = out.with_added_extension("temp");
        Ok(Workspace { out, temp })
    }

    /// A name that nobody else uses, below this process's part of `tmp/`.
    pub(super) fn temp(&self, stem: &str) -> Result<PathBuf, Error> {
        match &self.session {
            Some(session) => Ok(session.dir.join(format!("{stem}.{}", self.unique()))),
            None => Err(Error::NotWritable {
                path: self.root.clone(),
                source: io::Error::new(io::ErrorKind::PermissionDenied, "opened for reading"),
            }),
        }
    }

    fn unique(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// The folder for checkpoints of a key, kept until [`Self::clear_scratch`].
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch(&self, key: &Digest) -> Result<PathBuf, Error> {
        let path = self.dir.join("scratch").join(key.hex());
        std::fs::create_dir_all(&path).at("making", &path)?;
        Ok(path)
    }

    /// The folder for answers of language models, which are kept for good; made by whoever writes the first of them.
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

    /// Takes the lock of a key; `None` while another action of a living process holds it.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn try_lock(&self, key: &Digest) -> Result<Option<Held>, Error> {
        let path = self.dir.join("locks").join(key.hex());
        let held = locks::try_lock(&path, false).at("locking", &path)?;
        if held.is_some() {
            self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(*key);
        }
        Ok(held)
    }

    /// What became of each address of a study last.
    pub fn history(&self, study: &str) -> History {
        History::of(&self.dir.join("studies"), study, self.session.is_some())
    }

    /// A new folder for the events and logs of a run.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new_run(&self) -> Result<RunDir, Error> {
        let time = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
        let base = format!("{time}-{}", std::process::id());
        for n in 0u32.. {
            let id = if n == 0 { base.clone() } else { format!("{base}-{n}") };
            let path = self.dir.join("runs").join(&id);
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(RunDir { id, path }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io("making", &path, e)),
            }
        }
        unreachable!("a free name is found before the numbers end")
    }
}

fn manifest_of(dir: &Path, key: &Digest) -> PathBuf {
    let hex = key.hex();
    dir.join("actions").join(&hex[..2]).join(format!("{hex}.json"))
}

fn check_version(root: &Path) -> Result<PathBuf, Error> {
    const EXPECTED: &str = "1";
    let other = |found: String| Err(Error::OtherVersion { path: root.to_owned(), found, expected: EXPECTED });
    let dir = root.join("v1");
    match std::fs::read_to_string(dir.join("FORMAT")) {
        Ok(text) if text == FORMAT => return Ok(dir),
        // Cut by a crash while it was being made: as good as not there.
        Ok(text) if FORMAT.starts_with(&text) => {}
        Ok(text) => return other(text.trim().rsplit(' ').next().unwrap_or_default().to_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {}
        Err(e) => return Err(Error::io("reading", &dir.join("FORMAT"), e)),
    }
    if !dir.exists()
        && let Ok(entries) = std::fs::read_dir(root)
    {
        for name in entries.flatten().filter_map(|e| e.file_name().into_string().ok()) {
            // Our own folder may just have been made by another run.
            let number = name.strip_prefix('v').filter(|n| n.parse::<u32>().is_ok() && *n != EXPECTED);
            if let Some(number) = number {
                return other(number.to_owned());
            }
        }
    }
    Ok(dir)
}

fn new_session(tmp: &Path) -> io::Result<(PathBuf, Held)> {
    for n in 0u32.. {
        let nanos =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let dir = tmp.join(format!("{}-{nanos:x}-{n}", std::process::id()));
        let Some(own) = locks::try_lock(&dir.with_extension("lock"), true)? else { continue };
        match std::fs::create_dir(&dir) {
            Ok(()) => return Ok((dir, own)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    unreachable!("a free name is found before the numbers end")
}

/// Removes the lock file of a key, and its folder for checkpoints when it is empty or the key's result is there, unless
/// somebody is at work on it.
fn tidy(dir: &Path, key: &Digest) {
    if let Ok(Some(held)) = locks::try_lock(&dir.join("locks").join(key.hex()), true) {
        let scratch = dir.join("scratch").join(key.hex());
        if held.real && std::fs::remove_dir(&scratch).is_err() && manifest_of(dir, key).exists() {
            let _ = std::fs::remove_dir_all(&scratch);
        }
        drop(held);
    }
}

/// Removes what dead processes left: temporary folders whose lock can be taken, or that have none, and lock files.
fn sweep(dir: &Path) {
    let names = |folder: &str| std::fs::read_dir(dir.join(folder)).into_iter().flatten().flatten();
    // A process may also have ended between publishing a result and clearing its checkpoints away.
    for entry in names("locks").chain(names("scratch")) {
        if let Some(key) = entry.file_name().to_str().and_then(Digest::parse) {
            tidy(dir, &key);
        }
    }
    let Ok(entries) = std::fs::read_dir(dir.join("tmp")) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let lock = path.with_extension("lock");
        if let Ok(Some(held)) = locks::try_lock(&lock, true)
            && held.real
        {
            let folder = lock.with_extension("");
            // Programs that outlived a run killed by force still write here, into a folder that is nobody's.
            crate::process::end_strays(&folder);
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

const CACHEDIR_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This folder is a cache of xpipe: everything in it can be made again.\n";

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
        assert_eq!(store.look(&Digest::of(b"x")), Err(Miss::Absent));
        assert!(store.workspace(&Digest::of(b"x")).is_err());
        assert!(!root.exists());
    }

    #[test]
    fn work_of_dead_processes_is_swept_and_of_living_ones_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let living = Store::open(dir.path()).unwrap();
        let work = living.workspace(&Digest::of(b"k")).unwrap();
        let tmp = dir.path().canonicalize().unwrap().join("v1/tmp");
        std::fs::create_dir_all(tmp.join("99999-dead-0/half")).unwrap();
        std::fs::write(tmp.join("99999-dead-0.lock"), "").unwrap();
        std::fs::create_dir_all(tmp.join("lockless")).unwrap();
        let second = Store::open(dir.path()).unwrap();
        assert!(work.out.is_dir());
        assert!(!tmp.join("99999-dead-0").exists() && !tmp.join("99999-dead-0.lock").exists());
        assert!(!tmp.join("lockless").exists());
        drop((work, living, second));
        assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);
    }

    #[test]
    fn checkpoints_left_by_dead_processes_are_kept_only_without_a_result() {
        let dir = tempfile::tempdir().unwrap();
        let (done, open) = (Digest::of(b"done"), Digest::of(b"open"));
        let scratch = |key: &Digest| {
            let store = Store::open(dir.path()).unwrap();
            let path = store.scratch(key).unwrap();
            std::fs::write(path.join("checkpoint"), "x").unwrap();
            let manifest = store.manifest_path(key);
            std::fs::create_dir_all(manifest.parent().unwrap()).unwrap();
            (path, manifest)
        };
        let ((left, manifest), (kept, _)) = (scratch(&done), scratch(&open));
        std::fs::write(manifest, "{}").unwrap();
        drop(Store::open(dir.path()).unwrap());
        assert!(!left.exists() && kept.join("checkpoint").exists());
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
