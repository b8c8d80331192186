//! What studies are made of: training and scoring of re-rankers, language models as teachers, the operations of the
//! language, reports, and sessions, which load, plan and run a study.

pub mod llm;
pub mod ops;
pub mod report;
pub mod session;
pub mod train;
