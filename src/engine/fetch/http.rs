//! One request: the bytes of an address from some place on.

use std::io::Read;
use std::sync::OnceLock;
use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::{Agent, Body, Error};

use super::download::{Answer, Trouble};
use crate::net;
use xpipe_base::task::Failure;
use xpipe_base::value::Address;

/// Seconds without a byte after which a connection counts as cut.
const SILENCE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(20);

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub url: &'a str,
    /// Only the headers of the answer.
    pub head: bool,
    /// The place of the first byte.
    pub from: u64,
    /// With a place: only when the file is still the same.
    pub validator: Option<&'a str>,
    /// The header `Authorization`.
    pub authorization: Option<&'a str>,
    /// Whether the answer may come from where the server points to.
    pub follow: bool,
}

/// Asks for the bytes from `from` on; with `validator` only when the file is still the same.
pub(super) fn get(url: &Address, from: u64, validator: Option<&str>) -> Result<Answer, Trouble> {
    let asked = Request { url: url.whole(), head: false, from, validator, authorization: None, follow: true };
    answer(send(&asked)?, &|code, _| refusal(url, code))
}

/// Sends a request; any status is an answer.
pub(super) fn send(asked: &Request<'_>) -> Result<Response<Body>, Trouble> {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    let agent = AGENT.get_or_init(|| {
        net::agent()
            // Digests are those of the files as they lie there.
            .accept_encoding("identity")
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(SILENCE))
            .timeout_recv_response(Some(2 * SILENCE))
            .build()
            .new_agent()
    });
    let url = asked.url;
    let mut request = if asked.head { agent.head(url) } else { agent.get(url) };
    // Azure's storage, where MS MARCO lies, knows ranges without an end from this version on.
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
    request.call().map_err(|e| trouble(&url.into(), &e))
}

/// The bytes of an answer; `refusal` tells why a status that no retry mends is one.
pub(super) fn answer(
    response: Response<Body>,
    refusal: &dyn Fn(u16, &HeaderMap) -> Failure,
) -> Result<Answer, Trouble> {
    let status = response.status();
    let headers = response.headers();
    let length = number(headers, "content-length");
    let (start, total) = match status.as_u16() {
        200 => (0, length),
        206 => {
            let Some((start, total)) = text(headers, "content-range").and_then(range) else {
                return Err(Trouble::again("the server answers a part without saying which"));
            };
            (start, total.or_else(|| Some(start + length?)))
        }
        416 => return Err(Trouble::Restart),
        code => return Err(refused(code, headers, refusal)),
    };
    let validator = validator_of(headers);
    Ok(Answer {
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

/// What `If-Range` takes: a strong entity tag, else the time of the last change (RFC 9110, 13.1.5).
fn validator_of(headers: &HeaderMap) -> Option<String> {
    let strong = text(headers, "etag").filter(|t| t.starts_with('"'));
    strong.or_else(|| text(headers, "last-modified")).map(str::to_owned)
}

/// First byte and size of `bytes 100-199/200`.
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    Some((range.split_once('-')?.0.trim().parse().ok()?, total.trim().parse().ok()))
}

/// How long the server asks to wait: seconds or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    let text = text(headers, "retry-after")?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::from_secs(u64::try_from(date.as_second() - now.as_second()).unwrap_or(0)))
}

/// What a status that is no success means: later, or never.
pub(super) fn refused(
    code: u16,
    headers: &HeaderMap,
    refusal: &dyn Fn(u16, &HeaderMap) -> Failure,
) -> Trouble {
    match code {
        408 | 425 | 429 | 500..=599 => {
            let after = retry_after(headers, jiff::Timestamp::now());
            Trouble::Again { why: format!("the server answers {}", named(code)), after, reached: true }
        }
        code => Trouble::Never(refusal(code, headers)),
    }
}

/// A status with its name.
pub(super) fn named(code: u16) -> String {
    let name = StatusCode::from_u16(code).ok().and_then(|s| s.canonical_reason()).unwrap_or_default();
    format!("{code} {name}").trim_end().to_owned()
}

fn refusal(url: &Address, code: u16) -> Failure {
    Failure::missing(format!("cannot fetch {url}: the server answers {}", named(code))).help(match code {
        401 | 403 => {
            "the publisher gives it out on conditions: fetch it yourself, and declare it with `local { … }` or give its \
             folder with `--mirror`"
        }
        404 | 410 => {
            "nothing lies at this address any more: look for the new one, or give the folder that has it with `--mirror`"
        }
        _ => "try the address with another program; a folder that has the file is given with `--mirror`",
    })
}

fn trouble(url: &Address, e: &Error) -> Trouble {
    let again = |why: String, reached: bool| Trouble::Again { why: url.clean(&why), after: None, reached };
    if let Some(hopeless) = net::hopeless(e) {
        let message = format!("cannot fetch {url}: {}", hopeless.why);
        return Trouble::Never(Failure::missing(message).help(hopeless.help));
    }
    match e {
        Error::Timeout(what) => again(format!("no answer in time ({what})"), true),
        Error::HostNotFound => again("there is no such host, or no network".into(), false),
        Error::ConnectionFailed => again("no connection".into(), false),
        Error::Io(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
            again("the connection is refused".into(), false)
        }
        Error::Io(e) => again(format!("the connection is cut: {e}"), true),
        Error::Protocol(_) => again(format!("the answer is damaged: {e}"), true),
        other => Trouble::Never(Failure::missing(url.clean(&format!("cannot fetch {url}: {other}"))).help(
            "try the address with another program; a folder that has the file is given with `--mirror`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(ureq::http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn the_wait_is_seconds_or_a_date() {
        let now = "2026-11-26T10:00:00Z".parse().unwrap();
        let wait = |value: &str| retry_after(&headers("retry-after", value), now).map(|d| d.as_secs());
        assert_eq!(wait("17"), Some(17));
        assert_eq!(wait("Thu, 26 Nov 2026 10:01:30 GMT"), Some(90));
        assert_eq!(wait("Thu, 26 Nov 2026 09:00:00 GMT"), Some(0));
        assert_eq!((wait("soon"), retry_after(&HeaderMap::new(), now)), (None, None));
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
