//! Sending results: blobs first, the signed record last, so that a record never names what is not there. The first record
//! of a key stays.

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
}

/// What became of sending a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It was sent: number of bytes of its blobs that were not there.
    Sent(u64),
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
        let replace = local.outputs.iter().any(|o| self.damaged.contains(&o.digest));
        if let Some(there) = self.puller.find(key)?
            && (!replace || !same(&there, &local))
        {
            return Ok(compared(&there, &local));
        }
        let portable = store.portable(key).map_err(|miss| damaged(&miss))?;
        let mut sent = 0;
        for output in &portable.manifest().outputs {
            sent += self.uploader.send(output, self.damaged.contains(&output.digest))?;
        }
        self.write_record(&portable, &local, sent)
    }

    fn write_record(
        &self,
        portable: &PortableManifest,
        local: &Manifest,
        sent: u64,
    ) -> Result<Pushed, Error> {
        let path = layout::record(self.puller.namespace, &local.key);
        let bytes = record::sign(portable, self.puller.namespace, self.key);
        if bytes.len() as u64 > record::LONGEST {
            return Err(Error::Refused(format!("{} is not sent: its manifest is too long", local.address)));
        }
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
