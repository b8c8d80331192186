//! `xpipe logs --follow`: files that are read as they grow, until the run ends or nothing is left that goes on with it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::pieces::Pieces;
use super::super::{out, progress};
use super::{Lines, unreadable};
use xpipe_engine::cache::Store;
use xpipe_engine::{Event, EventSink as _};
use xpipe_study::session::{ActionStates, Error, RunFolder, TimedEvent, names_address};

/// How long to wait between two looks.
const POLL: Duration = Duration::from_millis(250);

/// A file that is read as it grows.
struct Growing {
    file: File,
    at: u64,
}

impl Growing {
    fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { file: File::open(path).map_err(|e| unreadable(path, &e))?, at: 0 })
    }

    /// What was added since the last call. A file that became shorter was cut in its middle: its new end is given.
    fn more(&mut self) -> Result<Vec<u8>, Error> {
        let len = self.file.metadata()?.len();
        self.at = self.at.min(len);
        self.file.seek(SeekFrom::Start(self.at))?;
        let mut text = Vec::new();
        self.at += self.file.by_ref().take(len - self.at).read_to_end(&mut text)? as u64;
        Ok(text)
    }
}

/// The events of a run as they come.
struct GrowingEvents {
    file: Growing,
    /// The line that has not ended yet.
    open: Vec<u8>,
}

impl GrowingEvents {
    fn of(run: &RunFolder) -> Result<Self, Error> {
        Ok(Self { file: Growing::open(&run.events_file())?, open: Vec::new() })
    }

    /// The events since the last call. Lines of a newer version are skipped.
    fn more(&mut self) -> Result<Vec<TimedEvent>, Error> {
        self.open.extend(self.file.more()?);
        let Some(end) = self.open.iter().rposition(|b| *b == b'\n') else { return Ok(Vec::new()) };
        let lines = self.open[..end].split(|b| *b == b'\n');
        let events = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        self.open.drain(..=end);
        Ok(events)
    }
}

/// A log that is followed.
struct Followed {
    address: String,
    path: PathBuf,
    file: Growing,
    text: Pieces,
}

/// Logs that are printed as they grow.
#[derive(Default)]
struct FollowedLogs {
    logs: Vec<Followed>,
    /// The log whose text was printed last, and whether that was the end of a line.
    last: Option<(usize, bool)>,
}

impl FollowedLogs {
    /// Follows the logs of a stage or cell that were begun since the last call.
    fn find(&mut self, run: &RunFolder, states: &ActionStates, what: &str) -> Result<(), Error> {
        let is_new = |address: &str, path: &Path| {
            names_address(what, address) && !self.logs.iter().any(|known| known.path == path)
        };
        for log in run.logs_among(states, is_new) {
            let file = Growing::open(&log.path)?;
            self.logs.push(Followed { address: log.address, path: log.path, file, text: Pieces::default() });
        }
        Ok(())
    }

    /// Gives what was added to each log; a line names the log where there are several.
    fn more(&mut self, ended: bool, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
        let several = self.logs.len() > 1;
        for (at, log) in self.logs.iter_mut().enumerate() {
            let mut text = log.text.take(&log.file.more()?);
            if ended {
                text.push_str(&log.text.end());
            }
            if text.is_empty() {
                continue;
            }
            if several && self.last.is_none_or(|(last, _)| last != at) {
                let line = if self.last.is_some_and(|(_, whole)| !whole) { "\n" } else { "" };
                say(&format!("{line}==> {} <==\n", log.address));
            }
            say(&text);
            self.last = Some((at, text.ends_with('\n')));
        }
        Ok(())
    }
}

/// Prints the logs of a stage or cell until the run ends, or no process is left that could go on with it.
pub(super) fn follow_logs(store: &Store, run: &RunFolder, what: &str) -> Result<(), Error> {
    let (mut events, mut states) = (GrowingEvents::of(run)?, ActionStates::default());
    let mut logs = FollowedLogs::default();
    loop {
        // Asked before the last look, so that nothing is missed.
        let mut over = !store.has_live_processes()?;
        for event in events.more()? {
            states.take(&event.what);
            over |= matches!(event.what, Event::RunFinished { .. });
        }
        logs.find(run, &states, what)?;
        logs.more(over, &mut |text| out::say(text))?;
        if over {
            return Ok(());
        }
        std::thread::sleep(POLL);
    }
}

/// Prints what happens in a run until it ends.
pub(super) fn follow_run(store: &Store, run: &RunFolder) -> Result<(), Error> {
    let (mut events, mut view) = (GrowingEvents::of(run)?, progress::Plain::new(Lines));
    loop {
        let alive = store.has_live_processes()?;
        for event in events.more()? {
            view.event(event.at, &event.what);
            if matches!(event.what, Event::RunFinished { .. }) {
                return Ok(());
            }
        }
        if !alive {
            out::line("the process of this run is gone");
            return Ok(());
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn add(path: &Path, bytes: &[u8]) {
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        file.write_all(bytes).unwrap();
    }

    #[test]
    fn every_cell_of_a_stage_is_followed_also_those_that_begin_later() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunFolder { name: "r".into(), path: dir.path().to_owned() };
        let logs = dir.path().join("logs");
        std::fs::create_dir(&logs).unwrap();
        let started = |id: u32, address: &str| {
            let what = serde_json::json!({ "event": "stopped", "id": id, "address": address });
            format!("{}\n", serde_json::json!({ "at": 0.0, "what": what }))
        };
        let (one, two) = (started(1, "f[1]"), started(2, "f[2]"));
        add(&run.events_file(), one.as_bytes());
        add(&run.events_file(), &two.as_bytes()[..10]);
        let mut events = GrowingEvents::of(&run).unwrap();
        let (mut states, mut followed, mut said) =
            (ActionStates::default(), FollowedLogs::default(), String::new());
        let mut look = |ended: bool| {
            for event in events.more().unwrap() {
                states.take(&event.what);
            }
            followed.find(&run, &states, "f").unwrap();
            let mut now = String::new();
            followed.more(ended, &mut |text| now.push_str(text)).unwrap();
            said.push_str(&now);
            now
        };
        add(&logs.join("1-f.log"), b"one\n");
        add(&logs.join("2-f.log"), b"two");
        assert_eq!(look(false), "one\n", "the other has not started as far as the events say");
        assert_eq!(look(false), "");
        add(&run.events_file(), &two.as_bytes()[10..]);
        assert_eq!(look(false), "==> f[2] <==\ntwo");
        add(&logs.join("1-f.log"), b"more\n");
        assert_eq!(look(true), "\n==> f[1] <==\nmore\n");
    }
}
