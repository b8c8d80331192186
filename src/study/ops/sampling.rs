//! Constructors that say how training data is sampled: shapes, batches and sources.

use super::compatibility::at_least;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::op::{Facts, Issue};
use xpipe_lang::types::{Op, SampleForm, Supervision};

/// `pairs`, `group`, `ranked_list`, `queries`, `candidates`, `ranked_lists`, `scored_triples`.
pub(crate) fn ops() -> impl Iterator<Item = Op> {
    [
        Op::constructor(
            "pairs",
            "Shape | Batch",
            "`pairs()` is the shape with one positive and one negative of a query; `pairs(64)` is a batch of 64 pairs.",
        )
        .optional("n", "Int", "Batch size in pairs (≥ 1). Default: none, for a shape."),
        Op::constructor(
            "group",
            "Shape",
            "The shape with positives and negatives of one query. Negatives are drawn anew in each epoch, without \
             replacement, and are never judged relevant. Queries with too few of either are skipped, and counted.",
        )
        .takes("positives", "Int", Value::Int(1), "Number of judged positives (≥ 1).")
        .takes("negatives", "Int", Value::Int(7), "Number of negatives from the run (≥ 1)."),
        Op::constructor(
            "ranked_list",
            "Shape",
            "The shape with the top documents of one query in teacher order. Shorter lists are kept.",
        )
        .takes("depth", "Int", Value::Int(50), "Maximum list length (≥ 2)."),
        Op::constructor("queries", "Batch", "A batch of groups or ranked lists.")
            .needs("n", "Int", "Batch size in queries (≥ 1)."),
        Op::constructor(
            "candidates",
            "Source",
            "The candidates of a run for each query: judged documents with a grade above 0 are positives, the others \
             negatives. With `scores`, pairs and groups carry teacher scores and lists are ordered by them; documents \
             without a score are dropped, and counted.",
        )
        .supervises(candidates)
        .needs("run", "Run", "The run with the candidates.")
        .optional("qrels", "Qrels", "Relevance judgements, which pairs and groups require. Default: none.")
        .optional("depth", "Int", "Maximum number of candidates per query (≥ 1). Default: all.")
        .optional("scores", "Scores", "Teacher scores. Default: none.")
        .takes("from", "Int", Value::Int(1), "The first rank that negatives are drawn from (≥ 1)."),
        Op::constructor("ranked_lists", "Source", "Rankings whose order is the teacher.")
            .supervises(|args, facts| Supervision::ranking(depth(args, facts)))
            .needs("run", "Run", "The rankings.")
            .optional("depth", "Int", "Maximum list length (≥ 2). Default: all."),
        Op::constructor(
            "scored_triples",
            "Source",
            "Triples, or finite samples of pairs, with teacher scores. Triples without a score of both documents are \
             dropped, and counted.",
        )
        .example("scored_triples(triples = triples, scores = scored)")
        .supervises(|_, _| triples(Some(true)))
        .needs("triples", "Samples | Source", "The triples.")
        .needs("scores", "Scores", "Teacher scores."),
    ]
    .into_iter()
    .map(|op| op.checks(check))
}

/// The candidates of a run.
fn candidates(args: &Record, facts: &dyn Facts) -> Supervision {
    let given = |name| args.get(name).is_some_and(|v| *v != Value::Null);
    Supervision {
        forms: Some(vec![SampleForm::Pairs, SampleForm::Group, SampleForm::RankedList]),
        scored: Some(given("scores")),
        judged: Some(given("qrels")),
        depth: depth(args, facts),
        first_rank: args.get("from").and_then(Value::as_int).unwrap_or(1),
    }
}

/// Triples, with teacher scores or without, as far as that is known.
pub(super) fn triples(scored: Option<bool>) -> Supervision {
    Supervision { forms: Some(vec![SampleForm::Pairs]), scored, judged: Some(true), ..Supervision::default() }
}

/// The depth of a source: its own, or that of its run, if that is less.
fn depth(args: &Record, facts: &dyn Facts) -> Option<i64> {
    let own = args.get("depth").and_then(Value::as_int);
    let run = args.get("run").and_then(|run| facts.find(run, "depth")).and_then(|d| d.as_int());
    own.into_iter().chain(run).min()
}

/// The sizes: each is at least 1, a ranked list at least 2.
fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    // `candidates` may be one document deep; a list of one has no order.
    let depth = at_least(args, "depth", if args.get("from").is_some() { 1 } else { 2 });
    let others = ["n", "positives", "negatives", "from"].map(|name| at_least(args, name, 1));
    others.into_iter().chain([depth]).flatten().collect()
}
