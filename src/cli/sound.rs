//! What can be told of a study's inputs before its first stage: files that are there, models that are whole and fit,
//! programs that can start. All of it at once.

use std::collections::BTreeSet;
use std::path::Path;

use super::job;
use super::runner::Local;
use super::study::Loaded;
use xpipe_base::task::{Failure, passed_over};
use xpipe_base::value::{Input, inputs_of};
use xpipe_engine::cache::Store;
use xpipe_engine::{Forecast, Job, Options, Reach};

/// What stands in the way of a study.
pub(super) struct Problems {
    /// All of it.
    pub all: Vec<Failure>,
    /// Whether models are among it.
    pub of_models: bool,
}

/// Everything that would make a stage fail and can be told now, each with its place in the study. What is not on this
/// machine yet and can be fetched is no problem.
pub(super) fn problems(
    loaded: &Loaded,
    job: &Job,
    runner: &Local,
    store: &Store,
    options: &Options,
) -> Problems {
    let missing = job::missing(loaded, job, runner, Reach::Local);
    let absent = missing.iter().filter(|m| m.is_file);
    let mut found: Vec<Failure> =
        absent.map(|m| Failure { message: m.told(), ..m.failure.clone() }).collect();
    let unreadable = files(loaded, job);
    // What cannot be read has no content that a key could hold.
    let known = unreadable.is_empty();
    found.extend(unreadable);
    let mut of_models = false;
    if any_model(job) {
        let read = match known {
            true => read(&xpipe_engine::forecast(job, runner, store, options)),
            false => job.needed(),
        };
        let wrong = models(loaded, job, &read, runner);
        of_models = !wrong.is_empty();
        found.extend(wrong);
    }
    found.extend(job::unready(loaded, job, runner, store, options));
    Problems { all: found, of_models }
}

/// Files that are there and cannot be read: closed to this user, neither file nor folder, a folder of an import without
/// files.
fn files(loaded: &Loaded, job: &Job) -> Vec<Failure> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (i, _) in job.needed().into_iter().enumerate().filter(|(_, needed)| *needed) {
        let action = &job.actions[i];
        inputs_of(&action.args, &mut |input| {
            let Input::File(path) = &**input else { return };
            if seen.insert(path.clone())
                && let Some(failure) = unreadable(path, action.op.starts_with("import."))
            {
                let message = format!("{} (for {})", failure.message, job::place(loaded, i));
                found.push(Failure { message, ..failure });
            }
        });
    }
    found
}

/// Why a path cannot be read; nothing when it is not there, which is told elsewhere.
fn unreadable(path: &Path, import: bool) -> Option<Failure> {
    let name = path.display();
    let meta = std::fs::metadata(path).ok()?;
    if meta.is_file() {
        let e = std::fs::File::open(path).err()?;
        return Some(Failure::missing(format!("{name}: {e}")).help("let this user read the file"));
    }
    if !meta.is_dir() {
        return Some(
            Failure::missing(format!("{name} is neither a file nor a folder"))
                .help("a pipe or a device can be read once only: write what comes from it into a file"),
        );
    }
    let mut entries = match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten(),
        Err(e) => {
            return Some(Failure::missing(format!("{name}: {e}")).help("let this user read the folder"));
        }
    };
    let empty = import && !entries.any(|e| !passed_over(&e.file_name().to_string_lossy()));
    empty.then(|| {
        Failure::missing(format!("{name}: the folder holds no files"))
            .help("check the path: a collection's files are expected in it")
    })
}

/// Whether anything needed reads a model.
pub(super) fn any_model(job: &Job) -> bool {
    let mut found = false;
    for (action, _) in job.actions.iter().zip(job.needed()).filter(|(_, needed)| *needed) {
        inputs_of(&action.args, &mut |input| found |= matches!(**input, Input::Model { .. }));
    }
    found
}

/// Which actions would read their inputs, as far as it is known.
pub(super) fn read(fates: &[Forecast]) -> Vec<bool> {
    fates.iter().map(super::fetching::reads).collect()
}

/// What is wrong with the models on this machine that these actions would read.
pub(super) fn models(loaded: &Loaded, job: &Job, read: &[bool], runner: &Local) -> Vec<Failure> {
    use xpipe_engine::Runner as _;
    use xpipe_nn::{arch, preflight};

    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (i, _) in job.needed().into_iter().enumerate().filter(|(_, needed)| *needed) {
        let (action, reads) = (&job.actions[i], read[i]);
        inputs_of(&action.args, &mut |input| {
            if !matches!(**input, Input::Model { .. }) || xpipe_study::ops::asks(action.op) {
                return;
            }
            let of = xpipe_study::ops::use_of(action.op, &action.args, input);
            // A ranking that is kept may be one by a head drawn at random, from when that was no error.
            if !reads && !matches!(of, Some(preflight::Use::Ranking(_))) {
                return;
            }
            let Ok(model) = runner.find_input(input, Reach::Local) else { return };
            if !seen.insert((model.path.clone(), of, reads)) {
                return;
            }
            let checked = match of {
                Some(of) if !reads => preflight::head(&model.path, of),
                Some(of) => preflight::check(&model.path, of).map(drop),
                None => arch::read(&model.path).map(drop),
            };
            if let Err(failure) = checked {
                let reader = job::place(loaded, i);
                found.push(Failure { message: format!("{} (for {reader})", failure.message), ..failure });
            }
        });
    }
    found
}
