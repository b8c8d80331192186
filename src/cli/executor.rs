//! Options of `run` that say where heavy stages are carried out.

use clap::ValueEnum;

use super::options::worker_command;
use xpipe_engine::Heavy;
use xpipe_study::session::{Error, UserSettings, queue_options};

/// Where heavy stages are carried out.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ExecutorArgs {
    /// Where heavy stages are carried out.
    #[arg(long, value_enum, default_value_t = ExecutorArg::Process)]
    executor: ExecutorArg,
    /// The cluster: a table `[cluster.NAME]` of the settings file (XPIPE_SETTINGS, else `~/.config/xpipe/settings.toml`).
    /// Default: `default`.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Print what would be submitted to the queue, and submit nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Submit the run itself as a job of one CPU, for login nodes that end long processes, and show what it prints.
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) driver_job: bool,
}

/// Where heavy stages are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExecutorArg {
    /// Each in a process of its own.
    Process,
    /// On threads of this process.
    Thread,
    /// Each as a job of a cluster's queue; also called `queue`.
    #[value(alias = "queue")]
    Slurm,
}

impl ExecutorArgs {
    /// Where heavy stages are carried out.
    pub(super) fn heavy(&self) -> Result<Heavy, Error> {
        let given = [("--cluster", self.cluster.is_some()), ("--driver-job", self.driver_job)];
        if let Some((option, _)) = given.iter().find(|(_, given)| *given)
            && self.executor != ExecutorArg::Slurm
        {
            return Err(Error::usage(format!("`{option}` has no effect without `--executor slurm`")));
        }
        Ok(match self.executor {
            ExecutorArg::Thread => Heavy::Thread,
            ExecutorArg::Process => Heavy::Process(worker_command()?),
            ExecutorArg::Slurm => {
                Heavy::Queue(Box::new(queue_options(&UserSettings::read()?, self.cluster.as_deref())?))
            }
        })
    }
}
