//! Remote caches: which one is used, taking results before a run, and the commands that send and take results.

use std::path::PathBuf;
use std::sync::Arc;

use super::Session;
use super::error::{Error, exit};
use super::notice::{Listener, Notice};
use super::settings::Settings;
use super::user_settings::UserSettings;
use xpipe_base::value::{Digest, human};
use xpipe_engine::cache::{Store, list};
use xpipe_engine::{self as engine, CancelToken, Forecast, Heavy, Options};
use xpipe_remote::{
    Mode, Outcome, PublicKey, Remote, RemoteSettings, SigningKey, TrustedKey, TrustedKeys, require_name,
};

/// What a remote cache did.
#[derive(Clone, Debug)]
pub struct RemoteReport {
    /// Its name in the settings.
    pub name: String,
    /// What came and went.
    pub outcome: Outcome,
}

/// What `cache pull` came to.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// What came.
    pub report: RemoteReport,
    /// Number of results that the study needs and the cache still lacks.
    pub missing: usize,
}

impl Pulled {
    /// The exit code: 0 when everything that the study needs is in the cache now.
    pub fn exit_code(&self, cancelled: bool) -> u8 {
        match remote_exit_code(&self.report.outcome, cancelled) {
            0 if self.missing > 0 => exit::INCOMPLETE,
            code => code,
        }
    }
}

/// The name of the remote cache to use: the option `--remote`, else XPIPE_REMOTE; `off` is none.
pub fn remote_name(option: Option<&str>) -> Option<String> {
    let set = || std::env::var("XPIPE_REMOTE").ok();
    option.map(str::to_owned).or_else(set).filter(|name| !name.is_empty() && name != "off")
}

/// The file of the key that signs results: XPIPE_SIGNING_KEY, else `signing-key` in the user's folder.
///
/// # Errors
/// Neither is known.
fn signing_key_file() -> Result<PathBuf, Error> {
    let set = std::env::var_os("XPIPE_SIGNING_KEY").filter(|p| !p.is_empty()).map(PathBuf::from);
    set.map_or_else(|| user_file("signing-key"), Ok)
}

/// The keys that the user trusts.
///
/// # Errors
/// Their file cannot be read.
pub fn trusted_keys() -> Result<TrustedKeys, Error> {
    Ok(TrustedKeys::read(&trusted_keys_file()?)?)
}

fn trusted_keys_file() -> Result<PathBuf, Error> {
    user_file("trusted-keys")
}

/// Makes a new signing key in its file; returns the file and the public key.
///
/// # Errors
/// There is one already, or it cannot be written.
pub fn make_signing_key() -> Result<(PathBuf, PublicKey), Error> {
    let (file, key) = (signing_key_file()?, SigningKey::generate()?);
    key.write(&file)?;
    Ok((file, key.public()))
}

/// Trusts a key for a remote cache of the settings; `false` when it was trusted already.
///
/// # Errors
/// There is no such remote cache, it is no key, or the file cannot be written.
pub fn trust(remote: &str, key: &str, note: &str) -> Result<bool, Error> {
    UserSettings::read()?.table::<RemoteSettings>("remote", remote)?;
    let key: PublicKey = key.parse().map_err(Error::usage)?;
    let key = TrustedKey { remote: remote.to_owned(), key, note: note.to_owned() };
    Ok(TrustedKeys::add(&trusted_keys_file()?, key)?)
}

/// Ends the trust in a key.
///
/// # Errors
/// It was not trusted, or the file cannot be written.
pub fn distrust(remote: &str, key: &str) -> Result<(), Error> {
    let key: PublicKey = key.parse().map_err(Error::usage)?;
    match TrustedKeys::remove(&trusted_keys_file()?, remote, key)? {
        true => Ok(()),
        false => Err(Error::usage(format!("{key} is not among the trusted keys of `{remote}`"))
            .help("`xpipe cache trust --list` lists them; keys in the settings file are removed there")),
    }
}

/// Opens a remote cache of the settings; `None` when it is on the network and that may not be used.
///
/// # Errors
/// It is not in the settings, or they are wrong.
pub fn open_remote(name: &str, offline: bool, listener: &Listener) -> Result<Option<Remote>, Error> {
    require_name(name)?;
    let settings: RemoteSettings = UserSettings::read()?.table("remote", name)?;
    if offline && settings.url.scheme() != "file" {
        listener(&Notice::OfRemote(format!("remote cache `{name}` is not used without the network")));
        return Ok(None);
    }
    let key = match settings.mode {
        Mode::Read => None,
        Mode::ReadWrite => Some(SigningKey::read(&signing_key_file()?)?),
    };
    let listener = Arc::clone(listener);
    let tell = Arc::new(move |text: &str| listener(&Notice::OfRemote(text.to_owned())));
    let trusted = trusted_keys()?;
    Ok(Some(Remote::open(name, settings, key, trusted.of(name), tell)?))
}

/// Sends results of the cache: those of addresses (`model[bce, 1]`, `model`) and of keys or their first digits; without
/// any, all.
///
/// # Errors
/// The cache cannot be read, nothing is found, or the remote cache takes no results.
pub fn send_results(
    settings: &Settings,
    remote: &Remote,
    which: &[String],
    cancel: &CancelToken,
) -> Result<RemoteReport, Error> {
    require_write(remote)?;
    let store = settings.open_to_write()?;
    let entries = list(&store)?;
    let mut keys: Vec<Digest> = Vec::new();
    for text in which {
        let before = keys.len();
        let meant = |e: &&xpipe_engine::cache::Entry| {
            let is_key = text.len() >= 8 && e.key.hex().starts_with(text.as_str());
            is_key || e.address == *text || e.address.starts_with(&format!("{text}["))
        };
        keys.extend(entries.iter().filter(meant).map(|e| e.key));
        if keys.len() == before {
            return Err(Error::missing(format!("the cache has no result of `{text}`"))
                .help("`xpipe cache ls` lists what it has"));
        }
    }
    if which.is_empty() {
        keys = entries.iter().map(|e| e.key).collect();
    }
    keys.sort_unstable();
    keys.dedup();
    remote.send_all(&keys, &store, &|| cancel.stopping());
    Ok(report(remote))
}

/// The exit code of a command that sends or takes results: 0 when everything went as it was asked.
pub fn remote_exit_code(outcome: &Outcome, cancelled: bool) -> u8 {
    match (cancelled, outcome.unsent + outcome.refused + outcome.failed) {
        (true, _) => exit::INTERRUPTED,
        (false, 0) => 0,
        (false, _) => exit::INCOMPLETE,
    }
}

fn report(remote: &Remote) -> RemoteReport {
    RemoteReport { name: remote.name().to_owned(), outcome: remote.outcome() }
}

fn require_write(remote: &Remote) -> Result<(), Error> {
    match remote.takes_results() {
        true => Ok(()),
        false => Err(Error::usage(format!("remote cache `{}` is read-only", remote.name()))
            .help("write `mode = \"readwrite\"` in its settings")),
    }
}

fn user_file(name: &str) -> Result<PathBuf, Error> {
    let folder = UserSettings::folder().map(|f| f.join(name));
    folder.ok_or_else(|| Error::usage("there is no folder for settings").help("set HOME or XDG_CONFIG_HOME"))
}

impl Session {
    /// Uses a remote cache from now on.
    pub fn use_remote(&mut self, remote: Remote) {
        self.runner.use_remote(remote);
    }

    /// Takes every result from the remote cache that the study needs, that the cache lacks, and whose key is known.
    pub(super) fn bring_known(&self, options: &Options, cancel: &CancelToken) -> Result<(), Error> {
        let Some(remote) = self.runner.remote_cache() else { return Ok(()) };
        // A cache that cannot be written takes nothing; the run tells it.
        let Ok(store) = self.settings.open_to_write() else { return Ok(()) };
        let before = remote.outcome();
        engine::bring_known(&self.job, &self.runner, &store, options, &|| cancel.stopping());
        let after = remote.outcome();
        let (n, bytes) = (after.taken - before.taken, after.taken_bytes - before.taken_bytes);
        if n > 0 {
            let text = format!(
                "remote cache `{}`: {} taken ({})",
                remote.name(),
                human::counted(n as u64, "results"),
                human::size(bytes)
            );
            self.runner.notify(&Notice::OfRemote(text));
        }
        Ok(())
    }

    /// Carries something out, and sends what it makes to the remote cache.
    pub(super) fn while_sending<T>(
        &self,
        store: &Store,
        cancel: &CancelToken,
        work: impl FnOnce() -> T,
    ) -> T {
        match self.runner.remote_cache() {
            Some(remote) => remote.while_sending(store, &|| cancel.stopping(), work),
            None => work(),
        }
    }

    /// What the remote cache did; `None` when none is used.
    pub(super) fn remote_report(&self) -> Option<RemoteReport> {
        self.runner.remote_cache().map(report)
    }

    /// Takes from the remote cache what the study needs and the cache lacks.
    ///
    /// # Errors
    /// No remote cache is used, or the cache cannot be written.
    pub fn pull(&self, cancel: &CancelToken) -> Result<Pulled, Error> {
        let remote = self.runner.remote_cache().ok_or_else(no_remote)?;
        let store = self.settings.open_to_write()?;
        let options = self.settings.options(Heavy::Thread);
        self.bring_known(&options, cancel)?;
        let here = |f: &Forecast| matches!(f, Forecast::Cached { .. } | Forecast::NotNeeded);
        let missing = self.forecast(&store, &options).iter().filter(|f| !here(f)).count();
        Ok(Pulled { report: report(remote), missing })
    }

    /// Sends the results of the study that the cache has. What else the study needs is not looked for there.
    ///
    /// # Errors
    /// The remote cache takes no results, the cache cannot be read, or it has none.
    pub fn push(&self, remote: &Remote, cancel: &CancelToken) -> Result<RemoteReport, Error> {
        require_write(remote)?;
        let store = self.settings.open_to_write()?;
        let forecasts = self.forecast(&store, &self.settings.options(Heavy::Thread));
        let keys = forecasts.iter().filter_map(|f| match f {
            Forecast::Cached { key } => Some(*key),
            _ => None,
        });
        let mut keys: Vec<Digest> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return Err(Error::missing("the cache has no result of this study").help("run it first"));
        }
        remote.send_all(&keys, &store, &|| cancel.stopping());
        Ok(report(remote))
    }
}

/// The error of a command that needs a remote cache.
pub fn no_remote() -> Error {
    Error::usage("no remote cache is named")
        .help("give `--remote NAME`, or set XPIPE_REMOTE; NAME is a table `[remote.NAME]` of the settings")
}

impl From<xpipe_remote::Error> for Error {
    fn from(e: xpipe_remote::Error) -> Self {
        match e {
            xpipe_remote::Error::Settings { message, help } => {
                Self::Other { code: exit::USAGE, message, help }
            }
            xpipe_remote::Error::Cache(e) => e.into(),
            other => Self::missing(other.to_string()),
        }
    }
}
