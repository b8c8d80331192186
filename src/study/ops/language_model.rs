//! What the operations that use a language model share: arguments, endpoint, limits, and the facts that they record.

use super::compatibility::{at_least, issue};
use xpipe_base::diag::Code;
use xpipe_base::task::{Failure, Policy};
use xpipe_base::value::{Call, Record, Value};
use xpipe_lang::types::op::Issue;
use xpipe_lang::types::{ModelUse, Op};

/// `llm.endpoint`: a model behind an address.
pub(crate) fn op() -> Op {
    Op::constructor(
        "llm.endpoint",
        "Teacher",
        "A language model behind an OpenAI-compatible chat completions endpoint. The variable `XPIPE_LLM_URL` holds the \
         address and `XPIPE_LLM_KEY` the API key, if one is needed; with `endpoint = \"mine\"` in the stage's `with`, \
         `XPIPE_LLM_MINE_URL` and `XPIPE_LLM_MINE_KEY`. Neither enters the cache key or any file; a model is identified by its \
         name alone.",
    )
    .needs("model", "String", "The model's name on the server.")
    .takes(
        "options",
        "Record",
        Value::Record(Record::default()),
        "Additional fields of each request, for instance `{ reasoning_effort = \"low\" }`.",
    )
}

/// The documentation of the argument `model`.
pub(super) const MODEL: &str = "The language model: `llm.endpoint { model = … }`, or a checkpoint on this machine (Llama, \
                                Mistral, Qwen2, Qwen3; needs the feature `llm`).";

/// The facts of these operations that count work.
pub(super) const COUNTS: &[&str] = &["tokens", "pairs", "queries", "requests"];

/// What these operations read of `with { … }`.
const POLICY_KEYS: &[&str] =
    &["endpoint", "concurrency", "timeout", "token_limit", "cost_limit", "input_price", "output_price"];

/// Adds the arguments that all of these operations have, behind those of the method.
pub(super) fn common(op: Op, texts_of: &'static str) -> Op {
    op.takes("words", "Int", Value::Int(300), "Maximum passage length in words (≥ 1).")
        .optional(
            "max_tokens",
            "Int",
            "Maximum tokens per answer (≥ 1). Default: enough for the requested format.",
        )
        .takes("seed", "Int", Value::Int(0), "Seed of each request (≥ 0). The temperature is 0.")
        .derived("corpus", "Corpus", texts_of, None, "Documents to show.")
        .derived("queries", "Queries", texts_of, None, "Queries to show.")
        .heavy()
        .policy_keys(POLICY_KEYS)
        .uses_model("model", ModelUse::Generate)
        .remote(is_remote)
        .ready(ready)
}

/// The endpoint in a value.
fn endpoint(model: &Value) -> Option<&Call> {
    model.as_call().filter(|c| &*c.name == "llm.endpoint")
}

/// Whether the model is behind an endpoint.
fn is_remote(args: &Record) -> bool {
    args.get("model").is_some_and(|m| endpoint(m).is_some())
}

/// Checks of the arguments that all of these operations have.
pub(super) fn check(args: &Record) -> Vec<Issue> {
    let mut issues = Vec::new();
    for (name, least) in [("depth", 1), ("words", 1), ("max_tokens", 1), ("seed", 0)] {
        issues.extend(at_least(args, name, least));
    }
    if let Some(other) = args.get("model").and_then(Value::as_call).filter(|c| &*c.name != "llm.endpoint") {
        let message = format!("`{}` describes cross-encoders, and a language model is needed", other.name);
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

/// Whether an action can start: an endpoint needs an address, and limits must be valid.
fn ready(args: &Record, policy: &Policy) -> Result<(), Failure> {
    let wrong = |message: String, help: &str| Err(Failure::wrong(message).help(help));
    let Policy { cost_limit, input_price, output_price, .. } = policy;
    for (name, number) in
        [("cost_limit", cost_limit), ("input_price", input_price), ("output_price", output_price)]
    {
        if let Some(x) = number.filter(|x| !(x.is_finite() && *x >= 0.0)) {
            return wrong(format!("`{name}` in `with` is {x}"), "write a number from 0 up");
        }
    }
    if cost_limit.is_some() && input_price.is_none() && output_price.is_none() {
        let help = "add `input_price` and `output_price`, the prices of a million tokens";
        return wrong("`cost_limit` in `with` needs prices".into(), help);
    }
    if let Some(s) = policy.timeout.filter(|s| !(s.is_finite() && *s > 0.0)) {
        return wrong(format!("`timeout` in `with` is {s} s"), "write a time above 0");
    }
    if args.get("model").is_some_and(|m| endpoint(m).is_none()) {
        let unused = [
            ("endpoint", policy.endpoint.is_some()),
            ("concurrency", policy.concurrency.is_some()),
            ("timeout", policy.timeout.is_some()),
            ("cost_limit", cost_limit.is_some()),
            ("input_price", input_price.is_some()),
            ("output_price", output_price.is_some()),
        ];
        return match unused.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => {
                wrong(format!("`{name}` in `with` has no effect on a model of this machine"), "remove it")
            }
            None => Ok(()),
        };
    }
    address(policy)
}

/// The name of the endpoint in `with`.
fn named(policy: &Policy) -> Result<Option<&str>, Failure> {
    let name = policy.endpoint.as_deref();
    match name.filter(|n| n.is_empty() || !n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')) {
        Some(odd) => Err(Failure::wrong(format!("`endpoint` in `with` is `{odd}`"))
            .help("write a name of letters, digits and `_`, which is part of the name of a variable")),
        None => Ok(name),
    }
}

fn address(policy: &Policy) -> Result<(), Failure> {
    found(policy).map(|_| ())
}

fn found(policy: &Policy) -> Result<crate::llm::endpoint::EndpointAddress, Failure> {
    crate::llm::endpoint::EndpointAddress::find(named(policy)?, &|name| std::env::var(name).ok())
}

pub(super) use run::{Asking, limits};

mod run {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::endpoint;
    use crate::llm::answers::Answers;
    use crate::llm::cached::{CachedModel, RequestOptions};
    use crate::llm::permutation::Repairs;
    use crate::llm::prompts;
    use crate::llm::spending::{Spending, SpendingLimits};
    use crate::llm::{Model, Prompt};
    use crate::train::source::Stores;
    use xpipe_base::task::{Caveat, CaveatKind, Failure, Job, Outcome, Policy, cause};
    use xpipe_base::value::Value;

    /// Default timeout of a request.
    const TIMEOUT: Duration = Duration::from_secs(120);
    /// Default number of concurrent requests.
    const AT_ONCE: usize = 4;

    /// The limits and prices in `with`.
    pub(in super::super) fn limits(policy: &Policy) -> SpendingLimits {
        SpendingLimits {
            tokens: policy.token_limit,
            cost: policy.cost_limit,
            input_price: policy.input_price.unwrap_or(0.0),
            output_price: policy.output_price.unwrap_or(0.0),
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
            let at_once = if far { job.spec.policy.concurrency.unwrap_or(AT_ONCE) } else { 1 };
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

        /// Does `work` for each of `n` queries with an cached of some `total` questions.
        pub(in super::super) fn each<T: Send>(
            &self,
            n: usize,
            total: u64,
            max_tokens: u32,
            logprobs: bool,
            work: impl Fn(&CachedModel<'_>, usize) -> Result<T, Failure> + Sync,
        ) -> Result<(Vec<T>, Spending), Failure> {
            let job = self.job;
            let max_tokens = if job.has("max_tokens") {
                u32::try_from(job.count("max_tokens")?).unwrap_or(u32::MAX)
            } else {
                max_tokens
            };
            let manner = RequestOptions { max_tokens, logprobs, seed: job.seed()? };
            let spending = Spending::new(limits(&job.spec.policy));
            let answers = Answers::new(&job.spec.answers);
            let cached = CachedModel::new(&*self.model, answers, spending, manner, total, job.progress);
            let results = cached.each(n, self.at_once, |i| work(&cached, i))?;
            Ok((results, cached.into_spending()))
        }

        /// The facts of the result: requests, tokens, cost, repaired answers.
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
        let timeout =
            job.spec.policy.timeout.map_or(TIMEOUT, |s| Duration::from_secs_f64(s.clamp(1e-3, 1e6)));
        let address = super::found(&job.spec.policy)?;
        Ok(Box::new(crate::llm::endpoint::Endpoint::new(address, name, options, timeout)))
    }

    #[cfg(feature = "llm")]
    fn local(job: &Job<'_>) -> Result<Box<dyn Model>, Failure> {
        let folder = job.located("model")?;
        Ok(Box::new(crate::llm::local::LocalModel::open(&folder.path, &folder.digest.hex())?))
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
