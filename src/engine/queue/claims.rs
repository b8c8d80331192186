//! Which attempts at which keys are under way, over all runs that share a cache. A claim is made before its job is
//! submitted, by a link, which one of two runs makes first: the other one takes the job over instead of submitting a second
//! one. A claim only saves work; twins publish the same result.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xpipe_base::modes;
use xpipe_base::value::Digest;

use super::files::read;

/// An attempt that was about to be submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// The run that submitted it.
    pub(crate) run: String,
    /// The name of the job or array, unique among all.
    pub(crate) name: String,
    /// Its task.
    pub(crate) task: u32,
    /// The number of the attempt, from 1.
    pub(crate) attempt: u32,
}

impl Claim {
    /// The folder of its submission; `None` for one that leads elsewhere, since others may have written it. `runs`: the
    /// folder of all runs of the cache.
    pub(super) fn submission(&self, runs: &Path) -> Option<PathBuf> {
        let is_name = |text: &str| !text.is_empty() && !text.contains(['/', '\0']) && !text.starts_with('.');
        let good = is_name(&self.run) && is_name(&self.name);
        good.then(|| runs.join(&self.run).join("jobs").join(&self.name))
    }
}

/// How often a claim is tried anew that another run released between the link and the look at it.
const RELEASED: u32 = 100;

/// The folder of claims of a cache.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    folder: PathBuf,
}

impl Claims {
    /// In the root's `v1`. The folder is made with the first claim.
    pub(crate) fn of(dir: &Path) -> Self {
        Self { folder: dir.join("claims") }
    }

    fn path(&self, key: &Digest, attempt: u32) -> PathBuf {
        self.folder.join(format!("{}.{attempt}", key.hex()))
    }

    /// The latest claim of every key.
    pub(crate) fn latest(&self) -> BTreeMap<Digest, Claim> {
        let mut latest: BTreeMap<Digest, Claim> = BTreeMap::new();
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let parsed = name
                .to_str()
                .and_then(|n| n.split_once('.'))
                .and_then(|(key, n)| Some((Digest::parse(key)?, n.parse::<u32>().ok()?)));
            let Some((key, attempt)) = parsed else { continue };
            if latest.get(&key).is_none_or(|c| c.attempt < attempt)
                && let Ok(claim) = read::<Claim>(&entry.path())
            {
                latest.insert(key, claim);
            }
        }
        latest
    }

    /// Makes a claim. `Err(Ok(other))` when another run has made that one.
    pub(crate) fn make(&self, key: &Digest, claim: &Claim) -> Result<(), io::Result<Claim>> {
        let path = self.path(key, claim.attempt);
        let mut last = None;
        let make = || -> io::Result<bool> {
            modes::make_folder(&self.folder)?;
            let mut temp = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.folder)?;
            serde_json::to_writer(&mut temp, claim)?;
            temp.flush()?;
            modes::inherit_file(temp.path())?;
            temp.as_file().sync_all()?;
            match std::fs::hard_link(temp.path(), &path) {
                Ok(()) => Ok(true),
                // A reply that was lost: the link is there nevertheless, and is ours.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(read::<Claim>(&path)? == *claim),
                // Without hard links a claim cannot be contested.
                Err(e)
                    if matches!(e.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) =>
                {
                    temp.persist(&path)?;
                    Ok(true)
                }
                Err(e) => Err(e),
            }
        };
        for _ in 0..RELEASED {
            let gone = match make() {
                Ok(true) => return Ok(()),
                Ok(false) => match read(&path) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => e,
                    other => return Err(other),
                },
                Err(e) if e.kind() == io::ErrorKind::NotFound => e,
                Err(e) => return Err(Err(e)),
            };
            // Released by the other run before it could be read: it may be made now.
            last = Some(gone);
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(Err(last.unwrap_or_else(|| io::ErrorKind::NotFound.into())))
    }

    /// Makes the claims so far survive a power failure.
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    /// Removes the claims of a key up to an attempt.
    pub(crate) fn release(&self, key: &Digest, up_to: u32) {
        for attempt in 1..=up_to {
            let _ = std::fs::remove_file(self.path(key, attempt));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(run: &str, attempt: u32) -> Claim {
        Claim { run: run.into(), name: format!("x-{run}"), task: 0, attempt }
    }

    #[test]
    fn one_of_two_runs_makes_a_claim_and_the_other_sees_it() {
        let dir = tempfile::tempdir().unwrap();
        let claims = Claims::of(dir.path());
        let key = Digest::of(b"k");
        assert!(claims.latest().is_empty());
        claims.make(&key, &claim("a", 1)).unwrap();
        assert_eq!(claims.make(&key, &claim("b", 1)).unwrap_err().unwrap(), claim("a", 1));
        // As if the reply had been lost.
        claims.make(&key, &claim("a", 1)).unwrap();
        claims.make(&key, &claim("b", 2)).unwrap();
        claims.sync().unwrap();
        assert_eq!(claims.latest()[&key], claim("b", 2));
        claims.release(&key, 2);
        assert!(claims.latest().is_empty());
    }

    #[test]
    fn a_claim_that_is_released_at_once_disturbs_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (claims, key) = (Claims::of(dir.path()), Digest::of(b"k"));
        std::thread::scope(|s| {
            for run in ["a", "b", "c"] {
                let claims = &claims;
                s.spawn(move || {
                    for _ in 0..200 {
                        match claims.make(&key, &claim(run, 1)) {
                            Ok(()) => claims.release(&key, 1),
                            Err(other) => assert_ne!(other.unwrap().run, run),
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn of_many_at_once_one_wins() {
        let dir = tempfile::tempdir().unwrap();
        let (claims, key) = (Claims::of(dir.path()), Digest::of(b"k"));
        let won: usize = std::thread::scope(|s| {
            let each = |i: usize| {
                let (claims, key) = (&claims, &key);
                s.spawn(move || usize::from(claims.make(key, &claim(&i.to_string(), 1)).is_ok()))
            };
            let threads: Vec<_> = (0..8).map(each).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(won, 1);
    }
}
