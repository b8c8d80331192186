//! `xpipe status`: what a run is doing, and its jobs.

use super::options::Common;
use super::out;
use xpipe_base::value::human;
use xpipe_study::session::{Error, RunState, RunStatus, run_folder, run_status};

/// The most jobs that are printed one by one.
const SHOWN: usize = 40;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The run, or the beginning of its name. Default: the latest run of the cache.
    run: Option<String>,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let folder = run_folder(&common.settings(), args.run.as_deref())?;
    let status = run_status(&folder)?;
    if common.json {
        out::json(&serde_json::to_value(&status).unwrap_or_default());
        return Ok(0);
    }
    print(&status);
    Ok(0)
}

fn print(status: &RunStatus) {
    let state = match status.state {
        RunState::Running => "running",
        RunState::Ended => "ended",
        RunState::Abandoned => {
            "its process is gone; jobs may go on, and the next `xpipe run` takes them over"
        }
    };
    out::line(&format!("{}  {}  {state}", status.run, status.study));
    let counts: Vec<String> =
        status.counts.iter().map(|(what, n)| format!("{} {what}", human::thousands(*n as u64))).collect();
    let actions = human::counted(status.actions as u64, "actions");
    out::line(&format!(
        "{actions}: {}",
        if counts.is_empty() { "none begun".into() } else { counts.join(", ") }
    ));
    for (address, progress) in status.running.iter().take(SHOWN) {
        out::line(&format!("  {address}  {progress}"));
    }
    if let Some(why) = &status.silent {
        out::warn(&format!("the queue does not answer: {}", why.trim()));
    }
    let (live, over): (Vec<_>, Vec<_>) = status.jobs.iter().partition(|j| j.live);
    for job in live.iter().take(SHOWN) {
        let node = job.node.as_ref().map(|n| format!(" on {n}")).unwrap_or_default();
        let id = job.id.as_deref().unwrap_or("–");
        let from = job.taken_from.as_ref().map(|run| format!(" (of run {run})")).unwrap_or_default();
        out::line(&format!("job {id}  {}  attempt {}  {}{node}{from}", job.address, job.attempt, job.state));
    }
    if live.len() > SHOWN {
        out::line(&format!("and {} more jobs", human::thousands((live.len() - SHOWN) as u64)));
    }
    let bad: Vec<_> = over.iter().filter(|j| j.state != "done").collect();
    for job in bad.iter().take(SHOWN) {
        out::line(&format!("ended  {}  attempt {}  {}", job.address, job.attempt, job.state));
        out::line(&format!("       log: {}", job.log.display()));
    }
    if !status.jobs.is_empty() {
        let all = human::counted(status.jobs.len() as u64, "jobs");
        out::line(&format!("{all}: {} under way, {} done", live.len(), over.len() - bad.len()));
    }
}
