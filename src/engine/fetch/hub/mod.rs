//! Models of the Hugging Face hub: which files a repository has at a commit, and downloading selected ones into the
//! hub's cache on this machine, where other tools find them too.
//!
//! | file | owns |
//! |---|---|
//! | `settings` | address, token and cache, from the hub's own variables |
//! | `folder` | a repository in the hub's cache |
//! | `client` | requests; the token is sent to the hub only |
//! | `refusal` | what error responses mean |
//! | `opened` | a repository at a commit: its files, and downloading them |
//!
//! Must not know: which files of a model are read.

mod client;
mod folder;
mod opened;
mod refusal;
mod settings;

pub use client::Client;
pub use folder::{Presence, Repository, check_revision, is_commit};
pub use opened::Opened;
pub use settings::{Token, cache, endpoint, offline, token};
