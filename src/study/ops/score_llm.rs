//! `score.llm`: pointwise scores by a language model, for use as a teacher.

use super::resources;
use super::{language_model, score_cross_encoder};
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

/// Raised also when the text of a prompt changes.
const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "score.llm",
        VERSION,
        "Scores",
        "Scores the pairs of finite samples or of a run with a language model, one document at a time. From \
         log-probabilities, `yes_no` scores ln p(yes) - ln p(no) of the first answer token and `grade` the expected grade \
         from 0 to 3; from text, 1 or 0, or the grade. A pair with an unusable answer has no score, and is counted. Answers \
         are cached, so an interrupted stage pays for none twice.",
    )
    .counts(language_model::COUNTS)
    .example("score.llm { model = llm.endpoint(model = \"a-model\"), run, depth = 20 }")
    .needs("model", "Teacher", language_model::MODEL)
    .optional("samples", "Samples", "Finite samples (`count = n`) with the pairs to score; give either `samples` or `run`.")
    .optional("run", "Run", "A run with the pairs to score; give either `samples` or `run`.")
    .optional("depth", "Int", "Number of documents per query of the run to score (≥ 1). Default: all.")
    .takes("prompt", "'yes_no' | 'grade'", Value::str("yes_no"), "The question: whether the document is relevant, or how relevant it is.")
    .takes("read", "'logprobs' | 'text'", Value::str("logprobs"), "Where the score is read from.");
    language_model::common(op, "samples | run").checks(check).runs(run::run).resources_and_requests(
        resources::llm_requests::memory,
        resources::llm_requests::work,
        resources::llm_requests::pointwise,
    )
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = language_model::check(args);
    issues.extend(score_cross_encoder::sources(args, facts));
    issues
}

mod run {
    use serde_json::json;

    use super::super::{language_model, score_cross_encoder};
    use crate::llm::permutation::Repairs;
    use crate::llm::pointwise::{self, ReadFrom};
    use crate::llm::prompts::Pointwise;
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::scores::ScoresWriter;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let form = Pointwise::parse(job.text("prompt")?)
            .ok_or_else(|| Failure::bug(format!("no prompt `{:?}`", job.arg("prompt"))))?;
        let from = if job.text("read")? == "text" { ReadFrom::Text } else { ReadFrom::LogProbs };
        let asking = language_model::Asking::open(job)?;
        let (work, passed_over) = score_cross_encoder::pairs(job, &asking.stores)?;
        let total = work.iter().map(|w| w.documents.len() as u64).sum();
        let most = pointwise::max_tokens(from);
        let (scores, spending) =
            asking.each(work.len(), total, most, from == ReadFrom::LogProbs, |asker, i| {
                let mut repairs = Repairs::default();
                let query = asking.query(work[i].query);
                let mut score = |document: &u32| {
                    let answer = asker.ask(form.ask(query, &asking.passage(*document)))?;
                    let score = pointwise::read(form, from, &answer)?;
                    let odd = u64::from(score.is_none());
                    repairs.add(&Repairs {
                        answers: 1,
                        repaired: odd,
                        unreadable: odd,
                        ..Repairs::default()
                    });
                    Ok(score)
                };
                let scores = work[i].documents.iter().map(&mut score).collect::<Result<Vec<_>, Failure>>()?;
                Ok((scores, repairs))
            })?;
        let mut writer = ScoresWriter::create(&job.spec.out)?;
        let (mut pairs, mut repairs) = (0, Repairs::default());
        for (work, (scores, odd)) in work.iter().zip(&scores) {
            for (document, score) in work.documents.iter().zip(scores) {
                let Some(score) = score else { continue };
                let query = asking.stores.queries.id(work.query as usize);
                writer.push(query, asking.stores.corpus.id(*document as usize), *score as f32)?;
                pairs += 1;
            }
            repairs.add(odd);
        }
        writer.finish()?;
        if pairs == 0 {
            return Err(Failure::wrong("no answer of the language model says anything to score by")
                .help("take another `prompt` or model, or `read = text` with a larger `max_tokens`"));
        }
        let mut outcome = asking.outcome(work.len(), pairs, &form.ask("", ""), &spending, &repairs);
        outcome.facts.insert("queries_passed_over".into(), json!(passed_over));
        Ok(outcome)
    }
}
