//! The content-addressed store: recipes, keys, manifests, blobs, locks, and what can be said about them.
//!
//! **What is in a key** ([`Recipe`]): the key format's version, the operation and its version, every argument after
//! defaults (floats by bits, units to their base, records sorted), and of everything outside only the content digest.
//! **What is not:** labels, names, comments, paths, times, hosts, the device, threads, anything inside `with`.
//!
//! **On disk**, under the root's `v1/`:
//!
//! | folder | holds |
//! |---|---|
//! | `objects/ab/…` | blobs by blake3 digest, read-only |
//! | `trees/<digest>/` | the files of an artifact under their names, hard links to blobs: what operations read |
//! | `actions/ab/<key>.json` | manifests, written last: no manifest, no hit |
//! | `runs/` | events and logs of each run; `studies/`: which key an address had last |
//! | `downloads/` | files that were fetched by address and digest, and members of archives (`downloads.rs`) |
//! | `scratch/<key>/` | checkpoints, kept until the action succeeds |
//! | `answers/ab/…` | what language models said, by what they were asked; kept for good |
//! | `tmp/<session>/` | work of a living process; swept when the process is gone |
//! | `locks/` | files locked by living processes; they only save double work |
//! | `damaged/` | blobs whose content was found changed, set aside |
//! | `rates.json` | how fast models ran on this machine, for estimates |
//! | `memo.digests` | digests of files by (device, inode, size, times), so that nothing is read twice |
//!
//! Manifests, records of downloads, kept answers and rates carry a checksum of their text ([`xpipe_base::value::sealed`]), so
//! that a changed number in one of them is damage like a changed blob. Names of files in them are the names of
//! strangers and cannot lead out of their folder ([`xpipe_base::value::InnerPath`]).
//!
//! Correctness never depends on a lock: blobs are published before the manifest that names them, by link or rename,
//! and equal content has equal names. Must not know: operations, graphs, the engine.

mod diff;
mod digest;
pub mod downloads;
mod error;
mod history;
mod inputs;
mod json;
mod locks;
mod manifest;
mod memo;
mod publish;
mod rates;
pub(crate) mod recipe;
mod store;
pub mod text;
mod usage;
mod verify;

pub use diff::{Change, Difference, diff};
pub use digest::tree_digest;
pub use error::Error;
pub use history::{History, LastFailure};
pub use inputs::Seen;
pub use json::{read as read_recipe, write as write_recipe};
pub use locks::{Held, exclusive};
pub use manifest::{InputNote, Manifest, Miss, Output};
pub use publish::Publication;
pub use rates::{Found, RateOf, Rates};
pub use recipe::{KEY_FORMAT, NotPlain, Recipe};
pub use store::{RunDir, Store, Workspace};
pub use usage::{Entry, Usage, UsageRow, list, usage};
pub use verify::{Damage, Verification, verify};

#[cfg(test)]
pub(crate) mod tests;
