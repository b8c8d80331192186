//! The files of one attempt, in a folder of its own below that of the run, on the file system that nodes share. Each file
//! has one writer and is complete when it has its name, except for the progress, which is appended to.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::protocol::FromWorker;
use xpipe_base::modes;
use xpipe_base::task::Failure;

/// What a job needs: `spec.json`.
const SPEC: &str = "spec.json";
/// Begins the names of reports.
const REPORT: &str = "result-";
/// Begins the names of progress files.
const PROGRESS: &str = "progress-";
/// Begins the names of requests to stop.
const CANCEL: &str = "cancel-";

/// How an execution of a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The result is in the cache.
    Done,
    /// The operation failed.
    Failed(Failure),
    /// It was stopped, and kept a checkpoint if it could.
    Interrupted,
    /// The stage's own `time` was over; it kept a checkpoint if it could.
    OutOfTime,
    /// A result that it reads is missing or damaged: the key of that result.
    Unreadable(String),
}

/// The last file of an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The execution: job, task and how often the queue has started it.
    pub(crate) execution: String,
    pub(crate) verdict: Verdict,
    /// Whether the operation was run; `false` when the result was there already.
    pub(crate) ran: bool,
    /// The host.
    pub(crate) host: String,
    /// Units of work done.
    pub(crate) reached: u64,
    /// When it was written, RFC 3339.
    pub(crate) time: String,
}

impl Report {
    pub(crate) fn of(execution: &str, verdict: Verdict) -> Self {
        Self {
            execution: execution.to_owned(),
            verdict,
            ran: true,
            host: host(),
            reached: 0,
            time: jiff::Timestamp::now().to_string(),
        }
    }
}

/// The name of this host.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The folder of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttemptFolder {
    pub(crate) path: PathBuf,
}

impl AttemptFolder {
    /// Makes the folder with its specification.
    pub(crate) fn create<S: Serialize>(path: PathBuf, spec: &S) -> io::Result<Self> {
        modes::make_folder(&path)?;
        write(&path.join(SPEC), spec, false)?;
        Ok(Self { path })
    }

    /// The specification.
    pub(crate) fn spec<S: DeserializeOwned>(&self) -> io::Result<S> {
        read(&self.path.join(SPEC))
    }

    /// Writes the report of an execution.
    pub(crate) fn report(&self, report: &Report) -> io::Result<()> {
        write(&self.path.join(format!("{REPORT}{}.json", report.execution)), report, true)
    }

    /// Asks the job to stop, in the name of a run.
    pub(crate) fn cancel(&self, run: &str) -> io::Result<()> {
        write(&self.path.join(format!("{CANCEL}{run}.json")), &(), false)
    }

    /// What lies in the folder. Files are found by the list, since a name that was looked up before it existed may stay
    /// absent for a minute on a network file system.
    pub(crate) fn look(&self) -> Look {
        let mut look = Look::default();
        for entry in std::fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(REPORT) && name.ends_with(".json") {
                look.reports.extend(read::<Report>(&entry.path()).ok());
            } else if name.starts_with(PROGRESS) {
                look.progress.push(entry.path());
            } else if let Some(run) = name.strip_prefix(CANCEL).and_then(|n| n.strip_suffix(".json")) {
                look.cancelled_by.push(run.to_owned());
            }
        }
        look.reports.sort_by(|a, b| (&a.time, &a.execution).cmp(&(&b.time, &b.execution)));
        look.progress.sort();
        look
    }
}

/// What lies in the folder of an attempt.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// The reports, the latest last.
    pub(crate) reports: Vec<Report>,
    progress: Vec<PathBuf>,
    /// The runs that asked it to stop.
    pub(crate) cancelled_by: Vec<String>,
}

impl Look {
    /// The progress file of the latest execution.
    pub(crate) fn progress(&self) -> Option<&Path> {
        self.progress.last().map(PathBuf::as_path)
    }
}

/// Writes a file aside, and gives it its name when it is complete.
pub(crate) fn write<S: Serialize>(path: &Path, content: &S, durable: bool) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temp = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    serde_json::to_writer(&mut temp, content)?;
    modes::inherit_file(temp.path())?;
    if durable {
        temp.as_file().sync_all()?;
    }
    temp.persist(path)?;
    if durable { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Reads a file of JSON.
pub(crate) fn read<S: DeserializeOwned>(path: &Path) -> io::Result<S> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// The writer of a progress file: at most a line a second, less often later.
#[derive(Debug)]
pub(crate) struct ProgressWriter {
    file: Option<File>,
    begun: Instant,
    next: Instant,
    reached: u64,
}

impl ProgressWriter {
    /// Into a new file of the folder.
    pub(crate) fn create(folder: &AttemptFolder, execution: &str) -> Self {
        let path = folder.path.join(format!("{PROGRESS}{execution}.jsonl"));
        let file = OpenOptions::new().create(true).append(true).open(path).ok();
        Self { file, begun: Instant::now(), next: Instant::now(), reached: 0 }
    }

    /// Units of work done.
    pub(crate) fn reached(&self) -> u64 {
        self.reached
    }

    /// Appends a message about `done` units of work, if it is time for one.
    pub(crate) fn progress(&mut self, done: u64, message: &FromWorker) {
        self.reached = done;
        let now = Instant::now();
        if now >= self.next {
            let interval = self.begun.elapsed() / 60;
            self.next = now + interval.clamp(Duration::from_millis(500), Duration::from_secs(30));
            self.say(message);
        }
    }

    /// Appends a message. That it cannot be written is no failure of the action.
    pub(crate) fn say(&mut self, message: &FromWorker) {
        let Some(file) = &mut self.file else { return };
        let mut line = serde_json::to_vec(message).unwrap_or_default();
        line.push(b'\n');
        let _ = file.write_all(&line);
    }
}

/// The reader of a progress file that grows.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    path: PathBuf,
    at: u64,
    /// Units of work done, by the last line.
    pub(crate) reached: u64,
}

impl Tail {
    /// The complete lines since the last call.
    pub(crate) fn read(&mut self, path: &Path) -> Vec<FromWorker> {
        if self.path != path {
            (self.path, self.at) = (path.to_owned(), 0);
        }
        let mut bytes = Vec::new();
        let Ok(mut file) = File::open(path) else { return Vec::new() };
        if file.seek(SeekFrom::Start(self.at)).is_err() || file.read_to_end(&mut bytes).is_err() {
            return Vec::new();
        }
        let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        self.at += end as u64;
        let lines = bytes[..end].split(|b| *b == b'\n').filter(|l| !l.is_empty());
        let messages: Vec<FromWorker> = lines.filter_map(|l| serde_json::from_slice(l).ok()).collect();
        for message in &messages {
            if let FromWorker::Progress { done, .. } = message {
                self.reached = *done;
            }
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_found_the_latest_last_and_half_written_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let folder = AttemptFolder::create(dir.path().join("0"), &7).unwrap();
        assert_eq!(folder.spec::<u32>().unwrap(), 7);
        assert!(folder.look().reports.is_empty());
        for (execution, time) in [("9.1", "2026-01-02T00:00:00Z"), ("10.0", "2026-01-01T00:00:00Z")] {
            let report = Report { time: time.into(), ..Report::of(execution, Verdict::Interrupted) };
            folder.report(&report).unwrap();
        }
        std::fs::write(folder.path.join("result-11.json"), "{\"execution\":").unwrap();
        folder.cancel("run-1").unwrap();
        let look = folder.look();
        assert_eq!(look.reports.last().unwrap().execution, "9.1");
        assert_eq!((look.reports.len(), look.cancelled_by), (2, vec!["run-1".to_owned()]));
    }

    #[test]
    fn a_tail_gives_every_complete_line_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = AttemptFolder { path: dir.path().into() };
        let mut writer = ProgressWriter::create(&folder, "7.0");
        let progress =
            |done| FromWorker::Progress { done, total: 9, unit: "steps".into(), note: String::new() };
        writer.say(&progress(1));
        writer.say(&FromWorker::Note { text: "hello".into() });
        let path = folder.look().progress().unwrap().to_owned();
        let mut tail = Tail::default();
        assert_eq!((tail.read(&path).len(), tail.reached), (2, 1));
        assert!(tail.read(&path).is_empty());
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"say\":").unwrap();
        assert!(tail.read(&path).is_empty(), "half a line");
    }
}
