//! The verbs of the language, one file an operation: its signature, its `VERSION`, and how it runs.
//!
//! To add one: write a file with `pub(crate) fn op() -> Op`, declare it here and add one line to [`registry`].

mod bm25_index;
mod bm25_search;
mod evaluate;
mod measures;
mod sparse_encode;
mod sparse_index;
mod sparse_search;

use crate::types::Registry;

/// Every operation and constructor of this build.
pub fn registry() -> Registry {
    Registry::new([
        bm25_index::op(),
        bm25_search::op(),
        sparse_encode::op(),
        sparse_index::op(),
        sparse_search::op(),
        evaluate::op(),
        measures::ndcg(),
        measures::rr(),
        measures::mrr(),
        measures::ap(),
        measures::p(),
        measures::recall(),
        measures::success(),
        measures::judged(),
    ])
}
