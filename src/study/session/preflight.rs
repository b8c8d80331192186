//! What would make a stage of a correct study fail and can be told before its first stage: files, models, programs,
//! memory, operations that this build lacks. All of it at once.

use std::collections::BTreeSet;
use std::path::Path;

use super::Session;
use super::inputs::{self, generates, needed};
use xpipe_base::diag::Span;
use xpipe_base::task::{Failure, is_ignored};
use xpipe_base::value::{ActionId, Input, inputs_of};
use xpipe_engine::cache::Store;
use xpipe_engine::{self as engine, Forecast, Job, Options, Reach, Runner as _};
use xpipe_lang::graph::Graph;
use xpipe_nn::{arch, preflight};

/// What stands in the way of a study.
pub(super) struct Problems {
    /// All of it.
    pub(super) all: Vec<Failure>,
    /// Whether models are among it.
    pub(super) of_models: bool,
}

/// An operation that this build cannot carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unimplemented {
    /// What it lacks.
    pub what: String,
    /// The first cell that needs it.
    pub address: String,
    /// Where it is written.
    pub span: Span,
}

impl Session {
    /// What this build cannot carry out among what is needed, each once.
    pub(super) fn unimplemented(&self) -> Vec<Unimplemented> {
        unimplemented(&self.loaded.graph, &self.job)
    }

    /// Everything that would make a stage fail and can be told now, each with its place in the study. What is not on this
    /// machine yet and can be fetched is no problem.
    pub(super) fn problems(&self, store: &Store, options: &Options) -> Problems {
        let missing = inputs::missing(&self.loaded, &self.job, &self.runner, Reach::Local);
        let absent = missing.iter().filter(|m| m.is_file);
        let mut all: Vec<Failure> =
            absent.map(|m| Failure { message: m.message(), ..m.failure.clone() }).collect();
        let unreadable = self.unreadable_files();
        // What cannot be read has no content that a key could hold.
        let known = unreadable.is_empty();
        all.extend(unreadable);
        let mut of_models = false;
        if self.reads_models() {
            let read = match known {
                true => readers(&self.forecast(store, options)),
                false => self.job.needed(),
            };
            let wrong = self.wrong_models(&read);
            of_models = !wrong.is_empty();
            all.extend(wrong);
        }
        all.extend(self.unready(store, options));
        Problems { all, of_models }
    }

    /// What cannot start on this machine among what would run, each with its place.
    pub(super) fn unready(&self, store: &Store, options: &Options) -> Vec<Failure> {
        self.placed(engine::unready(&self.job, &self.runner, store, options))
    }

    /// What needs more memory than there is among what would run, each with its place.
    pub(super) fn too_large(&self, store: &Store, options: &Options) -> Vec<Failure> {
        self.placed(engine::short_of_memory(&self.job, &self.runner, store, options))
    }

    /// Failures of actions with the places of their stages.
    fn placed(&self, failures: Vec<(ActionId, Failure)>) -> Vec<Failure> {
        let placed = |(id, failure): (ActionId, Failure)| {
            let position = self.loaded.position(self.loaded.graph.call_site(id).span);
            Failure { message: format!("{} ({position})", failure.message), ..failure }
        };
        failures.into_iter().map(placed).collect()
    }

    /// Files that are there and cannot be read: closed to this user, neither file nor folder, a folder of an import
    /// without files.
    fn unreadable_files(&self) -> Vec<Failure> {
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for id in needed(&self.job) {
            let action = self.job.action(id);
            inputs_of(&action.args, &mut |input| {
                let Input::File(path) = &**input else { return };
                if seen.insert(path.clone())
                    && let Some(failure) = unreadable(path, action.op.starts_with("import."))
                {
                    let message = format!("{} (for {})", failure.message, self.loaded.reader(id));
                    found.push(Failure { message, ..failure });
                }
            });
        }
        found
    }

    /// Whether anything needed reads a model.
    pub(super) fn reads_models(&self) -> bool {
        let mut found = false;
        for id in needed(&self.job) {
            let args = &self.job.action(id).args;
            inputs_of(args, &mut |input| found |= matches!(**input, Input::Model { .. }));
        }
        found
    }

    /// What is wrong with the models on this machine that actions would read; `reads` says which do, by action.
    pub(super) fn wrong_models(&self, reads: &[bool]) -> Vec<Failure> {
        let registry = crate::ops::registry();
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for id in needed(&self.job) {
            let (action, reads) = (self.job.action(id), reads[id.0 as usize]);
            inputs_of(&action.args, &mut |input| {
                let op = registry.get(action.op);
                if !matches!(**input, Input::Model { .. }) || op.is_some_and(generates) {
                    return;
                }
                let of = op.and_then(|op| crate::ops::use_of(op, &action.args, input));
                // A cached ranking may be one by a randomly initialised head, from when that was no error.
                if !reads && !matches!(of, Some(preflight::ModelPurpose::Ranking(_))) {
                    return;
                }
                let Ok(model) = self.runner.find_input(input, Reach::Local) else { return };
                if !seen.insert((model.path.clone(), of, reads)) {
                    return;
                }
                let checked = match of {
                    Some(of) if !reads => preflight::head(&model.path, of),
                    Some(of) => preflight::check(&model.path, of).map(drop),
                    None => arch::read(&model.path).map(drop),
                };
                if let Err(failure) = checked {
                    let message = format!("{} (for {})", failure.message, self.loaded.reader(id));
                    found.push(Failure { message, ..failure });
                }
            });
        }
        found
    }
}

/// What a build cannot carry out among what is needed, each once.
fn unimplemented(graph: &Graph, job: &Job) -> Vec<Unimplemented> {
    let mut found: Vec<Unimplemented> = Vec::new();
    for id in needed(job) {
        let Some((what, span)) = &graph.call_site(id).unimplemented else { continue };
        if !found.iter().any(|u| u.what == *what && u.span == *span) {
            found.push(Unimplemented {
                what: what.clone(),
                address: graph.action(id).address.clone(),
                span: *span,
            });
        }
    }
    found
}

/// Which actions would read their inputs, as far as it is known.
pub(super) fn readers(forecasts: &[Forecast]) -> Vec<bool> {
    forecasts.iter().map(Forecast::is_open).collect()
}

/// Why a path cannot be read; `None` when it is not there, which is reported elsewhere.
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
                .help("a pipe or a device can be read only once: write its content into a file"),
        );
    }
    let mut entries = match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten(),
        Err(e) => {
            return Some(Failure::missing(format!("{name}: {e}")).help("let this user read the folder"));
        }
    };
    let empty = import && !entries.any(|e| !is_ignored(&e.file_name().to_string_lossy()));
    empty.then(|| {
        Failure::missing(format!("{name}: the folder holds no files"))
            .help("check the path: a collection's files are expected in it")
    })
}
