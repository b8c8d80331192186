//! Scoring that several jobs of one action share: `with { jobs = n }` on a cluster.
//!
//! The queries are divided into chunks. Every job takes the next chunk that nobody has taken, and keeps its scores in the
//! folder for checkpoints, which all jobs of the action see. Whoever finds all chunks there has the scores of the whole
//! action. A score does not depend on what else is in its batch, so neither the chunks nor the number of jobs changes a
//! bit. Jobs with other kernels, whose bits may differ, share nothing. A chunk whose job shows no sign of life is taken by
//! another one; twins write the same file. Scores are also kept when a job is stopped or lost, so that the next one goes
//! on from there.
//!
//! | file | says |
//! |---|---|
//! | `scores-FROM-TO-KERNELS` | the scores of these queries, after a digest of the action's key and the rest |
//! | `scores-FROM-TO-KERNELS.taken` | a job computes them; its time of change is a sign of life |

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use super::models;
use crate::train::ranker::{QueryDocuments, Ranker};
use crate::train::source::Stores;
use xpipe_base::place;
use xpipe_base::task::{Caveat, Failure, Job, Progress};
use xpipe_nn::Reranker as _;

/// The most queries of a chunk.
const LARGEST: usize = 1000;
/// Chunks for each job, so that fast jobs take more of them.
const EACH: usize = 4;
/// Between two signs of life of a job.
const BEAT: Duration = Duration::from_secs(10);
/// A job without a sign of life for so long is taken for lost.
const LOST: Duration = Duration::from_secs(120);

/// Scores of all documents of each query.
pub(super) struct Scored {
    pub(super) scores: Vec<Vec<f32>>,
    /// Pairs that other jobs, or an earlier attempt, have scored.
    pub(super) pairs_elsewhere: usize,
}

/// Scores all pairs, alone or with other jobs of the same action.
///
/// # Errors
/// As [`Ranker::score`]; files of the other jobs cannot be read or written.
pub(super) fn score(
    job: &Job<'_>,
    ranker: &mut Ranker,
    stores: &Stores,
    work: &[QueryDocuments],
) -> Result<Scored, Failure> {
    let batching = models::batching(job);
    let jobs = job.spec.policy.jobs.unwrap_or(1);
    if jobs <= 1 || work.is_empty() {
        let scores = ranker.score(stores, work, batching, job.progress)?;
        return Ok(Scored { scores, pairs_elsewhere: 0 });
    }
    let kernels: String = ranker.model.kernels().chars().filter(char::is_ascii_alphanumeric).collect();
    let chunks = Chunks { folder: &job.spec.scratch, key: &job.spec.key, kernels, work };
    let size = work.len().div_ceil(EACH * jobs).clamp(1, LARGEST);
    let ranges: Vec<Range<usize>> =
        (0..work.len()).step_by(size).map(|from| from..(from + size).min(work.len())).collect();
    let (flat, mine) = chunks.share(&ranges, job.progress, |range, progress| {
        Ok(ranker.score(stores, &work[range.clone()], batching, progress)?.concat())
    })?;
    let mut rest = flat.as_slice();
    let scores = work.iter().map(|w| {
        let (these, others) = rest.split_at(w.documents.len());
        rest = others;
        these.to_vec()
    });
    Ok(Scored { scores: scores.collect(), pairs_elsewhere: flat.len() - mine })
}

/// The chunks of an action in its folder for checkpoints.
struct Chunks<'a> {
    folder: &'a Path,
    key: &'a str,
    /// The kernels of this job.
    kernels: String,
    work: &'a [QueryDocuments],
}

impl Chunks<'_> {
    /// The scores of all chunks, one after another, and how many pairs this job has scored. `score` scores the pairs of a
    /// chunk.
    fn share(
        &self,
        ranges: &[Range<usize>],
        progress: &dyn Progress,
        mut score: impl FnMut(&Range<usize>, &dyn Progress) -> Result<Vec<f32>, Failure>,
    ) -> Result<(Vec<f32>, usize), Failure> {
        let total = self.pairs(&(0..self.work.len())) as u64;
        let mut found: Vec<Option<Vec<f32>>> =
            ranges.iter().map(|range| self.read(range)).collect::<Result<_, _>>()?;
        // Pairs that have a score, whoever made it: only more of these is progress.
        let mut there: usize = found.iter().flatten().map(Vec::len).sum();
        let mut mine = 0;
        while found.iter().any(Option::is_none) {
            let before = found.iter().flatten().count();
            for (range, scores) in ranges.iter().zip(&mut found).filter(|(_, scores)| scores.is_none()) {
                if progress.cancelled() {
                    return Err(Failure::interrupted());
                }
                *scores = self.read(range)?;
                if let Some(scores) = scores {
                    there += scores.len();
                    continue;
                }
                let Some(taken) = self.take(range)? else { continue };
                let last = Mutex::new(Instant::now());
                let beating = Beating { inner: progress, taken: &taken, done: there as u64, total, last };
                let made = score(range, &beating)?;
                self.write(range, &made)?;
                mine += made.len();
                there += made.len();
                *scores = Some(made);
            }
            if found.iter().flatten().count() == before {
                // The rest is with other jobs.
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        Ok((found.into_iter().flatten().flatten().collect(), mine))
    }

    fn pairs(&self, range: &Range<usize>) -> usize {
        self.work[range.clone()].iter().map(|w| w.documents.len()).sum()
    }

    fn path(&self, range: &Range<usize>) -> PathBuf {
        self.folder.join(format!("scores-{}-{}-{}", range.start, range.end, self.kernels))
    }

    /// The digest in front of the scores of a chunk.
    fn digest(&self, range: &Range<usize>, bytes: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{} {} {} ", self.key, range.start, range.end).as_bytes()).update(bytes);
        *hasher.finalize().as_bytes()
    }

    /// The scores of a chunk; `None` while nobody has finished it. A damaged file is removed.
    fn read(&self, range: &Range<usize>) -> Result<Option<Vec<f32>>, Failure> {
        let path = self.path(range);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            // Another job has published the result of all, and cleared the folder.
            Err(_) if !self.folder.is_dir() => return Err(Failure::interrupted()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(place::io(&path, e)),
        };
        let scores = bytes.split_first_chunk::<32>().filter(|(digest, rest)| {
            rest.len() == 4 * self.pairs(range) && self.digest(range, rest) == **digest
        });
        let Some((_, rest)) = scores else {
            let _ = std::fs::remove_file(&path);
            return Ok(None);
        };
        Ok(Some(rest.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()))
    }

    /// Takes a chunk; `None` while another job has it and shows signs of life.
    fn take(&self, range: &Range<usize>) -> Result<Option<Taken>, Failure> {
        let path = self.path(range).with_extension("taken");
        match OpenOptions::new().create_new(true).write(true).open(&path) {
            Ok(file) => return Ok(Some(Taken { path, file })),
            Err(_) if !self.folder.is_dir() => return Err(Failure::interrupted()),
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(place::io(&path, e)),
            Err(_) => {}
        }
        let changed = std::fs::metadata(&path).and_then(|m| m.modified()).ok();
        if changed.is_some_and(|at| self.now().duration_since(at).unwrap_or_default() > LOST) {
            // Of several jobs that find it lost, one renames it; then it is free.
            let aside = tempfile::Builder::new().prefix(".lost-").tempfile_in(self.folder);
            if let Ok(aside) = aside {
                let _ = std::fs::rename(&path, aside.path());
            }
        }
        Ok(None)
    }

    /// The time of the file server.
    fn now(&self) -> SystemTime {
        let of = |file: tempfile::NamedTempFile| file.as_file().metadata().and_then(|m| m.modified());
        let made = tempfile::Builder::new().prefix(".now-").tempfile_in(self.folder);
        made.and_then(of).unwrap_or_else(|_| SystemTime::now())
    }

    fn write(&self, range: &Range<usize>, scores: &[f32]) -> Result<(), Failure> {
        let path = self.path(range);
        let bytes: Vec<u8> = scores.iter().flat_map(|s| s.to_le_bytes()).collect();
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(self.folder)?;
            file.write_all(&self.digest(range, &bytes))?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        match write() {
            Err(_) if !self.folder.is_dir() => Err(Failure::interrupted()),
            other => other.map_err(|e| place::io(&path, e)),
        }
    }
}

/// A chunk that this job computes. Dropping it lets others take it.
struct Taken {
    path: PathBuf,
    file: File,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Shows signs of life while a chunk is computed, and counts over all chunks.
struct Beating<'a> {
    inner: &'a dyn Progress,
    taken: &'a Taken,
    done: u64,
    total: u64,
    last: Mutex<Instant>,
}

impl Progress for Beating<'_> {
    fn progress(&self, done: u64, _: u64, unit: &str, note: &str) {
        self.inner.progress(self.done + done, self.total, unit, note);
    }

    fn note(&self, text: &str) {
        self.inner.note(text);
    }

    fn caveat(&self, caveat: &Caveat) {
        self.inner.caveat(caveat);
    }

    fn cancelled(&self) -> bool {
        if let Ok(mut last) = self.last.try_lock()
            && last.elapsed() >= BEAT
        {
            *last = Instant::now();
            let _ = (&self.taken.file).write_all(b".");
        }
        self.inner.cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work() -> Vec<QueryDocuments> {
        (0..5u32).map(|query| QueryDocuments { query, documents: (0..=query).collect() }).collect()
    }

    #[test]
    fn a_chunk_is_computed_once_and_read_by_all() {
        let dir = tempfile::tempdir().unwrap();
        let work = work();
        let chunks = Chunks { folder: dir.path(), key: "k", kernels: "avx2".into(), work: &work };
        let range = 1..3;
        assert_eq!((chunks.read(&range).unwrap(), chunks.pairs(&range)), (None, 5));
        let taken = chunks.take(&range).unwrap().unwrap();
        assert!(chunks.take(&range).unwrap().is_none(), "it is taken");
        assert!(chunks.take(&(3..5)).unwrap().is_some());
        let scores = [1.5, -0.0, f32::MIN_POSITIVE, 3e30, 4.0];
        chunks.write(&range, &scores).unwrap();
        drop(taken);
        let back = chunks.read(&range).unwrap().unwrap();
        assert_eq!(back.map_bits(), scores.to_vec().map_bits());
        // Of another action, or damaged: nothing is read, and it is computed again.
        let other = Chunks { key: "other", kernels: "avx2".into(), ..chunks };
        let elsewhere = Chunks { folder: dir.path(), key: "k", kernels: "portable".into(), work: &work };
        assert_eq!(elsewhere.read(&range).unwrap(), None, "of other kernels");
        assert_eq!(other.read(&range).unwrap(), None);
        assert!(!other.path(&range).exists());
        let chunks = Chunks { folder: dir.path(), key: "k", kernels: "avx2".into(), work: &work };
        chunks.write(&range, &scores).unwrap();
        let mut bytes = std::fs::read(chunks.path(&range)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(chunks.path(&range), bytes).unwrap();
        assert_eq!(chunks.read(&range).unwrap(), None);
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<(u64, u64)>>);

    impl Progress for Heard {
        fn progress(&self, done: u64, total: u64, _: &str, _: &str) {
            self.0.lock().unwrap().push((done, total));
        }
        fn note(&self, _: &str) {}
        fn caveat(&self, _: &Caveat) {}
        fn cancelled(&self) -> bool {
            false
        }
    }

    #[test]
    fn progress_counts_every_pair_that_has_a_score_whoever_made_it() {
        let dir = tempfile::tempdir().unwrap();
        let work = work();
        let chunks = Chunks { folder: dir.path(), key: "k", kernels: "avx2".into(), work: &work };
        chunks.write(&(3..5), &[1.0; 9]).unwrap();
        let heard = Heard::default();
        let share = || {
            chunks.share(&[0..2, 2..3, 3..5], &heard, |range, progress| {
                let pairs = chunks.pairs(range);
                progress.progress(pairs as u64, pairs as u64, "pairs", "");
                Ok(vec![0.5; pairs])
            })
        };
        let (scores, mine) = share().unwrap();
        assert_eq!((scores, mine), ([vec![0.5; 6], vec![1.0; 9]].concat(), 6));
        assert_eq!(*heard.0.lock().unwrap(), [(12, 15), (15, 15)]);
        assert_eq!(share().unwrap().1, 0, "all is there");
    }

    #[test]
    fn a_chunk_of_a_lost_job_is_taken_by_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let work = work();
        let chunks = Chunks { folder: dir.path(), key: "k", kernels: "avx2".into(), work: &work };
        let lost = chunks.take(&(0..2)).unwrap().unwrap();
        lost.file.set_modified(SystemTime::now() - 2 * LOST).unwrap();
        assert!(chunks.take(&(0..2)).unwrap().is_none(), "first it is set free");
        assert!(chunks.take(&(0..2)).unwrap().is_some());
        std::mem::forget(lost);
        // The folder is gone: another job has published the whole.
        std::fs::remove_dir_all(dir.path()).unwrap();
        assert!(chunks.read(&(0..2)).is_err());
    }

    trait MapBits {
        fn map_bits(&self) -> Vec<u32>;
    }

    impl MapBits for Vec<f32> {
        fn map_bits(&self) -> Vec<u32> {
            self.iter().map(|x| x.to_bits()).collect()
        }
    }
}
