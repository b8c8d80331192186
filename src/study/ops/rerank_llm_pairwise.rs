//! `rerank.llm_pairwise`: pairwise re-ranking by a language model.

use super::resources;
use super::{compatibility, language_model};
use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

/// Raised also when the text of the prompt changes.
const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "rerank.llm_pairwise",
        VERSION,
        "Run",
        "Re-ranks the top `depth` documents of each query by a language model that compares two documents at a time, in both \
         orders; contradictory answers are a tie. `all` compares every pair and orders by wins; `sliding` makes passes from \
         the bottom to the top, each of which moves the best remaining document up. The model gives an order only: scores \
         are 1 / rank. Answers are cached, so an interrupted stage pays for none twice.",
    )
    .counts(language_model::COUNTS)
    .needs("model", "Teacher", language_model::MODEL)
    .needs("run", "Run", "The run to re-rank.")
    .derived("depth", "Int", "run", Some(Value::Null), "Number of documents per query to re-rank (≥ 1). Default: all.")
    .takes("compare", "'all' | 'sliding'", Value::str("sliding"), "The pairs to compare.")
    .optional("passes", "Int", "Number of passes of `sliding` (≥ 1), which order as many top documents. Default: 10.");
    language_model::common(op, "run").checks(check).runs(run::run).resources_and_requests(
        resources::llm_requests::memory,
        resources::llm_requests::work,
        resources::llm_requests::pairwise,
    )
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    let mut issues = language_model::check(args);
    issues.extend(compatibility::at_least(args, "passes", 1));
    if args.get("compare").and_then(Value::as_str) == Some("all")
        && args.get("passes").is_some_and(|p| *p != Value::Null)
    {
        let message = "`passes` has no effect when all pairs are compared";
        issues.push(compatibility::issue(
            Code::UnknownArgument,
            "passes",
            message,
            "remove it, or write `compare = sliding`",
        ));
    }
    issues
}

mod run {
    use super::super::{language_model, rerank_llm};
    use crate::llm::pairwise::{MAX_TOKENS, PASSES, Pairs};
    use crate::llm::prompts;
    use xpipe_base::task::{Failure, Job, Outcome};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let pairs = match job.text("compare")? {
            "all" => Pairs::All,
            _ => Pairs::Passes(if job.has("passes") { job.count("passes")? } else { PASSES }),
        };
        let asking = language_model::Asking::open(job)?;
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
