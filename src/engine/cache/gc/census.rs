//! What is in the store, as far as `gc` needs it: results, blobs, runs, studies, pins, and which processes are alive.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rayon::prelude::*;
use serde::Deserialize;

use super::super::error::At;
use super::super::folders::{self, files};
use super::super::owner::{Owner, is_old};
use super::super::usage::{blobs, keys, record_keys};
use super::super::{Error, History, Manifest, Pin, Store, locks};
use xpipe_base::value::Digest;

/// A stored result.
pub(super) struct StoredResult {
    pub(super) study: String,
    pub(super) address: String,
    /// Its blobs with their sizes, each once; of a record, whose files were left out, those that are here nevertheless.
    pub(super) blobs: BTreeMap<Digest, u64>,
    pub(super) tree: Digest,
    /// The results that it was made from.
    pub(super) made_from: Vec<Digest>,
    /// The content of its inputs that are no results.
    pub(super) inputs: Vec<Digest>,
    /// Seconds that it took.
    pub(super) seconds: f64,
    /// When its manifest was written, by the clock of the file system.
    pub(super) written: SystemTime,
    /// Its manifest.
    pub(super) manifest: PathBuf,
}

/// The folder of a run.
pub(super) struct Run {
    pub(super) path: PathBuf,
    /// The study; empty when the run has not said it yet.
    pub(super) study: String,
    /// The results that it found or made.
    pub(super) keys: BTreeSet<Digest>,
    /// When it last wrote an event, by the clock of the file system.
    pub(super) last: SystemTime,
    /// When its results may go.
    pub(super) until: Option<SystemTime>,
    /// Whether a job of a queue may still need its folder.
    pub(super) has_jobs: bool,
}

/// A blob.
#[derive(Clone, Copy)]
pub(super) struct Blob {
    pub(super) bytes: u64,
    /// When it was last written or linked, in nanoseconds since 1970.
    pub(super) changed: i128,
}

/// All of it.
pub(super) struct Census {
    pub(super) now: SystemTime,
    /// When the oldest process that writes to this store began.
    pub(super) live_since: Option<SystemTime>,
    pub(super) results: BTreeMap<Digest, StoredResult>,
    /// Blobs that a damaged manifest names.
    pub(super) doubtful: BTreeSet<Digest>,
    pub(super) blobs: BTreeMap<Digest, Blob>,
    pub(super) runs: Vec<Run>,
    pub(super) studies: Vec<History>,
    pub(super) pins: Vec<Pin>,
}

/// How long the results of a run stay: the file `keep.json` in its folder.
#[derive(serde::Serialize, Deserialize)]
pub(super) struct Keep {
    pub(super) days: u32,
}

pub(super) const KEEP: &str = "keep.json";
const EVENTS: &str = "events.jsonl";

impl Census {
    /// Reads the store.
    ///
    /// # Errors
    /// Something is there and cannot be read: what it holds is not known then. Or a pin, manifest or claim says something
    /// that this version does not understand.
    pub(super) fn take(store: &Store) -> Result<Self, Error> {
        let (results, doubtful) = results(store)?;
        let found: Vec<(Digest, Blob)> =
            blobs(store)?.into_par_iter().filter_map(|d| Some((d, blob(&store.blob(&d))?))).collect();
        Ok(Self {
            now: SystemTime::now(),
            live_since: live_since(store)?,
            results,
            doubtful,
            blobs: found.into_iter().collect(),
            runs: runs(store)?,
            studies: store.histories()?,
            pins: store.pins()?,
        })
    }

    /// Whether a time is not older than the oldest process that is alive.
    pub(super) fn in_use_since(&self, time: SystemTime) -> bool {
        self.live_since.is_some_and(|live| time >= live)
    }

    /// Whether a time is more than `age` ago.
    pub(super) fn is_older(&self, time: SystemTime, age: Duration) -> bool {
        self.now.duration_since(time).is_ok_and(|passed| passed >= age)
    }
}

/// Size and last change of a blob; `None` if it is gone.
pub(super) fn blob(path: &Path) -> Option<Blob> {
    let meta = std::fs::symlink_metadata(path).ok()?;
    let changed = i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec());
    Some(Blob { bytes: meta.len(), changed })
}

/// When a file, or a folder with anything below it, last changed, in nanoseconds since 1970; `None` if it is gone. Links
/// are not followed. What is in a folder that cannot be read counts for nothing: such a folder cannot be removed either.
pub(super) fn changed(path: &Path) -> Option<i128> {
    let own = blob(path)?.changed;
    if !std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
        return Some(own);
    }
    let below = std::fs::read_dir(path).into_iter().flatten().flatten();
    below.filter_map(|entry| changed(&entry.path())).chain([own]).max()
}

/// The time of nanoseconds since 1970.
pub(super) fn time_of(nanos: i128) -> SystemTime {
    let since = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    SystemTime::UNIX_EPOCH + since
}

/// When a file was last written.
pub(super) fn written(path: &Path) -> Option<SystemTime> {
    std::fs::symlink_metadata(path).ok()?.modified().ok()
}

/// What a reader of something found there; `None` if nothing is there.
///
/// # Errors
/// It is there and cannot be read.
fn there<T>(read: io::Result<T>, path: &Path) -> Result<Option<T>, Error> {
    match read {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.at("reading", path).map(Some),
    }
}

/// When a file was last written; `None` if it is gone.
fn last_written(path: &Path) -> Result<Option<SystemTime>, Error> {
    there(std::fs::symlink_metadata(path).and_then(|m| m.modified()), path)
}

/// Every result, and the blobs of manifests that cannot be used.
type Results = (BTreeMap<Digest, StoredResult>, BTreeSet<Digest>);

/// A manifest in the store.
enum Found {
    Result(Digest, Box<StoredResult>),
    Doubtful(Vec<Digest>),
    Gone,
}

/// Every result, and the blobs of manifests that cannot be used.
///
/// # Errors
/// A manifest cannot be read, or is of a newer version.
pub(super) fn results(store: &Store) -> Result<Results, Error> {
    let of_results = keys(store)?.into_iter().map(|key| (key, store.manifest_path(&key), true));
    let of_records = record_keys(store)?.into_iter().map(|key| (key, store.record_path(&key), false));
    // A result goes before a record of the same key.
    let all: Vec<(Digest, PathBuf, bool)> = of_records.chain(of_results).collect();
    let found: Result<Vec<Found>, Error> =
        all.into_par_iter().map(|(key, path, files)| result(store, key, path, files)).collect();
    let (mut all, mut doubtful) = (BTreeMap::new(), BTreeSet::new());
    for found in found? {
        match found {
            Found::Result(key, result) => {
                all.insert(key, *result);
            }
            Found::Doubtful(blobs) => doubtful.extend(blobs),
            Found::Gone => {}
        }
    }
    Ok((all, doubtful))
}

/// Reads a manifest; without `files`, that of a result whose files were left out.
fn result(store: &Store, key: Digest, path: PathBuf, files: bool) -> Result<Found, Error> {
    let Some(written) = last_written(&path)? else { return Ok(Found::Gone) };
    let Some(text) = there(std::fs::read(&path), &path)? else { return Ok(Found::Gone) };
    let m = match Manifest::parse(&text, &key) {
        Ok(manifest) => manifest,
        Err(why) => {
            let loose = Loose::read(&text);
            if loose.format > super::super::manifest::FORMAT {
                return Err(Error::io("reading", &path, io::Error::other(why)));
            }
            return Ok(Found::Doubtful(loose.outputs.into_iter().map(|o| o.digest).collect()));
        }
    };
    let here = |digest: &Digest| files || store.blob(digest).exists();
    let result = StoredResult {
        study: m.study,
        address: m.address,
        blobs: m.outputs.into_iter().map(|o| (o.digest, o.size)).filter(|(d, _)| here(d)).collect(),
        tree: m.tree,
        made_from: m.inputs.iter().filter_map(|i| i.key).collect(),
        inputs: m.inputs.iter().filter(|i| i.key.is_none()).map(|i| i.digest).collect(),
        seconds: m.seconds,
        written,
        manifest: path,
    };
    Ok(Found::Result(key, Box::new(result)))
}

/// What can be read of a manifest that is damaged.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Loose {
    format: u32,
    outputs: Vec<LooseOutput>,
}

#[derive(Deserialize)]
struct LooseOutput {
    digest: Digest,
}

impl Loose {
    fn read(text: &[u8]) -> Self {
        serde_json::from_slice(text).unwrap_or_default()
    }
}

/// Every folder of a run, by name.
fn runs(store: &Store) -> Result<Vec<Run>, Error> {
    let mut paths = folders::entries(&store.dir().join("runs"))?;
    // A file browser leaves files of its own.
    paths.retain(|path| !std::fs::metadata(path).is_ok_and(|meta| !meta.is_dir()));
    paths.sort();
    let claimed = with_jobs(store)?;
    let runs: Result<Vec<Option<Run>>, Error> = paths.into_par_iter().map(|p| run(p, &claimed)).collect();
    Ok(runs?.into_iter().flatten().collect())
}

/// The runs that claims of jobs name: their jobs may wait in a queue, whether or not a process of the run is alive.
///
/// # Errors
/// A claim cannot be read.
pub(super) fn with_jobs(store: &Store) -> Result<BTreeSet<String>, Error> {
    #[derive(Deserialize)]
    struct Claim {
        run: String,
    }
    let mut runs = BTreeSet::new();
    for path in folders::entries(&store.dir().join("claims"))? {
        // A claim gets its name when it is complete.
        if path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
        let Some(text) = there(std::fs::read(&path), &path)? else { continue };
        let claim: Claim = serde_json::from_slice(&text).map_err(|e| {
            let why =
                format!("it is no claim of a job ({e}); remove it if no job of its stage is in the queue");
            Error::io("reading", &path, io::Error::other(why))
        })?;
        runs.insert(claim.run);
    }
    Ok(runs)
}

/// When a run last wrote an event; `None` if its folder is gone.
pub(super) fn last_event(run: &Path) -> Result<Option<SystemTime>, Error> {
    Ok(match last_written(&run.join(EVENTS))? {
        None => last_written(run)?,
        last => last,
    })
}

fn run(path: PathBuf, claimed: &BTreeSet<String>) -> Result<Option<Run>, Error> {
    let Some(last) = last_event(&path)? else { return Ok(None) };
    let (study, keys) = told(&path.join(EVENTS))?;
    let keep = path.join(KEEP);
    let until = there(std::fs::read(&keep), &keep)?.and_then(|text| {
        let keep: Keep = serde_json::from_slice(&text).ok()?;
        last.checked_add(Duration::from_secs(u64::from(keep.days) * 86_400))
    });
    let has_jobs = path.file_name().and_then(|n| n.to_str()).is_some_and(|n| claimed.contains(n));
    Ok(Some(Run { path, study, keys, last, until, has_jobs }))
}

/// The study and the results that the events of a run name.
fn told(events: &Path) -> Result<(String, BTreeSet<Digest>), Error> {
    #[derive(Deserialize)]
    struct Line {
        what: What,
    }
    #[derive(Deserialize)]
    struct What {
        event: String,
        study: Option<String>,
        key: Option<Digest>,
    }
    let (mut study, mut keys) = (String::new(), BTreeSet::new());
    let Some(file) = there(std::fs::File::open(events), events)? else { return Ok((study, keys)) };
    for line in BufReader::new(file).split(b'\n') {
        let line = line.at("reading", events)?;
        // Most lines of a long run are about progress.
        let has = |part: &[u8]| line.windows(part.len()).any(|w| w == part);
        if !has(b"\"key\"") && !has(b"\"run_started\"") {
            continue;
        }
        // A line that a crash cut.
        let Ok(Line { what }) = serde_json::from_slice(&line) else { continue };
        match what.event.as_str() {
            "run_started" => study = what.study.unwrap_or_default(),
            "cached" | "finished" => keys.extend(what.key),
            _ => {}
        }
    }
    Ok((study, keys))
}

/// When the oldest process began that has this store open for writing, this one left out. The time is that of its lock
/// file. A process whose lock cannot be asked for counts as alive.
///
/// # Errors
/// The folders of processes cannot be read.
pub(super) fn live_since(store: &Store) -> Result<Option<SystemTime>, Error> {
    let entries = folders::entries(&store.dir().join("tmp"))?;
    let (own, this, local) = (store.session_folder().ok(), Owner::this(), store.network.is_local());
    let sessions = entries.into_iter().filter(|path| path.is_dir());
    let mut oldest: Option<SystemTime> = None;
    for path in sessions.filter(|path| own != Some(path.as_path())) {
        let lock = path.with_extension("lock");
        let began = match last_written(&lock)? {
            None => last_written(&path)?,
            began => began,
        };
        let Some(began) = began else { continue };
        // On a network file system a lock may be granted although a process of another host holds it.
        let may_be_dead =
            local || Owner::of(&path).map_or(is_old(&path), |owner| owner.is_dead(&this, &path));
        if !may_be_dead || !locks::is_free(&lock) {
            oldest = Some(oldest.map_or(began, |o| o.min(began)));
        }
    }
    Ok(oldest)
}

/// The keys whose checkpoints are in the store.
pub(super) fn checkpoints(store: &Store) -> Vec<(Digest, PathBuf)> {
    let entries = std::fs::read_dir(store.dir().join("scratch")).into_iter().flatten().flatten();
    let mut found: Vec<(Digest, PathBuf)> =
        entries.filter_map(|e| Some((Digest::parse(e.file_name().to_str()?)?, e.path()))).collect();
    found.sort();
    found
}

/// The folders of results, by their digest.
pub(super) fn trees(store: &Store) -> Vec<(Digest, PathBuf)> {
    let entries = std::fs::read_dir(store.dir().join("trees")).into_iter().flatten().flatten();
    let mut found: Vec<(Digest, PathBuf)> =
        entries.filter_map(|e| Some((Digest::parse(e.file_name().to_str()?)?, e.path()))).collect();
    found.sort();
    found
}

/// The files of kept answers.
///
/// # Errors
/// They cannot be read.
pub(super) fn answers(store: &Store) -> Result<Vec<PathBuf>, Error> {
    let mut found = files(&store.answers())?;
    found.sort();
    Ok(found)
}

/// What is in a folder, sorted.
///
/// # Errors
/// The folder is there and cannot be read.
pub(super) fn sorted(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = folders::entries(folder)?;
    found.sort();
    Ok(found)
}
