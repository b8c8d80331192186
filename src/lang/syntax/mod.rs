//! Text to syntax tree: source map, grammar, parser with recovery.
//!
//! [`parse`] has four steps. `scan` cuts the file into items at item words in column 0 and checks strings, brackets and
//! nesting; `brackets` and `edits` repair unbalanced brackets; the grammar (grammar/xpipe.pest) reads one item at a
//! time, with `bad_…` rules that confine a mistake to its bracket; `build`, `expr`, `literal` and `pieces` turn pairs
//! into the tree. `recover` handles items that do not parse: `explain` and `slips` report why, `repair` tries edits,
//! `remains` keeps the name. [`format`] is the formatter. Must not know: names, types, operations.

pub mod ast;
mod brackets;
mod build;
mod context;
mod edits;
mod explain;
mod expr;
mod faults;
mod fmt;
mod grammar;
mod imbalance;
mod literal;
#[cfg(test)]
mod mistakes;
mod odd;
mod parser;
mod pieces;
mod recover;
mod remains;
mod repair;
mod scan;
mod slips;
pub mod source;
#[cfg(test)]
mod tests;
mod token;

pub use fmt::{FormatError, format};
pub use parser::{parse, parse_expr, parse_setting};
pub use source::SourceMap;
