//! Whether a snapshot in the hub's cache has everything that is read of a model.

use std::path::PathBuf;

use xpipe_engine::fetch::hub::{Presence, Repository};
use xpipe_nn::files;

/// A snapshot of a model: its folder and commit.
pub(super) type Snapshot = (PathBuf, String);

/// Why a snapshot in the hub's cache cannot simply be used.
pub(super) enum Unusable {
    /// There is none.
    Absent,
    /// These files are missing, as a fragment: `it lacks config.json`.
    Incomplete(String),
    /// All required files are there. Whether the repository has these others, which are read where they are, was never
    /// asked.
    Unknown(Snapshot, String),
}

/// A complete snapshot of a revision.
pub(super) fn complete(repository: &Repository, revision: &str) -> Result<Snapshot, Unusable> {
    let commit = repository.commit(revision).ok_or(Unusable::Absent)?;
    let folder = repository.snapshot(&commit);
    if !folder.is_dir() {
        return Err(Unusable::Absent);
    }
    let presence = |file: &str| repository.presence(&commit, file);
    let Ok(chosen) =
        files::choose(|file| Ok::<_, std::convert::Infallible>(presence(file) == Presence::Cached));
    let mut missing: Vec<String> = chosen.lacks.iter().map(|l| l.expected().to_owned()).collect();
    for file in chosen.files.iter().filter(|f| f.ends_with(".json")) {
        // A damaged file is reported where it is read.
        let named = std::fs::read(folder.join(file)).ok().and_then(|text| files::named_in(file, &text).ok());
        missing.extend(named.unwrap_or_default().into_iter().filter(|f| presence(f) == Presence::Unknown));
    }
    let unknown = |files: &[&'static str]| -> Vec<String> {
        let unknown = files.iter().filter(|f| presence(f) == Presence::Unknown);
        unknown.map(|f| (*f).to_owned()).collect()
    };
    // Without these, texts may become other tokens.
    missing.extend(unknown(&["tokenizer_config.json", files::TOKENIZER]));
    if !missing.is_empty() {
        return Err(Unusable::Incomplete(format!("it lacks {}", missing.join(", "))));
    }
    let others = unknown(&chosen.absent);
    match others.is_empty() {
        true => Ok((folder, commit)),
        false => Err(Unusable::Unknown((folder, commit), others.join(", "))),
    }
}
