//! Tests of the whole program: the checker on files, runs as a user starts them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

#[cfg(feature = "hub")]
mod adapters;
#[cfg(feature = "models")]
mod archives;
mod bad_input;
#[cfg(all(feature = "models", feature = "fetch"))]
mod certificates;
#[cfg(feature = "models")]
mod changing;
#[cfg(feature = "hub")]
mod chat_server;
#[cfg(feature = "models")]
mod data_checks;
mod engines;
#[cfg(feature = "models")]
#[path = "../fuzz/entries.rs"]
mod entries;
mod estimates;
#[cfg(feature = "models")]
mod fetching;
mod full_disk;
#[cfg(feature = "models")]
mod fuzzed;
#[cfg(feature = "models")]
mod golden;
mod hostile;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
mod hub_layouts;
#[cfg(feature = "hub")]
mod hub_server;
mod interrupted;
#[path = "../bench/large_study.rs"]
mod large_study;
mod messages;
#[cfg(feature = "models")]
mod model_folders;
mod objectives;
mod page;
#[cfg(feature = "models")]
mod paper_smoke;
#[cfg(feature = "models")]
mod programs;
mod readers;
#[cfg(feature = "models")]
mod reading;
#[cfg(feature = "models")]
mod retrieval;
mod runs;
#[cfg(all(feature = "models", feature = "fetch"))]
mod secrets;
#[cfg(feature = "models")]
mod server;
mod space;
mod standard_modules;
#[cfg(feature = "models")]
mod std_layouts;
mod stored;
mod suite;
#[cfg(feature = "hub")]
mod teachers;
#[cfg(feature = "llm")]
mod teachers_local;
mod tidy;
#[cfg(feature = "models")]
mod told;
mod verbs;
mod verbs_for_authors;
