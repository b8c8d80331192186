//! The verbs of the language, one file an operation: its signature, its `VERSION`, and how it runs.
//!
//! To add one: write a file with `pub(crate) fn op() -> Op`, declare it here and add one line to [`registry`].

mod audit_leakage;
mod best;
mod bm25_index;
mod bm25_rm3;
mod bm25_search;
mod costs;
mod data_answered;
mod data_judged;
mod data_samples;
mod demand;
mod dense_encode;
mod dense_search;
#[cfg(test)]
mod end_to_end;
mod evaluate;
pub mod exec;
mod exec_part;
mod feeding;
mod fit;
mod fuse;
mod import_corpus;
mod import_qrels;
mod import_queries;
mod import_run;
mod import_scores;
mod import_triples;
mod importing;
mod imports;
mod lacking;
mod llm;
mod measures;
mod models;
mod objectives;
mod own;
mod query_document;
#[cfg(test)]
mod quickstart_model;
mod rerank_cross_encoder;
mod rerank_llm;
mod rerank_llm_pairwise;
mod sample;
mod score_cross_encoder;
mod score_llm;
mod score_mean;
mod sparse_encode;
mod sparse_index;
mod sparse_search;
mod tests_of_tables;
mod train_cross_encoder;
mod training;
mod two_labels;
mod untrained;
mod uses;

pub use llm::asks;
pub use llm::waits as waits_elsewhere;
pub use uses::use_of;

use xpipe_lang::types::Registry;

/// Every operation and constructor of this build.
pub fn registry() -> Registry {
    let single = [
        two_labels::op(),
        untrained::op(),
        query_document::op(),
        data_answered::op(),
        audit_leakage::op(),
        data_judged::op(),
        data_samples::op(),
        train_cross_encoder::op(),
        score_cross_encoder::op(),
        score_mean::op(),
        rerank_cross_encoder::op(),
        llm::op(),
        rerank_llm::op(),
        rerank_llm_pairwise::op(),
        score_llm::op(),
        bm25_index::op(),
        bm25_search::op(),
        bm25_rm3::op(),
        fuse::linear(),
        fuse::rrf(),
        sparse_encode::op(),
        sparse_index::op(),
        sparse_search::op(),
        dense_encode::op(),
        dense_search::op(),
        evaluate::op(),
        measures::ndcg(),
        measures::rr(),
        measures::mrr(),
        measures::ap(),
        measures::p(),
        measures::recall(),
        measures::success(),
        measures::judged(),
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
        best::op(),
        tests_of_tables::paired_t(),
        tests_of_tables::randomisation(),
        tests_of_tables::bootstrap(),
        costs::op(),
    ];
    Registry::new(single.into_iter().chain(objectives::ops()).chain(feeding::ops()).chain(training::ops()))
}
