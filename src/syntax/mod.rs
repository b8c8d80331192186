//! Text to syntax tree: source map, grammar, parser with recovery.

pub mod ast;
