//! Training and scoring of re-rankers: objectives, sampling, optimiser, schedule, checkpoints, the training loop,
//! the scoring loop and the loops of encoding texts.
//!
//! A model is seen only through [`crate::nn::Reranker`] and [`crate::nn::masked::MaskedModel`]; only the meter asks its
//! architecture, for how much is computed. Must not know: kernels, the language, the cache.

pub mod objectives;
pub mod samples;
pub mod schedule;

#[cfg(feature = "models")]
pub mod checkpoint;
#[cfg(feature = "models")]
pub mod encoding;
#[cfg(feature = "models")]
pub mod meter;
#[cfg(feature = "models")]
pub mod optimiser;
#[cfg(feature = "models")]
pub mod ranker;
#[cfg(feature = "models")]
pub mod scoring;
#[cfg(feature = "models")]
pub mod source;
#[cfg(feature = "models")]
pub mod texts;
#[cfg(feature = "models")]
pub mod trainer;
#[cfg(feature = "models")]
pub mod validation;
