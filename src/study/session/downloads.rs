//! The files that a run would read from other machines, and their download: for `fetch`, and for `run` before it starts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_channel::Sender;

use super::Session;
use super::error::{Error, combined};
use super::inputs::needed;
use super::notice::Notice;
use super::runner::LocalRunner;
use xpipe_base::task::{Failure, FailureKind, Progress, Silent, Throttle};
use xpipe_base::value::{Address, Checksum, Digest, Input, inputs_of};
use xpipe_engine::cache::Store;
use xpipe_engine::cache::downloads::{Download, file_name};
use xpipe_engine::fetch::{FetchRequest, Fetched, Origin, Sources, fetch, is_cached};
use xpipe_engine::{CancelToken, Event, EventSink, Forecast};

/// Files that are downloaded at the same time: enough for slow servers, few enough not to be a burden.
const CONCURRENT: usize = 4;

/// Where downloads may come from.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Whether the network may not be used.
    pub offline: bool,
    /// Folders of files by address, `DIR/HOST/PATH`, that are tried first; XPIPE_MIRROR adds to them.
    pub mirrors: Vec<PathBuf>,
}

impl Network {
    /// The sources, with the mirrors of XPIPE_MIRROR.
    pub(super) fn sources(&self) -> Result<Sources, Error> {
        let mut mirrors = self.mirrors.clone();
        if let Some(more) = std::env::var_os("XPIPE_MIRROR") {
            mirrors.extend(std::env::split_paths(&more).filter(|p| !p.as_os_str().is_empty()));
        }
        match mirrors.iter().find(|m| !m.is_dir()) {
            Some(absent) => Err(Error::missing(format!("there is no mirror {}", absent.display()))
                .help("give the folder that holds a folder for each host")),
            None => Ok(Sources { offline: self.offline, mirrors }),
        }
    }
}

/// A file that a run would read from another machine.
pub struct NeededFile {
    /// Its address, and what is expected of it.
    pub want: FetchRequest,
    /// The cells that read it.
    pub readers: Vec<String>,
    /// Whether a reader declares no digest, so that the lock file must pin it.
    pins: bool,
}

impl NeededFile {
    /// Whether the file is on this machine already.
    pub fn is_here(&self, store: &Store) -> bool {
        self.want.digest.as_ref().is_some_and(|digest| is_cached(&self.want, digest, store))
    }
}

/// A file that was asked for, with the outcome.
pub struct FetchedFile {
    /// The file.
    pub file: NeededFile,
    /// Its size, digest and origin, or why there is none.
    pub result: Result<Fetched, Failure>,
    /// Where it is on this machine; `None` when it failed.
    pub path: Option<PathBuf>,
    /// Whether its digest was pinned now.
    pub pinned: bool,
}

impl Session {
    /// Whether anything needed is a download.
    pub(super) fn reads_downloads(&self) -> bool {
        let mut found = false;
        for id in needed(&self.job) {
            let args = &self.job.action(id).args;
            inputs_of(args, &mut |input| found |= matches!(**input, Input::Remote { .. }));
        }
        found
    }

    /// The files that would be read, by address: those of actions that have no result.
    ///
    /// # Errors
    /// Two different digests for one file, or one that cannot be read.
    pub fn needed_files(&self, forecasts: &[Forecast]) -> Result<Vec<NeededFile>, Error> {
        let mut all: BTreeMap<Address, (NeededFile, BTreeMap<String, String>)> = BTreeMap::new();
        let actions = self.job.actions.iter().zip(&self.loaded.graph.call_sites).zip(forecasts);
        for ((action, site), _) in actions.filter(|(_, forecast)| forecast.is_open()) {
            let place = self.loaded.position(site.span);
            inputs_of(&action.args, &mut |input| {
                let Input::Remote { url, digest, member } = &**input else { return };
                let (file, digests) = all.entry(url.clone()).or_insert_with(|| {
                    let want = FetchRequest {
                        url: url.clone(),
                        digest: None,
                        declared: place.clone(),
                        whole: false,
                        members: BTreeSet::new(),
                    };
                    (NeededFile { want, readers: Vec::new(), pins: false }, BTreeMap::new())
                });
                match member {
                    Some(member) => drop(file.want.members.insert(member.clone())),
                    None => file.want.whole = true,
                }
                match digest {
                    Some(digest) => drop(digests.entry(digest.clone()).or_insert_with(|| place.clone())),
                    None => file.pins = true,
                }
                if !file.readers.contains(&action.address) {
                    file.readers.push(action.address.clone());
                }
            });
        }
        all.into_values().map(|(file, digests)| expected(file, digests, &self.runner)).collect()
    }

    /// Downloads files, a few at a time, and pins the digests of those that declare none.
    pub(super) fn fetch_files(
        &self,
        files: Vec<NeededFile>,
        store: &Store,
        sources: &Sources,
        view: &mut dyn EventSink,
        cancel: &CancelToken,
    ) -> Result<Vec<FetchedFile>, Failure> {
        let results = download_all(&files, store, sources, view, cancel);
        let mut fetched = Vec::new();
        for (file, mut result) in files.into_iter().zip(results) {
            let mut pinned = false;
            if let Ok(got) = &result
                && file.pins
            {
                let mut lock = self.runner.lock()?;
                let (url, digest) = (&file.want.url, got.digest.to_string());
                match lock.pin_download(url, &digest) {
                    Ok(new) => pinned = new,
                    Err(failure) => result = Err(failure),
                }
            }
            let here = |got: &Fetched| store.download(&file.want.url, &got.digest).path(None);
            let path = result.as_ref().ok().map(here);
            fetched.push(FetchedFile { file, result, path, pinned });
        }
        self.runner.save_lock()?;
        self.tell_pins(&fetched)?;
        Ok(fetched)
    }

    /// Tells which digests were pinned.
    fn tell_pins(&self, fetched: &[FetchedFile]) -> Result<(), Failure> {
        let lock = self.runner.lock()?.name();
        for file in fetched.iter().filter(|f| f.pinned) {
            if let Ok(got) = &file.result {
                self.runner.notify(&Notice::Pinned {
                    url: file.file.want.url.to_string(),
                    digest: got.digest.to_string(),
                    lock: lock.clone(),
                });
            }
        }
        Ok(())
    }
}

/// Settles which digest a file must have: the declared one, else the pinned one. `digests` holds the declared ones with
/// the places where they are written.
fn expected(
    mut file: NeededFile,
    mut digests: BTreeMap<String, String>,
    runner: &LocalRunner,
) -> Result<NeededFile, Error> {
    if file.pins
        && let Some(pinned) = runner.digest(&file.want.url, None)?
    {
        digests.entry(pinned.to_string()).or_insert(runner.lock()?.name());
    }
    let mut each = digests.iter();
    if let Some((digest, place)) = each.next() {
        if let Some((other, there)) = each.next() {
            return Err(Error::missing(format!(
                "{} has two digests: {digest} ({place}) and {other} ({there})",
                file.want.url
            ))
            .help("one of them is wrong, or of another version of the file: make them equal"));
        }
        let checksum = Checksum::parse(digest).map_err(|why| Error::missing(format!("{place}: {why}")))?;
        file.want.digest = Some(checksum);
        file.want.declared.clone_from(place);
    }
    Ok(file)
}

/// Downloads files in parallel; the results are in the order of the files.
fn download_all(
    files: &[NeededFile],
    store: &Store,
    sources: &Sources,
    view: &mut dyn EventSink,
    cancel: &CancelToken,
) -> Vec<Result<Fetched, Failure>> {
    let begun = Instant::now();
    view.event(
        0.0,
        &Event::RunStarted {
            run: String::new(),
            study: String::new(),
            actions: files.len(),
            threads: CONCURRENT,
            time: jiff::Timestamp::now().to_string(),
            tool: concat!("xpipe ", env!("CARGO_PKG_VERSION")).to_owned(),
        },
    );
    let results: Vec<Mutex<Option<Result<Fetched, Failure>>>> =
        files.iter().map(|_| Mutex::new(None)).collect();
    let set = |i: usize, result| *results[i].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    let next = AtomicUsize::new(0);
    let (tx, rx) = crossbeam_channel::unbounded();
    std::thread::scope(|scope| {
        for started in 0..CONCURRENT.min(files.len()) {
            let (set, next, tx) = (&set, &next, tx.clone());
            let work = move || {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(file) = files.get(i) else { return };
                    set(i, download(i as u32, &file.want, store, sources, cancel, &tx));
                }
            };
            if let Err(e) = std::thread::Builder::new().spawn_scoped(scope, work) {
                if started == 0 {
                    (0..files.len()).for_each(|i| set(i, Err(Failure::no_threads(&e))));
                }
                break;
            }
        }
        drop(tx);
        for event in rx {
            view.event(begun.elapsed().as_secs_f64(), &event);
        }
    });
    let taken = results.into_iter().map(|r| r.into_inner().unwrap_or_else(PoisonError::into_inner));
    taken.map(|result| result.unwrap_or_else(|| Err(Failure::interrupted()))).collect()
}

/// Downloads one file and reports its events.
fn download(
    id: u32,
    want: &FetchRequest,
    store: &Store,
    sources: &Sources,
    cancel: &CancelToken,
    tx: &Sender<Event>,
) -> Result<Fetched, Failure> {
    let (address, op) = (file_name(&want.url), host(&want.url).to_owned());
    if want.digest.as_ref().is_some_and(|d| is_cached(want, d, store)) {
        let key = Digest::of(want.url.as_bytes());
        let _ = tx.send(Event::Cached { id, address, op, key });
        return fetch(want, store, sources, &Silent);
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
    let progress = FileProgress { id, address: &address, tx, cancel, throttle: Throttle::default() };
    let got = fetch(want, store, sources, &progress);
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
fn host(url: &str) -> &str {
    url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or(url)
}

/// The progress of one file as events, at most ten a second.
struct FileProgress<'a> {
    id: u32,
    address: &'a str,
    tx: &'a Sender<Event>,
    cancel: &'a CancelToken,
    throttle: Throttle,
}

impl Progress for FileProgress<'_> {
    fn progress(&self, done: u64, total: u64, unit: &str, note: &str) {
        if !self.throttle.due(done, total) {
            return;
        }
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

/// The error of files that could not be had: all of them, with the advice of the first.
pub(super) fn fetch_error(fetched: &[FetchedFile]) -> Option<Error> {
    let failures: Vec<&Failure> = fetched.iter().filter_map(|f| f.result.as_ref().err()).collect();
    if let Some(interrupted) = failures.iter().find(|f| f.kind == FailureKind::Interrupted) {
        let message = "interrupted; what has arrived is kept, and the next time goes on from there";
        return Some(Failure { message: message.into(), ..Failure::clone(interrupted) }.into());
    }
    let mut messages: Vec<String> = failures.iter().map(|f| f.message.clone()).collect();
    if let [first, _, ..] = messages.as_mut_slice() {
        *first = format!("{} files are missing: {first}", failures.len());
    }
    // Whatever is wrong with it, the file is not there: exit code 4, as for any input.
    combined(&messages, failures.first()?.help.clone())
}

impl FetchedFile {
    /// Whether the file was on this machine already.
    pub fn was_here(&self) -> bool {
        self.result.as_ref().is_ok_and(|got| got.origin == Origin::Cache)
    }
}
