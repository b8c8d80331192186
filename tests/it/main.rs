//! Tests of the whole program: the checker on files, runs as a user starts them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod adapters;
mod bad_input;
mod bundles;
mod certificates;
mod changing;
mod chat_server;
mod conditions;
mod crash;
mod data_checks;
mod determinism;
mod documented;
mod engines;
#[path = "../fuzz/entries.rs"]
mod entries;
mod estimates;
mod fetching;
mod full_disk;
mod fuzzed;
mod garbage;
mod golden;
mod graph;
mod hostile;
mod hub;
mod hub_layouts;
mod hub_server;
mod interrupted;
#[path = "../bench/large_study.rs"]
mod large_study;
mod messages;
mod model_folders;
mod objectives;
mod operators;
mod page;
mod paper_smoke;
mod programs;
mod readers;
mod reading;
mod remote;
mod retrieval;
mod runs;
mod secrets;
mod server;
mod shared_cache;
mod slurm;
mod space;
mod standard_modules;
mod std_layouts;
mod stored;
mod suite;
mod teachers;
#[cfg(feature = "llm")]
mod teachers_local;
mod tidy;
mod told;
mod units;
mod upgrade;
mod verbs;
mod verbs_for_authors;
