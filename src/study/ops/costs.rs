//! `costs`: a section of a report. What it counts is in [`crate::report`].

use xpipe_lang::types::Op;

pub(crate) fn op() -> Op {
    Op::constructor(
        "costs",
        "Section",
        "What stages cost: seconds, and the documents, tokens and pairs that they saw.",
    )
    .example("costs(run)")
    .needs("of", "Any", "The stage, or a list of stages.")
}
