//! What the operations that ask a language model share: which model, how it is reached, limits, and what is told of it.

use super::fit::{at_least, issue};
use xpipe_base::diag::Code;
use xpipe_base::task::Failure;
use xpipe_base::value::{Call, Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::Issue;

/// `llm.endpoint`: a model behind an address.
pub(crate) fn op() -> Op {
    Op::constructor(
        "llm.endpoint",
        "Teacher",
        "A language model behind an address that speaks OpenAI's chat completions. The address is taken from the \
         variable `XPIPE_LLM_URL` and the key, if one is needed, from `XPIPE_LLM_KEY`; with `endpoint = \"mine\"` in the \
         stage's `with`, from `XPIPE_LLM_MINE_URL` and `XPIPE_LLM_MINE_KEY`. Neither is part of a key or written anywhere: \
         the model's name is what it is.",
    )
    .needs("model", "String", "The model's name at its server.")
    .takes(
        "options",
        "Record",
        Value::Record(Record::default()),
        "Further fields of each request, for instance `{ reasoning_effort = \"low\" }`.",
    )
}

/// What a model is, in the signatures of operations.
pub(super) const MODEL: &str = "The language model: `llm.endpoint { model = … }`, or a checkpoint on this machine (Llama, \
                                Mistral, Qwen2, Qwen3; needs the feature `llm`).";

/// What these operations read of `with { … }`.
pub(super) const WISHES: &[&str] =
    &["endpoint", "concurrency", "timeout", "token_limit", "cost_limit", "input_price", "output_price"];

/// Adds the arguments that all of these operations have, behind those of the method.
pub(super) fn common(op: Op, texts_of: &'static str) -> Op {
    op.takes("words", "Int", Value::Int(300), "Words of a passage that are shown, at least 1.")
        .optional(
            "max_tokens",
            "Int",
            "Tokens of an answer at most; enough for the answer that is asked for without it.",
        )
        .takes("seed", "Int", Value::Int(0), "Passed on with each request, at least 0. The temperature is 0.")
        .derived("corpus", "Corpus", texts_of, None, "Documents that are shown.")
        .derived("queries", "Queries", texts_of, None, "Queries that are shown.")
        .heavy()
        .wishes(WISHES)
        .ready(ready)
}

/// The endpoint in a value.
fn endpoint(model: &Value) -> Option<&Call> {
    model.as_call().filter(|c| &*c.name == "llm.endpoint")
}

/// Whether an operation asks a language model.
pub fn asks(op: &str) -> bool {
    ["rerank.llm", "rerank.llm_pairwise", "score.llm"].contains(&op)
}

/// Whether an action waits for a model elsewhere, and so needs next to nothing of this machine.
pub fn waits(args: &Record) -> bool {
    args.get("model").is_some_and(|m| endpoint(m).is_some())
}

/// Checks of the arguments that all of these operations have.
pub(super) fn check(args: &Record) -> Vec<Issue> {
    let mut issues = Vec::new();
    for (name, least) in [("depth", 1), ("words", 1), ("max_tokens", 1), ("seed", 0)] {
        issues.extend(at_least(args, name, least));
    }
    if let Some(other) = args.get("model").and_then(Value::as_call).filter(|c| &*c.name != "llm.endpoint") {
        let message = format!("`{}` is about cross-encoders, and a language model is wanted", other.name);
        issues.push(issue(
            Code::OutOfRange,
            "model",
            message,
            "write the model alone, or `llm.endpoint { model = … }`",
        ));
    }
    let lacking = match args.get("model").map(endpoint) {
        Some(None) => (!cfg!(feature = "llm")).then_some("language models on this machine (feature `llm`)"),
        Some(Some(_)) | None => None,
    };
    issues.extend(lacking.map(|what| {
        issue(
            Code::NotImplemented,
            "model",
            what,
            "build with the feature, or take a model of the other kind",
        )
    }));
    issues
}

/// Whether an action can start: an endpoint needs an address, limits must make sense.
fn ready(args: &Record, policy: &Record) -> Result<(), Failure> {
    let given = |name: &str| policy.get(name).is_some_and(|v| *v != Value::Null);
    let wrong = |message: String, help: &str| Err(Failure::wrong(message).help(help));
    for name in ["cost_limit", "input_price", "output_price"] {
        let number = policy.get(name).and_then(Value::as_f64);
        if let Some(x) = number.filter(|x| !(x.is_finite() && *x >= 0.0)) {
            return wrong(format!("`{name}` in `with` is {x}"), "write a number from 0 up");
        }
    }
    if given("cost_limit") && !given("input_price") && !given("output_price") {
        let help = "add `input_price` and `output_price`, the prices of a million tokens";
        return wrong("`cost_limit` in `with` needs prices".into(), help);
    }
    if let Some(Value::Seconds(s)) = policy.get("timeout")
        && !(s.is_finite() && *s > 0.0)
    {
        return wrong(format!("`timeout` in `with` is {s} s"), "write a time above 0");
    }
    if args.get("model").is_some_and(|m| endpoint(m).is_none()) {
        let unused = ["endpoint", "concurrency", "timeout", "cost_limit", "input_price", "output_price"];
        return match unused.into_iter().find(|name| given(name)) {
            Some(name) => {
                wrong(format!("`{name}` in `with` has no effect on a model of this machine"), "remove it")
            }
            None => Ok(()),
        };
    }
    address(policy)
}

/// The name of the endpoint in `with`.
fn named(policy: &Record) -> Result<Option<&str>, Failure> {
    let name = policy.get("endpoint").and_then(Value::as_str);
    match name.filter(|n| n.is_empty() || !n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')) {
        Some(odd) => Err(Failure::wrong(format!("`endpoint` in `with` is `{odd}`"))
            .help("write a name of letters, digits and `_`, which is part of the name of a variable")),
        None => Ok(name),
    }
}

fn address(policy: &Record) -> Result<(), Failure> {
    found(policy).map(|_| ())
}

fn found(policy: &Record) -> Result<crate::llm::endpoint::Address, Failure> {
    crate::llm::endpoint::Address::find(named(policy)?, &|name| std::env::var(name).ok())
}

pub(super) use run::{Asking, limits};

mod run {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::super::models;
    use super::endpoint;
    use crate::llm::answers::Answers;
    use crate::llm::asking::{Asker, Manner};
    use crate::llm::permutation::Repairs;
    use crate::llm::prompts;
    use crate::llm::spending::{Limits, Spending};
    use crate::llm::{Model, Prompt};
    use crate::train::source::Stores;
    use xpipe_base::task::{Caveat, CaveatKind, Failure, Job, Outcome, cause};
    use xpipe_base::value::{Record, Value};

    /// How long a request may take without `timeout`.
    const TIMEOUT: Duration = Duration::from_secs(120);
    /// Requests at a time without `concurrency`.
    const AT_ONCE: usize = 4;

    /// The limits and prices in `with`.
    pub(in super::super) fn limits(policy: &Record) -> Limits {
        let number = |name: &str| policy.get(name).and_then(Value::as_f64);
        Limits {
            tokens: policy.get("token_limit").and_then(Value::as_int).and_then(|n| u64::try_from(n).ok()),
            cost: number("cost_limit"),
            input_price: number("input_price").unwrap_or(0.0),
            output_price: number("output_price").unwrap_or(0.0),
        }
    }

    /// A job's texts, its model, and how it is asked.
    pub(in super::super) struct Asking<'a> {
        job: &'a Job<'a>,
        /// The texts.
        pub(in super::super) stores: Stores,
        model: Box<dyn Model>,
        at_once: usize,
        words: usize,
        started: Instant,
    }

    impl<'a> Asking<'a> {
        /// Opens texts and model.
        pub(in super::super) fn open(job: &'a Job<'a>) -> Result<Self, Failure> {
            let started = Instant::now();
            let stores = Stores::open(job.path("corpus")?, job.path("queries")?)?;
            let far = endpoint(job.arg("model")).is_some();
            let at_once = if far { models::policy(job, "concurrency")?.unwrap_or(AT_ONCE) } else { 1 };
            let model = if far { remote(job)? } else { local(job)? };
            Ok(Self { job, stores, model, at_once, words: job.count("words")?, started })
        }

        /// A query as it is shown.
        pub(in super::super) fn query(&self, number: u32) -> &str {
            self.stores.queries.text(number as usize).trim()
        }

        /// A document as it is shown.
        pub(in super::super) fn passage(&self, number: u32) -> String {
            prompts::cut(self.stores.corpus.text(number as usize), self.words)
        }

        /// Does `work` for each of `n` queries with an asker of some `total` questions.
        pub(in super::super) fn each<T: Send>(
            &self,
            n: usize,
            total: u64,
            max_tokens: u32,
            logprobs: bool,
            work: impl Fn(&Asker<'_>, usize) -> Result<T, Failure> + Sync,
        ) -> Result<(Vec<T>, Spending), Failure> {
            let job = self.job;
            let max_tokens = if job.has("max_tokens") {
                u32::try_from(job.count("max_tokens")?).unwrap_or(u32::MAX)
            } else {
                max_tokens
            };
            let manner = Manner { max_tokens, logprobs, seed: job.seed()? };
            let spending = Spending::new(limits(&job.spec.policy));
            let answers = Answers::new(&job.spec.answers);
            let asker = Asker::new(&*self.model, answers, spending, manner, total, job.progress);
            let results = asker.each(n, self.at_once, |i| work(&asker, i))?;
            Ok((results, asker.into_spending()))
        }

        /// What is told of the result: requests, tokens, what they cost, answers that had to be repaired.
        pub(in super::super) fn outcome(
            &self,
            queries: usize,
            pairs: usize,
            form: &Prompt,
            spending: &Spending,
            repairs: &Repairs,
        ) -> Outcome {
            let (used, new) = spending.tallies();
            let limits = spending.limits();
            let mut outcome = Outcome::default();
            let mut fact =
                |name: &str, value: serde_json::Value| drop(outcome.facts.insert(name.into(), value));
            fact("pairs", json!(pairs));
            fact("queries", json!(queries));
            fact("model", json!(self.model.identity()));
            fact("prompt", json!(format!("{} {}", form.name, form.version)));
            fact("requests", json!(used.requests));
            fact("tokens", json!(used.tokens()));
            fact("prompt_tokens", json!(used.prompt_tokens));
            fact("completion_tokens", json!(used.completion_tokens));
            fact("new_requests", json!(new.requests));
            fact("new_tokens", json!(new.tokens()));
            if limits.priced() {
                let cost = |p: u64, c: u64| limits.cost(p as f64, c as f64);
                fact("cost", json!(cost(used.prompt_tokens, used.completion_tokens)));
                fact("new_cost", json!(cost(new.prompt_tokens, new.completion_tokens)));
            }
            fact("answers_repaired", json!(repairs.repaired));
            fact("answers", json!(repairs));
            fact("seconds", json!(self.started.elapsed().as_secs_f64()));
            if repairs.repaired > 0 {
                let told =
                    Caveat::part(CaveatKind::Doubt, repairs.repaired, repairs.answers, cause::REPAIRED);
                self.job.progress.caveat(&told);
            }
            outcome
        }
    }

    fn remote(job: &Job<'_>) -> Result<Box<dyn Model>, Failure> {
        let call = endpoint(job.arg("model")).ok_or_else(|| Failure::bug("no endpoint"))?;
        let name = call.args.get("model").and_then(Value::as_str).unwrap_or_default();
        let options = match call.args.get("options").map(as_json) {
            Some(serde_json::Value::Object(options)) => options,
            _ => serde_json::Map::default(),
        };
        let timeout = match job.spec.policy.get("timeout") {
            Some(Value::Seconds(s)) => Duration::from_secs_f64(s.clamp(1e-3, 1e6)),
            _ => TIMEOUT,
        };
        let address = super::found(&job.spec.policy)?;
        Ok(Box::new(crate::llm::endpoint::Endpoint::new(address, name, options, timeout)))
    }

    #[cfg(feature = "llm")]
    fn local(job: &Job<'_>) -> Result<Box<dyn Model>, Failure> {
        let folder = job.located("model")?;
        Ok(Box::new(crate::llm::local::Local::open(&folder.path, &folder.digest.hex())?))
    }

    #[cfg(not(feature = "llm"))]
    fn local(_: &Job<'_>) -> Result<Box<dyn Model>, Failure> {
        Err(Failure::missing("this build runs no language models (feature `llm`)"))
    }

    /// Plain values as JSON.
    fn as_json(value: &Value) -> serde_json::Value {
        match value {
            Value::Bool(b) => json!(b),
            Value::Int(i) => json!(i),
            Value::Float(x) => json!(x),
            Value::Str(s) => json!(&**s),
            Value::List(items) => items.iter().map(as_json).collect(),
            Value::Record(r) => r.iter().map(|(name, v)| (name.to_string(), as_json(v))).collect(),
            _ => serde_json::Value::Null,
        }
    }
}
