//! One HTTP request: the bytes of an address from a given offset.

use std::io::Read;
use std::sync::OnceLock;
use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::{Agent, Body, Error};

use crate::net::{self, is_transient, retry_after};
use xpipe_base::task::Failure;
use xpipe_base::value::Address;

/// Time without a byte after which a connection counts as lost.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Time to resolve a name, and to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// The content of a successful response.
pub(super) struct Content {
    /// Offset of the first byte.
    pub start: u64,
    /// Size of the whole file.
    pub total: Option<u64>,
    /// Identifies this version of the file, for `If-Range`.
    pub validator: Option<String>,
    pub body: Box<dyn Read>,
}

/// Why there is no content.
pub(super) enum RequestError {
    /// A retry may succeed.
    Transient {
        why: String,
        /// The wait that the server asks for.
        retry_after: Option<Duration>,
        /// Whether a server was reached.
        reached: bool,
    },
    /// The requested range does not exist: start at the first byte.
    Restart,
    /// No retry will succeed.
    Permanent(Failure),
}

impl RequestError {
    pub(super) fn transient(why: &str) -> Self {
        Self::Transient { why: why.to_owned(), retry_after: None, reached: true }
    }
}

/// The parameters of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub url: &'a str,
    /// Whether only the headers are wanted.
    pub head: bool,
    /// Offset of the first byte.
    pub from: u64,
    /// With an offset: the version that the earlier bytes are of. The server sends another version from its first byte.
    pub validator: Option<&'a str>,
    /// The header `Authorization`.
    pub authorization: Option<&'a str>,
    /// Whether redirections are followed.
    pub follow: bool,
}

/// Requests the bytes from offset `from` of a file whose version `validator` identifies.
pub(super) fn get(url: &Address, from: u64, validator: Option<&str>) -> Result<Content, RequestError> {
    let request =
        Request { url: url.whole(), head: false, from, validator, authorization: None, follow: true };
    content(send(&request)?, &|code, _| refusal(url, code))
}

/// Sends a request. A response of any status is `Ok`.
pub(super) fn send(asked: &Request<'_>) -> Result<Response<Body>, RequestError> {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    let agent = AGENT.get_or_init(|| {
        net::agent()
            // Digests are of the files as the server has them, not as it may compress them.
            .accept_encoding("identity")
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(READ_TIMEOUT))
            .timeout_recv_response(Some(2 * READ_TIMEOUT))
            .build()
            .new_agent()
    });
    let url = asked.url;
    let mut request = if asked.head { agent.head(url) } else { agent.get(url) };
    // Azure's storage, which serves MS MARCO, accepts ranges without an end since this version.
    if url.contains(".core.windows.net/") {
        request = request.header("x-ms-version", "2019-12-12");
    }
    if let Some(authorization) = asked.authorization {
        request = request.header("Authorization", authorization);
    }
    if asked.from > 0 {
        request = request.header("Range", format!("bytes={}-", asked.from));
        if let Some(validator) = asked.validator {
            request = request.header("If-Range", validator);
        }
    }
    if !asked.follow {
        request = request.config().max_redirects(0).build();
    }
    request.call().map_err(|e| network_error(&url.into(), &e))
}

/// The content of a response; `refusal` explains a status that is permanent.
pub(super) fn content(
    response: Response<Body>,
    refusal: &dyn Fn(u16, &HeaderMap) -> Failure,
) -> Result<Content, RequestError> {
    let status = response.status();
    let headers = response.headers();
    let length = number(headers, "content-length");
    let (start, total) = match status.as_u16() {
        200 => (0, length),
        206 => {
            let Some((start, total)) = text(headers, "content-range").and_then(range) else {
                return Err(RequestError::transient("the server sends a part without its range"));
            };
            (start, total.or_else(|| Some(start + length?)))
        }
        416 => return Err(RequestError::Restart),
        code => return Err(status_error(code, headers, refusal)),
    };
    let validator = validator_of(headers);
    Ok(Content {
        start,
        total,
        validator,
        body: Box::new(response.into_body().into_reader()) as Box<dyn Read>,
    })
}

pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

pub(super) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.trim().parse().ok()
}

/// The value for `If-Range`: a strong entity tag, else the time of the last change (RFC 9110, 13.1.5).
fn validator_of(headers: &HeaderMap) -> Option<String> {
    let strong = text(headers, "etag").filter(|t| t.starts_with('"'));
    strong.or_else(|| text(headers, "last-modified")).map(str::to_owned)
}

/// First byte and size of `bytes 100-199/200`.
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    Some((range.split_once('-')?.0.trim().parse().ok()?, total.trim().parse().ok()))
}

/// The error of a status that is not a success.
pub(super) fn status_error(
    code: u16,
    headers: &HeaderMap,
    refusal: &dyn Fn(u16, &HeaderMap) -> Failure,
) -> RequestError {
    if !is_transient(code) {
        return RequestError::Permanent(refusal(code, headers));
    }
    let retry_after = retry_after(headers);
    RequestError::Transient { why: format!("the server answers {}", named(code)), retry_after, reached: true }
}

/// A status with its name: `404 Not Found`.
pub(super) fn named(code: u16) -> String {
    let name = StatusCode::from_u16(code).ok().and_then(|s| s.canonical_reason()).unwrap_or_default();
    format!("{code} {name}").trim_end().to_owned()
}

fn refusal(url: &Address, code: u16) -> Failure {
    Failure::missing(format!("cannot fetch {url}: the server answers {}", named(code))).help(match code {
        401 | 403 => {
            "the server requires you to accept terms or to log in first: fetch it yourself, and declare it with \
             `local { … }` or give its folder with `--mirror`"
        }
        404 | 410 => {
            "the file is no longer at this address: look for the new one, or give the folder that has it with `--mirror`"
        }
        _ => "try the address with another program; a folder that has the file is given with `--mirror`",
    })
}

fn network_error(url: &Address, e: &Error) -> RequestError {
    let transient = |why: String, reached: bool| RequestError::Transient {
        why: url.clean(&why),
        retry_after: None,
        reached,
    };
    if let Some(permanent) = net::permanent(e) {
        let message = format!("cannot fetch {url}: {}", permanent.why);
        return RequestError::Permanent(Failure::missing(message).help(permanent.help));
    }
    match e {
        Error::Timeout(what) => transient(format!("timed out ({what})"), true),
        Error::HostNotFound => transient("unknown host, or no network".into(), false),
        Error::ConnectionFailed => transient("no connection".into(), false),
        Error::Io(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
            transient("the connection was refused".into(), false)
        }
        // How the system's resolver says that it knows no such host.
        Error::Io(e) if e.to_string().contains("failed to lookup address") => {
            transient(format!("unknown host, or no network: {e}"), false)
        }
        Error::Io(e) => transient(format!("the connection was lost: {e}"), true),
        Error::Protocol(_) => transient(format!("the response is damaged: {e}"), true),
        other => RequestError::Permanent(
            Failure::missing(url.clean(&format!("cannot fetch {url}: {other}"))).help(
                "try the address with another program; a folder that has the file is given with `--mirror`",
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(ureq::http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn parts_say_where_they_begin() {
        assert_eq!(range("bytes 100-199/200"), Some((100, Some(200))));
        assert_eq!(range("bytes 0-9/*"), Some((0, None)));
        assert_eq!((range("bytes */200"), range("items 1-2/3")), (None, None));
    }

    #[test]
    fn a_weak_tag_is_no_reason_to_go_on() {
        assert_eq!(validator_of(&headers("etag", "\"abc\"")).as_deref(), Some("\"abc\""));
        assert_eq!(validator_of(&headers("etag", "W/\"abc\"")), None);
    }
}
