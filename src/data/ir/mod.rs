//! Retrieval and evaluation: analysis of text, the inverted index, BM25, learned sparse vectors, dense vectors, fusion,
//! measures, significance.
//!
//! Must not know: the language, the graph, operations, nor how collections are stored; documents, queries, runs
//! and judgements come in through small traits and slices.

pub mod analysis;
pub mod bm25;
pub mod correction;
pub mod dense;
pub mod fuse;
pub mod ids;
pub mod impacts;
pub mod index;
pub mod lengths;
pub mod metrics;
pub mod porter;
pub mod power;
pub mod rm3;
pub mod significance;
pub mod strata;
mod tokens;
pub mod top;
pub mod vectors;
mod words;
