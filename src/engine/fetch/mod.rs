//! Fetches files by the addresses that a study gives: from the cache of downloads, a mirror (a local folder laid out by
//! address), or the network. Digests are checked while bytes arrive, and requested members of archives are unpacked.
//!
//! | file | owns |
//! |---|---|
//! | `bring` | one file with its members: from where, checked, stored |
//! | `request` | what is requested, and what was fetched |
//! | `download` | one file from the network: resumes, retries, waits as the server asks |
//! | `http` | one HTTP request |
//! | `hub` | models of the Hugging Face hub: which files a repository has, and downloading them |
//! | `mirror` | where a mirror has an address |
//! | `members` | members of archives, within bounds |
//! | `sums` | digests of a stream |
//! | `files` | buffers, disk space, errors with the file's name |
//!
//! Stored files have the declared digest; where none is declared, the digest found is returned, to be pinned.
//! Must not know: the language, the engine, what is in the files.

mod bring;
mod download;
mod files;
mod http;
pub mod hub;
mod members;
mod mirror;
mod request;
mod sums;

pub use bring::{fetch, is_cached};
pub use request::{FetchRequest, Fetched, Origin, Sources};

#[cfg(test)]
mod tests;
