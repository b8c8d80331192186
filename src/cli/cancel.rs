//! `xpipe cancel`: ends a run that uses a queue, or the jobs of one of its stages.

use super::options::Common;
use super::out;
use xpipe_base::value::human;
use xpipe_study::session::{Ended, Error, cancel_run, run_folder};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The run, or the beginning of its name.
    run: String,
    /// Only the jobs of this stage or cell. The run goes on with what does not depend on it.
    stage: Option<String>,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let folder = run_folder(&common.settings(), Some(&args.run))?;
    let ended = cancel_run(&folder, args.stage.as_deref())?;
    if common.json {
        let jobs = if let Ended::Jobs(n) = ended { Some(n) } else { None };
        out::json(&serde_json::json!({ "asked": ended == Ended::Asked, "jobs": jobs }));
        return Ok(0);
    }
    out::line(&match ended {
        Ended::Asked => {
            "the run was asked to stop; it cancels its jobs, which may keep a checkpoint".to_owned()
        }
        Ended::Jobs(0) => "nothing to cancel: no such job is under way".to_owned(),
        Ended::Jobs(n) => format!("cancelled {}", human::counted(n as u64, "jobs")),
    });
    Ok(0)
}
