//! Models of the Hugging Face hub: which files a repository has at a commit, and bringing the chosen ones into the hub's
//! cache on this machine, where other tools find them too.
//!
//! | file | owns |
//! |---|---|
//! | `settings` | address, token, cache and the rest, by the hub's own variables |
//! | `folder` | a repository in the hub's cache |
//! | `client` | requests, with the token to the hub only |
//! | `refusal` | what to do about an answer that is none |
//! | `opened` | a repository at a commit: what it has, and bringing it |
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
