//! A cache that several machines share through an object store (S3 and its like, Google Cloud, Azure, a WebDAV server, a
//! folder). `README.md` beside this file says how it is used, what it protects against, and how fast it is.
//!
//! | file | owns |
//! |---|---|
//! | `settings`, `credentials`, `keys`, `trusted` | what the user gives: address, namespace, secrets, keys |
//! | `layout` | where things are in a remote cache |
//! | `record` | signed records |
//! | `connect`, `transport`, `folder`, `objects`, `probe` | object stores: from an address to blocking reads and writes |
//! | `pull`, `push`, `upload`, `upload_state`, `in_flight` | taking and sending results |
//! | `remote`, `sending`, `reporter`, `outcome` | a remote cache in use, and what it did |
//!
//! What a remote cache holds is untrusted: a record counts when a trusted key signed it for its namespace and key, and a
//! blob when it has its digest. Anything else is a miss that is told. Must not know: the language, operations, studies.
//! Never prints.

mod connect;
mod credentials;
mod error;
mod folder;
mod in_flight;
mod keys;
mod layout;
mod objects;
mod outcome;
mod probe;
mod pull;
mod push;
mod record;
mod remote;
mod reporter;
mod sending;
mod settings;
mod transport;
mod trusted;
mod upload;
mod upload_state;

pub use error::Error;
pub use keys::{PublicKey, SigningKey};
pub use outcome::Outcome;
pub use remote::Remote;
pub use reporter::Tell;
pub use settings::{Mode, Namespace, RemoteSettings, require_name};
pub use trusted::{TrustedKey, TrustedKeys};

#[cfg(test)]
mod tests;
