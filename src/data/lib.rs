//! Collections, runs, judgements and scores: readers of their formats, stores on disk, tables.
//!
//! Raw files are read by [`parts`] (files, folders, archives, compression) and [`lines`]; the reader of each format turns
//! them into records; [`store`] holds texts and [`table`] holds rows. A corpus is never held in memory.
//! Must not know: the language, the graph, the cache, models.

mod columns;
pub mod html;
pub mod ir;
pub mod json;
pub mod judgements;
pub mod known;
pub mod layers;
pub mod lines;
mod names;
mod noted;
pub mod order;
pub mod pairs;
mod parquet_footer;
pub mod parquet_rows;
pub mod parts;
pub mod qrels;
pub mod recognise;
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
