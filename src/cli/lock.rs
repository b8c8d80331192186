//! The lock file beside a study: revisions of hub models, pinned when they are first used.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::out::Stop;
use crate::task::Failure;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    #[serde(default)]
    models: IndexMap<String, String>,
}

/// A study's lock file.
#[derive(Clone, Debug, Default)]
pub(super) struct Lock {
    path: Option<PathBuf>,
    content: Content,
    locked: bool,
    changed: bool,
}

impl Lock {
    /// Reads `<stem>.lock` beside the study; an absent file is an empty one.
    pub(super) fn beside(study: &Path, locked: bool) -> Result<Self, Stop> {
        let path = study.with_extension("lock");
        let content = match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|e| {
                Stop::missing(
                    format!("{} is not a lock file: {e}", path.display()),
                    Some("restore it from version control, or remove it to pin anew".into()),
                )
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Content { version: 1, ..Content::default() }
            }
            Err(e) => return Err(Stop::missing(format!("cannot read {}: {e}", path.display()), None)),
        };
        Ok(Self { path: Some(path), content, locked, changed: false })
    }

    /// The pinned revision of a model.
    pub(super) fn revision(&self, name: &str) -> Option<&str> {
        self.content.models.get(name).map(String::as_str)
    }

    /// Pins a revision; the same one again changes nothing.
    pub(super) fn pin(&mut self, name: &str, commit: &str) -> Result<(), Failure> {
        if self.revision(name) == Some(commit) || self.path.is_none() {
            return Ok(());
        }
        if self.locked {
            return Err(Failure::missing(format!(
                "{name} is not pinned at {commit}, and --locked forbids to pin it"
            ))
            .help("run once without --locked and commit the lock file"));
        }
        self.content.models.insert(name.to_owned(), commit.to_owned());
        self.content.models.sort_keys();
        self.changed = true;
        Ok(())
    }

    /// Writes the file when a pin is new.
    pub(super) fn save(&mut self) -> Result<(), Failure> {
        let (true, Some(path)) = (self.changed, &self.path) else { return Ok(()) };
        let text = serde_json::to_string_pretty(&self.content).map_err(|e| Failure::bug(e.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut file, format!("{text}\n").as_bytes())?;
        file.persist(path).map_err(|e| Failure::from(e.error))?;
        self.changed = false;
        Ok(())
    }
}
