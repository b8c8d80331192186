//! The content-addressed store: recipes, keys, manifests, blobs, locks, and reports about them.
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
//! | `pins/` | results that `cache gc` keeps in any case |
//! | `records/ab/…` | manifests that a bundle brought without the files of the result |
//! | `runs/` | events and logs of each run; `studies/`: which key an address had last |
//! | `downloads/` | downloaded files by address and digest, and members of archives (`downloads.rs`) |
//! | `scratch/<key>/` | checkpoints, kept until the action succeeds |
//! | `answers/ab/…` | answers of language models by request; kept for good |
//! | `uploads/` | files that are being sent to a remote cache in parts: which parts it has |
//! | `tmp/<session>/` | work of a running process; removed when the process is dead |
//! | `claims/` | attempts that runs have submitted to queues; they only avoid duplicate work |
//! | `locks/` | files locked by running processes; they only avoid duplicate work |
//! | `damaged/` | quarantined files whose content has changed |
//! | `rates.json` | measured speed of models on this machine, for estimates |
//! | `memo.digests` | digests of files by (device, inode, size, times), so that files are read once |
//!
//! Manifests, records of downloads, answers and rates carry a checksum of their text ([`xpipe_base::value::sealed`]), so
//! that a changed number is detected like a changed blob. File names in them are untrusted and cannot lead out of their
//! folder ([`xpipe_base::value::InnerPath`]).
//!
//! Correctness never depends on a lock: blobs are published before the manifest that names them, atomically by link or
//! rename, and equal content has equal names. So several hosts may use one cache on a network file system (`disk.rs`,
//! `network.rs`), and the users of a group may share it ([`xpipe_base::modes`]).
//!
//! Must not know: operations, graphs, the engine.

mod access;
mod bundle;
mod diff;
mod digest;
mod disk;
pub mod downloads;
mod error;
mod exchange;
mod faults;
mod folders;
mod gc;
mod history;
mod inputs;
mod json;
mod locks;
mod lookup;
mod manifest;
mod memo;
mod network;
mod owner;
mod pins;
mod publish;
mod rates;
mod reading;
pub(crate) mod recipe;
mod records;
mod session;
mod store;
mod usage;
mod verify;

pub use access::{Access, ClosedFolder, access_of};
pub use bundle::{Attachment, BundledResult, Unbundled, bundle, unbundle};
pub use diff::{Change, Difference, diff};
pub(crate) use digest::result_digest;
pub use digest::tree_digest;
pub use error::Error;
pub use exchange::PortableManifest;
pub(crate) use gc::keep_days;
pub use gc::{
    Garbage, GarbageFile, GarbageKind, GarbageResult, GcRequest, Hold, Removed, find_garbage, remove_garbage,
};
pub use history::{History, LastFailure};
pub use inputs::{ExpectedInput, InputSnapshot};
pub use json::{read as read_recipe, write as write_recipe};
pub use locks::{FileLock, exclusive, lock_if_free};
pub(crate) use locks::{Taken, try_alone_in};
pub use manifest::{InputNote, Manifest, Miss, Output};
pub use pins::Pin;
pub use publish::{Publication, Published};
pub use rates::{RateEstimate, RateKey, Rates};
pub use reading::WatchedReads;
pub use recipe::{KEY_FORMAT, NotConcrete, Recipe};
pub use store::{RunDir, Store, Workspace};
pub use usage::{Entry, Usage, UsageRow, list, usage};
pub use verify::{Damage, Verification, verify};

#[cfg(test)]
pub(crate) mod tests;
