//! `costs`: a section of a report. What it counts is in [`crate::report`].

use xpipe_lang::types::Op;

pub(crate) fn op() -> Op {
    Op::constructor(
        "costs",
        "Section",
        "The cost of stages: seconds, and the numbers of documents, tokens and pairs processed.",
    )
    .example("costs(run)")
    .needs("of", "Any", "A stage, or a list of stages.")
}
