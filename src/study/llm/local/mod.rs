//! Models on this machine, run by candle: Llama, Mistral, Qwen2 and Qwen3, in full precision or quantised (GGUF).
//!
//! A folder holds config.json, tokenizer.json, tokenizer_config.json with a chat template, and model.safetensors (one file
//! or shards) or one `*.gguf`. Decoding is greedy, so answers are deterministic. One request at a time.

mod engine;
mod template;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::Value as Json;
use tokenizers::Tokenizer;

use super::{Answer, Model, Request};
use engine::Engine;
use template::Template;
use xpipe_base::task::{Failure, Progress};

/// Number of most likely first tokens that are returned.
const TOP_LOGPROBS: usize = 20;

/// A loaded model.
pub struct LocalModel {
    engine: Mutex<Engine>,
    tokenizer: Tokenizer,
    template: Template,
    identity: String,
    /// End-of-sequence tokens.
    eos: Vec<u32>,
    /// Maximum tokens of prompt and answer together.
    positions: usize,
}

impl std::fmt::Debug for LocalModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Local({})", self.identity)
    }
}

/// Whether a folder holds a model that this build can run.
///
/// # Errors
/// A file is missing, or the architecture is not supported.
pub fn usable(folder: &Path) -> Result<(), Failure> {
    let config = read_json(folder, "config.json")?;
    engine::architecture(&config)?;
    check_sizes(folder, &config)?;
    engine::weights(folder)?;
    Template::read(folder)?;
    match folder.join("tokenizer.json").is_file() {
        true => Ok(()),
        false => Err(Failure::missing(format!("{} has no tokenizer.json", folder.display()))
            .help("a language model needs its tokenizer.json")),
    }
}

/// Refuses sizes that no model has: candle allocates them before it reads the weights.
fn check_sizes(folder: &Path, config: &Json) -> Result<(), Failure> {
    for (field, most) in [
        ("num_hidden_layers", 1u64 << 12),
        ("num_attention_heads", 1 << 14),
        ("num_key_value_heads", 1 << 14),
        ("head_dim", 1 << 14),
        ("hidden_size", 1 << 20),
        ("intermediate_size", 1 << 20),
        ("vocab_size", 1 << 28),
        ("max_position_embeddings", 1 << 28),
    ] {
        if config[field].as_u64().is_some_and(|n| n > most) {
            return Err(Failure::wrong(format!(
                "{}: `{field}` is {}; expected a whole number from 1 to {most}",
                folder.join("config.json").display(),
                config[field]
            )));
        }
    }
    Ok(())
}

fn read_json(folder: &Path, name: &str) -> Result<Json, Failure> {
    let path = folder.join(name);
    let bytes = std::fs::read(&path).map_err(|e| Failure::missing(format!("{}: {e}", path.display())))?;
    serde_json::from_slice(&bytes).map_err(|e| Failure::wrong(format!("{}: {e}", path.display())))
}

impl LocalModel {
    /// Loads the model in a folder. `digest` is of the folder's content.
    ///
    /// # Errors
    /// Files are missing or damaged, or the architecture is not supported.
    pub fn open(folder: &Path, digest: &str) -> Result<Self, Failure> {
        usable(folder)?;
        let config = read_json(folder, "config.json")?;
        check_sizes(folder, &config)?;
        let path = folder.join("tokenizer.json");
        let tokenizer = Tokenizer::from_file(&path)
            .map_err(|e| Failure::wrong(format!("{} is not a valid tokenizer: {e}", path.display())))?;
        let generation = read_json(folder, "generation_config.json").unwrap_or_default();
        let mut eos = ids(&generation["eos_token_id"]);
        eos.extend(ids(&config["eos_token_id"]));
        let positions = config["max_position_embeddings"].as_u64().map_or(usize::MAX, |n| n as usize);
        Ok(Self {
            engine: Mutex::new(Engine::load(folder, &config)?),
            tokenizer,
            template: Template::read(folder)?,
            identity: format!("model {digest}"),
            eos,
            positions,
        })
    }
}

/// The ids in a JSON number or list.
fn ids(json: &Json) -> Vec<u32> {
    let one = |j: &Json| j.as_u64().and_then(|n| u32::try_from(n).ok());
    match json {
        Json::Array(items) => items.iter().filter_map(one).collect(),
        other => one(other).into_iter().collect(),
    }
}

/// The index of the largest number; the first of equal ones.
fn argmax(logits: &[f32]) -> usize {
    let mut best = 0;
    for (i, x) in logits.iter().enumerate() {
        if *x > logits[best] {
            best = i;
        }
    }
    best
}

/// The largest logits as log-probabilities, in descending order; equal ones in order of their ids.
fn top_logprobs(logits: &[f32]) -> Vec<(u32, f64)> {
    let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum = logits.iter().map(|x| (f64::from(*x) - most).exp()).sum::<f64>().ln() + most;
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    order.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b)));
    order.into_iter().take(TOP_LOGPROBS).map(|i| (i, f64::from(logits[i as usize]) - sum)).collect()
}

impl Model for LocalModel {
    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn answer(&self, request: &Request, progress: &dyn Progress) -> Result<Answer, Failure> {
        let text = self.template.apply(&request.prompt.messages)?;
        let wrong = |e: tokenizers::Error| Failure::wrong(format!("the model's tokenizer: {e}"));
        // The template contains the special tokens.
        let prompt = self.tokenizer.encode(text, false).map_err(wrong)?.get_ids().to_vec();
        let room = self.positions.saturating_sub(prompt.len());
        if prompt.is_empty() || room == 0 {
            let message =
                format!("a prompt of {} tokens does not fit {} positions", prompt.len(), self.positions);
            return Err(Failure::wrong(message).help("use fewer `words` per passage or a smaller `window`"));
        }
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let mut logits = engine.start(&prompt)?;
        let mut first = Vec::new();
        if request.logprobs {
            for (id, p) in top_logprobs(&logits) {
                first.push((self.tokenizer.decode(&[id], false).map_err(wrong)?, p));
            }
        }
        let (mut answer, mut truncated) = (Vec::new(), true);
        for place in 0..(request.max_tokens as usize).min(room) {
            if progress.cancelled() {
                return Err(Failure::interrupted());
            }
            let next = argmax(&logits) as u32;
            if self.eos.contains(&next) {
                truncated = false;
                break;
            }
            answer.push(next);
            if answer.len() < (request.max_tokens as usize).min(room) {
                logits = engine.step(next, prompt.len() + place)?;
            }
        }
        Ok(Answer {
            text: self.tokenizer.decode(&answer, true).map_err(wrong)?,
            truncated,
            first,
            prompt_tokens: prompt.len() as u64,
            completion_tokens: answer.len() as u64,
        })
    }
}

#[cfg(test)]
mod tests;
