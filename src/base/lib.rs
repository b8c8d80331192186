//! What every layer of xpipe uses: diagnostics, values of the language, the contract between the engine and an
//! operation, members of archives, and permissions.

pub mod archive;
pub mod diag;
pub mod modes;
pub mod place;
pub mod task;
pub mod value;
