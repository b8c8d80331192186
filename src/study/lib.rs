//! What studies are made of: training and scoring of re-rankers, language models as teachers, the operations of the
//! language, and reports.

pub mod llm;
pub mod ops;
pub mod report;
pub mod train;
