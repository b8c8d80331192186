//! Tests of the whole program: the checker on files, runs as a user starts them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod hub;
#[path = "../bench/large_study.rs"]
mod large_study;
mod runs;
mod standard_modules;
mod suite;
mod tidy;
