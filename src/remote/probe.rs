//! What an object store can do, found by trying: some ignore the condition of a write and answer that all is well.

use ring::rand::{SecureRandom, SystemRandom};

use super::Error;
use super::keys::to_hex;
use super::layout;
use super::objects::{Objects, Written};

/// Whether a store honours "write this only if there is none": of two such writes of one file the second must fail.
///
/// # Errors
/// Nothing can be written.
pub(crate) fn honours_conditions(objects: &Objects) -> Result<bool, Error> {
    let mut random = [0; 16];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| Error::settings("this system gives no random numbers"))?;
    let path = layout::probe(&to_hex(&random));
    let first = objects.write_new(&path, "probe".into())?;
    if first == Written::NoCondition {
        return Ok(false);
    }
    let second = objects.write_new(&path, "probe".into());
    // What is left of a probe harms nobody.
    let _ = objects.remove(&path);
    Ok((first, second?) == (Written::New, Written::Existed))
}
