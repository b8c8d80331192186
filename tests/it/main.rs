//! Tests of the whole checker, on files.

mod standard_modules;
mod suite;
