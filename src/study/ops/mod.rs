//! The operations of the language, one file each: signature, version, and how it runs.
//!
//! To add one: write a file with `pub(crate) fn op() -> Op` and add its line to [`operations!`] below. Everything that
//! other parts of xpipe know of an operation is in its signature.

mod chunks;
mod compatibility;
mod encoding;
pub mod exec;
mod imports;
mod language_model;
mod model_value;
mod models;
mod objectives;
mod outcome;
mod own_document;
mod pair_scoring;
mod resources;
mod retrieval;
mod sampling;
mod shared_encoding;
mod shared_scoring;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod threads;
mod training_rules;
mod unsupported;

pub use models::use_of;

use xpipe_lang::types::{Op, Registry};

/// Declares the files and their operations: each line is a module with functions that give an operation.
macro_rules! operations {
    ($($module:ident: $($op:ident)+;)+) => {
        $(mod $module;)+

        fn one_by_one() -> Vec<Op> {
            vec![$($($module::$op(),)+)+]
        }
    };
}

operations! {
    two_labels: op;
    untrained: op;
    query_document: op;
    data_answered: op;
    audit_leakage: op;
    data_judged: op;
    data_samples: op;
    train_cross_encoder: op;
    score_cross_encoder: op;
    score_mean: op;
    rerank_cross_encoder: op;
    rerank_llm: op;
    rerank_llm_pairwise: op;
    score_llm: op;
    bm25_index: op;
    bm25_search: op;
    bm25_rm3: op;
    fuse: linear rrf;
    sparse_encode: op;
    sparse_index: op;
    sparse_search: op;
    dense_encode: op;
    dense_search: op;
    evaluate: op;
    measures: ndcg rr mrr ap p recall success judged;
    sample: op short;
    secret: op;
    exec_part: op;
    best: op;
    significance_tests: paired_t randomisation bootstrap;
    costs: op;
}

/// Every operation and constructor of this build.
pub fn registry() -> Registry {
    let alone = one_by_one().into_iter().chain([exec::op(), language_model::op()]);
    Registry::new(
        alone
            .chain(imports::ops())
            .chain(objectives::ops())
            .chain(sampling::ops())
            .chain(training_rules::ops()),
    )
}
