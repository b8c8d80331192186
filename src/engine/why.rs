//! Why an action will run: its recipe compared with the one recorded last under the same address.

use serde::{Deserialize, Serialize};

use super::forecast::{Forecast, survey};
use super::job::Job;
use super::options::Options;
use super::recipes::{Blocker, ResultTable};
use super::runner::Runner;
use crate::cache::{Change, History, InputNote, LastFailure, Manifest, Miss, Store, diff};
use xpipe_base::task::Action;
use xpipe_base::value::{ActionId, Digest};

/// A reason to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Stale {
    /// Nothing is recorded for this address.
    First,
    /// It was carried out, and failed.
    Failed {
        /// When, RFC 3339.
        at: String,
    },
    /// It was asked for.
    Forced,
    /// Its recipe differs from the recorded one.
    Changed {
        /// In what.
        #[serde(flatten)]
        change: Change,
        /// Where other content is from: the file, or the address of the action; else empty.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        label: String,
    },
    /// Another action ran again and gave the same content: no reason, but worth saying.
    SameContent {
        /// Where.
        path: String,
        /// The address of the action.
        label: String,
    },
    /// Not known before another action has run.
    Waits {
        /// Where.
        path: String,
        /// The address of the action, or what is missing.
        on: String,
    },
    /// The recorded result is gone or damaged.
    Missing {
        /// What is wrong with it.
        what: String,
    },
}

/// What `why` says about an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    /// Its address.
    pub address: String,
    /// What a run would do.
    pub outlook: Outlook,
    /// When the recorded result was made, RFC 3339.
    pub since: Option<String>,
    /// The reasons; empty when it is up to date.
    pub reasons: Vec<Stale>,
    /// What the recorded result was made from, when it is up to date.
    pub from: Vec<InputNote>,
    /// How it failed since it had a result last; its log is an absolute path.
    pub failed: Option<LastFailure>,
}

/// What a run would do, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outlook {
    /// Nothing.
    Cached,
    /// Run it.
    WillRun,
    /// That depends on what runs before it.
    Depends,
    /// Fail: an input is missing.
    Fails,
}

/// Why a run would do what it would do with an action (which is looked at as if it were wanted).
pub fn why(job: &Job, id: ActionId, runner: &dyn Runner, store: &Store, options: &Options) -> Why {
    let job = Job { wanted: vec![id], ..job.clone() };
    let (table, forecasts) = survey(&job, runner, store, options);
    let history = store.history(&job.study);
    let address = job.action(id).address.clone();
    let last = last(&history, &table, id);
    let mut why = Why {
        address,
        outlook: Outlook::Cached,
        since: last.map(|m| m.finished),
        reasons: Vec::new(),
        from: Vec::new(),
        failed: None,
    };
    match &forecasts[id.0 as usize] {
        Forecast::Cached { key } => {
            if let Some(manifest) = store.record(key) {
                (why.since, why.from) = (Some(manifest.finished), manifest.inputs);
            }
            return why;
        }
        Forecast::NotNeeded | Forecast::Remote { .. } => return why,
        Forecast::WillRun { miss, .. } => {
            why.outlook = Outlook::WillRun;
            why.reasons = reasons(&table, &history, id, miss.as_ref(), miss.is_none());
        }
        Forecast::Depends { .. } => {
            why.outlook = Outlook::Depends;
            why.reasons = reasons(&table, &history, id, None, false);
        }
        Forecast::Unknown { why: failure } => {
            why.outlook = Outlook::Fails;
            why.reasons = reasons(&table, &history, id, None, false);
            why.reasons.push(Stale::Missing { what: failure.to_string() });
        }
    }
    why.failed = last_failure(&history, store, &job, id);
    why
}

/// The reasons to run an action, as far as its arguments are known.
pub(crate) fn reasons(
    table: &ResultTable<'_>,
    history: &History,
    id: ActionId,
    miss: Option<&Miss>,
    forced: bool,
) -> Vec<Stale> {
    let action = table.job.action(id);
    let (recipe, notes, unknown) = table.partial_recipe(action);
    let waits = unknown.into_iter().map(|(path, blocker)| {
        let on = match blocker {
            Blocker::Action(on) => table.job.action(on).address.clone(),
            Blocker::Failure(f) => f.to_string(),
        };
        Stale::Waits { path, on }
    });
    let damage = miss.filter(|m| m.is_damage()).map(|m| Stale::Missing { what: m.to_string() });
    let mut reasons: Vec<Stale> = forced.then_some(Stale::Forced).into_iter().collect();
    let last_key = last_key(history, table, id);
    let Some(last) = last_key.and_then(|key| table.store.recipe(&key)) else {
        let first = (!forced).then(|| match failure_of_action(history, action) {
            Some(failed) => Stale::Failed { at: failed.at.clone() },
            None => Stale::First,
        });
        reasons.extend(damage.or(first));
        reasons.extend(waits);
        return reasons;
    };
    let difference = diff(&last, &recipe);
    let label = |path: &str| find(&notes, path).map(|n| n.label.clone()).unwrap_or_default();
    for change in difference.changes {
        let label = match &change {
            // Reported below, with what it waits for.
            Change::Unknown { .. } => continue,
            Change::Content { path, .. } => label(path),
            _ => String::new(),
        };
        reasons.push(Stale::Changed { change, label });
    }
    reasons.extend(waits);
    reasons.extend(damage);
    if reasons.is_empty() {
        // The same recipe, and nothing recorded under its key: the manifest was removed.
        reasons.extend(miss.map(|_| Stale::Missing { what: "the recorded result is gone".into() }));
        return reasons;
    }
    let last_notes = last_key.and_then(|key| table.store.record(&key)).map(|m| m.inputs).unwrap_or_default();
    for (path, _) in difference.same_content {
        let key = |notes: &[InputNote]| find(notes, &path).and_then(|n| n.key);
        if let (Some(before), Some(now)) = (key(&last_notes), key(&notes))
            && before != now
        {
            reasons.push(Stale::SameContent { label: label(&path), path });
        }
    }
    reasons
}

/// How an action failed since it had a result last, with its log as an absolute path.
pub fn last_failure(history: &History, store: &Store, job: &Job, id: ActionId) -> Option<LastFailure> {
    let mut failed = failure_of_action(history, job.action(id))?.clone();
    failed.log = failed.log.map(|log| store.dir().join(log)).filter(|log| log.is_file());
    Some(failed)
}

fn failure_of_action<'h>(history: &'h History, action: &Action) -> Option<&'h LastFailure> {
    action.addresses().find_map(|a| history.failure(a))
}

fn find<'a>(notes: &'a [InputNote], path: &str) -> Option<&'a InputNote> {
    notes.iter().find(|n| n.path == path)
}

fn last_key(history: &History, table: &ResultTable<'_>, id: ActionId) -> Option<Digest> {
    let action = table.job.action(id);
    action.addresses().find_map(|a| history.last(a))
}

fn last(history: &History, table: &ResultTable<'_>, id: ActionId) -> Option<Manifest> {
    table.store.record(&last_key(history, table, id)?)
}

impl Stale {
    /// The place of the study this is about, when it is an argument's.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Changed { change, .. } => change.path(),
            Self::SameContent { path, .. } | Self::Waits { path, .. } => Some(path),
            _ => None,
        }
    }

    /// What it says beside its place.
    pub fn text(&self) -> String {
        match self {
            Self::First => "nothing is recorded for it".into(),
            Self::Failed { at } => format!("it failed {}", local_time(at)),
            Self::Forced => "it was asked for".into(),
            Self::Changed { change: Change::Content { .. }, label } => format!("other content ({label})"),
            Self::Changed { change, .. } => change.text(),
            Self::SameContent { label, .. } => {
                format!("same content ({label} re-ran and gave the same bytes)")
            }
            Self::Waits { on, .. } => format!("depends on {on}"),
            Self::Missing { what } => what.clone(),
        }
    }
}

impl Why {
    fn failed_head(&self, then: &str) -> String {
        let at = self.failed.as_ref().map(|f| local_time(&f.at)).unwrap_or_default();
        format!("{} failed {at}, {then}", self.address)
    }

    /// The text of `xpipe why`. `place` tells where in the study an argument stands: `study.xpipe:87`.
    pub fn render(&self, place: &dyn Fn(&str) -> Option<String>) -> String {
        let since = self.since.as_deref().map(local_time);
        let first = self.reasons.contains(&Stale::First);
        let changed = self.reasons.iter().any(|r| !matches!(r, Stale::Forced | Stale::Missing { .. }));
        let head = match (self.outlook, &since) {
            (Outlook::Cached, Some(since)) => format!("{} is up to date: made {since}", self.address),
            (Outlook::Cached, None) => format!("{} is up to date", self.address),
            (Outlook::WillRun, _) if self.failed.is_some() => self.failed_head("and will run again"),
            (Outlook::Depends, _) if self.failed.is_some() => {
                self.failed_head("and may run again: that depends on what runs before it")
            }
            (Outlook::WillRun, _) if first => format!("{} will run: first run", self.address),
            (Outlook::WillRun, Some(since)) if changed => {
                format!("{} will run: its recipe changed since {since}", self.address)
            }
            (Outlook::WillRun, _) => format!("{} will run", self.address),
            (Outlook::Depends, _) => format!("{} may run: that depends on what runs before it", self.address),
            (Outlook::Fails, _) => format!("{} cannot run", self.address),
        };
        let rows: Vec<(&str, String)> = self
            .reasons
            .iter()
            .filter(|r| !matches!(r, Stale::First | Stale::Failed { .. }))
            .map(|r| (r.path().unwrap_or_default(), r.text()))
            .collect();
        let width = |f: &dyn Fn(&(&str, String)) -> usize| rows.iter().map(f).max().unwrap_or(0);
        let (left, middle) = (width(&|r| r.0.chars().count()), width(&|r| r.1.chars().count()).min(48));
        let mut text = head;
        if let Some(failed) = self.failed.as_ref().filter(|_| self.outlook != Outlook::Cached) {
            failed.message.lines().for_each(|line| text.push_str(&format!("\n  {line}")));
            text.extend(failed.log.iter().map(|log| format!("\n  log: {}", log.display())));
        }
        let width = self.from.iter().map(|i| i.path.chars().count()).max().unwrap_or(0);
        for input in &self.from {
            let made = input.key.map(|k| format!("  (key {})", &k.hex()[..12])).unwrap_or_default();
            text.push_str(&format!("\n  {:width$}   from {}{made}", input.path, input.label));
        }
        for (path, what) in rows {
            let line = if path.is_empty() {
                format!("\n  {what}")
            } else {
                let at = place(path).unwrap_or_default();
                format!("\n  {path:left$}   {what:middle$}   {at}")
            };
            text.push_str(line.trim_end_matches(' '));
        }
        text
    }
}

/// A time in this machine's zone: `12 Nov 14:02`; with the year when it is not this one.
pub fn local_time(rfc3339: &str) -> String {
    let Ok(time) = rfc3339.parse::<jiff::Timestamp>() else { return rfc3339.to_owned() };
    let zoned = time.to_zoned(jiff::tz::TimeZone::system());
    let format = if zoned.year() == jiff::Zoned::now().year() { "%-d %b %H:%M" } else { "%-d %b %Y %H:%M" };
    zoned.strftime(format).to_string()
}
