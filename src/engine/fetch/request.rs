//! What is requested of this module, and what it gives back.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::sums::Sums;
use xpipe_base::task::Failure;
use xpipe_base::value::{Address, Checksum};

/// A file to fetch.
#[derive(Clone, Debug, PartialEq)]
pub struct FetchRequest {
    /// The file's address.
    pub url: Address,
    /// The digest that the file must have.
    pub digest: Option<Checksum>,
    /// Where the digest, or else the file, is declared, for messages: `data.xpipe:12:3`, `study.lock`.
    pub declared: String,
    /// Whether the file itself is read.
    pub whole: bool,
    /// The archive members that are read.
    pub members: BTreeSet<String>,
}

/// Where files may come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Never use the network.
    pub offline: bool,
    /// Folders with files at `HOST/PATH`, tried before the network.
    pub mirrors: Vec<PathBuf>,
}

/// Where a file came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The cache on this machine.
    Cache,
    /// A file of a mirror.
    Mirror(PathBuf),
    /// The network.
    Network,
}

/// A file that is in the cache now, with the requested members.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetched {
    /// The file's digest: the requested one, or else the one to be pinned.
    pub digest: Checksum,
    /// Where the file came from.
    pub origin: Origin,
    /// The size of the file in bytes; 0 when only its members are in the cache.
    pub size: u64,
}

impl FetchRequest {
    /// Refuses bytes, read from `source`, that do not have the requested digest.
    pub(super) fn check(&self, sums: &Sums, source: &str) -> Result<(), Failure> {
        let Some(expected) = &self.digest else { return Ok(()) };
        let found = sums.checksum(expected.algorithm);
        if found == *expected {
            return Ok(());
        }
        let named_gzip = self.url.split('?').next().is_some_and(|u| u.ends_with(".gz"));
        let help = match named_gzip && !sums.begins_with(&[0x1F, 0x8B]) {
            true => "its name ends in .gz and its content is not gzip: if the server unpacks files on the way, fetch it \
                     with another program and give the folder with `--mirror`"
                .to_owned(),
            false => format!(
                "nothing of it was kept. Fetch it again; if the digest is the same, the file has changed: ask its \
                 publisher, then correct {}",
                self.declared
            ),
        };
        let declared = &self.declared;
        Err(Failure::missing(format!("{source} has the digest {found}, and {declared} says {expected}"))
            .help(help))
    }
}
