//! Options that several verbs take.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::out;
use xpipe_engine::WorkerCommand;
use xpipe_study::session::{
    Error, Listener, Network, Remote, Session, Settings, StudyRequest, no_remote, open_remote, remote_name,
};

/// Options of every verb.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Common {
    /// Print one JSON value instead of text.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// The cache. Default: XPIPE_CACHE, else `cache/` of a checkout of xpipe, else the user's cache folder.
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) cache: Option<PathBuf>,
    /// A folder of models: DIR/NAME or DIR/OWNER/NAME. XPIPE_MODELS names another one.
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) models: Vec<PathBuf>,
    /// Number of threads. Default: one per core.
    #[arg(long, global = true, value_name = "N")]
    pub(super) threads: Option<usize>,
    /// Memory for all stages together, for instance 16GiB. Default: all memory of the machine or control group.
    #[arg(long, global = true, value_name = "BYTES", value_parser = xpipe_base::value::text::read_bytes)]
    pub(super) memory: Option<u64>,
    /// Fail if the lock file would change.
    #[arg(long, global = true)]
    pub(super) locked: bool,
    /// When inputs are read again to verify their content.
    #[arg(long, global = true, value_enum, default_value_t = Verify::Changed)]
    pub(super) verify: Verify,
}

impl Common {
    /// The settings of a session.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            cache: self.cache.clone(),
            models: self.models.clone(),
            threads: self.threads,
            memory: self.memory,
            locked: self.locked,
            verify_always: self.verify == Verify::Always,
        }
    }
}

/// When inputs are read again to verify their content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Verify {
    /// When their size or times changed.
    #[default]
    Changed,
    /// Always.
    Always,
}

/// A study and what is changed in it.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct StudyArgs {
    /// The study's file.
    pub(super) file: PathBuf,
    /// Set a param of the study: `--set 'steps=steps(1_000)'`.
    #[arg(long, value_name = "PARAM=VALUE")]
    pub(super) set: Vec<String>,
    /// Use a profile of the study.
    #[arg(long)]
    pub(super) profile: Option<String>,
    /// Keep only these labels of an axis.
    #[arg(long, value_name = "AXIS=LABEL,…")]
    pub(super) only: Vec<String>,
    /// Only this stage or cell, and what it needs: `model` or `model[infonce, bert_base, 1]`.
    #[arg(long, value_name = "STAGE[LABEL, …]")]
    pub(super) target: Vec<String>,
    /// Maximum number of cells of the study. Default: 1,000,000.
    #[arg(long, value_name = "N")]
    pub(super) max_cells: Option<u64>,
}

impl StudyArgs {
    /// What is asked of a session.
    pub(super) fn request(&self) -> StudyRequest {
        StudyRequest {
            file: self.file.clone(),
            set: self.set.clone(),
            profile: self.profile.clone(),
            only: self.only.clone(),
            target: self.target.clone(),
            max_cells: self.max_cells,
        }
    }

    /// A session of the study that reports to standard error.
    pub(super) fn open(&self, common: &Common) -> Result<Session, Error> {
        Session::open(&self.request(), &common.settings(), out::listener())
    }
}

/// The command that runs one heavy action: this program.
pub(super) fn worker_command() -> Result<WorkerCommand, Error> {
    let program = std::env::current_exe()
        .map_err(|e| Error::missing(format!("cannot find the file of this program: {e}")))?;
    Ok(WorkerCommand { program, args: vec!["worker".into()] })
}

/// Where downloads may come from.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct NetworkArgs {
    /// Do not use the network: a missing file is an error.
    #[arg(long)]
    pub(super) offline: bool,
    /// A folder to take downloads from before the network, with files at DIR/HOST/PATH. XPIPE_MIRROR names another one.
    #[arg(long, value_name = "DIR")]
    pub(super) mirror: Vec<PathBuf>,
}

impl NetworkArgs {
    pub(super) fn network(&self) -> Network {
        Network { offline: self.offline, mirrors: self.mirror.clone() }
    }
}

/// The remote cache.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct RemoteArgs {
    /// The remote cache: a table `[remote.NAME]` of the user's settings, or `off`. Default: XPIPE_REMOTE, else none.
    #[arg(long, value_name = "NAME|off")]
    pub(super) remote: Option<String>,
}

impl RemoteArgs {
    /// The remote cache, when one is named and may be used.
    pub(super) fn open(&self, offline: bool, listener: &Listener) -> Result<Option<Remote>, Error> {
        match remote_name(self.remote.as_deref()) {
            Some(name) => open_remote(&name, offline, listener),
            None => Ok(None),
        }
    }

    /// The remote cache, for a verb that needs one.
    pub(super) fn required(&self) -> Result<Remote, Error> {
        self.open(false, &out::listener())?.ok_or_else(no_remote)
    }
}
