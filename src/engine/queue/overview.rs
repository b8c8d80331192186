//! The jobs of a run as its files and the queue tell, from outside of it: `status` and `cancel`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::files::{AttemptFolder, Verdict};
use super::run_files::recorded_id;
use super::scheduler::{Names, Seen};
use super::spec::AttemptSpec;
use crate::options::QueueOptions;
use xpipe_base::task::Failure;

/// A job of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobOverview {
    /// The first cell that asks for its action.
    pub address: String,
    /// The number of the attempt.
    pub attempt: u32,
    /// The job in the queue, when it is known there.
    pub id: Option<String>,
    /// What became of it: `done`, `failed: …`, `interrupted`, or the queue's word and reason.
    pub state: String,
    /// Where it runs or ran.
    pub node: Option<String>,
    /// Whether it may still do something.
    pub live: bool,
    /// Its log.
    pub log: PathBuf,
    #[serde(skip)]
    name: String,
    #[serde(skip)]
    folder: PathBuf,
}

/// The jobs of a run, by submission and task. The error is why the queue did not answer.
///
/// # Errors
/// The folder of the run cannot be read.
pub fn overview(run: &Path, queue: &QueueOptions) -> std::io::Result<(Vec<JobOverview>, Option<String>)> {
    let mut batches: BTreeMap<String, PathBuf> = BTreeMap::new();
    let jobs = run.join("jobs");
    for entry in std::fs::read_dir(&jobs).into_iter().flatten() {
        let entry = entry?;
        batches.insert(entry.file_name().to_string_lossy().into_owned(), entry.path());
    }
    let asked: Names = batches.iter().map(|(name, path)| (name.clone(), recorded_id(path))).collect();
    let (rows, silent) = match super::scheduler(queue).poll(&asked) {
        Ok(rows) => (rows, None),
        Err(why) => (BTreeMap::new(), Some(why)),
    };
    let mut found = Vec::new();
    for (name, path) in batches {
        let mut tasks: Vec<u32> = std::fs::read_dir(&path)?
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.parse().ok())
            .collect();
        tasks.sort_unstable();
        for task in tasks {
            let folder = AttemptFolder { path: path.join(task.to_string()) };
            let Ok(spec) = folder.spec::<AttemptSpec>() else { continue };
            let row = rows.get(&(name.clone(), task));
            let report = folder.look().reports.pop();
            let (state, live) = match (&report, row) {
                (Some(report), _) => (told(&report.verdict), false),
                (None, Some(row)) => (queue_state(&row.word, &row.seen), !matches!(row.seen, Seen::Ended(_))),
                (None, None) if silent.is_some() => ("the queue does not answer".to_owned(), true),
                (None, None) => ("not in the queue, without a report".to_owned(), false),
            };
            found.push(JobOverview {
                address: spec.address,
                attempt: spec.attempt,
                id: row.map(|r| r.id.clone()),
                state,
                node: row.and_then(|r| r.node.clone()).or(report.map(|r| r.host)),
                live,
                log: spec.log,
                name: name.clone(),
                folder: folder.path,
            });
        }
    }
    Ok((found, silent))
}

fn told(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Done => "done".into(),
        Verdict::Failed(failure) => format!("failed: {failure}"),
        Verdict::Interrupted => "interrupted".into(),
        Verdict::OutOfTime => "its time is over".into(),
        Verdict::Unreadable(_) => "could not read a result".into(),
    }
}

fn queue_state(word: &str, seen: &Seen) -> String {
    match seen {
        Seen::Pending(reason) if !reason.is_empty() => format!("{} ({reason})", word.to_lowercase()),
        _ => word.to_lowercase(),
    }
}

/// Cancels the jobs of a run whose addresses are asked for, and says so in their folders: in a living run their actions
/// fail, without another attempt, and the others go on. Gives how many were cancelled.
///
/// # Errors
/// The queue does not answer.
pub fn cancel_jobs(run: &Path, queue: &QueueOptions, asked: &dyn Fn(&str) -> bool) -> Result<usize, Failure> {
    let (jobs, silent) = overview(run, queue)?;
    if let Some(why) = silent {
        return Err(Failure::missing(format!("the queue does not answer: {why}")).help("try again later"));
    }
    let alive: BTreeSet<(&str, &str)> =
        jobs.iter().filter(|j| j.live).map(|j| (j.name.as_str(), j.address.as_str())).collect();
    // With those that share a living one's stage: the run reads the folder of the first.
    let asked = |j: &&JobOverview| asked(&j.address) && alive.contains(&(&j.name, &j.address));
    let jobs: Vec<&JobOverview> = jobs.iter().filter(asked).collect();
    let ids: Vec<String> = jobs.iter().filter(|j| j.live).filter_map(|j| j.id.clone()).collect();
    if ids.is_empty() {
        return Ok(0);
    }
    let name = run.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    for job in &jobs {
        // The run takes it for the end of the stage; another one that has taken the job over submits it anew.
        AttemptFolder { path: job.folder.clone() }.cancel(&name)?;
    }
    super::scheduler(queue).cancel(&ids).map_err(|why| {
        Failure::missing(format!("the queue does not cancel jobs: {why}")).help("try again later")
    })?;
    Ok(ids.len())
}
