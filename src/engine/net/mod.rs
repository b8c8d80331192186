//! What all requests over the network share: the agent's settings, the certificates that are trusted, which errors no
//! retry mends, and `Retry-After`. Must not know: what is asked for.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ureq::config::ConfigBuilder;
use ureq::http::HeaderMap;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;
use ureq::{Agent, Error};

/// The settings that every agent starts from.
pub fn agent() -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("xpipe/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(trusted().roots.clone()).build())
}

/// An error that every retry would meet again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermanentError {
    /// What is wrong, as the end of a sentence.
    pub why: String,
    /// What to do.
    pub help: String,
}

/// Tells errors of certificates and protocols, which are permanent, from those that may pass.
pub fn permanent(error: &Error) -> Option<PermanentError> {
    match error {
        Error::Io(_) | Error::Rustls(_) | Error::Tls(_) => of_text(&error.to_string()),
        _ => None,
    }
}

/// The library has no type for most of these errors: they are told by their text.
fn of_text(text: &str) -> Option<PermanentError> {
    let after = |start: &str| text.split_once(start).map(|(_, rest)| rest.trim().to_owned());
    if let Some(which) = after("invalid peer certificate:") {
        let mut help =
            "behind a proxy or within an organisation, servers may have certificates of the organisation's \
            own authority: set SSL_CERT_FILE to the authority's certificate, or add it to the system's store"
                .to_owned();
        if which.starts_with("Expired") || which.contains("expired") {
            "the certificate has expired, or this machine's clock is wrong".clone_into(&mut help);
        } else if which.starts_with("NotValidForName") || which.contains("not valid for name") {
            "the certificate was issued for another host: check the address".clone_into(&mut help);
        }
        let unreadable = &trusted().unreadable;
        if !unreadable.is_empty() {
            help = format!("{help} (certificates that could not be read: {})", unreadable.join("; "));
        }
        return Some(PermanentError {
            why: format!("the server's certificate is not trusted: {which}"),
            help,
        });
    }
    let never = ["received fatal alert", "peer is incompatible", "received corrupt message"];
    never.iter().any(|n| text.contains(n)).then(|| PermanentError {
        why: format!("no secure connection can be made: {text}"),
        help: "the server may speak plain http at this port, or only TLS versions before 1.2".to_owned(),
    })
}

/// The certificate authorities that are trusted.
struct Trusted {
    roots: RootCerts,
    /// Why files that should hold certificates could not be read.
    unreadable: Vec<String>,
}

/// SSL_CERT_FILE and SSL_CERT_DIR if one is set, else the system's store, and if that is empty Mozilla's list as of the
/// build of this program.
fn trusted() -> &'static Trusted {
    static TRUSTED: OnceLock<Trusted> = OnceLock::new();
    TRUSTED.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        let configured = ["SSL_CERT_FILE", "SSL_CERT_DIR"]
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty()));
        let unreadable =
            if configured { found.errors.iter().map(ToString::to_string).collect() } else { Vec::new() };
        let certificates: Vec<Certificate<'static>> =
            found.certs.iter().map(|c| Certificate::from_der(c).to_owned()).collect();
        let roots = match certificates.is_empty() && !configured {
            true => RootCerts::WebPki,
            // A configured store without certificates is used as well: then nobody is trusted.
            false => RootCerts::Specific(Arc::new(certificates)),
        };
        Trusted { roots, unreadable }
    })
}

/// Whether a status says that the same request may succeed later.
pub fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// How long a server asks to wait (`Retry-After`): seconds or a date.
///
/// **Source:** RFC 9110, 10.2.3.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    wait_from(headers.get("retry-after")?.to_str().ok()?.trim(), jiff::Timestamp::now())
}

fn wait_from(text: &str, now: jiff::Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::from_secs(u64::try_from(date.as_second() - now.as_second()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permanent_errors_are_told_from_those_that_may_pass() {
        let why = |text: &str| permanent(&Error::Io(std::io::Error::other(text))).map(|e| (e.why, e.help));
        let (told, help) = why("invalid peer certificate: UnknownIssuer").unwrap();
        assert!(told.ends_with("not trusted: UnknownIssuer") && help.contains("SSL_CERT_FILE"), "{told}");
        assert!(why("invalid peer certificate: Expired").unwrap().1.contains("clock"));
        let other = why("invalid peer certificate: certificate not valid for name \"a\"").unwrap();
        assert!(other.1.contains("another host"), "{other:?}");
        assert!(why("received fatal alert: ProtocolVersion").is_some());
        assert!(why("received corrupt message of type InvalidContentType").is_some());
        assert_eq!(why("connection reset by peer"), None);
        assert_eq!(permanent(&Error::HostNotFound), None);
    }

    #[test]
    fn the_wait_is_seconds_or_a_date() {
        let now = "2026-11-26T10:00:00Z".parse().unwrap();
        let wait = |value: &str| wait_from(value, now).map(|d| d.as_millis());
        assert_eq!(wait("17"), Some(17_000));
        assert_eq!(wait("1.5"), Some(1500));
        assert_eq!(wait("Thu, 26 Nov 2026 10:01:30 GMT"), Some(90_000));
        assert_eq!(wait("Thu, 26 Nov 2026 09:00:00 GMT"), Some(0));
        assert_eq!((wait("soon"), wait("-3"), wait("NaN")), (None, None, None));
        let name = ureq::http::HeaderName::from_static("retry-after");
        let headers = HeaderMap::from_iter([(name, " 3 ".parse().unwrap())]);
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(3)));
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
