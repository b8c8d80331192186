//! Token counts, costs and their limits.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::{Answer, Request};
use xpipe_base::task::Failure;
use xpipe_base::value::human;

/// Limits, and prices per million tokens in any currency.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SpendingLimits {
    /// Maximum tokens of prompts and answers together.
    pub tokens: Option<u64>,
    /// Maximum cost.
    pub cost: Option<f64>,
    /// Price of a million prompt tokens.
    pub input_price: f64,
    /// Price of a million answer tokens.
    pub output_price: f64,
}

impl SpendingLimits {
    /// The cost of a number of tokens.
    pub fn cost(&self, prompt_tokens: f64, completion_tokens: f64) -> f64 {
        (prompt_tokens * self.input_price + completion_tokens * self.output_price) / 1e6
    }

    /// Whether prices are known.
    pub fn priced(&self) -> bool {
        self.input_price > 0.0 || self.output_price > 0.0
    }
}

/// Numbers of requests and tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RequestCounts {
    /// Number of requests.
    pub requests: u64,
    /// Tokens of the prompts.
    pub prompt_tokens: u64,
    /// Tokens of the answers.
    pub completion_tokens: u64,
}

impl RequestCounts {
    fn add(&mut self, answer: &Answer) {
        self.requests += 1;
        self.prompt_tokens += answer.prompt_tokens;
        self.completion_tokens += answer.completion_tokens;
    }

    /// Tokens of prompts and answers.
    pub fn tokens(&self) -> u64 {
        self.prompt_tokens + self.completion_tokens
    }
}

#[derive(Debug, Default)]
struct State {
    used: RequestCounts,
    new: RequestCounts,
    /// Tokens reserved by running requests: prompts, answers.
    reserved: (u64, u64),
}

/// The spending of a stage. Stored answers count as well, so that a restarted stage stays within its limit.
#[derive(Debug, Default)]
pub struct Spending {
    limits: SpendingLimits,
    state: Mutex<State>,
}

/// Tokens reserved for a running request: prompt, answer.
#[derive(Debug)]
pub struct Reserved(u64, u64);

impl Spending {
    /// Nothing spent yet.
    pub fn new(limits: SpendingLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a stored answer.
    pub fn kept(&self, answer: &Answer) {
        self.state().used.add(answer);
    }

    /// Reserves the tokens of a request: its estimated prompt, and the longest answer.
    ///
    /// # Errors
    /// That would exceed a limit.
    pub fn reserve(&self, request: &Request) -> Result<Reserved, Failure> {
        let mut state = self.state();
        let (asked, answered) = (request.prompt.tokens(), u64::from(request.max_tokens));
        let prompt = state.used.prompt_tokens + state.reserved.0 + asked;
        let completion = state.used.completion_tokens + state.reserved.1 + answered;
        let limits = self.limits;
        let passed = match (limits.tokens, limits.cost) {
            (Some(most), _) if prompt + completion > most => {
                Some(format!("{} (`token_limit`)", human::counted(most, "tokens")))
            }
            (_, Some(most)) if limits.cost(prompt as f64, completion as f64) > most => {
                Some(format!("{most} (`cost_limit`)"))
            }
            _ => None,
        };
        if let Some(limit) = passed {
            let used = state.used;
            let cost = match limits.priced() {
                true => {
                    format!(
                        ", at a cost of {:.4}",
                        limits.cost(used.prompt_tokens as f64, used.completion_tokens as f64)
                    )
                }
                false => String::new(),
            };
            let message = format!(
                "the limit of {limit} does not allow another request: {} took {}{cost}, and the next may take {}",
                human::counted(used.requests, "answers"),
                human::counted(used.tokens(), "tokens"),
                asked + answered
            );
            return Err(Failure::wrong(message)
                .help("raise the limit in the stage's `with`; answers are kept, so none is paid for twice"));
        }
        state.reserved = (state.reserved.0 + asked, state.reserved.1 + answered);
        Ok(Reserved(asked, answered))
    }

    /// Releases a reservation, and counts the answer if there is one.
    pub fn settle(&self, reserved: &Reserved, answer: Option<&Answer>) {
        let mut state = self.state();
        state.reserved = (state.reserved.0 - reserved.0, state.reserved.1 - reserved.1);
        if let Some(answer) = answer {
            state.used.add(answer);
            state.new.add(answer);
        }
    }

    /// The total, and the part of it that is not from stored answers.
    pub fn tallies(&self) -> (RequestCounts, RequestCounts) {
        let state = self.state();
        (state.used, state.new)
    }

    /// The limits.
    pub fn limits(&self) -> SpendingLimits {
        self.limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Message, Prompt, Role};

    /// 104 tokens of a question, and 16 of an answer at most.
    fn request() -> Request {
        let messages = vec![Message { role: Role::User, content: "x".repeat(400) }];
        Request {
            prompt: Prompt { name: "p", version: 1, messages },
            max_tokens: 16,
            logprobs: false,
            seed: 0,
        }
    }

    fn answer(prompt_tokens: u64, completion_tokens: u64) -> Answer {
        Answer { prompt_tokens, completion_tokens, ..Answer::default() }
    }

    #[test]
    fn requests_under_way_count_and_kept_answers_do() {
        let spending = Spending::new(SpendingLimits { tokens: Some(300), ..SpendingLimits::default() });
        let first = spending.reserve(&request()).unwrap();
        let second = spending.reserve(&request()).unwrap();
        assert!(spending.reserve(&request()).is_err());
        spending.settle(&first, None);
        spending.settle(&second, Some(&answer(50, 10)));
        let third = spending.reserve(&request()).unwrap();
        spending.settle(&third, Some(&answer(50, 10)));
        spending.kept(&answer(60, 1));
        let failure = spending.reserve(&request()).unwrap_err();
        assert!(
            failure.message.contains("300 tokens (`token_limit`)")
                && failure.message.contains("3 answers took 181"),
            "{failure}"
        );
        let (used, new) = spending.tallies();
        assert_eq!((used.requests, used.tokens(), new.requests, new.tokens()), (3, 181, 2, 120));
    }

    #[test]
    fn money_is_counted_by_the_prices() {
        let limits = SpendingLimits {
            cost: Some(0.0005),
            input_price: 2.0,
            output_price: 10.0,
            ..SpendingLimits::default()
        };
        // 104 × 2 + 16 × 10 = 368 millionths.
        let spending = Spending::new(limits);
        let first = spending.reserve(&request()).unwrap();
        spending.settle(&first, Some(&answer(100, 10)));
        // 300 are spent.
        let failure = spending.reserve(&request()).unwrap_err();
        assert!(
            failure.message.contains("0.0005 (`cost_limit`)") && failure.message.contains("cost of 0.0003"),
            "{failure}"
        );
    }
}
