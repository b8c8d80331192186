//! `xpipe worker`: carries out one action, for `run`. Without arguments it is a child of the run and talks over pipes; with
//! `--attempt` it is a job of a cluster's queue and talks through files.

use std::path::PathBuf;

use super::signals::cancel_on_signal;
use xpipe_study::session::{LocalRunner, Lock, Settings, exit, ignore};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of an attempt, which a run has written.
    #[arg(long, value_name = "DIR")]
    attempt: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> u8 {
    let runner = LocalRunner::new(&Settings::default(), Lock::default(), ignore());
    let code = match &args.attempt {
        Some(folder) => xpipe_engine::attempt_main(&runner, folder.clone(), &cancel_on_signal()),
        None => xpipe_engine::worker_main(&runner),
    };
    u8::try_from(code).unwrap_or(exit::BUG)
}
