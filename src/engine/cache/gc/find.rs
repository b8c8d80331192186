//! What may go: results by what holds them and by size, and what belongs to no result that stays.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::super::usage::size;
use super::super::{Error, Store, downloads};
use super::census::{self, Census, StoredResult};
use super::holds::{Decision, Hold, decide};
use super::{Garbage, GarbageFile, GarbageKind, GarbageResult, GcRequest};
use xpipe_base::value::Digest;

/// How long files that no result names stay, in case something unknown is about to publish them.
const ORPHANS: Duration = Duration::from_secs(3600);

/// Finds what may go. Changes nothing.
///
/// # Errors
/// The store cannot be read, or holds something that this version does not understand.
pub fn find_garbage(store: &Store, request: &GcRequest) -> Result<Garbage, Error> {
    let census = Census::take(store)?;
    let decision = decide(&census, request);
    let held = |key: &Digest| decision.holds.get(key).copied().unwrap_or(Hold::None);
    let goes: BTreeSet<Digest> =
        census.results.keys().filter(|key| held(key) == Hold::None).copied().collect();
    let mut finder = Finder { store, census: &census, request, decision: &decision, goes, files: Vec::new() };
    finder.runs_and_histories();
    finder.leftovers()?;
    finder.orphans();
    finder.downloads()?;
    let total = finder.total();
    let above = finder.down_to_size(total);
    let results = finder.results();
    let mut kept: BTreeMap<Hold, usize> = BTreeMap::new();
    for key in census.results.keys().filter(|key| !finder.goes.contains(key)) {
        *kept.entry(held(key)).or_default() += 1;
    }
    let files = finder.files;
    let frees = results.iter().map(|r| r.bytes).sum::<u64>() + files.iter().map(|f| f.bytes).sum::<u64>();
    Ok(Garbage { results, files, total, frees, above, kept })
}

struct Finder<'a> {
    store: &'a Store,
    census: &'a Census,
    request: &'a GcRequest,
    decision: &'a Decision,
    /// The results that go.
    goes: BTreeSet<Digest>,
    files: Vec<GarbageFile>,
}

impl Finder<'_> {
    fn add(&mut self, kind: GarbageKind, path: PathBuf) {
        self.add_with(kind, path, Vec::new());
    }

    fn add_with(&mut self, kind: GarbageKind, path: PathBuf, content: Vec<Digest>) {
        let (bytes, changed) = (size(&path), census::changed(&path));
        self.files.push(GarbageFile { kind, path, bytes, blob: None, changed, content });
    }

    /// Whether something last written then is old enough, and written before every living process.
    fn is_old(&self, time: SystemTime) -> bool {
        self.census.is_older(time, self.request.older) && !self.census.in_use_since(time)
    }

    fn is_old_file(&self, path: &Path) -> bool {
        census::written(path).is_some_and(|time| self.is_old(time))
    }

    fn stays(&self) -> impl Iterator<Item = (&Digest, &StoredResult)> {
        self.census.results.iter().filter(|(key, _)| !self.goes.contains(key))
    }

    fn runs_and_histories(&mut self) {
        for at in &self.decision.old_runs {
            self.add(GarbageKind::Run, self.census.runs[*at].path.clone());
        }
        for at in &self.decision.gone_studies {
            self.add(GarbageKind::History, self.census.studies[*at].file().to_owned());
        }
    }

    /// Checkpoints, incomplete downloads and uploads, quarantined files, and answers where they are asked for.
    fn leftovers(&mut self) -> Result<(), Error> {
        for (key, path) in census::checkpoints(self.store) {
            let done = self.census.results.contains_key(&key);
            let last = census::sorted(&path)?.iter().filter_map(|p| census::written(p)).max();
            let last = last.or_else(|| census::written(&path));
            let old = |time| if done { !self.census.in_use_since(time) } else { self.is_old(time) };
            if last.is_some_and(old) {
                self.add(GarbageKind::Checkpoints, path);
            }
        }
        for path in census::sorted(&downloads::part_files(self.store))? {
            if path.extension().is_some_and(|e| e == "part" || e == "json") && self.is_old_file(&path) {
                self.add(GarbageKind::Partial, path);
            }
        }
        for path in census::sorted(&self.store.dir().join("damaged"))? {
            if self.is_old_file(&path) {
                self.add(GarbageKind::Damaged, path);
            }
        }
        for remote in census::sorted(&self.store.dir().join("uploads"))? {
            for path in census::sorted(&remote)? {
                if self.is_old_file(&path) {
                    self.add(GarbageKind::Upload, path);
                }
            }
        }
        if self.request.answers {
            for path in census::answers(self.store)? {
                if self.is_old_file(&path) {
                    self.add(GarbageKind::Answer, path);
                }
            }
        }
        Ok(())
    }

    /// Blobs and folders that no result names, for instance of a run that was killed while it published.
    fn orphans(&mut self) {
        let grace = self.request.older.min(ORPHANS);
        let old = |census: &Census, time| census.is_older(time, grace) && !census.in_use_since(time);
        let named: BTreeSet<Digest> =
            self.census.results.values().flat_map(|r| r.blobs.keys().copied()).collect();
        for (digest, blob) in &self.census.blobs {
            let known = named.contains(digest) || self.census.doubtful.contains(digest);
            if !known && old(self.census, census::time_of(blob.changed)) {
                self.files.push(GarbageFile {
                    kind: GarbageKind::Orphan,
                    path: self.store.blob(digest),
                    bytes: blob.bytes,
                    blob: Some(*digest),
                    changed: Some(blob.changed),
                    content: Vec::new(),
                });
            }
        }
        let trees: BTreeSet<Digest> = self.census.results.values().map(|r| r.tree).collect();
        for (digest, path) in census::trees(self.store) {
            let changed = census::blob(&path).map(|b| b.changed);
            if !trees.contains(&digest) && changed.is_some_and(|at| old(self.census, census::time_of(at))) {
                // Links to blobs, whose bytes are counted there.
                let (kind, content) = (GarbageKind::Orphan, vec![digest]);
                self.files.push(GarbageFile { kind, path, bytes: 0, blob: None, changed, content });
            }
        }
    }

    /// Downloads that no result that stays was made from, and no lock file pins. One with a record that is damaged or
    /// cannot be read stays: what it is for is not known.
    fn downloads(&mut self) -> Result<(), Error> {
        let read: BTreeSet<Digest> = self.stays().flat_map(|(_, r)| r.inputs.iter().copied()).collect();
        let damaged = downloads::damaged_records(self.store)?;
        let mut folders: BTreeMap<PathBuf, (bool, Vec<Digest>)> = BTreeMap::new();
        for (home, _) in &damaged {
            folders.entry(downloads::whole(home).to_owned()).or_default().0 = true;
        }
        for (home, record) in downloads::readable(self.store) {
            let wanted = self.request.pinned_downloads.contains(&record.digest)
                || record.identity().is_none_or(|identity| read.contains(&identity))
                || !self.is_old_file(&home);
            let (any, content) = folders.entry(downloads::whole(&home).to_owned()).or_default();
            *any |= wanted;
            content.extend(record.identity());
        }
        for (folder, (_, content)) in folders.into_iter().filter(|(_, (wanted, _))| !wanted) {
            self.add_with(GarbageKind::Download, folder, content);
        }
        Ok(())
    }

    /// The size of the store now, each file once.
    fn total(&self) -> u64 {
        let folders = ["scratch", "answers", "tmp", "runs", "studies", "damaged", "downloads", "uploads"];
        let other: u64 = folders.iter().map(|f| size(&self.store.dir().join(f))).sum();
        self.census.blobs.values().map(|b| b.bytes).sum::<u64>() + other
    }

    /// Lets more results go until the store has its maximum size; returns the bytes that are still too many.
    fn down_to_size(&mut self, total: u64) -> u64 {
        let Some(most) = self.request.max_size else { return 0 };
        let mut users: BTreeMap<Digest, usize> = BTreeMap::new();
        for blob in self.stays().flat_map(|(_, r)| r.blobs.keys()) {
            *users.entry(*blob).or_default() += 1;
        }
        let other: u64 = self.files.iter().map(|f| f.bytes).sum();
        let mut left = total.saturating_sub(other + self.results().iter().map(|r| r.bytes).sum::<u64>());
        let mut candidates: Vec<_> = self
            .stays()
            .filter_map(|(key, result)| {
                let hold = self.decision.holds.get(key).copied().unwrap_or(Hold::None);
                let bytes: u64 = result.blobs.values().sum();
                // What takes long to make for its size goes last among what was used together.
                let worth = (result.seconds * 1e6 / (bytes.max(1) as f64) * 1e6) as u64;
                (hold < Hold::Pinned && bytes > 0)
                    .then(|| (hold, self.decision.last_used.get(key).copied(), worth, Reverse(bytes), *key))
            })
            .collect();
        candidates.sort();
        for (.., key) in candidates {
            if left <= most {
                break;
            }
            let Some(result) = self.census.results.get(&key) else { continue };
            for (blob, bytes) in &result.blobs {
                if let Some(n) = users.get_mut(blob) {
                    *n -= 1;
                    if *n == 0 && !self.census.doubtful.contains(blob) {
                        left = left.saturating_sub(*bytes);
                    }
                }
            }
            self.goes.insert(key);
        }
        left.saturating_sub(most)
    }

    /// The results that go, each with the bytes of blobs that no staying and no earlier one has.
    fn results(&self) -> Vec<GarbageResult> {
        let mut taken: BTreeSet<Digest> = self.stays().flat_map(|(_, r)| r.blobs.keys().copied()).collect();
        taken.extend(&self.census.doubtful);
        let mut results: Vec<(&Digest, &StoredResult)> =
            self.goes.iter().filter_map(|key| self.census.results.get_key_value(key)).collect();
        results.sort_by_key(|(key, r)| (&r.study, &r.address, **key));
        let free = |(key, result): (&Digest, &StoredResult)| {
            let blobs = result.blobs.iter().filter(|(blob, _)| taken.insert(**blob));
            let there = blobs.filter(|(blob, _)| self.census.blobs.contains_key(*blob));
            GarbageResult {
                key: *key,
                study: result.study.clone(),
                address: result.address.clone(),
                bytes: there.map(|(_, bytes)| bytes).sum(),
                hold: self.decision.holds.get(key).copied().unwrap_or(Hold::None),
                tree: result.tree,
            }
        };
        results.into_iter().map(free).collect()
    }
}
