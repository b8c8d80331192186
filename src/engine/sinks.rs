//! Files that record events: lines of JSON in every run, and on request a trace for Chrome or Perfetto.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::{Event, EventSink};

/// Writes each event as a line `{"at": seconds, "event": …}`.
#[derive(Debug)]
pub struct JsonLines {
    file: Option<BufWriter<File>>,
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
        Ok(Self { file: Some(BufWriter::new(File::create(path)?)) })
    }
}

impl EventSink for JsonLines {
    fn event(&mut self, at: f64, event: &Event) {
        let Some(file) = &mut self.file else { return };
        let at = (at * 1000.0).round() / 1000.0;
        let written = serde_json::to_writer(&mut *file, &Line { at, what: event })
            .map_err(io::Error::from)
            .and_then(|()| file.write_all(b"\n"));
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

    #[test]
    fn lines_read_back_as_events() {
        #[derive(serde::Deserialize)]
        struct Back {
            at: f64,
            what: Event,
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        JsonLines::create(&path).unwrap().event(0.25, &started(4));
        let back: Back = serde_json::from_str(std::fs::read_to_string(path).unwrap().trim()).unwrap();
        assert_eq!((back.at, back.what), (0.25, started(4)));
    }
}
