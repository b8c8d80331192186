//! Tests of the whole checker, on files.

mod runs;
mod standard_modules;
mod suite;
