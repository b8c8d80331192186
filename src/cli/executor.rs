//! Options of `run` that say where heavy stages are carried out.

use std::path::PathBuf;

use clap::ValueEnum;

use xpipe_engine::{Heavy, QueueOptions, WorkerCommand};
use xpipe_study::session::{Error, UserSettings, cluster};

/// Where heavy stages are carried out.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ExecutorArgs {
    /// Where heavy stages are carried out.
    #[arg(long, value_enum, default_value_t = ExecutorArg::Process)]
    pub(super) executor: ExecutorArg,
    /// The cluster: a table `[cluster.NAME]` of the settings file (XPIPE_SETTINGS, else `~/.config/xpipe/settings.toml`).
    /// Default: `default`.
    #[arg(long, value_name = "NAME")]
    pub(super) cluster: Option<String>,
}

/// Where heavy stages are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ExecutorArg {
    /// Each in a process of its own.
    Process,
    /// On threads of this process.
    Thread,
    /// Each as a job of a cluster's queue.
    Slurm,
}

impl ExecutorArgs {
    /// Where heavy stages are carried out.
    pub(super) fn heavy(&self) -> Result<Heavy, Error> {
        let program = || {
            std::env::current_exe()
                .map_err(|e| Error::missing(format!("cannot find the file of this program: {e}")))
        };
        if self.cluster.is_some() && self.executor != ExecutorArg::Slurm {
            return Err(Error::usage("`--cluster` has no effect without `--executor slurm`"));
        }
        Ok(match self.executor {
            ExecutorArg::Thread => Heavy::Thread,
            ExecutorArg::Process => {
                Heavy::Process(WorkerCommand { program: program()?, args: vec!["worker".into()] })
            }
            ExecutorArg::Slurm => {
                let cluster = cluster(&UserSettings::read()?, self.cluster.as_deref())?;
                let program: PathBuf = match &cluster.program {
                    Some(program) => program.clone(),
                    None => program()?,
                };
                Heavy::Queue(Box::new(QueueOptions { cluster, program }))
            }
        })
    }
}
