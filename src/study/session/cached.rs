//! What the cache holds of a study, without a run: for `show`, `report`, `why` and `diff`.

use std::path::{Path, PathBuf};

use super::Session;
use super::error::Error;
use super::last_failures::FailedBefore;
use super::page::Pages;
use super::results::CachedResults;
use crate::report::chosen::{ChosenPoint, chosen_for};
use crate::report::{self, Evaluated};
use xpipe_base::value::ActionId;
use xpipe_engine::cache::Store;
use xpipe_engine::{self as engine, Forecast, Heavy, Options, Why};

/// A study's results in the cache, and what a run would do.
pub struct CacheView<'s> {
    pub(super) session: &'s Session,
    store: &'s Store,
    options: Options,
    /// By action.
    pub forecasts: Vec<Forecast>,
    /// The results that there are.
    pub results: CachedResults<'s>,
}

impl Session {
    /// The cache, to read from.
    ///
    /// # Errors
    /// It has no place, or cannot be read.
    pub fn open_cache(&self) -> Result<Store, Error> {
        self.settings.open_to_read()
    }

    /// What the cache holds of the study.
    pub fn cached<'s>(&'s self, store: &'s Store) -> CacheView<'s> {
        let options = self.settings.options(Heavy::Thread);
        let forecasts = self.forecast(store, &options);
        let results = CachedResults::of_forecast(store, &self.job, &forecasts);
        CacheView { session: self, store, options, forecasts, results }
    }
}

impl CacheView<'_> {
    /// Tables, claims and costs. What has no result is a hole.
    ///
    /// # Errors
    /// A defect of xpipe, found by the report.
    pub fn evaluate(&self) -> Result<Evaluated, Error> {
        Ok(report::evaluate(&self.session.loaded.graph, &self.results)?)
    }

    /// How many needed actions have no result.
    pub fn open(&self) -> usize {
        self.forecasts.iter().filter(|f| f.is_open()).count()
    }

    /// How many actions a run would carry out or try to, leaving out those whose inputs are missing.
    pub fn to_run(&self) -> usize {
        let to_run = |f: &&Forecast| matches!(f, Forecast::WillRun { .. } | Forecast::Depends { .. });
        self.forecasts.iter().filter(to_run).count()
    }

    /// The last failures of what has no result.
    pub fn last_failures(&self) -> Vec<FailedBefore> {
        self.session.last_failures(self.store, &self.forecasts)
    }

    /// Writes the pages to a folder; returns the files.
    ///
    /// # Errors
    /// A page cannot be written.
    pub fn write_pages(&self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        let evaluated = self.evaluate()?;
        Pages::of_cache(&self.session.loaded, &self.forecasts, &self.results).write(
            folder,
            &evaluated,
            &self.results,
        )
    }

    /// Why an action will run, or why it is cached.
    pub fn why(&self, action: ActionId) -> Why {
        let session = self.session;
        engine::why(&session.job, action, &session.runner, self.store, &self.options)
    }

    /// The values chosen by results that an action's arguments wait for.
    pub fn chosen_for(&self, action: ActionId) -> Vec<ChosenPoint> {
        chosen_for(action, &self.session.loaded.graph, &self.results)
    }
}
