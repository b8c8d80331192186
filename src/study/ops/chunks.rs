//! Work that several jobs of one action share: `with { jobs = n }` on a cluster.
//!
//! The items of the work (queries, texts) are divided into chunks. Every job takes the next chunk that nobody has taken,
//! and keeps its result in the folder for checkpoints, which all jobs of the action see. Whoever finds all chunks there
//! has the result of the whole action. What is made of an item does not depend on what else is in its batch, so neither
//! the chunks nor the number of jobs changes a bit. Jobs with other kernels, whose bits may differ, share nothing. A chunk
//! whose job shows no sign of life is taken by another one; twins write the same file. Chunks are also kept when a job is
//! stopped or lost, so that the next one goes on from there.
//!
//! | file | says |
//! |---|---|
//! | `chunk-FROM-TO-KERNELS` | the result of these items, after a digest of the action's key and the rest |
//! | `chunk-FROM-TO-KERNELS.taken` | a job computes it; its time of change is a sign of life |

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use xpipe_base::place;
use xpipe_base::task::{Caveat, Failure, Job, Progress};

/// Chunks for each job, so that fast jobs take more of them.
const EACH: usize = 4;
/// Between two signs of life of a job.
const BEAT: Duration = Duration::from_secs(10);
/// A job without a sign of life for so long is taken for lost.
const LOST: Duration = Duration::from_secs(120);

/// The chunks of an action in its folder for checkpoints.
pub(super) struct Chunks<'a> {
    folder: &'a Path,
    key: &'a str,
    /// The kernels of this job.
    kernels: String,
    ranges: Vec<Range<usize>>,
}

impl<'a> Chunks<'a> {
    /// Divides so many items among the jobs of the action, at most `largest` to a chunk; `None` if one job does all.
    pub(super) fn of(job: &'a Job<'_>, kernels: &str, items: usize, largest: usize) -> Option<Self> {
        let jobs = job.spec.policy.jobs.filter(|jobs| *jobs > 1 && items > 0)?;
        let size = items.div_ceil(EACH * jobs).clamp(1, largest);
        let ranges = (0..items).step_by(size).map(|from| from..(from + size).min(items)).collect();
        let kernels = kernels.chars().filter(char::is_ascii_alphanumeric).collect();
        Some(Self { folder: &job.spec.scratch, key: &job.spec.key, kernels, ranges })
    }

    /// The items of each chunk.
    pub(super) fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// Returns when all chunks are there, with the number of units that this job has made. `units` tells how many a chunk
    /// has; `make` makes the bytes of a chunk.
    ///
    /// # Errors
    /// Cancellation; errors of `make`; files of the other jobs cannot be read or written.
    pub(super) fn share(
        &self,
        progress: &dyn Progress,
        units: impl Fn(&Range<usize>) -> usize,
        mut make: impl FnMut(&Range<usize>, &dyn Progress) -> Result<Vec<u8>, Failure>,
    ) -> Result<usize, Failure> {
        let total: usize = self.ranges.iter().map(&units).sum();
        // Units that are there, whoever made them: only more of these is progress.
        let (mut there, mut mine) = (0, 0);
        let mut missing = Vec::new();
        for range in &self.ranges {
            match self.find(range)? {
                Some(_) => there += units(range),
                None => missing.push(range),
            }
        }
        while !missing.is_empty() {
            let mut left = Vec::new();
            let before = missing.len();
            for range in missing {
                if progress.cancelled() {
                    return Err(Failure::interrupted());
                }
                if self.find(range)?.is_some() {
                    there += units(range);
                    continue;
                }
                let Some(taken) = self.take(range)? else {
                    left.push(range);
                    continue;
                };
                let last = Mutex::new(Instant::now());
                let (done, total) = (there as u64, total as u64);
                let made = make(range, &Beating { inner: progress, taken: &taken, done, total, last })?;
                self.write(range, &made)?;
                mine += units(range);
                there += units(range);
            }
            if left.len() == before {
                // The rest is with other jobs.
                std::thread::sleep(Duration::from_millis(200));
            }
            missing = left;
        }
        Ok(mine)
    }

    /// The bytes of a chunk, after [`Chunks::share`].
    ///
    /// # Errors
    /// It is gone, since another job has published the result of the whole action: the failure of an interruption.
    pub(super) fn read(&self, range: &Range<usize>) -> Result<Vec<u8>, Failure> {
        self.find(range)?.ok_or_else(Failure::interrupted)
    }

    fn path(&self, range: &Range<usize>) -> PathBuf {
        self.folder.join(format!("chunk-{}-{}-{}", range.start, range.end, self.kernels))
    }

    /// The digest in front of the bytes of a chunk.
    fn digest(&self, range: &Range<usize>, bytes: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{} {} {} ", self.key, range.start, range.end).as_bytes()).update(bytes);
        *hasher.finalize().as_bytes()
    }

    /// The bytes of a chunk; `None` while nobody has finished it. A damaged file is removed.
    fn find(&self, range: &Range<usize>) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.path(range);
        let mut bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            // Another job has published the result of all, and cleared the folder.
            Err(_) if !self.folder.is_dir() => return Err(Failure::interrupted()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(place::io(&path, e)),
        };
        match bytes.split_first_chunk::<32>() {
            Some((digest, rest)) if self.digest(range, rest) == *digest => {}
            _ => {
                let _ = std::fs::remove_file(&path);
                return Ok(None);
            }
        }
        bytes.drain(..32);
        Ok(Some(bytes))
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

    fn write(&self, range: &Range<usize>, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path(range);
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(self.folder)?;
            file.write_all(&self.digest(range, bytes))?;
            file.write_all(bytes)?;
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

    fn chunks<'a>(folder: &'a Path, key: &'a str, kernels: &str) -> Chunks<'a> {
        Chunks { folder, key, kernels: kernels.into(), ranges: vec![0..2, 2..3, 3..5] }
    }

    #[test]
    fn a_chunk_is_computed_once_and_read_by_all() {
        let dir = tempfile::tempdir().unwrap();
        let chunks = |key, kernels| chunks(dir.path(), key, kernels);
        let (mine, range) = (chunks("k", "avx2"), 0..2);
        assert_eq!(mine.find(&range).unwrap(), None);
        let taken = mine.take(&range).unwrap().unwrap();
        assert!(mine.take(&range).unwrap().is_none(), "it is taken");
        assert!(mine.take(&(3..5)).unwrap().is_some());
        mine.write(&range, b"result").unwrap();
        drop(taken);
        assert_eq!(mine.read(&range).unwrap(), b"result");
        // Of another action, of other kernels, or damaged: nothing is read, and it is computed again.
        assert_eq!(chunks("k", "portable").find(&range).unwrap(), None);
        assert!(mine.path(&range).exists());
        assert_eq!(chunks("other", "avx2").find(&range).unwrap(), None);
        assert!(!mine.path(&range).exists());
        mine.write(&range, b"result").unwrap();
        let mut bytes = std::fs::read(mine.path(&range)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(mine.path(&range), bytes).unwrap();
        assert_eq!(mine.find(&range).unwrap(), None);
    }

    #[test]
    fn a_chunk_of_a_lost_job_is_taken_by_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let chunks = chunks(dir.path(), "k", "avx2");
        let lost = chunks.take(&(0..2)).unwrap().unwrap();
        lost.file.set_modified(SystemTime::now() - 2 * LOST).unwrap();
        assert!(chunks.take(&(0..2)).unwrap().is_none(), "first it is set free");
        assert!(chunks.take(&(0..2)).unwrap().is_some());
        std::mem::forget(lost);
        // The folder is gone: another job has published the whole.
        std::fs::remove_dir_all(dir.path()).unwrap();
        assert!(chunks.find(&(0..2)).is_err());
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
    fn progress_counts_every_unit_that_is_there_whoever_made_it() {
        let dir = tempfile::tempdir().unwrap();
        let chunks = chunks(dir.path(), "k", "avx2");
        chunks.write(&(3..5), b"9").unwrap();
        let heard = Heard::default();
        let units = |range: &Range<usize>| 3 * range.len();
        let share = || {
            chunks.share(&heard, units, |range, progress| {
                progress.progress(units(range) as u64, units(range) as u64, "pairs", "");
                Ok(vec![range.start as u8])
            })
        };
        assert_eq!(share().unwrap(), 9);
        assert_eq!(*heard.0.lock().unwrap(), [(12, 15), (15, 15)]);
        let read: Vec<Vec<u8>> = chunks.ranges().iter().map(|r| chunks.read(r).unwrap()).collect();
        assert_eq!(read, [vec![0], vec![2], b"9".to_vec()]);
        assert_eq!(share().unwrap(), 0, "all is there");
    }
}
