//! Training and scoring of re-rankers: objectives, sampling, schedule, checkpoints, the training loop,
//! the scoring loop and the loops of encoding texts.
//!
//! A model is seen only through [`xpipe_nn::Reranker`] and [`xpipe_nn::masked_lm::MaskedLm`]; only the meter asks its
//! architecture, for how much is computed. Must not know: kernels, the language, the cache.

pub mod objectives;
pub mod samples;
pub mod schedule;

pub mod checkpoint;
pub mod encoding;
pub mod meter;
pub mod ranker;
pub mod scoring;
pub mod source;
pub mod texts;
pub mod trainer;
pub mod validation;
