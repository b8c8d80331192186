//! `rerank.llm_pairwise`: a run in the order that a language model gives by comparing two documents at a time.

use super::demand;
use super::{fit, llm};
use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

/// Raised also when the text of the prompt changes.
const VERSION: u32 = 1;

/// The signature.
pub(crate) fn op() -> Op {
    let op = Op::stage(
        "rerank.llm_pairwise",
        VERSION,
        "Run",
        "Re-ranks the first `depth` documents of each query by a language model, which says of two documents which is \
         better, in both orders; answers that disagree are a tie. `all` asks for every pair and orders by wins; `sliding` \
         makes passes from the back to the front, each of which brings the best of the rest forward. Only the order is \
         the model's: the scores are 1 / rank. Answers are kept in the cache, so a run that was killed pays for nothing \
         twice.",
    )
    .needs("model", "Teacher", llm::MODEL)
    .needs("run", "Run", "What is re-ranked.")
    .derived("depth", "Int", "run", Some(Value::Null), "Ranks re-ranked, at least 1; all of the run without it.")
    .takes("compare", "'all' | 'sliding'", Value::str("sliding"), "Which pairs are asked for.")
    .optional("passes", "Int", "Passes of `sliding`, at least 1: so many documents in front are in order; 10 without it.");
    let op = llm::common(op, "run").checks(check);
    let op = op.runs(run::run).asks(demand::asking::memory, demand::asking::work, demand::asking::pairwise);
    op
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    let mut issues = llm::check(args);
    issues.extend(fit::at_least(args, "passes", 1));
    if args.get("compare").and_then(Value::as_str) == Some("all")
        && args.get("passes").is_some_and(|p| *p != Value::Null)
    {
        let message = "`passes` has no effect when all pairs are compared";
        issues.push(fit::issue(
            Code::UnknownArgument,
            "passes",
            message,
            "remove it, or write `compare = sliding`",
        ));
    }
    issues
}

mod run {
    use super::super::{llm, rerank_llm};
    use crate::llm::pairwise::{MAX_TOKENS, PASSES, Pairs};
    use crate::llm::prompts;
    use xpipe_base::task::{Failure, Job, Outcome};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let pairs = match job.text("compare")? {
            "all" => Pairs::All,
            _ => Pairs::Passes(if job.has("passes") { job.count("passes")? } else { PASSES }),
        };
        let asking = llm::Asking::open(job)?;
        let work = rerank_llm::read(job, &asking)?;
        let total = work.iter().map(|w| pairs.requests(w.documents.len())).sum();
        let (ranked, spending) = asking.each(work.len(), total, MAX_TOKENS, false, |asker, i| {
            let passages: Vec<String> = work[i].documents.iter().map(|d| asking.passage(*d)).collect();
            pairs.rank(asker, asking.query(work[i].query), &passages)
        })?;
        let (documents, repairs) = rerank_llm::write(job, &asking, &work, &ranked)?;
        Ok(asking.outcome(work.len(), documents, &prompts::pairwise("", "", ""), &spending, &repairs))
    }
}
