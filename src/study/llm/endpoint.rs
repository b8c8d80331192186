//! Models behind OpenAI-compatible chat-completion endpoints, as of vLLM, llama.cpp, Ollama and many providers.
//!
//! Address and API key come from the environment and are never in a recipe, file, log or message ([`EndpointAddress`] removes
//! them from the server's texts). Transient errors are retried with back-off: lost connections, time-outs, 408, 425, 429,
//! 5xx, responses that are not JSON. All threads respect a server's `Retry-After`.
//!
//! The limit on answer tokens is sent as `max_tokens`. A server that demands `max_completion_tokens` instead gets that
//! from then on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::{Answer, Model, Request, tokens_of};
use xpipe_base::task::retry::{Retry, wait_until};
use xpipe_base::task::{Failure, FailureKind, Progress};
use xpipe_base::value::human;
use xpipe_engine::net;

/// Attempts at a request.
const MAX_ATTEMPTS: u32 = 6;
/// Of them, attempts that reach no server or get an invalid response.
const MAX_UNLIKELY: u32 = 3;
/// The longest wait that a server may ask for.
const MAX_WAIT: Duration = Duration::from_secs(600);
/// The largest response, in bytes.
const MAX_RESPONSE: u64 = 16 << 20;
/// Alternatives of the first token that are requested. Most servers give no more.
const TOP_LOGPROBS: u32 = 20;

/// The address of an endpoint, and the API key.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointAddress {
    url: String,
    key: Option<String>,
    /// The environment variables of address and key, for messages.
    variables: [String; 2],
}

impl std::fmt::Debug for EndpointAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({})", self.variables[0])
    }
}

/// The environment variables of address and key: `XPIPE_LLM_URL` and `XPIPE_LLM_KEY`, or for a named endpoint
/// `XPIPE_LLM_NAME_URL` and `XPIPE_LLM_NAME_KEY`.
pub fn variables(name: Option<&str>) -> [String; 2] {
    let middle = name.map_or_else(String::new, |n| format!("{}_", n.to_uppercase()));
    ["URL", "KEY"].map(|last| format!("XPIPE_LLM_{middle}{last}"))
}

impl EndpointAddress {
    /// The address in the environment variables, which `env` looks up.
    ///
    /// # Errors
    /// There is none, or it is invalid.
    pub fn find(name: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let variables = variables(name);
        let [variable, key] = &variables;
        let url = env(variable).map(|u| u.trim().to_owned()).filter(|u| !u.is_empty()).ok_or_else(|| {
            Failure::missing(format!("the address of the language model is unknown: {variable} is not set"))
                .help(format!(
                    "set {variable} to the address of an OpenAI-compatible server, for instance \
                 http://localhost:8000/v1, and {key} to its key if it needs one"
                ))
        })?;
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        if !["http", "https"].contains(&scheme) || rest.is_empty() || rest.starts_with('/') {
            let message = format!("{variable} is not an address, expected http://HOST/v1 or https://HOST/v1");
            return Err(Failure::missing(message).help(format!("correct {variable}")));
        }
        let path = url.trim_end_matches('/');
        let url = match (path.ends_with("/chat/completions"), rest.trim_end_matches('/').contains('/')) {
            (true, _) => path.to_owned(),
            (false, true) => format!("{path}/chat/completions"),
            (false, false) => format!("{path}/v1/chat/completions"),
        };
        let key = env(key).map(|k| k.trim().to_owned()).filter(|k| !k.is_empty());
        Ok(Self { url, key, variables })
    }

    /// A text without key and address.
    fn clean(&self, text: &str) -> String {
        let host = self.url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or(""));
        // The host with user and port, and the host alone.
        let parts =
            [&self.url, host, host.rsplit('@').next().unwrap_or(""), self.key.as_deref().unwrap_or("")];
        let parts = parts.into_iter().filter(|p| p.len() > 3);
        let text = parts.fold(text.to_owned(), |text, part| text.replace(part, "***"));
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(300) {
            Some((at, _)) => format!("{}…", &line[..at]),
            None => line,
        }
    }
}

/// A model behind an endpoint.
pub struct Endpoint {
    address: EndpointAddress,
    model: String,
    /// Additional fields of each request.
    options: serde_json::Map<String, Json>,
    agent: ureq::Agent,
    /// No request before this time, as the server asked.
    not_before: Mutex<Option<Instant>>,
    /// The server wants `max_completion_tokens` instead of `max_tokens`.
    newer_name: AtomicBool,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({})", self.model)
    }
}

/// Why an attempt failed.
enum AttemptError {
    /// A retry may succeed.
    Transient {
        why: String,
        /// The wait that the server asks for.
        retry_after: Option<Duration>,
        /// Whether retries seldom mend this.
        unlikely: bool,
    },
    /// The server wants `max_completion_tokens` instead of `max_tokens`.
    NewerName,
    /// No retry will succeed.
    Permanent(Failure),
}

impl AttemptError {
    fn transient(why: impl Into<String>) -> Self {
        Self::Transient { why: why.into(), retry_after: None, unlikely: false }
    }

    fn unlikely(why: impl Into<String>) -> Self {
        Self::Transient { why: why.into(), retry_after: None, unlikely: true }
    }
}

impl Endpoint {
    /// The model `model` at an address. `options` are additional fields of each request.
    pub fn new(
        address: EndpointAddress,
        model: &str,
        options: serde_json::Map<String, Json>,
        timeout: Duration,
    ) -> Self {
        let config = net::agent()
            .timeout_global(Some(timeout))
            // A redirection would send the key to another server.
            .max_redirects(0)
            .build();
        let (agent, not_before) = (config.new_agent(), Mutex::new(None));
        Self {
            address,
            model: model.to_owned(),
            options,
            agent,
            not_before,
            newer_name: AtomicBool::new(false),
        }
    }

    /// The body of a request.
    fn body(&self, request: &Request) -> Json {
        let mut body = json!({
            "model": self.model,
            "messages": request.prompt.messages,
            "temperature": 0,
            "seed": request.seed,
            "max_tokens": request.max_tokens,
        });
        if request.logprobs {
            body["logprobs"] = true.into();
            body["top_logprobs"] = TOP_LOGPROBS.into();
        }
        for (name, value) in &self.options {
            body[name.as_str()] = value.clone();
        }
        if self.newer_name.load(Ordering::Relaxed)
            && let Some(fields) = body.as_object_mut()
            && let Some(most) = fields.remove("max_tokens")
        {
            fields.entry("max_completion_tokens").or_insert(most);
        }
        body
    }

    fn attempt(&self, request: &Request) -> Result<Answer, AttemptError> {
        let body = self.body(request);
        let mut call = self.agent.post(&self.address.url).content_type("application/json");
        if let Some(key) = &self.address.key {
            call = call.header("authorization", format!("Bearer {key}"));
        }
        let mut response = call.send(body.to_string()).map_err(|e| self.network_error(&e))?;
        let status = response.status().as_u16();
        let retry_after = net::retry_after(response.headers());
        let retry_after = retry_after.map(|wait| wait.min(MAX_WAIT));
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_RESPONSE)
            .read_to_vec()
            .map_err(|e| self.network_error(&e))?;
        let text = String::from_utf8_lossy(&text);
        match status {
            200..=299 => read(&text, request)
                .map_err(|why| AttemptError::unlikely(format!("its response is invalid: {why}"))),
            _ if net::is_transient(status) => {
                let why = format!("it answers {status}: {}", self.said(&text));
                Err(AttemptError::Transient { why, retry_after, unlikely: false })
            }
            400 | 422 if body.get("max_tokens").is_some() && text.contains("max_completion_tokens") => {
                Err(AttemptError::NewerName)
            }
            _ => Err(AttemptError::Permanent(self.refused(status, &text))),
        }
    }

    fn network_error(&self, error: &ureq::Error) -> AttemptError {
        let misconfigured =
            |text: &str| AttemptError::Permanent(Failure::missing(text.to_owned() + &self.set()));
        if let Some(permanent) = net::permanent(error) {
            let why = self.address.clean(&permanent.why);
            let message = format!("the language model cannot be reached: {why}");
            return AttemptError::Permanent(Failure::missing(message).help(permanent.help));
        }
        match error {
            ureq::Error::Timeout(_) => AttemptError::transient("it timed out"),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                misconfigured("the address or the key of the language model is invalid: ")
            }
            ureq::Error::TooManyRedirects | ureq::Error::RedirectFailed => {
                misconfigured("the address of the language model redirects to another one: ")
            }
            ureq::Error::BodyExceedsLimit(_) => AttemptError::unlikely("its response is too large"),
            other => AttemptError::unlikely(self.address.clean(&other.to_string())),
        }
    }

    fn set(&self) -> String {
        format!("correct {}", self.address.variables[0])
    }

    /// The message of an error response.
    fn said(&self, text: &str) -> String {
        let json: Json = serde_json::from_str(text).unwrap_or_default();
        let message = [&json["error"]["message"], &json["message"], &json["error"], &json["detail"]];
        let message = message.into_iter().find_map(Json::as_str).unwrap_or(text);
        self.address.clean(message)
    }

    fn refused(&self, status: u16, text: &str) -> Failure {
        let message =
            format!("the language model's endpoint refuses the request with {status}: {}", self.said(text));
        let key = &self.address.variables[1];
        match status {
            300..=399 => Failure::missing(message).help(self.set()),
            401 | 403 => Failure::missing(message).help(format!("set {key} to a valid key")),
            404 => Failure::missing(message)
                .help(format!("check the model's name in the study, and {}", self.address.variables[0])),
            _ => Failure::wrong(message).help(
                "if the prompt is too long for the model, use fewer `words` per passage or a smaller `window`",
            ),
        }
    }

    fn paused_until(&self) -> Option<Instant> {
        *self.not_before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause_all(&self, until: Instant) {
        let mut not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        *not_before = Some(not_before.map_or(until, |t| t.max(until)));
    }
}

impl Model for Endpoint {
    fn identity(&self) -> String {
        // Sorted: the order of options in the study does not matter.
        let mut options: Vec<_> = self.options.iter().collect();
        options.sort_by_key(|(name, _)| name.as_str());
        format!("endpoint {:?} {}", self.model, json!(options))
    }

    fn answer(&self, request: &Request, progress: &dyn Progress) -> Result<Answer, Failure> {
        let mut retry = Retry::new(MAX_ATTEMPTS).unlikely(MAX_UNLIKELY);
        let wait = |until| match wait_until(until, &|| progress.cancelled()) {
            true => Ok(()),
            false => Err(Failure::interrupted()),
        };
        loop {
            if let Some(until) = self.paused_until() {
                wait(until)?;
            }
            let (why, retry_after, unlikely) = match self.attempt(request) {
                Ok(answer) => return Ok(answer),
                Err(AttemptError::Permanent(failure)) => return Err(failure),
                // Once only: later requests do not have `max_tokens`.
                Err(AttemptError::NewerName) => {
                    self.newer_name.store(true, Ordering::Relaxed);
                    continue;
                }
                Err(AttemptError::Transient { why, retry_after, unlikely }) => (why, retry_after, unlikely),
            };
            let Some(pause) = retry.failed(unlikely, retry_after) else {
                let attempts = human::counted(retry.attempts(), "attempts");
                let message = format!("the language model's endpoint gave no answer in {attempts}: {why}");
                let help = format!("check the server of {}; answers are kept", self.address.variables[0]);
                return Err(Failure { kind: FailureKind::Transient, message, help: Some(help) });
            };
            progress.note(&format!("attempt {} at a question failed: {why}; retrying", retry.attempts()));
            let until = Instant::now() + pause;
            if retry_after.is_some() {
                self.pause_all(until);
            }
            wait(until)?;
        }
    }
}

/// Parses the body of a response.
fn read(text: &str, request: &Request) -> Result<Answer, String> {
    let json: Json = serde_json::from_str(text).map_err(|e| format!("not JSON ({e})"))?;
    let choice = json["choices"].get(0).ok_or("no `choices`")?;
    let message = choice["message"].as_object().ok_or("no `message`")?;
    let said = match message.get("content") {
        None | Some(Json::Null) => "",
        Some(content) => content.as_str().ok_or("`content` is no text")?,
    };
    let mut first = Vec::new();
    if request.logprobs {
        let tokens = choice["logprobs"]["content"][0]["top_logprobs"].as_array();
        for token in tokens.into_iter().flatten() {
            if let (Some(text), Some(p)) = (token["token"].as_str(), token["logprob"].as_f64()) {
                first.push((text.to_owned(), p));
            }
        }
    }
    let count = |name: &str| json["usage"][name].as_u64();
    Ok(Answer {
        text: said.to_owned(),
        truncated: choice["finish_reason"] == "length",
        first,
        // If the server does not count tokens: an estimate.
        prompt_tokens: count("prompt_tokens").unwrap_or_else(|| request.prompt.tokens()),
        completion_tokens: count("completion_tokens").unwrap_or(tokens_of(said.len() as f64, 0.0) as u64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::prompts::pairwise;

    fn address(url: &str, key: Option<&str>) -> Result<EndpointAddress, Failure> {
        EndpointAddress::find(None, &|name| match name {
            "XPIPE_LLM_URL" => Some(url.to_owned()),
            "XPIPE_LLM_KEY" => key.map(str::to_owned),
            _ => None,
        })
    }

    fn request(logprobs: bool) -> Request {
        Request { prompt: pairwise("q", "a", "b"), max_tokens: 7, logprobs, seed: 3 }
    }

    #[test]
    fn addresses() {
        let url = |text| address(text, None).map(|a| a.url).map_err(|f| f.message);
        assert_eq!(url("http://h:8000").unwrap(), "http://h:8000/v1/chat/completions");
        assert_eq!(url(" https://h/v1/ ").unwrap(), "https://h/v1/chat/completions");
        assert_eq!(url("https://h/openai/v1").unwrap(), "https://h/openai/v1/chat/completions");
        assert_eq!(url("https://h/x/chat/completions").unwrap(), "https://h/x/chat/completions");
        for bad in ["h:8000", "ftp://h", "http://", "http:///v1"] {
            assert!(url(bad).unwrap_err().contains("XPIPE_LLM_URL is not an address"), "{bad}");
        }
        let unset = EndpointAddress::find(Some("mine"), &|_| None).unwrap_err();
        assert!(unset.message.contains("XPIPE_LLM_MINE_URL is not set"), "{unset}");
        assert_eq!(unset.kind, FailureKind::Missing);
    }

    #[test]
    fn key_and_address_are_taken_out_of_what_a_server_says() {
        let a = address("https://me:word@host.example:81/v1", Some("sk-secret")).unwrap();
        let said = "Incorrect key sk-secret\n at https://me:word@host.example:81/v1/chat/completions (host.example:81)";
        assert_eq!(a.clean(said), "Incorrect key *** at *** (***)");
        assert!(!format!("{a:?}").contains("secret") && a.clean(&"é".repeat(999)).len() < 700);
    }

    #[test]
    fn requests_hold_the_model_the_question_and_the_options() {
        let options =
            json!({ "chat_template_kwargs": { "enable_thinking": false } }).as_object().unwrap().clone();
        let endpoint =
            Endpoint::new(address("http://h", None).unwrap(), "m", options, Duration::from_secs(1));
        let body = endpoint.body(&request(true));
        assert_eq!(body["messages"][0]["role"], "user");
        assert_eq!(
            (&body["model"], &body["temperature"], &body["seed"]),
            (&json!("m"), &json!(0), &json!(3))
        );
        assert_eq!(
            (&body["max_tokens"], &body["logprobs"], &body["top_logprobs"]),
            (&json!(7), &json!(true), &json!(20))
        );
        assert_eq!(body["chat_template_kwargs"]["enable_thinking"], false);
        assert!(endpoint.body(&request(false)).get("logprobs").is_none());
        endpoint.newer_name.store(true, Ordering::Relaxed);
        let body = endpoint.body(&request(false));
        assert!(body.get("max_tokens").is_none() && body["max_completion_tokens"] == 7, "{body}");
        assert_eq!(
            endpoint.identity(),
            r#"endpoint "m" [["chat_template_kwargs",{"enable_thinking":false}]]"#
        );
    }

    #[test]
    fn answers_of_servers() {
        let text = r#"{"choices":[{"message":{"content":"Passage A"},"finish_reason":"length","logprobs":{"content":[
            {"top_logprobs":[{"token":"Passage","logprob":-0.1},{"token":"B","logprob":-3}]}]}}],
            "usage":{"prompt_tokens":11,"completion_tokens":2}}"#;
        let answer = read(text, &request(true)).unwrap();
        assert_eq!((answer.text.as_str(), answer.truncated), ("Passage A", true));
        assert_eq!((answer.prompt_tokens, answer.completion_tokens), (11, 2));
        assert_eq!(answer.first, [("Passage".to_owned(), -0.1), ("B".to_owned(), -3.0)]);
        let bare = read(r#"{"choices":[{"message":{"content":null}}]}"#, &request(true)).unwrap();
        assert_eq!((bare.text.as_str(), bare.first.len(), bare.completion_tokens), ("", 0, 0));
        assert!(bare.prompt_tokens > 30);
        for bad in [
            "",
            "<html>",
            "{}",
            r#"{"choices":[]}"#,
            r#"{"choices":[{}]}"#,
            r#"{"choices":[{"message":{"content":4}}]}"#,
        ] {
            assert!(read(bad, &request(false)).is_err(), "{bad}");
        }
    }
}
