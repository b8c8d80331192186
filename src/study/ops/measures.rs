//! The measures of `evaluate`: constructors. What they compute is in [`xpipe_data::ir::metrics`].

use super::fit;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const CUT: &str = "Cut-off: the first k ranks count; all without.";
const NEEDED: &str = "Cut-off: the first k ranks count.";
const REL: &str = "The lowest grade that counts as relevant, from 1.";

fn metric(name: &'static str, doc: &'static str) -> Op {
    Op::constructor(name, "Metric", doc).checks(check)
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    [fit::at_least(args, "k", 1), fit::at_least(args, "rel", 1)].into_iter().flatten().collect()
}

fn graded(op: Op) -> Op {
    op.takes("rel", "Int", Value::Int(1), REL)
}

pub(crate) fn ndcg() -> Op {
    metric(
        "ndcg",
        "nDCG@k with linear gain, as trec_eval: Σ grade / log2(rank + 1) over that of the ideal ranking.",
    )
    .optional("k", "Int", CUT)
}

pub(crate) fn rr() -> Op {
    let op = metric("rr", "RR@k: one over the rank of the first relevant document.");
    graded(op.optional("k", "Int", CUT))
}

pub(crate) fn mrr() -> Op {
    let op = metric("mrr", "The same as `rr`; members and tables call it RR.");
    graded(op.optional("k", "Int", CUT))
}

pub(crate) fn ap() -> Op {
    let op =
        metric("ap", "AP: the mean of the precisions at each relevant document, those not found counting 0.");
    graded(op.optional("k", "Int", CUT))
}

pub(crate) fn p() -> Op {
    graded(metric("p", "P@k: relevant documents in the first k ranks, over k.").needs("k", "Int", NEEDED))
}

pub(crate) fn recall() -> Op {
    let op = metric("recall", "R@k: relevant documents in the first k ranks, over all relevant ones.");
    graded(op.needs("k", "Int", NEEDED))
}

pub(crate) fn success() -> Op {
    let op = metric("success", "Success@k: 1 when a relevant document is in the first k ranks, else 0.");
    graded(op.needs("k", "Int", NEEDED))
}

pub(crate) fn judged() -> Op {
    metric("judged", "Judged@k: how much of the first k ranks is judged at all, as ir-measures.")
        .needs("k", "Int", NEEDED)
}
