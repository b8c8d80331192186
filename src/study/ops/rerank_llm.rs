//! `rerank.llm`: listwise re-ranking by a language model.

use super::resources;
use super::{compatibility, language_model};
use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

/// Raised also when the text of a prompt changes.
const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "rerank.llm",
        VERSION,
        "Run",
        "Re-ranks the top `depth` documents of each query by a language model that orders sliding windows from the bottom \
         to the top, and drops the other documents. The model gives an order only: scores are 1 / rank. Answers that are no \
         permutation are repaired as in RankGPT, and counted. Answers are cached, so an interrupted stage pays for none \
         twice.",
    )
    .counts(language_model::COUNTS)
    .needs("model", "Teacher", language_model::MODEL)
    .needs("run", "Run", "The run to re-rank.")
    .derived("depth", "Int", "run", Some(Value::Null), "Number of documents per query to re-rank (≥ 1). Default: all.")
    .takes(
        "prompt",
        "'rank_gpt' | 'rank_zephyr'",
        Value::str("rank_gpt"),
        "The prompt: RankGPT's conversation, or the one that RankZephyr was trained with.",
    )
    .takes("window", "Int", Value::Int(20), "Window size in passages (≥ 2).")
    .takes("stride", "Int", Value::Int(10), "Step of the window in passages (≥ 1, at most `window`).");
    language_model::common(op, "run").checks(check).runs(run::run).resources_and_requests(
        resources::llm_requests::memory,
        resources::llm_requests::work,
        resources::llm_requests::listwise,
    )
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    let mut issues = language_model::check(args);
    issues.extend(compatibility::at_least(args, "window", 2));
    issues.extend(compatibility::at_least(args, "stride", 1));
    let whole = |name: &str| args.get(name).and_then(Value::as_int);
    if let (Some(window), Some(stride)) = (whole("window"), whole("stride"))
        && window >= 2
        && stride > window
    {
        let message = format!("a window of {window} passages that moves by {stride} skips some");
        issues.push(compatibility::issue(
            Code::OutOfRange,
            "stride",
            message,
            format!("write a number up to {window}"),
        ));
    }
    issues
}

pub(super) use run::{read, write};

mod run {
    use super::super::{language_model, models};
    use crate::llm::listwise::{Sliding, windows};
    use crate::llm::permutation::Repairs;
    use crate::llm::prompts::Listwise;
    use crate::train::ranker::QueryDocuments;
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::run::{Hit, RunQuery, RunReader, RunWriter};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let form = Listwise::parse(job.text("prompt")?)
            .ok_or_else(|| Failure::bug(format!("no prompt `{:?}`", job.arg("prompt"))))?;
        let sliding = Sliding { form, window: job.count("window")?, stride: job.count("stride")? };
        let asking = language_model::Asking::open(job)?;
        let work = read(job, &asking)?;
        let total =
            work.iter().map(|w| windows(w.documents.len(), sliding.window, sliding.stride).len() as u64);
        let (ranked, spending) =
            asking.each(work.len(), total.sum(), sliding.max_tokens(), false, |asker, i| {
                let passages: Vec<String> = work[i].documents.iter().map(|d| asking.passage(*d)).collect();
                sliding.rank(asker, asking.query(work[i].query), &passages)
            })?;
        let (pairs, repairs) = write(job, &asking, &work, &ranked)?;
        Ok(asking.outcome(work.len(), pairs, &form.ask("", &[]), &spending, &repairs))
    }

    /// The documents that are ranked, by query.
    pub(in super::super) fn read(
        job: &Job<'_>,
        asking: &language_model::Asking<'_>,
    ) -> Result<Vec<QueryDocuments>, Failure> {
        let (mut reader, depth) = (RunReader::open(job.path("run")?)?, models::depth(job));
        let mut work = Vec::new();
        while let Some(query) = reader.query()? {
            work.push(QueryDocuments::of(&query, depth, &asking.stores)?);
        }
        Ok(work)
    }

    /// Writes rankings with scores that say the rank only; how many documents they have, and all repairs.
    pub(in super::super) fn write(
        job: &Job<'_>,
        asking: &language_model::Asking<'_>,
        work: &[QueryDocuments],
        ranked: &[(Vec<usize>, Repairs)],
    ) -> Result<(usize, Repairs), Failure> {
        let mut writer = RunWriter::create(&job.spec.out)?;
        let (mut pairs, mut all) = (0, Repairs::default());
        for (work, (order, repairs)) in work.iter().zip(ranked) {
            let hit = |(rank, place): (usize, &usize)| Hit {
                document: asking.stores.corpus.id(work.documents[*place] as usize).to_owned(),
                score: (1.0 / (rank as f64 + 1.0)) as f32,
            };
            let hits = order.iter().enumerate().map(hit).collect();
            writer.push(&RunQuery::new(asking.stores.queries.id(work.query as usize), hits)?)?;
            pairs += order.len();
            all.add(repairs);
        }
        writer.finish()?;
        Ok((pairs, all))
    }
}
