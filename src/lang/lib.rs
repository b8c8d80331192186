//! The language of xpipe: from the text of a study to a graph of actions, tables and claims.
//!
//! Must not know: how an action is carried out, the cache, models.

pub mod graph;
pub mod resolve;
pub mod syntax;
pub mod types;
