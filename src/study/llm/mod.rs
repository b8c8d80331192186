//! Language models as teachers: prompts, parsing of answers, cached answers, spending limits, and the models.
//!
//! [`prompts`] are named and versioned. [`listwise`], [`pairwise`] and [`pointwise`] are the ranking methods over them.
//! [`permutation`] parses rankings, also malformed ones. A [`cached::CachedModel`] wraps a [`Model`]: it stores every
//! answer on disk ([`answers`]), so that none is paid for twice, and stops at a limit ([`spending`]). Models are behind an
//! address (`endpoint`) or on this machine (`local`, feature `llm`).
//!
//! Must not know: stores, runs, the language.

pub mod answers;
pub mod cached;
pub mod endpoint;
pub mod listwise;
#[cfg(feature = "llm")]
pub mod local;
pub mod pairwise;
pub mod permutation;
pub mod pointwise;
pub mod prompts;
pub mod spending;

use serde::{Deserialize, Serialize};

use xpipe_base::task::{Failure, Progress};

/// The author of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions for the model.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The author.
    pub role: Role,
    /// The text of the message.
    pub content: String,
}

/// A conversation that a model continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prompt {
    /// The name of the prompt template: `rank_gpt`.
    pub name: &'static str,
    /// The version of the template, raised with every change of its text.
    pub version: u32,
    /// The messages.
    pub messages: Vec<Message>,
}

impl Prompt {
    /// Size of all messages in bytes.
    pub fn bytes(&self) -> usize {
        self.messages.iter().map(|m| m.content.len()).sum()
    }

    /// Approximate number of tokens: one per four bytes, and four per message.
    pub fn tokens(&self) -> u64 {
        tokens_of(self.bytes() as f64, self.messages.len() as f64) as u64
    }
}

/// Approximate number of tokens of `bytes` in `messages`.
pub fn tokens_of(bytes: f64, messages: f64) -> f64 {
    (bytes / 4.0 + 4.0 * messages).ceil()
}

/// A request. The answer is the most likely one: temperature 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Request {
    /// The conversation.
    pub prompt: Prompt,
    /// Maximum tokens of the answer.
    pub max_tokens: u32,
    /// Whether to return the most likely first tokens with their log-probabilities.
    pub logprobs: bool,
    /// The seed, for models that sample even at temperature 0.
    pub seed: u64,
}

/// The answer of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The generated text.
    pub text: String,
    /// Whether it was cut off at `max_tokens`.
    pub truncated: bool,
    /// The most likely first tokens with their log-probabilities, if requested.
    pub first: Vec<(String, f64)>,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
}

/// A language model.
pub trait Model: Sync {
    /// What its answers depend on: a name, or the digest of its files. No address, no API key.
    fn identity(&self) -> String;

    /// The model's answer.
    ///
    /// # Errors
    /// There is none after several attempts, or the run is cancelled.
    fn answer(&self, request: &Request, progress: &dyn Progress) -> Result<Answer, Failure>;
}
