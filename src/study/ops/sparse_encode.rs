//! `sparse.encode`: texts as weighted terms, by a learned sparse model (SPLADE).

use super::fit::{self, PRECISION};
use super::{lacking, two_labels};
use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "sparse.encode",
        VERSION,
        "Vectors",
        "Encodes the documents of a corpus, or queries, as weights over the vocabulary of a masked language model: \
         max over tokens (the special ones too) of log(1 + relu(logit)), as SPLADE.",
    )
    .example("sparse.encode { model, corpus }")
    .needs("model", "Model", "The encoder, for instance `hf(\"naver/splade-v3-distilbert\")`.")
    .optional("corpus", "Corpus", "The documents to encode; either these or queries.")
    .optional("queries", "Queries", "The queries to encode; either these or a corpus.")
    .takes(
        "input",
        "Int",
        Value::Int(256),
        "Tokens of a text that are read, special tokens included, from 3; never more than the model has positions.",
    )
    .optional("terms", "Int", "Terms kept for each text, the heaviest; all without.")
    .takes("precision", "'fp32' | 'bf16'", Value::str("fp32"), PRECISION)
    .heavy()
    .wishes(&["batch"])
    .checks(check);
    let op = op.runs(run::run);
    op
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = lacking::of_masked(args, "model", facts);
    if args.get("model").is_some_and(|model| two_labels::ranks(model, facts)) {
        let message = "a cross-encoder scores pairs and has no head that gives weights to words";
        let help = "name a masked language model, for instance `hf(\"naver/splade-v3-distilbert\")`";
        issues.push(fit::issue(Code::OutOfRange, "model", message, help));
    }
    issues.extend(fit::one_side(args));
    issues.extend(
        [("input", 3), ("terms", 1)].into_iter().filter_map(|(name, least)| fit::at_least(args, name, least)),
    );
    issues
}

mod run {
    use std::time::Instant;

    use serde_json::json;

    use super::super::models;
    use crate::train::encoding::{self, Encoding};
    use crate::train::scoring::Batching;
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::ir::vectors::{VectorWriter, Vocabulary};
    use xpipe_data::store::TextStore;
    use xpipe_nn::masked_lm;

    /// Texts in a batch: each takes a number for every word of the vocabulary.
    const TEXTS: usize = 64;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        models::with_threads(job, || encode(job))
    }

    fn encode(job: &Job<'_>) -> Result<Outcome, Failure> {
        let started = Instant::now();
        let texts = TextStore::open(job.path(if job.has("corpus") { "corpus" } else { "queries" })?)?;
        let (mut model, tokenizer) = masked_lm::load(job.path("model")?, &models::options(job)?)?;
        let model = &mut *model;
        let digest = tokenizer.vocabulary().hex();
        let vocabulary = Vocabulary { terms: model.vocabulary() as u32, digest };
        let pairs = models::policy(job, "batch")?.unwrap_or(TEXTS);
        let encoding = Encoding {
            input: job.count("input")?.min(model.position_limit()),
            terms: if job.has("terms") { Some(job.count("terms")?) } else { None },
            batching: Batching { pairs, ..Batching::default() },
        };
        let mut writer = VectorWriter::create(&job.spec.out, vocabulary)?;
        let mut take = |i: usize, terms: &[(u32, f32)]| writer.push(texts.id(i), terms);
        let encoded = encoding::encode(model, &tokenizer, &texts, &encoding, job.progress, &mut take)?;
        let weights = writer.finish()?;
        let mut outcome = Outcome::default();
        for (name, value) in [
            ("texts", json!(texts.len())),
            ("texts_cut", json!(encoded.cut)),
            ("tokens", json!(encoded.tokens)),
            ("weights", json!(weights)),
            ("terms_per_text", json!(weights as f64 / texts.len().max(1) as f64)),
            ("kernels", json!(model.kernels())),
            ("seconds", json!(started.elapsed().as_secs_f64())),
        ] {
            outcome.facts.insert(name.into(), value);
        }
        Ok(outcome)
    }
}
