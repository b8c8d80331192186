//! Constructors that say how data reaches a training: shapes, batches and sources.

use super::fit::at_least;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

/// `pairs`, `group`, `ranked_list`, `queries`, `candidates`, `ranked_lists`, `scored_triples`.
pub(crate) fn ops() -> impl Iterator<Item = Op> {
    [
        Op::constructor(
            "pairs",
            "Shape | Batch",
            "`pairs()` is the shape of one positive and one negative of a query; `pairs(64)` is a batch of 64 of them.",
        )
        .optional("n", "Int", "Pairs in a batch, at least 1; without it this is a shape."),
        Op::constructor(
            "group",
            "Shape",
            "The shape of positives and negatives of one query; negatives are drawn anew in each epoch, without \
             replacement, and are never judged positives. A query with too few of either is skipped, and counted.",
        )
        .takes("positives", "Int", Value::Int(1), "Judged positives of the query, at least 1.")
        .takes("negatives", "Int", Value::Int(7), "Negatives from the run, at least 1."),
        Op::constructor(
            "ranked_list",
            "Shape",
            "The shape of the first documents of a query in teacher order. Shorter lists are kept as they are.",
        )
        .takes("depth", "Int", Value::Int(50), "Documents at most, at least 2."),
        Op::constructor("queries", "Batch", "A batch of groups or ranked lists.")
            .needs("n", "Int", "Queries in a batch, at least 1."),
        Op::constructor(
            "candidates",
            "Source",
            "What a run ranked for each query: judged documents with a grade above 0 are positives, the others \
             negatives. With `scores`, pairs and groups carry teacher scores, lists are in their order, and what has \
             no score is left out, and counted.",
        )
        .needs("run", "Run", "Where candidates come from.")
        .optional("qrels", "Qrels", "Judgements; pairs and groups need them.")
        .optional("depth", "Int", "Ranks taken of each query, at least 1; all without it.")
        .optional("scores", "Scores", "The teacher's scores.")
        .takes("from", "Int", Value::Int(1), "The first rank, from 1, that negatives are drawn from."),
        Op::constructor("ranked_lists", "Source", "Rankings whose order is the teacher.")
            .needs("run", "Run", "The rankings.")
            .optional("depth", "Int", "Ranks taken of each query, at least 2; all without it."),
        Op::constructor(
            "scored_triples",
            "Source",
            "Triples, or finite samples of pairs, with teacher scores beside them; a triple without a score for both \
             documents is left out, and counted.",
        )
        .example("scored_triples(triples = triples, scores = scored)")
        .needs("triples", "Samples | Source", "The triples.")
        .needs("scores", "Scores", "The teacher's scores."),
    ]
    .into_iter()
    .map(|op| op.checks(check))
}

/// The sizes of all of these: each is at least 1, a ranked list at least 2.
fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    // `candidates` may be one document deep; a list of one has no order.
    let depth = at_least(args, "depth", if args.get("from").is_some() { 1 } else { 2 });
    let others = ["n", "positives", "negatives", "from"].map(|name| at_least(args, name, 1));
    others.into_iter().chain([depth]).flatten().collect()
}
