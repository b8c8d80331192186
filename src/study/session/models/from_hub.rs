//! Which files of a model are fetched from the hub.

use std::path::PathBuf;

use xpipe_base::task::{Failure, Progress};
use xpipe_engine::fetch::hub::{Client, Opened, Repository};
use xpipe_nn::files::{self, MissingFile};

/// The largest file, in bytes, that is searched for names of others.
const NAMING: u64 = 64 << 20;

/// Fetches the missing files of a model; returns the folder of its snapshot, and the commit.
pub(super) fn fetch(
    client: &Client,
    repository: Repository,
    model: &str,
    revision: &str,
    progress: &dyn Progress,
) -> Result<(PathBuf, String), Failure> {
    // The commit that the revision was on this machine: a snapshot that is not whole is made whole.
    let at = repository.commit(revision).filter(|c| repository.snapshot(c).is_dir());
    let at = at.unwrap_or_else(|| revision.to_owned());
    let probe = [files::CONFIG, files::ADAPTER];
    let mut opened = Opened::new(client, repository, (model, &at), &probe, progress)?;
    let chosen = files::choose(|file| opened.has(file))?;
    if !chosen.lacks.is_empty() {
        let names: Vec<&str> = opened.names().collect();
        return Err(missing_files(model, &chosen.lacks, &names));
    }
    let mut absent = chosen.absent;
    for file in &chosen.files {
        let path = opened.fetch(file)?;
        if !file.ends_with(".json") || std::fs::metadata(&path)?.len() > NAMING {
            continue;
        }
        let wrong = |why: String| Failure::wrong(format!("{}: {why}", path.display()));
        for named in files::named_in(file, &std::fs::read(&path)?).map_err(wrong)? {
            // Modules without settings of their own have no folder.
            match file == files::MODULES && !opened.has(&named)? {
                true => opened.note_absent(&named)?,
                false => drop(opened.fetch(&named)?),
            }
        }
    }
    absent.retain(|file| !chosen.files.iter().any(|f| f == file));
    let folder = opened.finish(&absent)?;
    Ok((folder, opened.commit().to_owned()))
}

/// The failure of a repository that has other files than those that are read.
fn missing_files(model: &str, lacks: &[MissingFile], names: &[&str]) -> Failure {
    let expected: Vec<&str> = lacks.iter().map(|l| l.expected()).collect();
    let failure = Failure::missing(format!("the model {model} has no {} on the hub", expected.join("; no ")));
    match files::of_others(names.iter().copied()).filter(|_| lacks.contains(&MissingFile::Weights)) {
        Some(others) => failure.help(format!(
            "its weights are for other programs: {others}. Look for the repository that this one was converted from"
        )),
        None => failure.help(match names.is_empty() {
            true => "look at the list of files on its page".to_owned(),
            false => format!("it has {}", names.iter().take(12).copied().collect::<Vec<_>>().join(", ")),
        }),
    }
}
