//! `sparse.encode`: encodes texts as weighted terms by a learned sparse model (SPLADE).

use super::compatibility::{self, PRECISION};
use super::{encoding, unsupported};
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::op::{Facts, Issue};
use xpipe_lang::types::{ModelUse, Op};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "sparse.encode",
        VERSION,
        "Vectors",
        "Encodes each document of a corpus, or each query, as weights over the vocabulary of a masked language model: the \
         maximum over all tokens, special tokens included, of log(1 + relu(logit)), as in SPLADE.",
    )
    .counts(&["tokens"])
    .uses_model("model", ModelUse::EncodeSparse)
    .example("sparse.encode { model, corpus }")
    .needs("model", "Model", "The encoder, for instance `hf(\"naver/splade-v3-distilbert\")`.");
    encoding::texts(op)
    .takes(
        "input",
        "Int",
        Value::Int(256),
        "Maximum length of a text in tokens, special tokens included (≥ 3); never more than the model has positions.",
    )
    .optional("terms", "Int", "Maximum number of terms per text, those with the largest weights (≥ 1). Default: all.")
    .takes("precision", "'fp32' | 'bf16'", Value::str("fp32"), PRECISION)
    .heavy()
    .policy_keys(&["batch", "jobs"])
    .checks(check)
    .runs(run::run)
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = unsupported::masked_model(args, "model", facts);
    let message = "a cross-encoder scores pairs and has no head that gives weights to words";
    let help = "name a masked language model, for instance `hf(\"naver/splade-v3-distilbert\")`";
    issues.extend(encoding::check(args, facts, message, help));
    issues.extend(compatibility::at_least(args, "terms", 1));
    issues
}

mod run {
    use std::ops::Range;
    use std::time::Instant;

    use serde_json::json;

    use super::super::threads::with_threads;
    use super::super::{encoding as texts_of, models, shared_encoding};
    use crate::train::encoding::{self, Encoding, Terms};
    use crate::train::scoring::Batching;
    use crate::train::texts::Take;
    use xpipe_base::task::{Failure, Job, Outcome, Progress};
    use xpipe_data::ir::vectors::{VectorWriter, Vocabulary};
    use xpipe_nn::load;

    /// Texts in a batch: each takes a number for every word of the vocabulary.
    const TEXTS: usize = 64;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        with_threads(job, || encode(job))
    }

    fn encode(job: &Job<'_>) -> Result<Outcome, Failure> {
        let started = Instant::now();
        let texts = texts_of::open(job)?;
        let (mut model, tokenizer) = load::masked_lm(job.path("model")?, &models::options(job)?)?;
        let model = &mut *model;
        let digest = tokenizer.vocabulary().hex();
        let vocabulary = Vocabulary { terms: model.vocabulary() as u32, digest };
        let pairs = job.spec.policy.batch.unwrap_or(TEXTS);
        let encoding = Encoding {
            input: job.count("input")?.min(model.position_limit()),
            terms: if job.has("terms") { Some(job.count("terms")?) } else { None },
            batching: Batching { pairs, ..Batching::default() },
        };
        let mut writer = VectorWriter::create(&job.spec.out, vocabulary)?;
        let mut take = |i: usize, terms: &Terms| writer.push(texts.id(i), terms);
        let kernels = model.kernels().to_owned();
        let mut encode = |range: Range<usize>, progress: &dyn Progress, take: &mut Take<'_, Terms>| {
            encoding::encode(model, &tokenizer, (&texts, range), &encoding, progress, take)
        };
        let encoded = shared_encoding::encode(job, &kernels, texts.len(), &mut encode, &mut take)?;
        let weights = writer.finish()?;
        let mut outcome = texts_of::outcome(texts.len(), encoded, &kernels, started);
        outcome.facts.insert("weights".into(), json!(weights));
        let per_text = weights as f64 / texts.len().max(1) as f64;
        outcome.facts.insert("terms_per_text".into(), json!(per_text));
        Ok(outcome)
    }
}
