//! Where events and notices go while a verb works: one view at a time, which notices are shown above.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{out, progress};
use xpipe_engine::{Event, EventSink, NoSink};
use xpipe_study::session::{Listener, Notice};

/// Standard error while something runs. Clones share one view.
#[derive(Clone)]
pub(super) struct Console {
    shown: Arc<Mutex<Shown>>,
    mode: Mode,
}

/// How events are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Not at all: `--json`.
    Quiet,
    /// As lines: `--plain`, or when standard error is no terminal.
    Plain,
    /// As progress bars.
    Bars,
}

impl Mode {
    /// The mode of a verb with `--json` and `--plain`.
    pub(super) fn of(json: bool, plain: bool) -> Self {
        use std::io::IsTerminal as _;
        match (json, plain || !std::io::stderr().is_terminal()) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Plain,
            (false, false) => Self::Bars,
        }
    }
}

/// The view that is shown now, and the time of its last event.
#[derive(Default)]
struct Shown {
    view: Option<Box<dyn EventSink + Send>>,
    at: f64,
}

impl Console {
    pub(super) fn new(mode: Mode) -> Self {
        Self { shown: Arc::default(), mode }
    }

    /// A listener for notices.
    pub(super) fn listener(&self) -> Listener {
        let console = self.clone();
        Arc::new(move |notice| console.tell(notice))
    }

    /// A view of the events of one phase; it disappears when it is dropped.
    pub(super) fn view(&self) -> Box<dyn EventSink> {
        let view: Box<dyn EventSink + Send> = match self.mode {
            Mode::Quiet => return Box::new(NoSink),
            Mode::Plain => Box::new(progress::Plain::new(std::io::stderr())),
            Mode::Bars => Box::new(progress::Bars::new()),
        };
        *self.lock() = Shown { view: Some(view), at: 0.0 };
        Box::new(Phase(self.clone()))
    }

    /// Shows a notice above the view, or prints it where there is none.
    fn tell(&self, notice: &Notice) {
        let mut shown = self.lock();
        let at = shown.at;
        match &mut shown.view {
            Some(view) => {
                let text = notice.to_string();
                let text = text.strip_prefix("note: ").unwrap_or(&text).to_owned();
                view.event(at, &Event::Note { id: None, address: String::new(), text });
            }
            None => out::warn(&notice.to_string()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The events of one phase.
struct Phase(Console);

impl EventSink for Phase {
    fn event(&mut self, at: f64, event: &Event) {
        let mut shown = self.0.lock();
        shown.at = at;
        if let Some(view) = &mut shown.view {
            view.event(at, event);
        }
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        self.0.lock().view = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A view that keeps the texts of notes.
    struct Notes(Arc<Mutex<Vec<String>>>);

    impl EventSink for Notes {
        fn event(&mut self, _: f64, event: &Event) {
            if let Event::Note { text, .. } = event {
                self.0.lock().unwrap().push(text.clone());
            }
        }
    }

    #[test]
    fn a_notice_from_another_thread_goes_through_the_view() {
        let console = Console::new(Mode::Plain);
        let notes = Arc::default();
        drop(console.view());
        console.lock().view = Some(Box::new(Notes(Arc::clone(&notes))));
        let listener = console.listener();
        let why = "no answer".to_owned();
        let notice = Notice::FilesUnknown { model: "lab/tiny".into(), files: "a.json".into(), why };
        std::thread::spawn(move || listener(&notice)).join().unwrap();
        let text = "lab/tiny: cannot ask the hub whether it has a.json: no answer";
        assert_eq!(*notes.lock().unwrap(), [text]);
    }

    #[test]
    fn a_view_is_gone_when_its_phase_ends() {
        let console = Console::new(Mode::Plain);
        let view = console.view();
        assert!(console.lock().view.is_some());
        drop(view);
        assert!(console.lock().view.is_none());
        let quiet = Console::new(Mode::Quiet);
        let view = quiet.view();
        assert!(quiet.lock().view.is_none(), "with --json nothing is shown");
        drop(view);
    }
}
