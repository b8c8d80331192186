//! Text to syntax tree: source map, grammar, parser with recovery.
//!
//! [`parse`] goes through four steps. `scan` cuts the file into items at item words in column 0 and looks at strings,
//! brackets and nesting; `brackets` and `edits` mend what is missing; the grammar (grammar/xpipe.pest) reads one item
//! at a time, with `bad_…` rules that keep a mistake inside its bracket; `build`, `expr`, `literal` and `pieces` turn
//! pairs into the tree, and `recover` explains what could not be read. [`format`] writes a text the one way it is
//! written. Must not know: names, types, operations.

pub mod ast;
mod brackets;
mod build;
mod context;
mod edits;
mod explain;
mod expr;
mod faults;
mod fmt;
mod literal;
#[cfg(test)]
mod mistakes;
mod odd;
mod parser;
mod pieces;
mod recover;
mod scan;
mod slips;
pub mod source;
#[cfg(test)]
mod tests;
mod token;

pub use fmt::{Refused, format};
pub use parser::{parse, parse_expr, parse_setting};
pub use source::SourceMap;
