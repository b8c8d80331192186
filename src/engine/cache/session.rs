//! What a process that writes to a cache holds and leaves: the format version, its temporary folder, locks, and the
//! removal of what dead processes left.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::locks::{self, FileLock};
use super::owner::{Owner, is_old};
use super::{Error, access, disk};
use xpipe_base::modes;
use xpipe_base::value::Digest;

const FORMAT: &str = "xpipe cache format 1\n";
const FOLDERS: [&str; 8] = ["objects", "trees", "actions", "tmp", "runs", "studies", "locks", "scratch"];
const CACHEDIR_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This folder is a cache of xpipe: everything in it can be recomputed.\n";

/// What a process holds while it writes to a cache.
#[derive(Debug)]
pub(super) struct Session {
    /// A folder below `tmp/`.
    pub(super) dir: PathBuf,
    /// The lock of that folder: whoever can take it knows that the process is dead.
    _own: FileLock,
}

impl Session {
    /// Creates the folders of a cache, removes what dead processes left, and locks a temporary folder. `local`: whether the
    /// file system is a local one, whose locks can be trusted.
    pub(super) fn begin(root: &Path, dir: &Path, local: bool) -> io::Result<Self> {
        for path in std::iter::once(dir.to_owned()).chain(FOLDERS.map(|folder| dir.join(folder))) {
            disk::make_folder(&path)?;
            disk::open_to_group(&path)?;
        }
        access::open_own(root, dir);
        complete(&root.join("CACHEDIR.TAG"), CACHEDIR_TAG)?;
        complete(&dir.join("FORMAT"), FORMAT)?;
        sweep(dir, local, &|path| locks::try_lock(path, true));
        let (own_dir, own) = new_folder(&dir.join("tmp"))?;
        Ok(Self { dir: own_dir, _own: own })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Writes a file that always has the same text, unless it is whole. A crash may have cut it.
fn complete(path: &Path, text: &str) -> io::Result<()> {
    if std::fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    std::fs::write(path, text)?;
    modes::inherit_file(path)
}

/// The path of a key's manifest.
pub(super) fn manifest_path(dir: &Path, key: &Digest) -> PathBuf {
    let hex = key.hex();
    dir.join("actions").join(&hex[..2]).join(format!("{hex}.json"))
}

/// The folder `v1` of a cache root.
///
/// # Errors
/// The root has another format version.
pub(super) fn check_version(root: &Path) -> Result<PathBuf, Error> {
    const EXPECTED: &str = "1";
    let other = |found: String| Err(Error::OtherVersion { path: root.to_owned(), found, expected: EXPECTED });
    let dir = root.join("v1");
    match std::fs::read_to_string(dir.join("FORMAT")) {
        Ok(text) if text == FORMAT => return Ok(dir),
        // Cut short by a crash: counts as absent.
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
            // Another process may just have created our folder.
            let number = name.strip_prefix('v').filter(|n| n.parse::<u32>().is_ok() && *n != EXPECTED);
            if let Some(number) = number {
                return other(number.to_owned());
            }
        }
    }
    Ok(dir)
}

/// Creates a folder for this process below `tmp`, and locks it.
fn new_folder(tmp: &Path) -> io::Result<(PathBuf, FileLock)> {
    let owner = Owner::this();
    for n in 0u32.. {
        let nanos =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let dir = tmp.join(format!("{owner}-{nanos:x}-{n}"));
        let Some(own) = locks::try_lock(&dir.with_extension("lock"), true)? else { continue };
        match std::fs::create_dir(&dir) {
            Ok(()) => {
                modes::inherit_folder(&dir)?;
                return Ok((dir, own));
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    unreachable!("some name is free")
}

/// Removes the lock file of a key, and its scratch folder if that is empty or the key has a result, unless the lock of one
/// of them is held: the worker of a killed run may work on for a moment without the key.
pub(super) fn remove_leftovers(dir: &Path, key: &Digest) {
    if let Ok(Some(held)) = locks::try_lock(&dir.join("locks").join(key.hex()), true) {
        let scratch = dir.join("scratch").join(key.hex());
        if held.real
            && let Ok(_alone) = locks::try_alone_in(&scratch)
            && std::fs::remove_dir(&scratch).is_err()
            && manifest_path(dir, key).exists()
        {
            let _ = std::fs::remove_dir_all(&scratch);
        }
        drop(held);
    }
}

/// How the lock of a temporary folder is taken.
type TryLock<'a> = &'a dyn Fn(&Path) -> io::Result<Option<FileLock>>;

/// Removes what dead processes left: lock files, and temporary folders of processes that are gone.
fn sweep(dir: &Path, local: bool, try_lock: TryLock<'_>) {
    let names = |folder: &str| std::fs::read_dir(dir.join(folder)).into_iter().flatten().flatten();
    // A process may have died between publishing a result and removing its checkpoints.
    for entry in names("locks").chain(names("scratch")) {
        if let Some(key) = entry.file_name().to_str().and_then(Digest::parse)
            && (local || is_old(&entry.path()))
        {
            remove_leftovers(dir, &key);
        }
    }
    let this = Owner::this();
    for entry in names("tmp") {
        let path = entry.path();
        let lock = path.with_extension("lock");
        let folder = lock.with_extension("");
        let owner = Owner::of(&folder);
        let dead = owner.as_ref().map_or(is_old(&path), |owner| owner.is_dead(&this, &path));
        // On a network file system a lock may be granted although a process of another host holds it.
        if !local && !dead {
            continue;
        }
        // Without locks, what this user's dead processes left is known by its name.
        let known = !local && owner.is_some() && is_own(&folder);
        if let Ok(Some(held)) = try_lock(&lock)
            && (held.real || known)
        {
            // Programs that outlived a run killed by SIGKILL still write here.
            crate::process::kill_orphans(&folder);
            // Moved first: should its process live after all, it finds nothing instead of a part.
            let mut away = folder.clone().into_os_string();
            away.push("-swept");
            let _ = std::fs::rename(&folder, &away);
            let _ = std::fs::remove_dir_all(away);
        }
    }
}

/// Whether a folder belongs to the user of this process.
fn is_own(folder: &Path) -> bool {
    std::fs::symlink_metadata(folder).is_ok_and(|meta| meta.uid() == rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Store;

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

    fn really(path: &Path) -> io::Result<Option<FileLock>> {
        locks::try_lock(path, true)
    }

    /// As on a file system without locks.
    fn in_name(path: &Path) -> io::Result<Option<FileLock>> {
        Ok(really(path)?.map(|mut lock| {
            lock.real = false;
            lock
        }))
    }

    /// The name of a folder of a process of this host that is gone.
    fn of_a_dead_process() -> String {
        let this = Owner::this().to_string();
        format!("{this}-1-0").replacen(&std::process::id().to_string(), "4000000000", 1)
    }

    #[test]
    fn where_there_are_no_locks_the_work_of_dead_processes_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let living = Store::open(dir.path()).unwrap();
        let work = living.workspace(&Digest::of(b"k")).unwrap();
        let v1 = dir.path().canonicalize().unwrap().join("v1");
        let [dead, unnamed, other] =
            [of_a_dead_process(), "99999-dead-0".into(), "00000000-11111111-5-7-1-0".into()]
                .map(|name| v1.join("tmp").join(name));
        for folder in [&dead, &unnamed, &other] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("half"), "").unwrap();
        }
        let left = || [&dead, &unnamed, &other].map(|folder| folder.exists());
        // A local file system without locks says nothing of other processes.
        sweep(&v1, true, &in_name);
        assert_eq!((left(), work.out.is_dir()), ([true; 3], true));
        sweep(&v1, false, &in_name);
        assert_eq!((left(), work.out.is_dir()), ([false, true, true], true));
        assert!(!dead.with_extension("lock").exists());
        // Root can give a folder to another user, whose work it then is.
        std::fs::create_dir(&dead).unwrap();
        if std::os::unix::fs::chown(&dead, Some(61_231), None).is_ok() {
            assert!(!is_own(&dead));
            sweep(&v1, false, &in_name);
            assert!(dead.exists());
        }
    }

    #[test]
    fn a_lock_that_others_hold_stops_no_process() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        let path = dir.path().join("v1/locks/store");
        assert!(!path.exists());
        // As an older version may hold it.
        let _held = locks::try_lock(&path, false).unwrap().unwrap();
        assert!(Store::open(dir.path()).unwrap().is_writable());
    }

    #[test]
    fn where_locks_mean_nothing_the_work_of_living_processes_is_not_swept() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        let v1 = dir.path().canonicalize().unwrap().join("v1");
        let this = Owner::this();
        let living = v1.join(format!("tmp/{this}-1-0"));
        let elsewhere = v1.join("tmp/00000000-11111111-5-7-1-0");
        let dead = v1.join("tmp").join(of_a_dead_process());
        for folder in [&living, &elsewhere, &dead] {
            std::fs::create_dir(folder).unwrap();
            // As a lock that another client of the file system grants a second time.
            std::fs::write(folder.with_extension("lock"), "").unwrap();
        }
        let key = Digest::of(b"k");
        std::fs::create_dir(v1.join("scratch").join(key.hex())).unwrap();
        sweep(&v1, false, &really);
        assert!(living.exists() && elsewhere.exists() && !dead.exists());
        assert!(v1.join("scratch").join(key.hex()).exists(), "its process may just begin");
        sweep(&v1, true, &really);
        assert!(!living.exists() && !elsewhere.exists());
    }

    #[test]
    fn the_folder_of_a_process_that_works_without_its_key_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (empty, done) = (Digest::of(b"empty"), Digest::of(b"done"));
        let folders = [&empty, &done].map(|key| store.scratch(key).unwrap());
        std::fs::write(folders[1].join("checkpoint"), "x").unwrap();
        let manifest = store.manifest_path(&done);
        std::fs::create_dir_all(manifest.parent().unwrap()).unwrap();
        std::fs::write(manifest, "{}").unwrap();
        let works = folders.each_ref().map(|folder| locks::try_alone_in(folder).ok().flatten().unwrap());
        drop(Store::open(dir.path()).unwrap());
        assert!(folders.iter().all(|folder| folder.exists()));
        drop(works);
        drop(Store::open(dir.path()).unwrap());
        assert!(!folders.iter().any(|folder| folder.exists()));
    }

    #[test]
    fn folders_that_a_kill_left_closed_are_opened_at_every_depth_that_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let set = |path: &Path, bits: u32| {
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(bits)).unwrap();
        };
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
        for (bits, opened) in [(0o2770, 0o2770), (0o700, 0o750)] {
            let root = dir.path().join(format!("{bits:o}"));
            std::fs::create_dir(&root).unwrap();
            set(&root, bits);
            let v1 = root.canonicalize().unwrap().join("v1");
            let key = Digest::of(b"k").hex();
            let below = [
                "claims".into(),
                "answers/ab".into(),
                "downloads/n/members/m".into(),
                format!("scratch/{key}/chunks"),
            ];
            for folder in &below {
                std::fs::create_dir_all(v1.join(folder)).unwrap();
                for part in Path::new(folder).ancestors().filter(|p| !p.as_os_str().is_empty()) {
                    set(&v1.join(part), 0o750);
                }
            }
            drop(Store::open(&root).unwrap());
            for part in below.iter().flat_map(|folder| Path::new(folder).ancestors()) {
                if part.iter().next().is_some_and(|top| top != "scratch" || part.iter().count() > 1) {
                    assert_eq!(mode(&v1.join(part)), opened, "{}", part.display());
                }
            }
        }
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
}
