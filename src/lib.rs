//! xpipe runs studies of re-ranking models written in one `.xpipe` file.
//!
//! `ARCHITECTURE.md` beside this file is the map: which module owns what, and who may import whom.

pub mod archive;
pub mod cache;
pub mod cli;
pub mod data;
pub mod diag;
pub mod engine;
pub mod fetch;
pub mod graph;
pub mod ir;
pub mod llm;
#[cfg(any(feature = "fetch", feature = "hub"))]
pub mod net;
#[cfg(feature = "models")]
pub mod nn;
pub mod ops;
pub mod process;
pub mod report;
pub mod resolve;
pub mod syntax;
pub mod task;
pub mod train;
pub mod types;
pub mod value;
