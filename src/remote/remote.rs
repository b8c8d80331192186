//! A remote cache in use: what was found is remembered, what is offered is sent in the background.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender};

use super::Error;
use super::connect::connect;
use super::credentials::Credentials;
use super::in_flight::InFlight;
use super::keys::{PublicKey, SigningKey};
use super::objects::Objects;
use super::outcome::Outcome;
use super::probe;
use super::pull::Puller;
use super::push::Pusher;
use super::record::{Record, Trust};
use super::reporter::{Reporter, Tell};
use super::sending::Sending;
use super::settings::{Mode, RemoteSettings};
use super::upload::{Sizes, Uploader};
use xpipe_base::value::Digest;
use xpipe_engine::RemoteCache;
use xpipe_engine::cache::{Manifest, Store};

/// A remote cache that is open.
#[derive(Debug)]
pub struct Remote {
    name: String,
    settings: RemoteSettings,
    objects: Objects,
    trust: Trust,
    key: Option<SigningKey>,
    reporter: Reporter,
    /// What was asked for: the record, or nothing.
    found: Mutex<BTreeMap<Digest, Option<Arc<Record>>>>,
    /// Blobs that were found damaged.
    damaged: Mutex<BTreeSet<Digest>>,
    /// Whether the store honours conditions, when that was tried.
    conditional: Mutex<Option<bool>>,
    offered: (Sender<Digest>, Receiver<Digest>),
    in_flight: InFlight,
    /// Whether records that are there are replaced.
    replaces: bool,
}

impl Remote {
    /// Opens a remote cache. Nothing is asked of it yet. `key` signs what is sent; records of that key and of `trusted` are
    /// used beside those that the settings name.
    ///
    /// # Errors
    /// The settings cannot be used: no key is trusted, or one is missing to sign with.
    pub fn open(
        name: &str,
        settings: RemoteSettings,
        key: Option<SigningKey>,
        trusted: impl IntoIterator<Item = PublicKey>,
        tell: Tell,
    ) -> Result<Self, Error> {
        let key = key.filter(|_| settings.mode == Mode::ReadWrite);
        if settings.mode == Mode::ReadWrite && key.is_none() {
            return Err(Error::settings(format!(
                "remote cache `{name}`: there is no key to sign results with"
            ))
            .help("`xpipe cache keygen` makes one; or write `mode = \"read\"`"));
        }
        let keys =
            settings.trusted.iter().copied().chain(trusted).chain(key.as_ref().map(SigningKey::public));
        let trust = Trust { keys: keys.collect(), not_before: settings.not_before };
        if trust.keys.is_empty() {
            return Err(Error::settings(format!(
                "remote cache `{name}`: no key is trusted, so no result would be used"
            ))
            .help(format!(
                "`xpipe cache trust KEY --remote {name}`, with the key that `xpipe cache keygen` printed"
            )));
        }
        let objects = connect(&settings, Credentials::from_environment()?)?;
        Ok(Self::with(name, settings, objects, trust, key, tell))
    }

    pub(crate) fn with(
        name: &str,
        settings: RemoteSettings,
        objects: Objects,
        trust: Trust,
        key: Option<SigningKey>,
        tell: Tell,
    ) -> Self {
        Self {
            name: name.to_owned(),
            settings,
            objects,
            trust,
            key,
            reporter: Reporter::new(name, tell),
            found: Mutex::default(),
            damaged: Mutex::default(),
            conditional: Mutex::default(),
            offered: crossbeam_channel::unbounded(),
            in_flight: InFlight::default(),
            replaces: false,
        }
    }

    /// Sends results anew, files and record, whatever the remote cache has of them.
    #[must_use]
    pub fn replacing(self, replaces: bool) -> Self {
        Self { replaces, ..self }
    }

    /// Its name in the settings.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether results are sent to it.
    pub fn takes_results(&self) -> bool {
        self.settings.mode == Mode::ReadWrite
    }

    /// What came and went so far.
    pub fn outcome(&self) -> Outcome {
        self.reporter.outcome()
    }

    /// Does some work and meanwhile sends what is offered. Then waits until everything is sent, or `stop` says to stop.
    pub fn while_sending<T>(
        &self,
        store: &Store,
        stop: &(dyn Fn() -> bool + Sync),
        work: impl FnOnce() -> T,
    ) -> T {
        if !self.takes_results() {
            return work();
        }
        let send = |key: &Digest| self.send(key, store, stop);
        let (offered, reporter) = (&self.offered.1, &self.reporter);
        Sending { offered, reporter, stop, send: &send }.meanwhile(work)
    }

    /// Sends the results of some keys and waits for it.
    pub fn send_all(&self, keys: &[Digest], store: &Store, stop: &(dyn Fn() -> bool + Sync)) {
        keys.iter().for_each(|key| self.offer(key));
        self.while_sending(store, stop, || ());
    }

    fn send(&self, key: &Digest, store: &Store, stop: &(dyn Fn() -> bool + Sync)) {
        let unsent = || self.reporter.count(|outcome| outcome.unsent += 1);
        if stop() {
            return unsent();
        }
        let Some(begun) = self.reporter.begin() else { return unsent() };
        if let Err(e) = self.try_to_send(key, store, stop) {
            unsent();
            self.reporter.error(&e, begun);
        }
    }

    fn try_to_send(
        &self,
        key: &Digest,
        store: &Store,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), Error> {
        let Some(signing) = &self.key else { return Ok(()) };
        let conditional = self.is_conditional()?;
        let damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let address = format!("{}#{:?}", self.settings.url, self.settings.endpoint);
        let states = store.dir().join("uploads").join(&Digest::of(address.as_bytes()).hex()[..16]);
        let sent = |bytes: u64| self.reporter.count(|outcome| outcome.sent_bytes += bytes);
        let sizes = Sizes::USUAL;
        let (objects, in_flight) = (&self.objects, &self.in_flight);
        let uploader = Uploader { objects, store, sizes, states, in_flight, stop, sent: &sent };
        let pusher = Pusher {
            objects,
            puller: &self.puller(),
            uploader: &uploader,
            key: signing,
            conditional,
            damaged: &damaged,
            replaces: self.replaces,
        };
        let pushed = pusher.send(key)?;
        let what = store.record(key).map_or_else(|| key.to_string(), |m| m.address);
        self.reporter.pushed(&pushed, &what);
        Ok(())
    }

    /// Whether the store honours conditions; tried once.
    fn is_conditional(&self) -> Result<bool, Error> {
        let mut known = self.conditional.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = *known {
            return Ok(known);
        }
        let honours = probe::honours_conditions(&self.objects)?;
        if !honours {
            self.reporter.say(
                "its store does not honour conditional writes: of two machines that send different results of one \
                 recipe at the same moment, the later one stays",
            );
        }
        *known = Some(honours);
        Ok(honours)
    }

    fn puller(&self) -> Puller<'_> {
        Puller {
            objects: &self.objects,
            namespace: &self.settings.namespace,
            trust: &self.trust,
            largest: self.settings.largest,
        }
    }

    /// The record of a key. It is asked for until the store has answered.
    fn record(&self, key: &Digest) -> Option<Arc<Record>> {
        let found = || self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = found().get(key) {
            return known.clone();
        }
        let begun = self.reporter.begin()?;
        let record = match self.puller().find(key) {
            Ok(record) => {
                self.reporter.answered();
                record.map(Arc::new)
            }
            Err(e) => {
                self.reporter.error(&e, begun);
                if !matches!(e, Error::Refused(_)) {
                    return None;
                }
                None
            }
        };
        found().insert(*key, record.clone());
        record
    }
}

impl RemoteCache for Remote {
    fn find(&self, key: &Digest) -> Option<Arc<Manifest>> {
        self.record(key).map(|record| record.manifest.manifest().clone())
    }

    fn bring(&self, key: &Digest, store: &Store, stop: &(dyn Fn() -> bool + Sync)) -> Option<Manifest> {
        let record = self.record(key)?;
        let begun = self.reporter.begin()?;
        let origin = format!("remote cache `{}`, signed by {}", self.name, record.signer);
        let came = |bytes: u64| self.reporter.count(|outcome| outcome.taken_bytes += bytes);
        match self.puller().bring(&record, store, &origin, stop, &came) {
            Ok(manifest) => {
                self.reporter.answered();
                self.reporter.count(|outcome| outcome.taken += 1);
                Some(manifest)
            }
            Err(not_taken) => {
                self.reporter.error(&not_taken.error, begun);
                self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(*key, None);
                let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
                damaged.extend(not_taken.damaged);
                None
            }
        }
    }

    fn offer(&self, key: &Digest) {
        if self.takes_results() {
            let _ = self.offered.0.send(*key);
        }
    }
}
