//! `dense.encode`: texts as dense vectors, by a bi-encoder.

use super::fit::{self, PRECISION};
use super::{lacking, two_labels};
use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "dense.encode",
        VERSION,
        "Embeddings",
        "Encodes the documents of a corpus, or queries, as one dense vector each, as sentence-transformers does: the \
         encoder's last hidden states, pooled, divided by their length where asked for, and kept in 16 bits a number. \
         What is not given is as the model's folder says (`modules.json` and the files that it names).",
    )
    .example("dense.encode { model, corpus }")
    .needs("model", "Model", "The encoder, for instance `hf(\"sentence-transformers/all-MiniLM-L6-v2\")`.")
    .optional("corpus", "Corpus", "The documents to encode; either these or queries.")
    .optional("queries", "Queries", "The queries to encode; either these or a corpus.")
    .optional(
        "pooling",
        "'cls' | 'mean' | 'max' | 'mean_sqrt_len_tokens' | 'weightedmean' | 'lasttoken'",
        "How the states of a text's tokens become one vector; as the folder says without it, and needed where it says \
         nothing.",
    )
    .optional(
        "normalise",
        "Bool",
        "Whether vectors get length 1, so that their products are cosines; without it where the folder has a Normalize \
         module or names the cosine as its similarity.",
    )
    .optional(
        "prefix",
        "String",
        "Text put before each text; without it the folder's prompt `query`, or the first of `document`, `passage` and \
         `corpus`.",
    )
    .optional(
        "input",
        "Int",
        "Tokens of a text that are read, special tokens included, from 3; without it as many as the folder says, and \
         never more than the model has positions.",
    )
    .takes("precision", "'fp32' | 'bf16'", Value::str("fp32"), PRECISION)
    .heavy()
    .wishes(&["batch"])
    .checks(check);
    let op = op.runs(run::run);
    op
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = lacking::of(args, "model", facts);
    if args.get("model").is_some_and(|model| two_labels::ranks(model, facts)) {
        let message = "a cross-encoder scores pairs, and was not trained to give a text a vector";
        let help = "name a bi-encoder, for instance `hf(\"sentence-transformers/all-MiniLM-L6-v2\")`";
        issues.push(fit::issue(Code::OutOfRange, "model", message, help));
    }
    issues.extend(fit::one_side(args));
    issues.extend(fit::at_least(args, "input", 3));
    issues
}

mod run {
    use std::time::Instant;

    use serde_json::json;

    use super::super::models;
    use crate::train::texts::{self, Reading};
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_base::value::Value;
    use xpipe_data::ir::dense::EmbeddingWriter;
    use xpipe_data::store::TextStore;
    use xpipe_nn::bi_encoder;
    use xpipe_nn::pooling::{NAMED, Pooling};
    use xpipe_nn::sentence::{Sentence, Side, Similarity};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        models::with_threads(job, || encode(job))
    }

    fn encode(job: &Job<'_>) -> Result<Outcome, Failure> {
        let started = Instant::now();
        let (side, argument) =
            if job.has("corpus") { (Side::Document, "corpus") } else { (Side::Query, "queries") };
        let texts = TextStore::open(job.path(argument)?)?;
        let folder = job.path("model")?;
        let sentence = Sentence::read(folder)?;
        let pooling = pooling(job, &sentence)?;
        let prefix = match job.arg("prefix") {
            Value::Null => sentence.prompt(side)?,
            given => given.as_str().unwrap_or_default(),
        };
        sentence.check_prefix(prefix)?;
        let (mut model, tokenizer) = bi_encoder::load(folder, pooling.clone(), &models::options(job)?)?;
        let asked = if job.has("input") { Some(job.count("input")?) } else { sentence.limit };
        let most = model.position_limit();
        let reading = Reading {
            input: asked.map_or(most, |n| n.min(most)),
            prefix,
            lower_case: sentence.lower_case,
            batching: models::batching(job)?,
        };
        let width = model.width();
        let mut writer = EmbeddingWriter::create(&job.spec.out, width)?;
        let mut compute = |packed: &_| -> Result<Vec<Vec<f32>>, Failure> {
            Ok(model.vectors(packed)?.chunks_exact(width).map(<[f32]>::to_vec).collect())
        };
        let mut take = |i: usize, vector: &Vec<f32>| writer.push(texts.id(i), vector);
        let encoded = texts::encode(&tokenizer, &texts, &reading, job.progress, &mut compute, &mut take)?;
        writer.finish()?;
        let kinds = pooling.kinds.iter().filter_map(|kind| NAMED.iter().find(|(_, k)| k == kind));
        let mut outcome = Outcome::default();
        for (name, value) in [
            ("texts", json!(texts.len())),
            ("texts_cut", json!(encoded.cut)),
            ("tokens", json!(encoded.tokens)),
            ("width", json!(width)),
            ("pooling", json!(kinds.map(|(name, _)| *name).collect::<Vec<_>>().join("+"))),
            ("normalise", json!(pooling.normalise)),
            ("prefix", json!(prefix)),
            ("input", json!(reading.input)),
            ("kernels", json!(model.kernels())),
            ("seconds", json!(started.elapsed().as_secs_f64())),
        ] {
            outcome.facts.insert(name.into(), value);
        }
        Ok(outcome)
    }

    /// The arguments, and what the folder says where they are not given.
    fn pooling(job: &Job<'_>, sentence: &Sentence) -> Result<Pooling, Failure> {
        let kinds = match job.arg("pooling").as_str() {
            Some(word) => NAMED.iter().find(|(name, _)| *name == word).map(|(_, kind)| vec![*kind]),
            None => sentence.kinds.clone(),
        };
        let kinds = kinds.ok_or_else(|| {
            Failure::wrong("the model's folder has no modules.json that says how its vectors are pooled")
                .help("write `pooling = mean`, or `cls`: whichever the model was trained with")
        })?;
        let normalise = match (job.arg("normalise"), sentence.similarity) {
            (Value::Bool(on), _) => *on,
            (_, Some(Similarity::Distance)) if !sentence.normalises => {
                return Err(Failure::wrong(
                    "the model's folder compares vectors by a distance, and `dense.search` by their product",
                )
                .help("write `normalise = true`, with which both rank alike, or `normalise = false`"));
            }
            (_, similarity) => sentence.normalises || similarity == Some(Similarity::Cosine),
        };
        Ok(Pooling { kinds, normalise })
    }
}
