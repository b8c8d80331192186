//! The grammar of grammar/xpipe.pest, as pest derives it.

#[derive(pest_derive::Parser)]
#[grammar = "../../grammar/xpipe.pest"]
pub(super) struct Grammar;
