//! Files that record events: lines of JSON in every run, and on request a trace for Chrome or Perfetto.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::{Event, EventSink};
use xpipe_base::value::human;

/// Bytes of `events.jsonl` after which progress is written half as often, again and again.
const SPARSER: u64 = 4 << 20;
/// Seconds between two lines about the progress of an action, at first.
const INTERVAL: f64 = 5.0;
/// Bytes of `events.jsonl` after which progress and notes are left out. What happened to actions is always written, so
/// the size is bounded by this and the number of actions.
const MOST: u64 = 32 << 20;

/// Writes events as lines `{"at": seconds, "what": …}`, in bounded size.
#[derive(Debug)]
pub struct JsonLines {
    file: Option<BufWriter<File>>,
    written: u64,
    /// When progress of an action was last written.
    progress: BTreeMap<u32, f64>,
    /// Notes and lines of progress left out for the size.
    left_out: u64,
    most: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    at: f64,
    what: &'a Event,
}

impl JsonLines {
    /// Creates the file.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = Some(BufWriter::new(File::create(path)?));
        Ok(Self { file, written: 0, progress: BTreeMap::new(), left_out: 0, most: MOST })
    }

    /// Whether an event is written: progress now and then, and neither progress nor notes in a file that is too long.
    fn takes(&mut self, at: f64, event: &Event) -> bool {
        match event {
            Event::Progress { id, done, total, .. } => {
                let interval = INTERVAL * 2f64.powf((self.written / SPARSER) as f64);
                let due = done == total || self.progress.get(id).is_none_or(|last| at - last >= interval);
                if due {
                    self.progress.insert(*id, at);
                }
                due && self.fits()
            }
            Event::Note { .. } => self.fits(),
            _ => true,
        }
    }

    fn fits(&mut self) -> bool {
        let fits = self.written < self.most;
        self.left_out += u64::from(!fits);
        fits
    }

    fn note(&mut self, at: f64, text: String) {
        self.write(at, &Event::Note { id: None, address: String::new(), text });
    }

    fn write(&mut self, at: f64, event: &Event) {
        let Some(file) = &mut self.file else { return };
        let at = (at * 1000.0).round() / 1000.0;
        let written =
            serde_json::to_vec(&Line { at, what: event }).map_err(io::Error::from).and_then(|mut line| {
                line.push(b'\n');
                self.written += line.len() as u64;
                file.write_all(&line)
            });
        // Followers of the file see the event at once; cached actions and progress can wait.
        let flushed = match event {
            Event::Cached { .. } | Event::Progress { .. } => Ok(()),
            _ => file.flush(),
        };
        if written.and(flushed).is_err() {
            // A full disk must not end a run whose actions may still finish.
            self.file = None;
        }
    }
}

impl EventSink for JsonLines {
    fn event(&mut self, at: f64, event: &Event) {
        let before = self.left_out;
        if self.takes(at, event) {
            if self.left_out > 0 && matches!(event, Event::RunFinished { .. }) {
                let what = human::counted(self.left_out, "lines (progress and notes) are left out");
                self.note(at, format!("{what}, since this file has its maximum size"));
            }
            self.write(at, event);
        } else if before == 0 && self.left_out > 0 {
            self.note(
                at,
                "from here on progress and notes are left out, since this file has its maximum size".into(),
            );
        }
    }
}

/// Writes a trace: a bar for each action, in lanes without overlap.
#[derive(Debug)]
pub struct ChromeTrace {
    file: BufWriter<File>,
    first: bool,
    running: BTreeMap<u32, (usize, f64)>,
}

impl ChromeTrace {
    /// Creates the file.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(b"[")?;
        Ok(Self { file, first: true, running: BTreeMap::new() })
    }

    fn put(&mut self, json: &serde_json::Value) {
        let before = if std::mem::take(&mut self.first) { "\n" } else { ",\n" };
        let _ = write!(self.file, "{before}{json}");
    }

    fn end(&mut self, id: u32, at: f64, name: &str, op: &str, how: &str) {
        let Some((lane, start)) = self.running.remove(&id) else { return };
        let micros = |s: f64| (s * 1e6).round() as u64;
        self.put(&json!({
            "name": name, "cat": op, "ph": "X", "pid": 1, "tid": lane,
            "ts": micros(start), "dur": micros(at - start), "args": { "result": how },
        }));
    }
}

impl EventSink for ChromeTrace {
    fn event(&mut self, at: f64, event: &Event) {
        match event {
            Event::Started { id, .. } if !self.running.contains_key(id) => {
                let lane = (1..).find(|n| self.running.values().all(|(l, _)| l != n)).unwrap_or(0);
                self.running.insert(*id, (lane, at));
            }
            Event::Finished { id, address, op, .. } => self.end(*id, at, address, op, "ran"),
            Event::Failed { id, address, op, .. } => self.end(*id, at, address, op, "failed"),
            Event::Stopped { id, address } => self.end(*id, at, address, "", "stopped"),
            Event::RunFinished { .. } => {
                let _ = self.file.write_all(b"\n]\n").and_then(|()| self.file.flush());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Counts;

    fn started(id: u32) -> Event {
        Event::Started {
            id,
            address: format!("a{id}"),
            op: "op".into(),
            attempt: 1,
            threads: 1,
            device: "cpu".into(),
            log: None,
        }
    }

    #[test]
    fn a_trace_is_json_with_lanes_that_do_not_overlap() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.json");
        let mut trace = ChromeTrace::create(&path).unwrap();
        trace.event(0.0, &started(1));
        trace.event(0.5, &started(2));
        trace.event(1.0, &Event::Stopped { id: 1, address: "a1".into() });
        trace.event(1.5, &started(3));
        trace.event(2.0, &Event::Stopped { id: 3, address: "a3".into() });
        trace.event(2.0, &Event::Stopped { id: 2, address: "a2".into() });
        trace.event(2.0, &Event::RunFinished { counts: Counts::default(), seconds: 2.0 });
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let bars: Vec<_> = json
            .as_array()
            .unwrap()
            .iter()
            .map(|b| (b["name"].as_str().unwrap(), b["tid"].as_u64().unwrap(), b["dur"].as_u64().unwrap()))
            .collect();
        assert_eq!(bars, [("a1", 1, 1_000_000), ("a3", 1, 500_000), ("a2", 2, 1_500_000)]);
    }

    #[derive(serde::Deserialize)]
    struct Back {
        at: f64,
        what: Event,
    }

    fn progress(id: u32, done: u64) -> Event {
        Event::Progress { id, done, total: 1_000_000, unit: "steps".into(), note: String::new() }
    }

    #[test]
    fn a_long_run_has_a_short_file_that_says_what_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut lines = JsonLines::create(&path).unwrap();
        lines.most = 4000;
        for tenth in 0..1000u32 {
            lines.event(f64::from(tenth) / 10.0, &progress(tenth % 2, u64::from(tenth)));
        }
        let read = || -> Vec<Event> {
            let text = std::fs::read_to_string(&path).unwrap();
            text.lines().map(|l| serde_json::from_str::<Back>(l).unwrap().what).collect()
        };
        let note = |text: &str| Event::Note { id: None, address: String::new(), text: text.into() };
        for i in 0..100 {
            lines.event(101.0, &note(&format!("note {i}")));
            lines.event(102.0, &started(i));
        }
        let finished = Event::RunFinished { counts: Counts::default(), seconds: 2.0 };
        lines.event(103.0, &finished);
        let all = read();
        let count = |keep: fn(&Event) -> bool| all.iter().filter(|e| keep(e)).count();
        assert_eq!(
            count(|e| matches!(e, Event::Progress { .. })),
            40,
            "two actions, each every five seconds"
        );
        assert_eq!(
            count(|e| matches!(e, Event::Started { .. })),
            100,
            "what happens to actions is never left out"
        );
        let notes: Vec<String> = all
            .iter()
            .filter_map(|e| if let Event::Note { text, .. } = e { Some(text.clone()) } else { None })
            .collect();
        let kept = notes.iter().filter(|n| n.starts_with("note ")).count();
        assert!(kept > 0 && notes[kept].starts_with("from here on"), "{notes:?}");
        let end = format!("{} lines (progress and notes) are left out", 100 - kept);
        assert!(notes.len() == kept + 2 && notes[kept + 1].starts_with(&end), "{notes:?}");
        assert_eq!(all.last(), Some(&finished));
    }

    #[test]
    fn lines_read_back_as_events() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        JsonLines::create(&path).unwrap().event(0.25, &started(4));
        let back: Back = serde_json::from_str(std::fs::read_to_string(path).unwrap().trim()).unwrap();
        assert_eq!((back.at, back.what), (0.25, started(4)));
    }
}
