//! The verbs of the language, one file an operation: its signature, its `VERSION`, and how it runs.
//!
//! To add one: write a file with `pub(crate) fn op() -> Op`, declare it here and add one line to [`registry`].

pub mod exec;
mod exec_part;
mod import_corpus;
mod import_qrels;
mod import_queries;
mod import_run;
mod import_scores;
mod import_triples;
#[cfg(feature = "models")]
mod importing;
mod sample;

use crate::types::Registry;

/// Every operation and constructor of this build.
pub fn registry() -> Registry {
    Registry::new([
        import_corpus::op(),
        import_queries::op(),
        import_qrels::op(),
        import_run::op(),
        import_scores::op(),
        import_triples::op(),
        sample::op(),
        sample::short(),
        exec::op(),
        exec_part::op(),
    ])
}
