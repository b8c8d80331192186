//! Sending results: blobs first, the signed record last, so that a record never names what is not there. The first record
//! of a key stays, unless its blobs are damaged or gone, or the user asks to replace it.

use std::collections::BTreeSet;

use super::Error;
use super::keys::SigningKey;
use super::layout;
use super::objects::{Objects, Written};
use super::pull::Puller;
use super::record::{self, Record};
use super::upload::Uploader;
use xpipe_base::value::{Digest, human};
use xpipe_engine::cache::{Manifest, PortableManifest};

/// Sends results to a remote cache.
pub(crate) struct Pusher<'a> {
    pub(crate) objects: &'a Objects,
    pub(crate) puller: &'a Puller<'a>,
    pub(crate) uploader: &'a Uploader<'a>,
    pub(crate) key: &'a SigningKey,
    /// Whether the store honours "write this only if there is none".
    pub(crate) conditional: bool,
    /// Blobs that were found damaged in the remote cache, to be replaced.
    pub(crate) damaged: &'a BTreeSet<Digest>,
    /// Whether to send everything anew, whatever is there.
    pub(crate) replaces: bool,
}

/// What became of sending a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It was sent: number of bytes of its blobs that were not there.
    Sent(u64),
    /// It was sent in the place of a record that is no longer used.
    Replaced {
        /// What was wrong with that.
        why: String,
    },
    /// It was there.
    Known,
    /// The remote cache has another result of the same recipe, which stays.
    Differs,
    /// It is another cache's, and this machine does not sign for that.
    NotMadeHere,
}

impl Pusher<'_> {
    /// Sends the result of a key.
    ///
    /// # Errors
    /// The store does not answer, holds a record that is not trusted, or the result is damaged here.
    pub(crate) fn send(&self, key: &Digest) -> Result<Pushed, Error> {
        let store = self.uploader.store;
        let damaged = |why: &dyn std::fmt::Display| Error::Refused(format!("key {key} is not sent: {why}"));
        let local = store.get(key).map_err(|miss| damaged(&miss))?;
        if local.origin.is_some() {
            return Ok(Pushed::NotMadeHere);
        }
        if local.size() > self.puller.largest {
            let most = human::size(self.puller.largest);
            return Err(Error::Refused(format!(
                "{} is not sent: its files have more than {most} (`largest` in the settings)",
                local.address
            )));
        }
        let portable = store.portable(key).map_err(|miss| damaged(&miss))?;
        if self.replaces {
            return self.overwrite(&portable, "as asked with `--replace`".to_owned());
        }
        let there = self.puller.find(key).map_err(|e| match e {
            Error::Refused(why) => {
                Error::Refused(format!("{why}; `xpipe cache push {key} --replace` replaces it"))
            }
            other => other,
        })?;
        let Some(there) = there else {
            let sent = self.send_blobs(&portable)?;
            return self.write_record(&portable, &local, sent);
        };
        match (same(&there, &local), self.broken(&there)?) {
            (true, None) => Ok(Pushed::Known),
            (true, Some(_)) => Ok(Pushed::Sent(self.send_blobs(&portable)?)),
            (false, None) => Ok(Pushed::Differs),
            (false, Some(why)) => self.overwrite(&portable, why),
        }
    }

    fn send_blobs(&self, portable: &PortableManifest) -> Result<u64, Error> {
        let mut sent = 0;
        for output in &portable.manifest().outputs {
            let again = self.replaces || self.damaged.contains(&output.digest);
            sent += self.uploader.send(output, again)?;
        }
        Ok(sent)
    }

    /// What is wrong with the blobs of a record: `None` when each is there with its size, and none was found damaged.
    fn broken(&self, there: &Record) -> Result<Option<String>, Error> {
        for output in &there.manifest.manifest().outputs {
            let what = match self.objects.size(&layout::blob(&output.digest))? {
                None => "missing",
                Some(size) if size != output.size => "of another size than its record says",
                Some(_) if self.damaged.contains(&output.digest) => "damaged",
                Some(_) => continue,
            };
            return Ok(Some(format!("`{}` of the result that was there is {what}", output.name)));
        }
        Ok(None)
    }

    /// Sends blobs and record, in the place of a record that may be there.
    fn overwrite(&self, portable: &PortableManifest, why: String) -> Result<Pushed, Error> {
        self.send_blobs(portable)?;
        let manifest = portable.manifest();
        let path = layout::record(self.puller.namespace, &manifest.key);
        self.objects.write(&path, self.signed(portable)?.into())?;
        Ok(Pushed::Replaced { why })
    }

    /// The bytes of a new record.
    fn signed(&self, portable: &PortableManifest) -> Result<Vec<u8>, Error> {
        let bytes = record::sign(portable, self.puller.namespace, self.key);
        match bytes.len() as u64 > record::LONGEST {
            false => Ok(bytes),
            true => Err(Error::Refused(format!(
                "{} is not sent: its manifest is too long",
                portable.manifest().address
            ))),
        }
    }

    fn write_record(
        &self,
        portable: &PortableManifest,
        local: &Manifest,
        sent: u64,
    ) -> Result<Pushed, Error> {
        let path = layout::record(self.puller.namespace, &local.key);
        let bytes = self.signed(portable)?;
        if self.conditional {
            match self.objects.write_new(&path, bytes.into())? {
                Written::New => return Ok(Pushed::Sent(sent)),
                Written::Existed => {}
                Written::NoCondition => {
                    return Err(Error::Refused("the store no longer honours conditions".to_owned()));
                }
            }
        } else if self.puller.find(&local.key)?.is_none() {
            self.objects.write(&path, bytes.into())?;
            return Ok(Pushed::Sent(sent));
        }
        // Another machine was faster.
        match self.puller.find(&local.key)? {
            Some(there) => match compared(&there, local) {
                Pushed::Known => Ok(Pushed::Sent(sent)),
                other => Ok(other),
            },
            None => Err(Error::Refused(format!("the record of {} is gone again", local.address))),
        }
    }
}

/// Whether a record is of the same content.
fn same(there: &Record, local: &Manifest) -> bool {
    let there = there.manifest.manifest();
    (there.digest, &there.outputs, &there.values) == (local.digest, &local.outputs, &local.values)
}

fn compared(there: &Record, local: &Manifest) -> Pushed {
    if same(there, local) { Pushed::Known } else { Pushed::Differs }
}
