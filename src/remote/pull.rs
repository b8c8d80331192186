//! Taking results: the record, its signature, then every blob by its digest while it comes, and the store's own way of
//! publishing. Nothing of it is believed before it is checked.

use std::io::Write;

use super::Error;
use super::layout;
use super::objects::Objects;
use super::record::{self, Record, Trust};
use super::settings::Namespace;
use xpipe_base::value::{Digest, human};
use xpipe_engine::cache::{self, Manifest, Output, Store};

/// Takes results from a remote cache.
pub(crate) struct Puller<'a> {
    pub(crate) objects: &'a Objects,
    pub(crate) namespace: &'a Namespace,
    pub(crate) trust: &'a Trust,
    /// Results with more bytes are refused.
    pub(crate) largest: u64,
}

/// Why a result did not come, and the blob that is to blame.
pub(crate) struct NotTaken {
    pub(crate) error: Error,
    pub(crate) damaged: Option<Digest>,
}

impl From<Error> for NotTaken {
    fn from(error: Error) -> Self {
        Self { error, damaged: None }
    }
}

impl From<cache::Error> for NotTaken {
    fn from(error: cache::Error) -> Self {
        Error::from(error).into()
    }
}

impl Puller<'_> {
    /// The record of a key; `None` when there is none.
    ///
    /// # Errors
    /// The store does not answer, or the record is not used.
    pub(crate) fn find(&self, key: &Digest) -> Result<Option<Record>, Error> {
        let path = layout::record(self.namespace, key);
        let bytes = match self.objects.read_small(&path, record::LONGEST) {
            Err(Error::Refused(why)) => {
                return Err(Error::Refused(format!("the record of key {key}: {why}")));
            }
            other => other?,
        };
        let Some(bytes) = bytes else { return Ok(None) };
        let record = record::read(&bytes, key, self.namespace, self.trust)
            .map_err(|why| Error::Refused(format!("the record of key {key} is not used: it {why}")))?;
        let manifest = record.manifest.manifest();
        let size = manifest.outputs.iter().try_fold(0u64, |sum, o| sum.checked_add(o.size));
        match size.filter(|size| *size <= self.largest) {
            Some(_) => Ok(Some(record)),
            None => Err(Error::Refused(format!(
                "{} is not taken: its files have more than {} (`largest` in the settings)",
                manifest.address,
                human::size(self.largest)
            ))),
        }
    }

    /// Brings the files of a record into a store, and publishes them. `came` gets the number of bytes that came.
    ///
    /// # Errors
    /// A blob is missing or damaged, something cannot be written, or it was stopped.
    pub(crate) fn bring(
        &self,
        record: &Record,
        store: &Store,
        origin: &str,
        stop: &(dyn Fn() -> bool + Sync),
        came: &(dyn Fn(u64) + Sync),
    ) -> Result<Manifest, NotTaken> {
        let manifest = record.manifest.manifest();
        let work = store.workspace(&manifest.key)?;
        for output in &manifest.outputs {
            if stop() {
                return Err(Error::Stopped.into());
            }
            if !store.place_known(output, &work.out)? {
                self.fetch(output, store, &work.out, stop)
                    .map_err(|error| NotTaken { damaged: blamed(&error, output), error })?;
                came(output.size);
            }
        }
        Ok(store.adopt(work, &record.manifest, origin)?)
    }

    /// Fetches a blob into its file in a folder.
    fn fetch(
        &self,
        output: &Output,
        store: &Store,
        folder: &std::path::Path,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), Error> {
        let refused = |what: &str| Error::Refused(format!("`{}` of the remote cache {what}", output.name));
        let mut file = store.place_new(output, folder)?;
        let (mut hasher, mut size) = (blake3::Hasher::new(), 0u64);
        let found = self.objects.read(&layout::blob(&output.digest), &mut |piece| {
            size += piece.len() as u64;
            if size > output.size {
                return Err(refused("is larger than its record says"));
            }
            if stop() {
                return Err(Error::Stopped);
            }
            hasher.update(piece);
            file.write_all(piece)
                .map_err(|e| Error::Cache(cache::Error::writing(&output.name.below(folder), e)))
        })?;
        if !found {
            return Err(refused("is missing"));
        }
        if size < output.size {
            return Err(refused("is shorter than its record says"));
        }
        match *hasher.finalize().as_bytes() == output.digest.0 {
            true => Ok(()),
            false => Err(refused("has other content than its digest")),
        }
    }
}

/// The blob that an error is about, when the remote cache holds something wrong under its digest.
fn blamed(error: &Error, output: &Output) -> Option<Digest> {
    matches!(error, Error::Refused(_)).then_some(output.digest)
}
