//! Requests to the hub. The hub redirects to other hosts for the bytes of large files; the token is sent to the hub's
//! own host only.

use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Response};
use ureq::{Body, http::header::LOCATION};

use super::Token;
use crate::fetch::http::{self, Content, Request, RequestError};
use xpipe_base::task::retry::{Retry, wait_until};
use xpipe_base::task::{Failure, Progress};
use xpipe_base::value::address::public;

/// Redirections of one request.
const MAX_REDIRECTIONS: usize = 6;
/// Attempts at a small request.
const MAX_ATTEMPTS: u32 = 4;
/// Of them, attempts that reach no server.
const MAX_UNREACHED: u32 = 2;
/// The longest wait between them.
const MAX_WAIT: Duration = Duration::from_secs(120);
/// Size of a JSON response, in bytes: lists of files take some hundred bytes per file.
const MAX_JSON: u64 = 64 << 20;

/// A client of a hub.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) endpoint: String,
    pub(super) token: Option<Token>,
}

/// What the headers of the hub say of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FileHeaders {
    pub commit: Option<String>,
    pub etag: Option<String>,
    pub size: Option<u64>,
}

/// The last response to a request, and what the hub said of the file on the way to it.
struct Reply {
    said: FileHeaders,
    /// Whether it redirects to another host, which was not asked.
    elsewhere: bool,
    response: Response<Body>,
}

impl Client {
    /// The hub that the environment names (HF_ENDPOINT), with the token of the environment.
    pub fn of_environment() -> Self {
        Self::new(super::endpoint(), super::token())
    }

    /// The hub at an address.
    pub fn new(endpoint: String, token: Option<Token>) -> Self {
        Self { endpoint, token }
    }

    /// The address of a file of a model.
    pub(super) fn address(&self, model: &str, commit: &str, file: &str) -> String {
        format!("{}/{model}/resolve/{}/{}", self.endpoint, quoted(commit, ""), quoted(file, "/"))
    }

    /// Makes one request and follows redirections. With `head`, other hosts are not asked.
    fn ask(&self, url: &str, head: bool, from: u64, validator: Option<&str>) -> Result<Reply, RequestError> {
        let home = origin(&self.endpoint);
        let (mut url, mut said) = (url.to_owned(), FileHeaders::default());
        let token = self.token.as_ref().map(Token::header);
        for _ in 0..MAX_REDIRECTIONS {
            let ours = origin(&url) == home;
            let authorization = token.as_deref().filter(|_| ours);
            let response =
                http::send(&Request { url: &url, head, from, validator, authorization, follow: false })?;
            if ours {
                said.add(response.headers(), response.status().is_redirection());
            }
            if !response.status().is_redirection() {
                return Ok(Reply { said, elsewhere: false, response });
            }
            let to = response.headers().get(LOCATION).and_then(|l| l.to_str().ok());
            let next = to.and_then(|to| resolved(&url, to)).ok_or_else(|| {
                RequestError::Permanent(Failure::missing(format!(
                    "{} redirects to an invalid address",
                    public(&url)
                )))
            })?;
            if head && origin(&next) != home {
                return Ok(Reply { said, elsewhere: true, response });
            }
            url = next;
        }
        Err(RequestError::Permanent(Failure::missing(format!("{}: too many redirections", public(&url)))))
    }

    /// The bytes of a file from an offset.
    pub(super) fn bytes(
        &self,
        url: &str,
        from: u64,
        validator: Option<&str>,
        refusal: &dyn Refused,
    ) -> Result<Content, RequestError> {
        let reply = self.ask(url, false, from, validator)?;
        http::content(reply.response, &|code, headers| refusal.of(code, headers))
    }

    /// What the hub says of a file; `None` when there is no such file.
    pub(super) fn head(
        &self,
        url: &str,
        refusal: &dyn Refused,
        progress: &dyn Progress,
    ) -> Result<Option<FileHeaders>, Failure> {
        with_retries(url, progress, || {
            let reply = self.ask(url, true, 0, None)?;
            let (code, headers) = (reply.response.status().as_u16(), reply.response.headers());
            match code {
                _ if reply.elsewhere => Ok(Some(reply.said)),
                200..=299 => Ok(Some(reply.said)),
                404 if !is_final(headers) => Ok(None),
                _ => Err(http::status_error(code, headers, &|code, headers| refusal.of(code, headers))),
            }
        })
    }

    /// A JSON response; `None` when the server has no such service.
    pub(super) fn json(
        &self,
        path: &str,
        refusal: &dyn Refused,
        progress: &dyn Progress,
    ) -> Result<Option<serde_json::Value>, Failure> {
        let url = format!("{}{path}", self.endpoint);
        with_retries(&url, progress, || {
            let reply = self.ask(&url, false, 0, None)?;
            let (code, headers) = (reply.response.status().as_u16(), reply.response.headers());
            match code {
                200 => parsed(reply.response),
                404 | 405 | 410 | 501 if !is_final(headers) => Ok(None),
                _ => Err(http::status_error(code, headers, &|code, headers| refusal.of(code, headers))),
            }
        })
    }

    /// A JSON response that only improves a suggestion: one attempt, `None` when it fails.
    pub(super) fn json_once(&self, path: &str) -> Option<serde_json::Value> {
        let reply = self.ask(&format!("{}{path}", self.endpoint), false, 0, None).ok()?;
        (reply.response.status() == 200).then(|| parsed(reply.response).ok().flatten())?
    }
}

/// What a request that the hub refused comes to.
pub(super) trait Refused {
    /// The failure for a status.
    fn of(&self, code: u16, headers: &HeaderMap) -> Failure;
}

/// Whether the hub itself refuses, not a server without such a service.
fn is_final(headers: &HeaderMap) -> bool {
    let code = http::text(headers, "x-error-code");
    matches!(code, Some("RepoNotFound" | "RevisionNotFound" | "GatedRepo" | "DisabledRepo"))
}

/// The JSON of a response. A plain file server may answer everything with a page.
fn parsed(response: Response<Body>) -> Result<Option<serde_json::Value>, RequestError> {
    let bytes = response.into_body().into_with_config().limit(MAX_JSON).read_to_vec();
    let bytes = bytes.map_err(|e| RequestError::transient(&format!("the response is damaged: {e}")))?;
    Ok(serde_json::from_slice(&bytes).ok())
}

impl FileHeaders {
    /// Adds the headers of a response. Size and tag of a redirection are its own, not the file's.
    fn add(&mut self, headers: &HeaderMap, redirected: bool) {
        let text = |name: &str| http::text(headers, name).map(str::to_owned);
        let tag = |name: &str| text(name).map(|t| t.trim_start_matches("W/").trim_matches('"').to_owned());
        self.commit = self.commit.take().or_else(|| text("x-repo-commit"));
        let own = |name: &str| (!redirected).then(|| tag(name)).flatten();
        self.etag = tag("x-linked-etag").or_else(|| self.etag.take()).or_else(|| own("etag"));
        let sized = || (!redirected).then(|| http::number(headers, "content-length")).flatten();
        self.size = http::number(headers, "x-linked-size").or(self.size).or_else(sized);
    }
}

/// Makes a request until it succeeds, as often as that is sensible.
fn with_retries<T>(
    url: &str,
    progress: &dyn Progress,
    request: impl Fn() -> Result<T, RequestError>,
) -> Result<T, Failure> {
    let mut retry = Retry::new(MAX_ATTEMPTS).unlikely(MAX_UNREACHED);
    loop {
        let (why, retry_after, reached) = match request() {
            Ok(response) => return Ok(response),
            Err(RequestError::Permanent(failure)) => return Err(failure),
            Err(RequestError::Restart) => ("the server has no such range".to_owned(), None, true),
            Err(RequestError::Transient { why, retry_after, reached }) => (why, retry_after, reached),
        };
        let Some(wait) = retry.failed(!reached, retry_after).filter(|wait| *wait <= MAX_WAIT) else {
            return Err(Failure::missing(format!("the hub does not answer ({}): {why}", public(url))));
        };
        if !wait_until(Instant::now() + wait, &|| progress.cancelled()) {
            return Err(Failure::interrupted());
        }
    }
}

/// Scheme and authority of an address: the server that a request goes to.
fn origin(url: &str) -> &str {
    let Some((scheme, rest)) = url.split_once("://") else { return "" };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    &url[..scheme.len() + 3 + end]
}

/// The redirection target `to`, seen from the address `from`. HTTPS is never redirected to plain HTTP.
fn resolved(from: &str, to: &str) -> Option<String> {
    let (home, scheme) = (origin(from), from.split_once("://")?.0);
    let next = match to {
        _ if to.starts_with("https://") || to.starts_with("http://") => to.to_owned(),
        _ if to.starts_with("//") => format!("{scheme}:{to}"),
        _ if to.starts_with('/') => format!("{home}{to}"),
        _ if to.contains("://") => return None,
        _ => {
            let path = from.split(['?', '#']).next().unwrap_or(from);
            format!("{}/{to}", path.get(..path.rfind('/')?)?)
        }
    };
    (!(scheme == "https" && next.starts_with("http://"))).then_some(next)
}

/// Percent-encodes a text for an address, except the characters in `keep`.
pub(super) fn quoted(text: &str, keep: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b) || keep.as_bytes().contains(&b);
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match plain(b) {
            true => out.push(char::from(b)),
            false => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_an_address_goes_to() {
        for (url, to) in [
            ("https://huggingface.co/a/b", "https://huggingface.co"),
            ("https://huggingface.co?x=/", "https://huggingface.co"),
            ("https://huggingface.co@other.org/a", "https://huggingface.co@other.org"),
            ("https://huggingface.co.other.org/a", "https://huggingface.co.other.org"),
            ("http://127.0.0.1:80/a", "http://127.0.0.1:80"),
            ("nonsense", ""),
        ] {
            assert_eq!(origin(url), to, "{url}");
        }
    }

    #[test]
    fn where_a_redirection_leads() {
        let at = "https://hub.org/a/b?c=/d";
        for (to, expected) in [
            ("/x/y", Some("https://hub.org/x/y")),
            ("z", Some("https://hub.org/a/z")),
            ("//cdn.org/x", Some("https://cdn.org/x")),
            ("https://cdn.org/x", Some("https://cdn.org/x")),
            ("http://cdn.org/x", None),
            ("ftp://cdn.org/x", None),
        ] {
            assert_eq!(resolved(at, to).as_deref(), expected, "{to}");
        }
        assert_eq!(resolved("http://a.org/b", "http://c.org/").as_deref(), Some("http://c.org/"));
    }

    #[test]
    fn what_is_said_of_a_file_is_not_said_of_a_redirection() {
        let headers = |of: &[(&'static str, &str)]| {
            let one = |(n, v): &(&'static str, &str)| {
                (ureq::http::HeaderName::from_static(n), v.parse::<ureq::http::HeaderValue>().unwrap())
            };
            HeaderMap::from_iter(of.iter().map(one))
        };
        let mut said = FileHeaders::default();
        said.add(&headers(&[("content-length", "1100"), ("etag", "\"page\""), ("x-repo-commit", "c")]), true);
        assert_eq!(said, FileHeaders { commit: Some("c".into()), etag: None, size: None });
        said.add(
            &headers(&[("x-linked-size", "9"), ("x-linked-etag", "\"abc\""), ("content-length", "7")]),
            true,
        );
        assert_eq!((said.size, said.etag.as_deref()), (Some(9), Some("abc")));
        let mut said = FileHeaders::default();
        said.add(&headers(&[("content-length", "5"), ("etag", "W/\"x\"")]), false);
        assert_eq!((said.size, said.etag.as_deref()), (Some(5), Some("x")));
    }

    #[test]
    fn names_in_addresses() {
        assert_eq!(quoted("refs/pr/1", ""), "refs%2Fpr%2F1");
        assert_eq!(quoted("1_Pooling/config ü.json", "/"), "1_Pooling/config%20%C3%BC.json");
    }
}
