//! `run`: everything that a study asks for, then its tables, claims and pages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Session;
use super::downloads::{Network, fetch_error};
use super::error::{Error, combined, exit};
use super::inputs;
use super::load::cells;
use super::notify::{Notifier, NotifyRequest};
use super::outcome::{FailedAction, RunOutcome, Written};
use super::page::Pages;
use super::preflight::readers;
use super::results::CachedResults;
use super::results_folder::require_writable;
use super::{View, estimate};
use crate::report::{self, Evaluated};
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_base::task::{Failure, Kernels};
use xpipe_base::value::ActionId;
use xpipe_engine::cache::Store;
use xpipe_engine::fetch::Sources;
use xpipe_engine::{
    self as engine, CancelToken, Counts, Device, Fanout, Final, Forecast, Heavy, Options, Preview, Reach,
    RunReport,
};

/// How to run.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// Where downloads may come from.
    pub network: Network,
    /// Whether to stop at the first failure instead of going on with what is independent.
    pub fail_fast: bool,
    /// Stages or cells to run again although they are cached.
    pub force: Vec<String>,
    /// Where to compute.
    pub device: Device,
    /// The engine and instruction set of models.
    pub kernels: Kernels,
    /// Where heavy stages run.
    pub heavy: Heavy,
    /// The folder of tables and pages. Default: `results/NAME` beside the study.
    pub output: Option<PathBuf>,
    /// A file for a trace in Chrome's format.
    pub trace: Option<PathBuf>,
    /// Start ready actions in an order drawn from this seed.
    pub shuffle: Option<u64>,
    /// Days after which `cache gc` may remove what only this run used. Default: no limit.
    pub keep_days: Option<u32>,
    /// How many stages of a pool may run at once, by the pool's name.
    pub pools: BTreeMap<String, usize>,
    /// Who is told of the run.
    pub notify: NotifyRequest,
}

impl Session {
    /// Runs what is asked for, after every check that is possible before the first stage.
    ///
    /// # Errors
    /// Nothing was started: an input is missing, something does not fit, or files could not be downloaded. A stage that
    /// fails is part of what is returned.
    pub fn run(
        &mut self,
        request: &RunRequest,
        view: &View<'_>,
        cancel: &CancelToken,
    ) -> Result<RunOutcome, Error> {
        let mut notifier = Notifier::new(request.notify.clone(), &self.job.study, self.runner.listener());
        let outcome = self.carry_out(request, view, cancel, &mut notifier);
        notifier.end(&outcome);
        notifier.wait();
        outcome
    }

    fn carry_out(
        &mut self,
        request: &RunRequest,
        view: &View<'_>,
        cancel: &CancelToken,
        notifier: &mut Notifier,
    ) -> Result<RunOutcome, Error> {
        self.require_implemented()?;
        let sources = request.network.sources()?;
        self.runner.configure_network(sources.offline, cancel);
        let output = request.output.clone().unwrap_or_else(|| self.loaded.results_folder());
        let options = self.run_options(request)?;
        self.bring_known(&options, cancel)?;
        self.preflight(&options, &output)?;
        let store = match self.settings.open_to_write() {
            Ok(store) => store,
            Err(why) => return self.run_from_cache(&options, &output, why),
        };
        if self.loaded.has_output()
            && let Err(error) = require_writable(&output)
            && self.forecast(&store, &options).iter().any(Forecast::is_open)
        {
            return Err(error.because("nothing was started"));
        }
        self.fetch_for_run(&store, &options, &sources, view, cancel)?;
        self.require_inputs(&store, &options)?;
        self.runner.save_lock()?;
        if !matches!(options.heavy, Heavy::Queue(_)) {
            refuse(&self.too_large(&store, &options))?;
        }
        // Tables, pages and notifications do not wait for what is still to be sent.
        let mut outcome = self.while_sending(&store, cancel, || {
            let mut shown = view();
            let mut sinks = Fanout(vec![&mut *shown, notifier]);
            let report = engine::run(&self.job, &self.runner, &store, &options, &mut sinks, cancel)?;
            drop(shown);
            self.runner.save_lock()?;
            estimate::learn(&store, &report);
            let outcome = self.conclude(&store, &report, &output);
            notifier.end(&outcome);
            outcome
        })?;
        outcome.remote = self.remote_report();
        Ok(outcome)
    }

    /// What a run on a cluster would submit. Starts nothing.
    ///
    /// # Errors
    /// As [`Session::run`] before its first stage; or the run uses no queue.
    pub fn dry_run(&self, request: &RunRequest) -> Result<Preview, Error> {
        self.require_implemented()?;
        let Heavy::Queue(queue) = &request.heavy else {
            return Err(Error::usage("`--dry-run` has no effect without `--executor slurm`")
                .help("`xpipe plan` shows what a run would do"));
        };
        let options = self.run_options(request)?;
        let store = self.settings.open_to_read()?;
        refuse(&self.problems(&store, &options).all)?;
        Ok(engine::preview(&self.job, &self.runner, &store, &options, queue))
    }

    fn run_options(&self, request: &RunRequest) -> Result<Options, Error> {
        let mut options = self.settings.options(request.heavy.clone());
        options.fail_fast = request.fail_fast;
        options.kernels = request.kernels;
        options.trace.clone_from(&request.trace);
        options.shuffle = request.shuffle;
        options.device = request.device;
        options.keep_days = request.keep_days;
        self.require_pools(&request.pools)?;
        options.pools.clone_from(&request.pools);
        options.force = cells(&self.loaded.graph, &request.force)?.into_iter().collect();
        Ok(options)
    }

    /// Refuses a pool that no stage is in.
    fn require_pools(&self, pools: &BTreeMap<String, usize>) -> Result<(), Error> {
        let known: BTreeSet<&str> =
            self.job.actions.iter().filter_map(|a| a.policy.pool.as_deref()).collect();
        let Some(name) = pools.keys().find(|name| !known.contains(name.as_str())) else { return Ok(()) };
        let help = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| match known.is_empty() {
            true => "put stages into it with `with { pool = \"…\" }`".into(),
            false => format!("its pools are {}", known.into_iter().collect::<Vec<_>>().join(", ")),
        });
        Err(Error::usage(format!("no stage of the study is in the pool `{name}`")).help(help))
    }

    /// Refuses a study that needs an operation without an implementation.
    fn require_implemented(&self) -> Result<(), Error> {
        let missing = self.unimplemented();
        if missing.is_empty() {
            return Ok(());
        }
        let places = missing.iter().map(|u| {
            let position = self.loaded.position(u.span);
            format!("{} for {} ({position})", u.what, u.address)
        });
        let places: Vec<String> = places.collect();
        Err(Error::missing(format!("this version has no implementation of {}", places.join(", "))).help(
            "nothing was started; leave these stages out with `--target`, or give their results with `local { … }`",
        ))
    }

    /// Refuses a run whose inputs would make a stage fail.
    fn preflight(&self, options: &Options, output: &Path) -> Result<(), Error> {
        let store = self.settings.open_to_read()?;
        let problems = self.problems(&store, options);
        if problems.of_models {
            // An older page would go on showing scores of such a model.
            self.write_refusal(&store, output, &problems.all);
        }
        refuse(&problems.all)
    }

    /// Downloads the files that the run reads.
    fn fetch_for_run(
        &self,
        store: &Store,
        options: &Options,
        sources: &Sources,
        view: &View<'_>,
        cancel: &CancelToken,
    ) -> Result<(), Error> {
        if !self.reads_downloads() {
            return Ok(());
        }
        let files = self.needed_files(&self.forecast(store, options))?;
        if files.is_empty() {
            return Ok(());
        }
        let fetched = self.fetch_files(files, store, sources, &mut *view(), cancel)?;
        fetch_error(&fetched).map_or(Ok(()), Err)
    }

    /// Refuses a run with inputs that are missing or models that cannot be used, when everything that can be fetched is
    /// here.
    fn require_inputs(&self, store: &Store, options: &Options) -> Result<(), Error> {
        let missing = inputs::missing(&self.loaded, &self.job, &self.runner, Reach::Fetch);
        let messages: Vec<String> = missing.iter().map(inputs::MissingInput::message).collect();
        if let Some(error) = combined(&messages, missing.first().and_then(|m| m.failure.help.clone())) {
            return Err(error);
        }
        if self.reads_models() {
            refuse(&self.wrong_models(&readers(&self.forecast(store, options))))?;
        }
        Ok(())
    }

    /// Evaluates and writes what a run came to.
    fn conclude(&self, store: &Store, report: &RunReport, output: &Path) -> Result<RunOutcome, Error> {
        let results = CachedResults::of_run(store, &self.job, report);
        let evaluated = report::evaluate(&self.loaded.graph, &results)?;
        let pages = Pages::of_run(self, report, &results);
        let written = self.write_output(&pages, output, &evaluated, &results);
        let damaged = results.damage();
        let base = |claims_failed| report.exit_code(claims_failed);
        let code = self.exit_code(base, &evaluated, written.is_ok(), &damaged);
        let failed = (0u32..).map(ActionId).zip(&report.actions).filter(|(_, a)| a.state == Final::Failed);
        let failures = failed.filter_map(|(id, a)| {
            let address = self.job.action(id).address.clone();
            Some(FailedAction { address, failure: a.failure.clone()?, log: a.log.clone() })
        });
        Ok(RunOutcome {
            code,
            counts: report.counts,
            seconds: report.seconds,
            cancelled: report.cancelled,
            failures: failures.collect(),
            evaluated,
            written,
            output: output.to_owned(),
            damaged,
            log_folder: Some(report.dir.clone()),
            cache: store.root().to_owned(),
            remote: self.remote_report(),
        })
    }

    /// A run with a cache that cannot be written, for the reason `why`: every result must be in it.
    fn run_from_cache(&self, options: &Options, output: &Path, why: Error) -> Result<RunOutcome, Error> {
        let Ok(store) = self.settings.open_to_read() else { return Err(why) };
        let forecasts = self.forecast(&store, options);
        let open = forecasts.iter().filter(|f| f.is_open()).count();
        if open > 0 {
            let actions = if open == 1 { "action has" } else { "actions have" };
            return Err(why.because(&format!("{open} {actions} no result in this cache and must run")));
        }
        let results = CachedResults::of_forecast(&store, &self.job, &forecasts);
        let evaluated = report::evaluate(&self.loaded.graph, &results)?;
        let pages = Pages::of_cache(&self.loaded, &forecasts, &results);
        let written = self.write_output(&pages, output, &evaluated, &results);
        let damaged = results.damage();
        let code = self.exit_code(u8::from, &evaluated, written.is_ok(), &damaged);
        let cached = forecasts.iter().filter(|f| matches!(f, Forecast::Cached { .. })).count();
        Ok(RunOutcome {
            code,
            counts: Counts { cached, ..Counts::default() },
            seconds: 0.0,
            cancelled: false,
            failures: Vec::new(),
            evaluated,
            written,
            output: output.to_owned(),
            damaged,
            log_folder: None,
            cache: store.root().to_owned(),
            remote: self.remote_report(),
        })
    }

    /// Writes the files that tables and reports ask for, and the pages.
    fn write_output(
        &self,
        pages: &Pages<'_>,
        folder: &Path,
        evaluated: &Evaluated,
        results: &CachedResults<'_>,
    ) -> Result<Written, Error> {
        let graph = &self.loaded.graph;
        let tables = match graph.tables.is_empty() && graph.reports.is_empty() {
            true => Vec::new(),
            false => report::write_all(folder, evaluated)?.files,
        };
        Ok(Written { tables, pages: pages.write(folder, evaluated, results)? })
    }

    /// The exit code of a run. `of_actions` gives that of its actions, from whether a claim failed.
    fn exit_code(
        &self,
        of_actions: impl Fn(bool) -> u8,
        evaluated: &Evaluated,
        written: bool,
        damaged: &[String],
    ) -> u8 {
        let advisory = self.loaded.graph.advisory_claims;
        let claims_failed = evaluated.failed_claims() > 0 && !advisory;
        let claims_open = evaluated.open_claims() > 0 && !advisory;
        match of_actions(claims_failed) {
            // Every action is done, but part of what was asked for is missing.
            0 | 1 if claims_open && of_actions(false) == 0 => exit::INCOMPLETE,
            0 if !damaged.is_empty() => exit::DAMAGED,
            0 if !written => exit::MISSING,
            code => code,
        }
    }
}

/// The error of a run that is refused before it starts.
fn refuse(failures: &[Failure]) -> Result<(), Error> {
    let messages: Vec<String> = failures.iter().map(|f| f.message.clone()).collect();
    let help = match failures.first().and_then(|f| f.help.as_ref()) {
        Some(help) => format!("nothing was started; {help}"),
        None => "nothing was started".to_owned(),
    };
    combined(&messages, Some(help)).map_or(Ok(()), Err)
}
