//! What every request over the network has in common: who asks, whose certificates are believed, and which troubles no
//! second try mends. Must not know: what is asked for.

use std::sync::{Arc, OnceLock};

use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;
use ureq::{Agent, Error};

/// The settings that every agent begins with.
pub fn agent() -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("xpipe/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(believed().roots.clone()).build())
}

/// Why a request will fail the next time as well, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hopeless {
    /// What is wrong, as the end of a sentence.
    pub why: String,
    /// What to do.
    pub help: String,
}

/// Tells a trouble of certificates or protocols from one that may pass.
pub fn hopeless(error: &Error) -> Option<Hopeless> {
    match error {
        // Damage on the way has these names, too; what is a connection between two that do not fit has them at once.
        Error::Io(_) | Error::Rustls(_) | Error::Tls(_) => of_text(&error.to_string()),
        _ => None,
    }
}

fn of_text(text: &str) -> Option<Hopeless> {
    let after = |start: &str| text.split_once(start).map(|(_, rest)| rest.trim().to_owned());
    if let Some(which) = after("invalid peer certificate:") {
        let mut help = "a server that is asked through a proxy or within an organisation may have a certificate of \
            the organisation's own: name the file of its authority in SSL_CERT_FILE, or add it to the system's store"
            .to_owned();
        if which.starts_with("Expired") || which.contains("expired") {
            "the certificate is over, or this machine's clock is wrong".clone_into(&mut help);
        } else if which.starts_with("NotValidForName") || which.contains("not valid for name") {
            "the certificate is another host's: check the address".clone_into(&mut help);
        }
        let troubles = &believed().troubles;
        if !troubles.is_empty() {
            help = format!("{help} (certificates that could not be read: {})", troubles.join("; "));
        }
        return Some(Hopeless {
            why: format!("the server's certificate is not to be trusted: {which}"),
            help,
        });
    }
    let never = ["received fatal alert", "peer is incompatible", "received corrupt message"];
    never.iter().any(|n| text.contains(n)).then(|| Hopeless {
        why: format!("no secure connection comes about: {text}"),
        help: "the server may speak plain http at this port, or only versions of TLS before 1.2".to_owned(),
    })
}

/// The authorities that are believed.
struct Believed {
    roots: RootCerts,
    /// Files that should have had some and could not be read.
    troubles: Vec<String>,
}

/// SSL_CERT_FILE and SSL_CERT_DIR when one is set, else the system's store, and where there is none Mozilla's list as of
/// the time when this program was built.
fn believed() -> &'static Believed {
    static BELIEVED: OnceLock<Believed> = OnceLock::new();
    BELIEVED.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        let asked = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
        let asked = asked.iter().any(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty()));
        let troubles =
            if asked { found.errors.iter().map(ToString::to_string).collect() } else { Vec::new() };
        let certificates: Vec<Certificate<'static>> =
            found.certs.iter().map(|c| Certificate::from_der(c).to_owned()).collect();
        let roots = match certificates.is_empty() && !asked {
            true => RootCerts::WebPki,
            // What was asked for and holds none is believed as well: then nobody is.
            false => RootCerts::Specific(Arc::new(certificates)),
        };
        Believed { roots, troubles }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_second_try_mends_is_told_from_what_may_pass() {
        let why = |text: &str| hopeless(&Error::Io(std::io::Error::other(text))).map(|h| (h.why, h.help));
        let (told, help) = why("invalid peer certificate: UnknownIssuer").unwrap();
        assert!(
            told.ends_with("not to be trusted: UnknownIssuer") && help.contains("SSL_CERT_FILE"),
            "{told}"
        );
        assert!(why("invalid peer certificate: Expired").unwrap().1.contains("clock"));
        assert!(
            why("invalid peer certificate: certificate not valid for name \"a\"")
                .unwrap()
                .1
                .contains("another host")
        );
        assert!(why("received fatal alert: ProtocolVersion").is_some());
        assert!(why("received corrupt message of type InvalidContentType").is_some());
        assert_eq!(why("connection reset by peer"), None);
        assert_eq!(hopeless(&Error::HostNotFound), None);
    }
}
