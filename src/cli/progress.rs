//! Views of a run's events: progress bars on a terminal, plain lines elsewhere.
//!
//! Bars: at most eight running actions, each with its rate, its note (such as the loss) and the time left, and one line
//! for the run. Plain lines: one when an action starts, ends or fails, and one every 30 seconds for an action that takes
//! long.

use std::collections::BTreeMap;
use std::io::Write;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::printable::printable;
use xpipe_base::value::human;
use xpipe_engine::{Counts, Event, EventSink};

/// The most running actions that are shown.
const LINES: usize = 8;

/// Seconds between two plain lines about one action.
const INTERVAL: f64 = 30.0;

/// The state of a run, from its events.
#[derive(Debug, Default)]
struct RunState {
    running: BTreeMap<u32, Running>,
    counts: Counts,
    total: usize,
    /// Actions blocked by a failed one that are not printed yet, with the address of the failed one.
    skipped: Option<(String, Vec<String>)>,
}

#[derive(Debug)]
struct Running {
    address: String,
    started: f64,
    /// Time and units of the first progress event: a resumed training does not begin at 0.
    first: Option<(f64, u64)>,
    done: u64,
    total: u64,
    unit: String,
    note: String,
    /// When the last plain line about it was printed.
    printed: f64,
}

impl Running {
    /// Units a second since the first progress.
    fn rate(&self, at: f64) -> Option<f64> {
        let (began, from) = self.first?;
        (at > began + 0.5 && self.done > from).then(|| (self.done - from) as f64 / (at - began))
    }

    fn line(&self, at: f64) -> String {
        let mut parts = vec![self.address.clone()];
        if self.first.is_some() {
            let unit = &self.unit;
            parts.push(if unit == "bytes" {
                let of =
                    if self.total > 0 { format!(" of {}", human::size(self.total)) } else { String::new() };
                format!("{}{of}", human::size(self.done))
            } else if self.total > 0 {
                format!("{}/{} {unit}", human::thousands(self.done), human::thousands(self.total))
            } else {
                format!("{} {unit}", human::thousands(self.done))
            });
        }
        let rate = self.rate(at);
        if let Some(rate) = rate {
            parts.push(if self.unit == "bytes" {
                format!("{}/s", human::size(rate as u64))
            } else if rate < 10.0 {
                format!("{rate:.1}/s")
            } else {
                format!("{}/s", human::thousands(rate as u64))
            });
        }
        if !self.note.is_empty() {
            parts.push(self.note.clone());
        }
        match rate {
            Some(rate) if self.total > self.done => {
                parts.push(format!("{} left", human::duration((self.total - self.done) as f64 / rate)));
            }
            _ => parts.push(human::duration(at - self.started)),
        }
        parts.join("  ")
    }
}

impl RunState {
    /// Applies an event; returns lines to print above the bars.
    fn apply(&mut self, at: f64, event: &Event) -> Vec<String> {
        let mut lines = Vec::new();
        if !matches!(event, Event::Blocked { .. }) {
            lines.extend(self.skipped_line());
        }
        match event {
            Event::RunStarted { actions, .. } => self.total = *actions,
            Event::Cached { id, .. } => {
                self.running.remove(id);
                self.counts.cached += 1;
            }
            Event::Queued { .. } => {}
            Event::Started { id, address, attempt, .. } => {
                if *attempt == 1 {
                    self.running.insert(*id, Running::new(address, at));
                }
            }
            Event::Progress { id, done, total, unit, note } => {
                if let Some(r) = self.running.get_mut(id) {
                    r.first.get_or_insert((at, *done));
                    (r.done, r.total) = (*done, *total);
                    (r.unit, r.note) = (unit.clone(), note.clone());
                }
            }
            Event::Finished { id, .. } => {
                self.running.remove(id);
                self.counts.ran += 1;
            }
            Event::Failed { id, address, failure, log, .. } => {
                self.running.remove(id);
                self.counts.failed += 1;
                lines.push(format!("failed   {address}: {failure}"));
                lines.extend(failure.help.iter().map(|h| format!("         help: {h}")));
                lines.extend(log.iter().map(|l| format!("         log: {}", l.display())));
            }
            Event::Blocked { address, by, .. } => {
                if self.skipped.as_ref().is_some_and(|(b, _)| b != by) {
                    lines.extend(self.skipped_line());
                }
                self.counts.blocked += 1;
                self.skipped.get_or_insert_with(|| (by.clone(), Vec::new())).1.push(address.clone());
            }
            Event::Stopped { id, address } => {
                self.counts.stopped += 1;
                // An action that never started is only counted.
                if self.running.remove(id).is_some() {
                    lines.push(format!("stopped  {address}"));
                }
            }
            Event::Note { address, text, .. } if address.is_empty() => lines.push(format!("note     {text}")),
            Event::Note { address, text, .. } => lines.push(format!("note     {address}: {text}")),
            Event::RunFinished { .. } => {}
        }
        lines
    }

    fn skipped_line(&mut self) -> Option<String> {
        let (by, addresses) = self.skipped.take()?;
        let shown = addresses.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let more =
            if addresses.len() > 3 { format!(" and {} more", addresses.len() - 3) } else { String::new() };
        Some(format!("skipped  {shown}{more}: needs {by}, which failed"))
    }

    /// The line for the run.
    fn summary(&self, at: f64) -> String {
        let c = &self.counts;
        let done = c.total();
        let mut parts =
            vec![format!("{}/{} done", human::thousands(done as u64), human::thousands(self.total as u64))];
        parts.extend(words(c));
        parts.push(human::duration(at));
        parts.join("  ")
    }
}

impl Running {
    fn new(address: &str, at: f64) -> Self {
        Self {
            address: address.to_owned(),
            started: at,
            first: None,
            done: 0,
            total: 0,
            unit: String::new(),
            note: String::new(),
            printed: at,
        }
    }
}

/// `12 ran`, `3 cached`, …, without zeros.
pub(super) fn words(counts: &Counts) -> Vec<String> {
    let all = [
        (counts.ran, "ran"),
        (counts.cached, "cached"),
        (counts.failed, "failed"),
        (counts.blocked, "skipped"),
        (counts.stopped, "stopped"),
    ];
    all.iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{} {word}", human::thousands(*n as u64)))
        .collect()
}

/// Plain lines.
#[derive(Debug)]
pub(super) struct Plain<W> {
    out: W,
    state: RunState,
}

impl<W: Write> Plain<W> {
    /// Lines to a writer.
    pub(super) fn new(out: W) -> Self {
        Self { out, state: RunState::default() }
    }

    fn line(&mut self, text: &str) {
        // A reader that stops reading must not stop the run.
        let _ = writeln!(self.out, "{}", printable(text));
    }
}

impl<W: Write> EventSink for Plain<W> {
    fn event(&mut self, at: f64, event: &Event) {
        for line in self.state.apply(at, event) {
            self.line(&line);
        }
        match event {
            Event::Started { address, op, attempt, threads, device, .. } => {
                let threads =
                    if *threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
                let again = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
                self.line(&format!("start    {address}  {op}  ({device}, {threads}{again})"));
            }
            Event::Progress { id, .. } => {
                let line = self.state.running.get_mut(id).filter(|r| at - r.printed >= INTERVAL).map(|r| {
                    r.printed = at;
                    r.line(at)
                });
                if let Some(line) = line {
                    self.line(&format!("running  {line}"));
                }
            }
            Event::Finished { address, seconds, size, .. } => {
                self.line(&format!(
                    "done     {address}  {}  {}",
                    human::duration(*seconds),
                    human::size(*size)
                ));
            }
            Event::RunFinished { .. } => {
                let summary = self.state.summary(at);
                self.line(&summary);
            }
            _ => {}
        }
    }
}

/// Progress bars on a terminal.
#[derive(Debug)]
pub(super) struct Bars {
    all: MultiProgress,
    run: ProgressBar,
    running: Vec<ProgressBar>,
    state: RunState,
}

impl Bars {
    /// Bars on standard error.
    pub(super) fn new() -> Self {
        Self::on(ProgressDrawTarget::stderr())
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let all = MultiProgress::with_draw_target(target);
        let run = all.add(line_bar());
        Self { all, run, running: Vec::new(), state: RunState::default() }
    }

    fn draw(&mut self, at: f64) {
        let lines: Vec<String> = self.state.running.values().take(LINES).map(|r| r.line(at)).collect();
        while self.running.len() < lines.len() {
            self.running.push(self.all.insert_before(&self.run, line_bar()));
        }
        while self.running.len() > lines.len() {
            if let Some(bar) = self.running.pop() {
                bar.finish_and_clear();
                self.all.remove(&bar);
            }
        }
        for (bar, line) in self.running.iter().zip(lines) {
            bar.set_message(printable(&line).into_owned());
        }
        let hidden = self.state.running.len().saturating_sub(LINES);
        let more = if hidden > 0 { format!("  ({hidden} more run)") } else { String::new() };
        self.run.set_message(format!("{}{more}", self.state.summary(at)));
    }
}

fn line_bar() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style)
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.running.drain(..).for_each(|bar| bar.finish_and_clear());
        self.run.finish_and_clear();
    }
}

impl EventSink for Bars {
    fn event(&mut self, at: f64, event: &Event) {
        for line in self.state.apply(at, event) {
            let _ = self.all.println(printable(&line));
        }
        self.draw(at);
        if let Event::RunFinished { .. } = event {
            self.running.drain(..).for_each(|bar| bar.finish_and_clear());
            self.run.finish_and_clear();
            let _ = self.all.println(self.state.summary(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xpipe_base::task::Failure;

    fn started(id: u32, address: &str) -> Event {
        Event::Started {
            id,
            address: address.into(),
            op: "train.cross_encoder".into(),
            attempt: 1,
            threads: 2,
            device: "cpu".into(),
            log: None,
        }
    }

    fn progress(id: u32, done: u64, note: &str) -> Event {
        Event::Progress { id, done, total: 200_000, unit: "steps".into(), note: note.into() }
    }

    fn events() -> Vec<(f64, Event)> {
        let digest = xpipe_base::value::Digest::of(b"k");
        let (address, op) = (|a: &str| a.to_owned(), "op".to_owned());
        vec![
            (
                0.0,
                Event::RunStarted {
                    run: "r".into(),
                    study: "s".into(),
                    actions: 7,
                    threads: 2,
                    time: "t".into(),
                    tool: "x".into(),
                },
            ),
            (0.0, Event::Cached { id: 0, address: address("samples"), op: op.clone(), key: digest }),
            (1.0, started(1, "model[a]")),
            // Goes on from a checkpoint at step 1,000: its rate is that of this run.
            (2.0, progress(1, 1_000, "loss 0.70")),
            (42.0, progress(1, 1_800, "loss 0.31")),
            (43.0, progress(1, 1_820, "loss 0.31")),
            (
                50.0,
                Event::Finished {
                    id: 1,
                    address: address("model[a]"),
                    op: op.clone(),
                    key: digest,
                    seconds: 49.0,
                    size: 4 << 20,
                    peak_memory: None,
                },
            ),
            (51.0, started(2, "model[b]")),
            (
                52.0,
                Event::Failed {
                    id: 2,
                    address: address("model[b]"),
                    op,
                    failure: Failure::wrong("qrels.txt:3 has 2 columns").help("give 4"),
                    log: Some("logs/2.log".into()),
                },
            ),
            (52.0, Event::Blocked { id: 3, address: address("run[b]"), by: address("model[b]") }),
            (52.0, Event::Blocked { id: 4, address: address("score[b]"), by: address("model[b]") }),
            (52.0, Event::Note { id: None, address: String::new(), text: "a note".into() }),
            (60.0, Event::RunFinished { counts: Counts::default(), seconds: 60.0 }),
        ]
    }

    #[test]
    fn plain_lines_tell_what_happened() {
        let mut plain = Plain::new(Vec::new());
        for (at, event) in events() {
            plain.event(at, &event);
        }
        insta::assert_snapshot!(String::from_utf8(plain.out).unwrap(), @r"
        start    model[a]  train.cross_encoder  (cpu, 2 threads)
        running  model[a]  1,800/200,000 steps  20/s  loss 0.31  2 h 45 min left
        done     model[a]  49 s  4.0 MiB
        start    model[b]  train.cross_encoder  (cpu, 2 threads)
        failed   model[b]: qrels.txt:3 has 2 columns
                 help: give 4
                 log: logs/2.log
        skipped  run[b], score[b]: needs model[b], which failed
        note     a note
        5/7 done  1 ran  1 cached  1 failed  2 skipped  1 min 00 s
        ");
    }

    #[test]
    fn at_most_eight_lines_and_one_for_the_run() {
        let mut bars = Bars::on(ProgressDrawTarget::hidden());
        for id in 0..12 {
            bars.event(f64::from(id), &started(id, &format!("m[{id}]")));
        }
        assert_eq!(bars.running.len(), 8);
        assert!(bars.run.message().ends_with("(4 more run)"));
        bars.event(20.0, &progress(0, 0, ""));
        bars.event(30.0, &progress(0, 50, "loss 0.5"));
        assert_eq!(bars.running[0].message(), "m[0]  50/200,000 steps  5.0/s  loss 0.5  11 h 07 min left");
        for (at, event) in events() {
            bars.event(at, &event);
        }
        assert!(bars.running.is_empty() && bars.run.is_finished());
    }
}
