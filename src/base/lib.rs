//! What every layer of xpipe uses: diagnostics, values of the language, the contract between the engine and an
//! operation, and members of archives.

pub mod archive;
pub mod diag;
pub mod place;
pub mod task;
pub mod value;
