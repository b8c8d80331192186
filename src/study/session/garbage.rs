//! `cache gc` and pins: what a cache may lose, and what it must keep.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::error::Error;
use super::lock::Lock;
use xpipe_base::value::{Checksum, Digest};
use xpipe_engine::cache::{GcRequest, Pin, Store, list};

/// What a person asks of `cache gc`.
#[derive(Clone, Debug)]
pub struct GcOptions {
    /// How old something must be that nothing uses.
    pub older: Duration,
    /// Maximum size of the cache in bytes.
    pub max_size: Option<u64>,
    /// Whether studies whose file is gone keep nothing.
    pub forget_gone: bool,
    /// Whether answers of language models go too.
    pub answers: bool,
}

impl GcOptions {
    /// The request to the cache. Downloads that the lock file of a known study pins stay.
    ///
    /// # Errors
    /// A history or lock file cannot be read, so what it needs is not known.
    pub fn request(&self, store: &Store) -> Result<GcRequest, Error> {
        let mut pinned_downloads = BTreeSet::new();
        for study in store.histories()? {
            let Some(path) = study.study().map(Path::new).filter(|p| p.exists()) else { continue };
            let lock = Lock::beside(path, true)?;
            let digests = lock.download_digests().filter_map(|text| Checksum::parse(text).ok());
            pinned_downloads.extend(digests.map(|d| d.to_string()));
        }
        Ok(GcRequest {
            older: self.older,
            max_size: self.max_size,
            forget_gone: self.forget_gone,
            answers: self.answers,
            pinned_downloads,
        })
    }
}

/// Pins what a text names: a study (a path), a cell or stage by its address, or a result by the beginning of its key.
///
/// # Errors
/// The text names nothing that has a result, or an address of several studies; or the cache cannot be written.
pub fn pin(store: &Store, what: &str, of: Option<&Path>, note: Option<String>) -> Result<Pin, Error> {
    let (what, keys) = match of {
        Some(study) => {
            let study = absolute(study)?;
            (format!("{what} of {study}"), of_address(store, what, Some(&study))?)
        }
        None if what.ends_with(".xpipe") => {
            let study = absolute(Path::new(what))?;
            let keys = of_study(store, &study);
            (study, keys)
        }
        None => match by_key(store, what)? {
            Some(key) => (key.hex(), vec![key]),
            None => (what.to_owned(), of_address(store, what, None)?),
        },
    };
    let keys: Vec<Digest> = keys.into_iter().filter(|key| store.record(key).is_some()).collect();
    if keys.is_empty() {
        return Err(Error::missing(format!("{what} has no result in {}", store.root().display())).help(
            "name a study that was run, a cell such as `model[1]`, or a key that `xpipe cache ls` lists",
        ));
    }
    let pin = Pin::new(&what, keys, note);
    store.pin(&pin)?;
    Ok(pin)
}

/// Removes the pin that a text names, as `cache pins` lists it or as it was given.
///
/// # Errors
/// There is no such pin, or the cache cannot be written.
pub fn unpin(store: &Store, what: &str, of: Option<&Path>) -> Result<String, Error> {
    let mut names = vec![what.to_owned()];
    if let Some(study) = of {
        names = vec![format!("{what} of {}", absolute(study)?)];
    } else if what.ends_with(".xpipe") {
        names.push(absolute(Path::new(what))?);
    } else if is_key(what) {
        let pins = store.pins()?;
        names.extend(pins.into_iter().map(|p| p.what).filter(|w| is_key(w) && w.starts_with(what)));
    }
    for name in names {
        if store.unpin(&name)? {
            return Ok(name);
        }
    }
    Err(Error::usage(format!("there is no pin of {what}")).help("`xpipe cache pins` lists them"))
}

fn absolute(study: &Path) -> Result<String, Error> {
    let cwd = std::env::current_dir().map_err(|e| Error::missing(format!("no working directory: {e}")))?;
    Ok(xpipe_lang::resolve::modules::normal(&cwd.join(study)).display().to_string())
}

/// The latest results of a study.
fn of_study(store: &Store, study: &str) -> Vec<Digest> {
    store.history(study).iter().map(|(_, key)| *key).collect()
}

/// The latest results of a cell or of all cells of a stage.
fn of_address(store: &Store, address: &str, of: Option<&str>) -> Result<Vec<Digest>, Error> {
    let plain = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let wanted = plain(address);
    let named = |cell: &str| plain(cell) == wanted || cell.split('[').next() == Some(address.trim());
    let mut found: Vec<(String, Vec<Digest>)> = Vec::new();
    for history in store.histories()? {
        let study = history.study().unwrap_or_default().to_owned();
        if of.is_some_and(|of| of != study) {
            continue;
        }
        let keys: Vec<Digest> = history.iter().filter(|(cell, _)| named(cell)).map(|(_, k)| *k).collect();
        if !keys.is_empty() {
            found.push((study, keys));
        }
    }
    match found.as_slice() {
        [] => Ok(Vec::new()),
        [(_, keys)] => Ok(keys.clone()),
        [(first, _), (second, _), ..] => {
            Err(Error::usage(format!("{address} is a cell of several studies, such as {first} and {second}"))
                .help("name the study with `--of STUDY`"))
        }
    }
}

fn is_key(text: &str) -> bool {
    text.len() >= 8 && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The stored result whose key begins with a text of at least eight hexadecimal digits.
fn by_key(store: &Store, text: &str) -> Result<Option<Digest>, Error> {
    if !is_key(text) {
        return Ok(None);
    }
    let text = text.to_ascii_lowercase();
    let found: Vec<Digest> =
        list(store)?.into_iter().map(|e| e.key).filter(|key| key.hex().starts_with(&text)).collect();
    match found.as_slice() {
        [] => Ok(None),
        [key] => Ok(Some(*key)),
        _ => Err(Error::usage(format!("{} keys begin with {text}", found.len())).help("give more digits")),
    }
}
