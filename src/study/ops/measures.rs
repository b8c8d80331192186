//! The measures of `evaluate`: constructors. What they compute is in [`xpipe_data::ir::metrics`].

use super::compatibility;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const CUT: &str = "Cut-off rank (≥ 1). Default: none.";
const NEEDED: &str = "Cut-off rank (≥ 1).";
const REL: &str = "Minimum grade of a relevant document (≥ 1).";

fn metric(name: &'static str, doc: &'static str) -> Op {
    Op::constructor(name, "Metric", doc).checks(check)
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    [compatibility::at_least(args, "k", 1), compatibility::at_least(args, "rel", 1)]
        .into_iter()
        .flatten()
        .collect()
}

fn graded(op: Op) -> Op {
    op.takes("rel", "Int", Value::Int(1), REL)
}

pub(crate) fn ndcg() -> Op {
    metric(
        "ndcg",
        "nDCG@k with linear gain, as in trec_eval: Σ grade / log2(rank + 1), divided by that of the ideal ranking.",
    )
    .optional("k", "Int", CUT)
}

pub(crate) fn rr() -> Op {
    let op = metric("rr", "RR@k: the reciprocal rank of the first relevant document.");
    graded(op.optional("k", "Int", CUT))
}

pub(crate) fn mrr() -> Op {
    let op = metric("mrr", "The same as `rr`; results and tables call it RR.");
    graded(op.optional("k", "Int", CUT))
}

pub(crate) fn ap() -> Op {
    let op = metric(
        "ap",
        "AP: the mean of the precision at each relevant document; documents that are not retrieved count as 0.",
    );
    graded(op.optional("k", "Int", CUT))
}

pub(crate) fn p() -> Op {
    graded(
        metric("p", "P@k: the number of relevant documents in the first k ranks, divided by k.")
            .needs("k", "Int", NEEDED),
    )
}

pub(crate) fn recall() -> Op {
    let op = metric("recall", "R@k: the share of relevant documents in the first k ranks.");
    graded(op.needs("k", "Int", NEEDED))
}

pub(crate) fn success() -> Op {
    let op = metric("success", "Success@k: 1 if a relevant document is in the first k ranks, else 0.");
    graded(op.needs("k", "Int", NEEDED))
}

pub(crate) fn judged() -> Op {
    metric("judged", "Judged@k: the share of judged documents in the first k ranks, as in ir-measures.")
        .needs("k", "Int", NEEDED)
}
