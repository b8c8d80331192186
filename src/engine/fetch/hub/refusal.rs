//! What an error response of the hub means, and what to do about it.
//!
//! **Source:** huggingface_hub `utils/_http.py`, `hf_raise_for_status`: the header `X-Error-Code` names the error, and a
//! missing repository is answered like a private one.

use ureq::http::HeaderMap;

use super::client::{Client, Refused, quoted};
use crate::fetch::http;
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_base::task::Failure;

/// What was requested, for messages.
pub(super) struct Refusal<'a> {
    pub client: &'a Client,
    pub model: &'a str,
    pub revision: &'a str,
    /// The file, or `its files`.
    pub what: &'a str,
}

impl Refused for Refusal<'_> {
    fn of(&self, code: u16, headers: &HeaderMap) -> Failure {
        let Self { client, model, revision, what } = self;
        let page = format!("{}/{model}", client.endpoint);
        let sent = client.token.is_some();
        let told = http::text(headers, "x-error-message").unwrap_or_default();
        let named = http::named(code);
        match (http::text(headers, "x-error-code").unwrap_or_default(), code) {
            (_, 401) if sent && told.contains("nvalid credentials") => {
                Failure::missing(format!("the hub does not accept the token that was sent for {model} ({named})"))
                    .help("the token in HF_TOKEN, or in the file that `hf auth login` wrote, is expired or incomplete: create a new one, or unset it")
            }
            ("GatedRepo", _) => {
                let failure = Failure::missing(format!(
                    "the model {model} is gated: its authors require you to accept their conditions ({named})"
                ));
                failure.help(match sent {
                    true => format!(
                        "accept the conditions at {page} with the account of the token that was sent; a fine-grained token \
                         also needs permission to read gated repositories"
                    ),
                    false => format!("accept the conditions at {page}, then set HF_TOKEN to a token of that account"),
                })
            }
            ("DisabledRepo", _) => Failure::missing(format!("the hub has disabled the model {model} ({named})"))
                .help(format!("its page says why: {page}")),
            ("RevisionNotFound", _) => {
                Failure::missing(format!("the model {model} has no revision `{revision}` ({named})"))
                    .help("use a branch, tag or commit that its page lists; remove the pin from the lock file if that commit no longer exists")
            }
            ("EntryNotFound", _) => {
                Failure::missing(format!("the model {model} has no {what} at `{revision}` ({named})"))
                    .help(format!("its files are listed at {page}/tree/main"))
            }
            (_, 401 | 404) => self.not_there(&named, sent),
            (_, 403) => Failure::missing(format!("the hub denies access to {what} of the model {model} ({named})")).help(
                match sent {
                    true => format!("the account of the token that was sent has no access: see {page}"),
                    false => format!("see {page}; if it requires an account, set HF_TOKEN to a token"),
                },
            ),
            _ => Failure::missing(format!("cannot fetch {what} of {model} at `{revision}`: the hub answers {named}"))
                .help(format!("see {page}")),
        }
    }
}

impl Refusal<'_> {
    fn not_there(&self, named: &str, sent: bool) -> Failure {
        let model = self.model;
        let failure = match sent {
            true => Failure::missing(format!(
                "the hub has no model {model} that the account of the token can access ({named})"
            )),
            false => Failure::missing(format!("the hub has no public model {model} ({named})")),
        };
        let known = self.similar();
        let near = did_you_mean(model, known.iter().map(String::as_str));
        let token = match sent {
            true => "a private model needs a token with read access",
            false => "for a private model, set HF_TOKEN to a token with read access",
        };
        failure.help(match near {
            Some(near) => format!("{near} {token}"),
            None => format!("check {}/{model}; {token}", self.client.endpoint),
        })
    }

    /// Models with similar names, or of the same owner.
    fn similar(&self) -> Vec<String> {
        let (owner, last) = self.model.split_once('/').unwrap_or(("", self.model));
        let mut asked = vec![format!("search={}", quoted(last, ""))];
        if !owner.is_empty() {
            asked.push(format!("author={}", quoted(owner, "")));
        }
        let mut names = Vec::new();
        for query in asked {
            let Some(list) = self.client.json_once(&format!("/api/models?{query}&limit=200")) else {
                continue;
            };
            names.extend(
                list.as_array().into_iter().flatten().filter_map(|m| m["id"].as_str()).map(str::to_owned),
            );
        }
        names.retain(|n| n.len() <= 96 && n.bytes().all(|b| b.is_ascii_graphic()));
        names
    }
}
