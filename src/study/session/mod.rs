//! What the program does with a study, without the command line: loading, downloads, the lock file, plans, runs, and
//! results from the cache.
//!
//! A [`Session`] is one study with everything that is needed for it. Its verbs return plain data and errors with exit
//! codes ([`Error`]); while they work they report to an event sink ([`View`]) and a [`Listener`]. Nothing here prints or
//! knows of arguments.

mod bundle;
mod cached;
mod clusters;
mod diff;
mod downloads;
mod error;
mod estimate;
mod export;
mod fetch;
mod garbage;
mod inputs;
mod job;
mod last_failures;
mod load;
mod lock;
mod logs;
mod models;
mod notice;
mod notify;
mod outcome;
mod page;
mod plan;
mod preflight;
mod queue_runs;
mod remote;
mod rerun;
mod results;
mod results_folder;
mod run;
mod runner;
mod settings;
mod small_files;
mod user_settings;

pub use bundle::{BundleRequest, Bundled, unbundle};
pub use cached::CacheView;
pub use clusters::queue_options;
pub use diff::{Differences, MeasuredChange, differences};
pub use downloads::{FetchedFile, NeededFile, Network};
pub use error::{Error, exit};
pub use estimate::{Basis, ResourceEstimate};
pub use export::Exported;
pub use fetch::{FetchReport, FetchedModel};
pub use garbage::{GcOptions, pin, unpin};
pub use last_failures::FailedBefore;
pub use load::{Loaded, StudyRequest, cells};
pub use lock::Lock;
pub use logs::{ActionLog, ActionStates, LogQuery, RunFolder, TimedEvent, find_logs, names_address};
pub use notice::{Listener, Notice, ignore};
pub use notify::NotifyRequest;
pub use outcome::{FailedAction, RunOutcome, Written};
pub use plan::{Plan, PlannedStage};
pub use preflight::Unimplemented;
pub use queue_runs::{Ended, RunState, RunStatus, cancel_run, event, run_folder, run_status};
pub use remote::{
    Pulled, RemoteReport, distrust, make_signing_key, no_remote, open_remote, remote_exit_code, remote_name,
    send_results, trust, trusted_keys,
};
pub use rerun::{RerunOf, rerun_sample};
pub use results::CachedResults;
pub use run::RunRequest;
pub use runner::LocalRunner;
pub use settings::Settings;
pub use user_settings::UserSettings;
pub use xpipe_remote::Remote;

use std::collections::BTreeSet;
use std::path::PathBuf;

use xpipe_base::task::Failure;
use xpipe_base::value::{Input, inputs_of};
use xpipe_engine::cache::Store;
use xpipe_engine::{self as engine, EventSink, Forecast, Heavy, Job, Options};
use xpipe_lang::graph::select;

/// Makes a sink for the events of one phase: downloads, then the run. The sink is dropped when the phase ends.
pub type View<'v> = dyn Fn() -> Box<dyn EventSink> + 'v;

/// One study with what verbs need for it.
pub struct Session {
    /// The study.
    pub loaded: Loaded,
    settings: Settings,
    job: Job,
    runner: LocalRunner,
}

impl Session {
    /// Loads a correct study.
    ///
    /// # Errors
    /// The study cannot be read or is wrong, or its lock file cannot be read.
    pub fn open(request: &StudyRequest, settings: &Settings, listener: Listener) -> Result<Self, Error> {
        Self::of(Loaded::correct(request, &settings.model_folders())?, settings, listener)
    }

    /// A session of a study that is loaded.
    ///
    /// # Errors
    /// The study's lock file cannot be read.
    pub fn of(loaded: Loaded, settings: &Settings, listener: Listener) -> Result<Self, Error> {
        let job = job::job(&loaded)?;
        let lock = Lock::beside(&loaded.path, settings.locked)?;
        let runner = LocalRunner::new(settings, lock, listener);
        Ok(Self { loaded, settings: settings.clone(), job, runner })
    }

    /// The files that a run depends on: the study's texts, and local files and folders that its stages read.
    pub fn watched(&self) -> BTreeSet<PathBuf> {
        let mut files: BTreeSet<PathBuf> = self.loaded.files.iter().cloned().collect();
        for id in inputs::needed(&self.job) {
            inputs_of(&self.job.action(id).args, &mut |input| {
                if let Input::File(path) = &**input {
                    files.insert(path.clone());
                }
            });
        }
        files
    }

    /// What would become of every action.
    fn forecast(&self, store: &Store, options: &Options) -> Vec<Forecast> {
        engine::forecast(&self.job, &self.runner, store, options)
    }

    /// What would make a stage of a loaded, correct study fail, as far as its inputs tell. Nothing is fetched.
    ///
    /// # Errors
    /// The cache or the lock file cannot be read.
    pub fn check_inputs(
        mut loaded: Loaded,
        settings: &Settings,
        listener: Listener,
    ) -> Result<Vec<Failure>, Error> {
        loaded.wanted = select::all(&loaded.graph);
        let session = Self::of(loaded, settings, listener)?;
        let options = settings.options(Heavy::Thread);
        let found = session.problems(&settings.open_to_read()?, &options).all;
        if found.is_empty() { session.wrong_small_files(&options) } else { Ok(found) }
    }
}
