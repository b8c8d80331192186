//! The verbs of the language, one file an operation: its signature, its `VERSION`, and how it runs.
//!
//! To add one: write a file with `pub(crate) fn op() -> Op`, declare it here and add one line to [`registry`].

mod hf;
mod query_document;

use crate::types::Registry;

/// Every operation and constructor of this build.
pub fn registry() -> Registry {
    Registry::new([hf::op(), query_document::op()])
}
