//! The sinks of a run's events.

use std::path::Path;
use std::time::Instant;

use crate::cache::Error;
use crate::events::{Event, EventSink};
use crate::options::Options;
use crate::sinks::{ChromeTrace, JsonLines};

/// Sends every event to every sink, with the time since the run began.
pub(super) struct EventBus<'a> {
    pub(super) begun: Instant,
    sink: &'a mut dyn EventSink,
    lines: JsonLines,
    trace: Option<ChromeTrace>,
}

impl<'a> EventBus<'a> {
    /// The sink of the caller, the file `events.jsonl` in the folder of the run, and the trace that was asked for.
    pub(super) fn open(dir: &Path, sink: &'a mut dyn EventSink, options: &Options) -> Result<Self, Error> {
        let logs = dir.join("logs");
        xpipe_base::modes::make_folder(&logs).map_err(|e| Error::io("making", &logs, e))?;
        let events = dir.join("events.jsonl");
        let lines = JsonLines::create(&events).map_err(|e| Error::io("writing", &events, e))?;
        xpipe_base::modes::inherit_file(&events).map_err(|e| Error::io("protecting", &events, e))?;
        let trace = match &options.trace {
            Some(path) => Some(ChromeTrace::create(path).map_err(|e| Error::io("writing", path, e))?),
            None => None,
        };
        Ok(Self { begun: Instant::now(), sink, lines, trace })
    }

    pub(super) fn emit(&mut self, event: &Event) {
        let at = self.begun.elapsed().as_secs_f64();
        self.lines.event(at, event);
        if let Some(trace) = &mut self.trace {
            trace.event(at, event);
        }
        self.sink.event(at, event);
    }
}
