//! Collections and what is measured on them: readers of the field's formats, stores on disk, tables.
//!
//! Raw files come in through [`parts`] (files, folders, archives, gzip) and [`lines`]; the readers of each format
//! turn them into records; [`store`] keeps texts and [`table`] keeps rows. A corpus is never held in memory.
//! Must not know: the language, the graph, the cache, models.

pub mod html;
pub mod ir;
pub mod json;
pub mod judgements;
pub mod known;
pub mod lines;
mod names;
mod noted;
pub mod order;
pub mod pairs;
pub mod parts;
pub mod qrels;
pub mod recognise;
pub mod rows;
pub mod run;
pub mod scores;
pub mod sgml;
pub mod source;
pub mod store;
pub mod store_writer;
pub mod table;
pub mod texts;
pub mod topics;
pub mod triples;
