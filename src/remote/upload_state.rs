//! The state of an upload in parts, kept in the cache so that a push that was killed goes on where it was.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use xpipe_base::modes;
use xpipe_base::value::Digest;
use xpipe_engine::cache::{FileLock, lock_if_free};

/// An upload in parts.
#[derive(Serialize, Deserialize)]
pub(crate) struct State {
    /// The store's name of it.
    pub(crate) upload: String,
    /// The size of its parts in bytes.
    pub(crate) part: u64,
    /// The store's names of the parts that it has.
    pub(crate) parts: Vec<String>,
}

/// The file of a state.
pub(crate) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// That of the upload of a blob, in the folder of a remote cache.
    pub(crate) fn of(folder: &Path, digest: &Digest) -> Self {
        Self { path: folder.join(format!("{digest}.json")) }
    }

    /// The lock of the upload; `None` while another process of this machine holds it. Its file goes with it.
    pub(crate) fn try_lock(&self) -> std::io::Result<Option<FileLock>> {
        modes::make_folder(self.path.parent().unwrap_or(&self.path))?;
        lock_if_free(&self.path.with_extension("lock"))
    }

    /// The state of an upload with parts of a certain size.
    pub(crate) fn read(&self, part: u64) -> Option<State> {
        let state: State = serde_json::from_slice(&std::fs::read(&self.path).ok()?).ok()?;
        Some(state).filter(|state| state.part == part)
    }

    /// Keeps a state. Without it a push that is killed begins anew, which is no error.
    pub(crate) fn keep(&self, state: &State) {
        let write = || -> std::io::Result<()> {
            let folder = self.path.parent().unwrap_or(&self.path);
            modes::make_folder(folder)?;
            let mut temp = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer(&mut temp, state)?;
            modes::inherit_file(temp.path())?;
            temp.persist(&self.path)?;
            Ok(())
        };
        let _ = write();
    }

    pub(crate) fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }

    /// Its path, for errors.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
