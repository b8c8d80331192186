//! The jobs of a run as its files and the queue tell, from outside of it: `status` and `cancel`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::files::{AttemptFolder, Verdict};
use super::item::Live;
use super::run_files::{TakenOver, recorded_id, taken_over};
use super::scheduler::{Names, Row, Seen};
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
    /// The run that submitted it, when this one took it over.
    pub taken_from: Option<String>,
    #[serde(skip)]
    name: String,
    #[serde(skip)]
    folder: PathBuf,
}

/// A job whose files were found.
struct Found {
    /// The name of its submission.
    name: String,
    task: u32,
    folder: AttemptFolder,
    spec: AttemptSpec,
    /// The action and the run that submitted it, for one that was taken over.
    taken: Option<(String, String)>,
}

/// The jobs that a run submitted.
fn submitted(run: &Path) -> std::io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(run.join("jobs")).into_iter().flatten() {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        for task in std::fs::read_dir(entry.path())?.flatten() {
            let number = task.file_name().to_str().and_then(|n| n.parse().ok());
            let folder = AttemptFolder { path: task.path() };
            if let (Some(task), Ok(spec)) = (number, folder.spec::<AttemptSpec>()) {
                found.push(Found { name: name.clone(), task, folder, spec, taken: None });
            }
        }
    }
    found.sort_by(|a, b| (&a.name, a.task).cmp(&(&b.name, b.task)));
    Ok(found)
}

/// The jobs that a run took over from others, with those that share their actions.
fn adopted(run: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    let Some(runs) = run.parent() else { return found };
    for TakenOver { address, claim } in taken_over(run) {
        let Some(submission) = claim.submission(runs) else { continue };
        let folder = AttemptFolder { path: submission.join(claim.task.to_string()) };
        let Ok(spec) = folder.spec::<AttemptSpec>() else { continue };
        let first = Live::new(claim.attempt, folder, claim.name.clone(), claim.task).with_helpers(&spec.key);
        for task in first.tasks() {
            let folder = first.folder_of(task);
            let Ok(spec) = folder.spec::<AttemptSpec>() else { continue };
            let taken = Some((address.clone(), claim.run.clone()));
            found.push(Found { name: claim.name.clone(), task, folder, spec, taken });
        }
    }
    found
}

/// The jobs of a run, by submission and task: those that it submitted, then those that it took over from other runs. The
/// error is why the queue did not answer.
///
/// # Errors
/// The folder of the run cannot be read.
pub fn overview(run: &Path, queue: &QueueOptions) -> std::io::Result<(Vec<JobOverview>, Option<String>)> {
    let mut found = submitted(run)?;
    found.extend(adopted(run));
    let id = |job: &Found| job.folder.path.parent().and_then(recorded_id);
    let asked: Names = found.iter().map(|job| (job.name.clone(), id(job))).collect();
    let (rows, silent) = match super::scheduler(queue).poll(&asked) {
        Ok(rows) => (rows, None),
        Err(why) => (BTreeMap::new(), Some(why)),
    };
    let jobs = found.into_iter().map(|job| {
        let row = rows.get(&(job.name.clone(), job.task));
        job.overview(row, silent.is_some())
    });
    Ok((jobs.collect(), silent))
}

impl Found {
    /// What became of it; `row`: what the queue says of it.
    fn overview(self, row: Option<&Row>, silent: bool) -> JobOverview {
        let report = self.folder.look().reports.pop();
        let (state, live) = match (&report, row) {
            (Some(report), _) => (told(&report.verdict), false),
            (None, Some(row)) => (queue_state(&row.word, &row.seen), !matches!(row.seen, Seen::Ended(_))),
            (None, None) if silent => ("the queue does not answer".to_owned(), true),
            (None, None) => ("not in the queue, without a report".to_owned(), false),
        };
        let (address, taken_from) = self.taken.unzip();
        JobOverview {
            address: address.unwrap_or(self.spec.address),
            attempt: self.spec.attempt,
            id: row.map(|r| r.id.clone()),
            state,
            node: row.and_then(|r| r.node.clone()).or(report.map(|r| r.host)),
            live,
            log: self.spec.log,
            taken_from,
            name: self.name,
            folder: self.folder.path,
        }
    }
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
