//! Bundles: results and the files of their study in one tar archive, to be put into another cache.
//!
//! ```text
//! bundle.json               what follows: every member with size and digest, every result with its key
//! study/…                   the files of the study
//! results/…                 tables and pages, for readers
//! manifests/<key>.json      the record of a result
//! objects/<digest>          a file of a result
//! ```
//!
//! A bundle has no times, users or hosts, so the same results give the same bytes. Results may come without their files:
//! such a *record* is a hit as long as nobody reads the files, and is dropped when somebody does
//! ([`super::Miss::LeftOut`]).
//!
//! An archive is untrusted: sizes are bounded by its table of contents, names cannot lead out of a folder, and nothing is
//! put into the cache before everything has the digest that it should have. A bundle is not signed: whoever made it could
//! have put any result under a key.

mod read;
mod write;

use serde::{Deserialize, Serialize};

pub use read::{Unbundled, unbundle};
pub use write::{Attachment, BundledResult, bundle};
use xpipe_base::value::{Digest, InnerPath};

const FORMAT: u32 = 1;
const INDEX: &str = "bundle.json";
const MANIFESTS: &str = "manifests/";
const OBJECTS: &str = "objects/";

/// The table of contents.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    format: u32,
    /// The program that wrote it.
    tool: String,
    /// The study's main file below `study/`.
    study: InnerPath,
    /// Every other member, in the order of the archive.
    members: Vec<MemberEntry>,
    /// Every result.
    results: Vec<ResultEntry>,
    /// What the study needs and the bundle does not have.
    missing: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberEntry {
    name: InnerPath,
    size: u64,
    digest: Digest,
    /// Whether it may be executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    executable: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResultEntry {
    address: String,
    key: Digest,
    /// Whether its files are in the bundle.
    files: bool,
}

#[cfg(test)]
mod tests;
