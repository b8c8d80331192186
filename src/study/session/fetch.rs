//! `fetch`: everything that a study reads from other machines is downloaded, and nothing is run.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Session;
use super::downloads::{FetchedFile, Network, fetch_error};
use super::error::Error;
use xpipe_base::task::Failure;
use xpipe_base::value::{Input, inputs_of};
use xpipe_engine::{CancelToken, EventSink, Forecast, Heavy, Reach, Runner as _};

/// A model that a run would read.
pub struct FetchedModel {
    /// Its name, with the revision that the study writes.
    pub name: String,
    /// Its folder, or why there is none.
    pub result: Result<PathBuf, Failure>,
}

/// What a `fetch` came to.
pub struct FetchReport {
    /// The files.
    pub files: Vec<FetchedFile>,
    /// The models.
    pub models: Vec<FetchedModel>,
    /// The root of the cache.
    pub cache: PathBuf,
}

impl FetchReport {
    /// The error when something could not be had.
    pub fn error(&self) -> Option<Error> {
        let failed = || self.models.iter().find_map(|m| m.result.as_ref().err());
        fetch_error(&self.files).or_else(|| failed().map(|f| Error::from(f.clone())))
    }
}

impl Session {
    /// The addresses of the files that a run would read and that are not on this machine.
    ///
    /// # Errors
    /// The cache cannot be read, or the digests of a file disagree.
    pub fn absent_files(&self) -> Result<Vec<String>, Error> {
        let store = self.settings.open_to_read()?;
        let forecasts = self.forecast(&store, &self.settings.options(Heavy::Thread));
        let files = self.needed_files(&forecasts)?;
        Ok(files.iter().filter(|f| !f.is_here(&store)).map(|f| f.want.url.to_string()).collect())
    }

    /// Downloads what a run would read: files first, then models.
    ///
    /// # Errors
    /// The cache or the lock file cannot be written, or the digests of a file disagree. A download that fails is part of
    /// what is returned.
    pub fn fetch(
        &mut self,
        network: &Network,
        view: &dyn Fn() -> Box<dyn EventSink>,
        cancel: &CancelToken,
    ) -> Result<FetchReport, Error> {
        let sources = network.sources()?;
        self.runner.configure_network(network.offline, cancel);
        let store = self.settings.open_to_write()?;
        let forecasts = self.forecast(&store, &self.settings.options(Heavy::Thread));
        let needed = self.needed_files(&forecasts)?;
        let files = self.fetch_files(needed, &store, &sources, &mut *view(), cancel)?;
        let models = self.fetch_models(&forecasts);
        self.runner.save_lock()?;
        Ok(FetchReport { files, models, cache: store.root().to_owned() })
    }

    /// The models that would be read: each is found, or fetched from the hub.
    fn fetch_models(&self, forecasts: &[Forecast]) -> Vec<FetchedModel> {
        let mut models = BTreeSet::new();
        let open = self.job.actions.iter().zip(forecasts).filter(|(_, forecast)| forecast.is_open());
        for (action, _) in open {
            inputs_of(&action.args, &mut |input| {
                if matches!(**input, Input::Model { .. }) {
                    models.insert(input.clone());
                }
            });
        }
        let find = |input: &Input| self.runner.find_input(input, Reach::Fetch).map(|f| f.path);
        models.into_iter().map(|m| FetchedModel { name: m.to_string(), result: find(&m) }).collect()
    }
}
