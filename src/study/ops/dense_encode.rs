//! `dense.encode`: encodes texts as dense vectors by a bi-encoder.

use super::compatibility::PRECISION;
use super::{encoding, unsupported};
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::op::{Facts, Issue};
use xpipe_lang::types::{ModelUse, Op};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "dense.encode",
        VERSION,
        "Embeddings",
        "Encodes each document of a corpus, or each query, as a dense vector, as sentence-transformers does: the encoder's \
         last hidden states are pooled, optionally L2-normalised, and stored with 16 bits per component. Defaults come from \
         the model folder (`modules.json` and the files that it names).",
    )
    .counts(&["tokens"])
    .uses_model("model", ModelUse::EncodeDense)
    .example("dense.encode { model, corpus }")
    .needs("model", "Model", "The encoder, for instance `hf(\"sentence-transformers/all-MiniLM-L6-v2\")`.");
    encoding::texts(op)
    .optional(
        "pooling",
        "'cls' | 'mean' | 'max' | 'mean_sqrt_len_tokens' | 'weightedmean' | 'lasttoken'",
        "How token states are pooled into one vector. Default: what the model folder specifies; required if it specifies \
         nothing.",
    )
    .optional(
        "normalise",
        "Bool",
        "L2-normalise the vectors, so that dot products are cosines. Default: what the model folder specifies (a Normalize \
         module, or cosine similarity).",
    )
    .optional(
        "prefix",
        "String",
        "Prefix of each text. Default: the prompt `query` of the model folder, or the first of its prompts `document`, \
         `passage` and `corpus`.",
    )
    .optional(
        "input",
        "Int",
        "Maximum length of a text in tokens, special tokens included (≥ 3). Default: what the model folder specifies; never \
         more than the model has positions.",
    )
    .takes("precision", "'fp32' | 'bf16'", Value::str("fp32"), PRECISION)
    .heavy()
    .policy_keys(&["batch", "jobs"])
    .checks(check)
    .runs(run::run)
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = unsupported::model(args, "model", facts);
    let message = "a cross-encoder scores pairs, and was not trained to encode single texts";
    let help = "name a bi-encoder, for instance `hf(\"sentence-transformers/all-MiniLM-L6-v2\")`";
    issues.extend(encoding::check(args, facts, message, help));
    issues
}

mod run {
    use std::ops::Range;
    use std::time::Instant;

    use serde_json::json;

    use super::super::threads::with_threads;
    use super::super::{encoding, models, shared_encoding};
    use crate::train::texts::{self, Reading, Take};
    use xpipe_base::task::{Failure, Job, Outcome, Progress};
    use xpipe_base::value::Value;
    use xpipe_data::ir::dense::EmbeddingWriter;
    use xpipe_nn::load;
    use xpipe_nn::pooling::{NAMED, Pooling};
    use xpipe_nn::sentence::{Sentence, Side, Similarity};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        with_threads(job, || encode(job))
    }

    fn encode(job: &Job<'_>) -> Result<Outcome, Failure> {
        let started = Instant::now();
        let side = if job.has("corpus") { Side::Document } else { Side::Query };
        let texts = encoding::open(job)?;
        let folder = job.path("model")?;
        let sentence = Sentence::read(folder)?;
        let pooling = pooling(job, &sentence)?;
        let prefix = match job.arg("prefix") {
            Value::Null => sentence.prompt(side)?,
            given => given.as_str().unwrap_or_default(),
        };
        sentence.check_prefix(prefix)?;
        let (mut model, tokenizer) = load::bi_encoder(folder, pooling.clone(), &models::options(job)?)?;
        let asked = if job.has("input") { Some(job.count("input")?) } else { sentence.limit };
        let most = model.position_limit();
        let reading = Reading {
            input: asked.map_or(most, |n| n.min(most)),
            prefix,
            lower_case: sentence.lower_case,
            batching: models::batching(job),
        };
        let width = model.width();
        let mut writer = EmbeddingWriter::create(&job.spec.out, width)?;
        let kernels = model.kernels().to_owned();
        let mut compute = |packed: &_| -> Result<Vec<Vec<f32>>, Failure> {
            Ok(model.vectors(packed)?.chunks_exact(width).map(<[f32]>::to_vec).collect())
        };
        let mut encode = |range: Range<usize>, progress: &dyn Progress, take: &mut Take<'_, Vec<f32>>| {
            texts::encode(&tokenizer, (&texts, range), &reading, progress, &mut compute, take)
        };
        let mut take = |i: usize, vector: &Vec<f32>| writer.push(texts.id(i), vector);
        let encoded = shared_encoding::encode(job, &kernels, texts.len(), &mut encode, &mut take)?;
        writer.finish()?;
        let kinds = pooling.kinds.iter().filter_map(|kind| NAMED.iter().find(|(_, k)| k == kind));
        let mut outcome = encoding::outcome(texts.len(), encoded, &kernels, started);
        for (name, value) in [
            ("width", json!(width)),
            ("pooling", json!(kinds.map(|(name, _)| *name).collect::<Vec<_>>().join("+"))),
            ("normalise", json!(pooling.normalise)),
            ("prefix", json!(prefix)),
            ("input", json!(reading.input)),
        ] {
            outcome.facts.insert(name.into(), value);
        }
        Ok(outcome)
    }

    /// The arguments; by default what the folder specifies.
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
