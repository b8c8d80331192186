//! What a run would read from elsewhere, and bringing it: for `fetch`, and for `run` before it starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::args::NetworkArgs;
use super::out::Stop;
use super::runner::Local;
use super::study::Loaded;
use xpipe_base::diag::render::Sources as _;
use xpipe_base::task::{Failure, FailureKind, Progress};
use xpipe_base::value::{Address, Checksum, Input, inputs_of};
use xpipe_engine::cache::Store;
use xpipe_engine::cache::downloads::{Download, file_name};
use xpipe_engine::fetch::{Got, Origin, Sources, Want, bring, is_here};
use xpipe_engine::{CancelToken, Event, EventSink, Forecast, Job};

/// Files that arrive at the same time: enough for slow servers, few enough not to be a burden.
const TOGETHER: usize = 4;

/// A file that a run would read.
pub(super) struct Wanted {
    pub want: Want,
    /// The cells that read it.
    pub readers: Vec<String>,
    /// Whether somebody reads it without declaring a digest, so that the lock file has to know it.
    pins: bool,
}

/// A file that was asked for, and what became of it.
pub(super) struct Brought {
    pub wanted: Wanted,
    pub got: Result<Got, Failure>,
    /// Whether its digest was pinned now.
    pub pinned: bool,
}

/// Where downloads may come from, by the arguments and XPIPE_MIRROR.
pub(super) fn sources(args: &NetworkArgs) -> Result<Sources, Stop> {
    let mut mirrors = args.mirror.clone();
    if let Some(more) = std::env::var_os("XPIPE_MIRROR") {
        mirrors.extend(std::env::split_paths(&more).filter(|p| !p.as_os_str().is_empty()));
    }
    match mirrors.iter().find(|m| !m.is_dir()) {
        Some(none) => {
            let help = "give the folder that holds a folder for each host";
            Err(Stop::missing(format!("there is no mirror {}", none.display()), Some(help.into())))
        }
        None => Ok(Sources { offline: args.offline, mirrors }),
    }
}

/// What becomes of an action that has to read its inputs, as far as it is known.
pub(super) fn reads(fate: &Forecast) -> bool {
    !matches!(fate, Forecast::Cached { .. } | Forecast::NotNeeded)
}

/// Whether anything needed is a download.
pub(super) fn any(job: &Job) -> bool {
    let needed = job.needed();
    let mut found = false;
    for (action, _) in job.actions.iter().zip(needed).filter(|(_, needed)| *needed) {
        inputs_of(&action.args, &mut |input| found |= matches!(**input, Input::Remote { .. }));
    }
    found
}

/// The files that would be read, by address: those of actions that are not cached.
pub(super) fn wanted(
    loaded: &Loaded,
    job: &Job,
    fates: &[Forecast],
    runner: &Local,
) -> Result<Vec<Wanted>, Stop> {
    let mut all: BTreeMap<Address, (Wanted, BTreeMap<String, String>)> = BTreeMap::new();
    let actions = job.actions.iter().zip(&loaded.graph.call_sites).zip(fates);
    for ((action, site), _) in actions.filter(|(_, fate)| reads(fate)) {
        let at = loaded.sources.position(site.span.file, site.span.start);
        let place = format!("{}:{}:{}", loaded.sources.name(site.span.file), at.line, at.column);
        inputs_of(&action.args, &mut |input| {
            let Input::Remote { url, digest, member } = &**input else { return };
            let (wanted, said) = all.entry(url.clone()).or_insert_with(|| {
                let want = Want {
                    url: url.clone(),
                    digest: None,
                    said: place.clone(),
                    whole: false,
                    members: BTreeSet::new(),
                };
                (Wanted { want, readers: Vec::new(), pins: false }, BTreeMap::new())
            });
            match member {
                Some(member) => drop(wanted.want.members.insert(member.clone())),
                None => wanted.want.whole = true,
            }
            match digest {
                Some(digest) => drop(said.entry(digest.clone()).or_insert_with(|| place.clone())),
                None => wanted.pins = true,
            }
            if !wanted.readers.contains(&action.address) {
                wanted.readers.push(action.address.clone());
            }
        });
    }
    all.into_values().map(|(wanted, said)| decide(wanted, said, runner)).collect()
}

/// Settles which digest a file must have: the declared one, else the pinned one.
fn decide(mut wanted: Wanted, mut said: BTreeMap<String, String>, runner: &Local) -> Result<Wanted, Stop> {
    if wanted.pins
        && let Some(pinned) = runner.digest(&wanted.want.url, None)?
    {
        said.entry(pinned.to_string()).or_insert(runner.lock()?.name());
    }
    let mut each = said.iter();
    if let Some((digest, place)) = each.next() {
        if let Some((other, there)) = each.next() {
            return Err(Stop::missing(
                format!("{} has two digests: {digest} ({place}) and {other} ({there})", wanted.want.url),
                Some("one of them is wrong, or of another edition of the file: make them equal".into()),
            ));
        }
        wanted.want.digest =
            Some(Checksum::parse(digest).map_err(|why| Stop::missing(format!("{place}: {why}"), None))?);
        wanted.want.said.clone_from(place);
    }
    Ok(wanted)
}

impl Wanted {
    /// Whether nothing has to be brought.
    pub(super) fn is_here(&self, store: &Store) -> bool {
        self.want.digest.as_ref().is_some_and(|digest| is_here(&self.want, digest, store))
    }
}

/// Brings files, a few at a time; those that are here already come back as such.
pub(super) fn bring_all(
    wanted: Vec<Wanted>,
    store: &Store,
    sources: &Sources,
    runner: &Local,
    view: &mut dyn EventSink,
    cancel: &CancelToken,
) -> Result<Vec<Brought>, Failure> {
    let begun = Instant::now();
    view.event(
        0.0,
        &Event::RunStarted {
            run: String::new(),
            study: String::new(),
            actions: wanted.len(),
            threads: TOGETHER,
            time: jiff::Timestamp::now().to_string(),
            tool: concat!("xpipe ", env!("CARGO_PKG_VERSION")).to_owned(),
        },
    );
    let results: Vec<Mutex<Option<Result<Got, Failure>>>> = wanted.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let (tx, rx) = crossbeam_channel::unbounded();
    std::thread::scope(|scope| {
        for started in 0..TOGETHER.min(wanted.len()) {
            let (wanted, results, next, tx) = (&wanted, &results, &next, tx.clone());
            let bring = move || {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(w) = wanted.get(i) else { return };
                    let got = one(i as u32, &w.want, store, sources, cancel, &tx);
                    *results[i].lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(got);
                }
            };
            if let Err(e) = std::thread::Builder::new().spawn_scoped(scope, bring) {
                for result in results.iter().filter(|_| started == 0) {
                    let failure = Err(Failure::no_threads(&e));
                    *result.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(failure);
                }
                break;
            }
        }
        drop(tx);
        for event in rx {
            view.event(begun.elapsed().as_secs_f64(), &event);
        }
    });
    let mut brought = Vec::new();
    for (wanted, result) in wanted.into_iter().zip(results) {
        let result = result.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut got = result.unwrap_or_else(|| Err(Failure::interrupted()));
        let mut pinned = false;
        if let Ok(g) = &got
            && wanted.pins
        {
            match runner.lock()?.pin_download(&wanted.want.url, &g.digest.to_string()) {
                Ok(new) => pinned = new,
                Err(failure) => got = Err(failure),
            }
        }
        brought.push(Brought { wanted, got, pinned });
    }
    runner.save_lock()?;
    Ok(brought)
}

/// Brings one file and tells of it.
fn one(
    id: u32,
    want: &Want,
    store: &Store,
    sources: &Sources,
    cancel: &CancelToken,
    tx: &Sender<Event>,
) -> Result<Got, Failure> {
    let (address, op) = (file_name(&want.url), host(&want.url).to_owned());
    if want.digest.as_ref().is_some_and(|d| is_here(want, d, store)) {
        let key = xpipe_base::value::Digest::of(want.url.as_bytes());
        let _ = tx.send(Event::Cached { id, address, op, key });
        return bring(want, store, sources, &xpipe_base::task::Silent);
    }
    let begun = Instant::now();
    let device = if sources.offline { "offline" } else { "download" }.to_owned();
    let (attempt, threads, log) = (1, 1, None);
    let _ = tx.send(Event::Started {
        id,
        address: address.clone(),
        op: op.clone(),
        attempt,
        threads,
        device,
        log,
    });
    let told = Told { id, address: &address, tx, cancel, last: Mutex::new(None) };
    let got = bring(want, store, sources, &told);
    let event = match &got {
        Ok(got) => Event::Finished {
            id,
            address,
            op,
            key: Download::identity(&got.digest, None),
            seconds: begun.elapsed().as_secs_f64(),
            size: got.size,
            peak_memory: None,
        },
        Err(f) if f.kind == FailureKind::Interrupted => Event::Stopped { id, address },
        Err(failure) => Event::Failed { id, address, op, failure: failure.clone(), log: None },
    };
    let _ = tx.send(event);
    got
}

/// The host of an address.
pub(super) fn host(url: &str) -> &str {
    url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or(url)
}

/// The progress of one file, told at most ten times a second.
struct Told<'a> {
    id: u32,
    address: &'a str,
    tx: &'a Sender<Event>,
    cancel: &'a CancelToken,
    last: Mutex<Option<Instant>>,
}

impl Progress for Told<'_> {
    fn progress(&self, done: u64, total: u64, unit: &str, note: &str) {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.is_some_and(|at| at.elapsed() < Duration::from_millis(100)) && done != total {
            return;
        }
        *last = Some(Instant::now());
        let (id, unit, note) = (self.id, unit.to_owned(), note.to_owned());
        let _ = self.tx.send(Event::Progress { id, done, total, unit, note });
    }

    fn note(&self, text: &str) {
        let _ = self.tx.send(Event::Note {
            id: Some(self.id),
            address: self.address.to_owned(),
            text: text.to_owned(),
        });
    }

    fn cancelled(&self) -> bool {
        self.cancel.stopping()
    }
}

/// What ends a verb when files could not be had: all of them, with the advice of the first.
pub(super) fn failed(brought: &[Brought]) -> Option<Stop> {
    let failures: Vec<&Failure> = brought.iter().filter_map(|b| b.got.as_ref().err()).collect();
    if let Some(interrupted) = failures.iter().find(|f| f.kind == FailureKind::Interrupted) {
        let mut stop = Failure::clone(interrupted);
        stop.message = "interrupted; what has arrived is kept, and the next time goes on from there".into();
        return Some(stop.into());
    }
    let first = failures.first()?;
    let mut message = match failures.len() {
        1 => String::new(),
        n => format!("{n} files are missing: "),
    };
    message.push_str(&first.message);
    for other in failures.iter().skip(1).take(7) {
        message.push_str(&format!("\n       {}", other.message));
    }
    if failures.len() > 8 {
        message.push_str(&format!("\n       and {} more", failures.len() - 8));
    }
    // Whatever is wrong with it, the file is not there: exit code 4, as for any input.
    Some(Stop::missing(message, first.help.clone()))
}

impl Brought {
    /// The file as JSON.
    pub(super) fn json(&self, store: &Store) -> serde_json::Value {
        let want = &self.wanted.want;
        let mut json = serde_json::json!({
            "url": want.url, "members": want.members, "for": self.wanted.readers, "pinned": self.pinned,
        });
        match &self.got {
            Ok(got) => {
                json["digest"] = got.digest.to_string().into();
                json["size"] = got.size.into();
                json["state"] = match &got.origin {
                    Origin::Here => "here",
                    Origin::Mirror(_) => "mirror",
                    Origin::Network => "fetched",
                }
                .into();
                json["path"] = store.download(&want.url, &got.digest).path(None).display().to_string().into();
            }
            Err(failure) => {
                json["state"] = "failed".into();
                json["message"] = failure.message.clone().into();
                json["help"] = failure.help.clone().into();
            }
        }
        json
    }

    /// A line about a digest that was pinned.
    pub(super) fn told_pin(&self, lock: &str) -> Option<String> {
        let got = self.got.as_ref().ok().filter(|_| self.pinned)?;
        Some(format!(
            "pinned {} at {} in {lock}: the study declares no digest",
            self.wanted.want.url, got.digest
        ))
    }
}
