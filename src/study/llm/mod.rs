//! Language models as teachers: what they are asked, how answers are read, kept and paid for, and where models are.
//!
//! [`prompts`] are named and versioned, [`listwise`], [`pairwise`] and [`pointwise`] are the methods over them,
//! [`permutation`] reads rankings out of answers, also bad ones. An [`asking::Asker`] stands between a method and a
//! [`Model`]: it keeps every answer on disk ([`answers`]), so that none is paid for twice, and stops at a limit
//! ([`spending`]). Models are behind an address (`endpoint`, feature `hub`) or on this machine (`local`, feature `llm`).
//!
//! Must not know: stores, runs, the language.

pub mod answers;
pub mod asking;
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

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// What the model is to be.
    System,
    /// Who asks.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// A conversation that a model is to go on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prompt {
    /// The name of its form: `rank_gpt`.
    pub name: &'static str,
    /// The version of the form; raised with every change of its text.
    pub version: u32,
    /// The messages.
    pub messages: Vec<Message>,
}

impl Prompt {
    /// Bytes of all messages.
    pub fn bytes(&self) -> usize {
        self.messages.iter().map(|m| m.content.len()).sum()
    }

    /// About how many tokens it has: four bytes each, and four tokens around each message.
    pub fn tokens(&self) -> u64 {
        tokens_of(self.bytes() as f64, self.messages.len() as f64) as u64
    }
}

/// About how many tokens so many bytes in so many messages are.
pub fn tokens_of(bytes: f64, messages: f64) -> f64 {
    (bytes / 4.0 + 4.0 * messages).ceil()
}

/// A question. The answer is the likeliest one: temperature 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Request {
    /// The conversation.
    pub prompt: Prompt,
    /// Tokens of the answer at most.
    pub max_tokens: u32,
    /// Whether the likeliest first tokens are wanted with their log-probabilities.
    pub logprobs: bool,
    /// The seed that is passed on, for models that draw in spite of temperature 0.
    pub seed: u64,
}

/// What a model said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// Whether it ended because it was too long.
    pub truncated: bool,
    /// The likeliest first tokens with their log-probabilities, when they were asked for.
    pub first: Vec<(String, f64)>,
    /// Tokens of the question.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
}

/// A language model.
pub trait Model: Sync {
    /// What makes its answers what they are, as text: a name, or the digest of its files. No address, no key.
    fn identity(&self) -> String;

    /// The model's answer.
    ///
    /// # Errors
    /// When there is none, also after several attempts, or a stop was asked for.
    fn answer(&self, request: &Request, progress: &dyn Progress) -> Result<Answer, Failure>;
}
