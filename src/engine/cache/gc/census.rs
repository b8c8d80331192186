//! What is in the store, as far as `gc` needs it: results, blobs, runs, studies, pins, and which processes are alive.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rayon::prelude::*;
use serde::Deserialize;

use super::super::error::At;
use super::super::owner::{Owner, is_old};
use super::super::usage::{blobs, files, keys};
use super::super::{Error, History, Miss, Pin, Store, locks};
use xpipe_base::value::Digest;

/// A stored result.
pub(super) struct StoredResult {
    pub(super) study: String,
    pub(super) address: String,
    /// Its blobs with their sizes, each once.
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

impl Census {
    /// Reads the store.
    ///
    /// # Errors
    /// A pin or manifest says something that this version does not understand.
    pub(super) fn take(store: &Store) -> Result<Self, Error> {
        let (results, doubtful) = results(store)?;
        let found: Vec<(Digest, Blob)> =
            blobs(store).into_par_iter().filter_map(|d| Some((d, blob(&store.blob(&d))?))).collect();
        Ok(Self {
            now: SystemTime::now(),
            live_since: live_since(store),
            results,
            doubtful,
            blobs: found.into_iter().collect(),
            runs: runs(store),
            studies: store.histories(),
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

/// The time of nanoseconds since 1970.
pub(super) fn time_of(nanos: i128) -> SystemTime {
    let since = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    SystemTime::UNIX_EPOCH + since
}

/// When a file was last written.
pub(super) fn written(path: &Path) -> Option<SystemTime> {
    std::fs::symlink_metadata(path).ok()?.modified().ok()
}

type Results = (BTreeMap<Digest, StoredResult>, BTreeSet<Digest>);

/// Every result, and the blobs of manifests that cannot be used.
fn results(store: &Store) -> Result<Results, Error> {
    enum Found {
        Result(Digest, Box<StoredResult>),
        Doubtful(Vec<Digest>),
        Newer(PathBuf, String),
        Gone,
    }
    let read = |key: Digest| {
        let path = store.manifest_path(&key);
        let Some(written) = written(&path) else { return Found::Gone };
        let Some(m) = store.record(&key) else {
            let text = std::fs::read(&path).unwrap_or_default();
            return match Loose::read(&text) {
                Loose { format, .. } if format > super::super::manifest::FORMAT => {
                    let why = match store.get(&key) {
                        Err(Miss::Unreadable { why, .. }) => why,
                        _ => String::new(),
                    };
                    Found::Newer(path, why)
                }
                loose => Found::Doubtful(loose.outputs.into_iter().map(|o| o.digest).collect()),
            };
        };
        Found::Result(
            key,
            Box::new(StoredResult {
                study: m.study,
                address: m.address,
                blobs: m.outputs.into_iter().map(|o| (o.digest, o.size)).collect(),
                tree: m.tree,
                made_from: m.inputs.iter().filter_map(|i| i.key).collect(),
                inputs: m.inputs.iter().filter(|i| i.key.is_none()).map(|i| i.digest).collect(),
                seconds: m.seconds,
                written,
            }),
        )
    };
    let (mut all, mut doubtful) = (BTreeMap::new(), BTreeSet::new());
    for found in keys(store).into_par_iter().map(read).collect::<Vec<_>>() {
        match found {
            Found::Result(key, result) => {
                all.insert(key, *result);
            }
            Found::Doubtful(blobs) => doubtful.extend(blobs),
            Found::Newer(path, why) => return Err(Error::io("reading", &path, std::io::Error::other(why))),
            Found::Gone => {}
        }
    }
    Ok((all, doubtful))
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
fn runs(store: &Store) -> Vec<Run> {
    let folder = store.dir().join("runs");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    paths.sort();
    let claimed = with_jobs(store);
    let has_jobs = |run: Run| {
        let name = run.path.file_name().and_then(|n| n.to_str());
        Run { has_jobs: name.is_some_and(|n| claimed.contains(n)), ..run }
    };
    paths.into_par_iter().filter_map(run).map(has_jobs).collect()
}

/// The runs that claims of jobs name: their jobs may wait in a queue, whether or not a process of the run is alive.
fn with_jobs(store: &Store) -> BTreeSet<String> {
    #[derive(Deserialize)]
    struct Claim {
        run: String,
    }
    let claims = std::fs::read_dir(store.dir().join("claims")).into_iter().flatten().flatten();
    let read = |path: PathBuf| serde_json::from_slice::<Claim>(&std::fs::read(path).ok()?).ok();
    claims.filter_map(|entry| Some(read(entry.path())?.run)).collect()
}

fn run(path: PathBuf) -> Option<Run> {
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
    let events = path.join("events.jsonl");
    let last = written(&events).or_else(|| written(&path))?;
    let (mut study, mut keys) = (String::new(), BTreeSet::new());
    if let Ok(file) = std::fs::File::open(&events) {
        for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
            // Most lines of a long run are about progress.
            let has = |part: &[u8]| line.windows(part.len()).any(|w| w == part);
            if !has(b"\"key\"") && !has(b"\"run_started\"") {
                continue;
            }
            let Ok(Line { what }) = serde_json::from_slice(&line) else { continue };
            match what.event.as_str() {
                "run_started" => study = what.study.unwrap_or_default(),
                "cached" | "finished" => keys.extend(what.key),
                _ => {}
            }
        }
    }
    let until = std::fs::read(path.join(KEEP)).ok().and_then(|text| {
        let keep: Keep = serde_json::from_slice(&text).ok()?;
        last.checked_add(Duration::from_secs(u64::from(keep.days) * 86_400))
    });
    Some(Run { path, study, keys, last, until, has_jobs: false })
}

/// When the oldest process began that has this store open for writing, this one left out. The time is that of its lock
/// file. A process whose lock cannot be asked for counts as alive.
pub(super) fn live_since(store: &Store) -> Option<SystemTime> {
    let entries = std::fs::read_dir(store.dir().join("tmp")).ok()?;
    let (own, this, local) = (store.session_folder().ok(), Owner::this(), store.network.is_local());
    let sessions = entries.flatten().map(|e| e.path()).filter(|path| path.is_dir());
    let alive = sessions.filter(|path| own != Some(path.as_path())).filter_map(|path| {
        let lock = path.with_extension("lock");
        let began = written(&lock).or_else(|| written(&path))?;
        // On a network file system a lock may be granted although a process of another host holds it.
        let may_be_dead =
            local || Owner::of(&path).map_or(is_old(&path), |owner| owner.is_dead(&this, &path));
        (!may_be_dead || !locks::is_free(&lock)).then_some(began)
    });
    alive.min()
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
pub(super) fn answers(store: &Store) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = files(&store.answers()).collect();
    found.sort();
    found
}

/// The names in a folder, sorted.
///
/// # Errors
/// The folder exists and cannot be read.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).at("reading", folder)? {
        found.push(entry.at("reading", folder)?.path());
    }
    found.sort();
    Ok(found)
}
