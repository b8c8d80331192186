//! Web addresses, which may contain credentials. Only their public part is shown and stored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Query parameters whose values are credentials, in lowercase.
const SECRET: [&str; 24] = [
    "access_key",
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "auth",
    "auth_token",
    "authorization",
    "awsaccesskeyid",
    "client_secret",
    "code",
    "credential",
    "jwt",
    "key",
    "pass",
    "passwd",
    "password",
    "pwd",
    "secret",
    "session",
    "sig",
    "signature",
    "token",
    "private_token",
];

/// Prefixes of the parameters of signed addresses, which change with every signature.
const SIGNED: [&str; 3] = ["x-amz-", "x-goog-", "x-oss-"];

/// Parameters of such signatures without a prefix.
const SIGNED_ALSO: [&str; 4] = ["expires", "policy", "key-pair-id", "googleaccessid"];

/// A web address. Messages, files and comparisons see its public part ([`public`]); only requests use the whole.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    public: Arc<str>,
    whole: Arc<str>,
}

impl Address {
    /// The whole address, for a request.
    pub fn whole(&self) -> &str {
        &self.whole
    }

    /// Removes the credentials of this address from a text.
    pub fn clean(&self, text: &str) -> String {
        without_secrets(text, &self.whole)
    }
}

impl From<&str> for Address {
    fn from(whole: &str) -> Self {
        Self { public: public(whole).into(), whole: whole.into() }
    }
}

impl std::ops::Deref for Address {
    type Target = str;

    fn deref(&self) -> &str {
        &self.public
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.public)
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", &*self.public)
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.public.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| text.as_str().into())
    }
}

/// Replaces a hidden value.
const HIDDEN: &str = "***";

/// An address without user, password, and the values of secret parameters.
///
/// Messages, records, lock files and reports hold this part. It also identifies an address, so that a new signature of
/// the same file is not a new download.
pub fn public(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let host = if scheme.is_some() {
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    } else {
        authority
    };
    let (rest, fragment) =
        rest.split_once('#').map_or((rest, None), |(rest, fragment)| (rest, Some(fragment)));
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let mut out = scheme.map_or(String::new(), |scheme| format!("{scheme}://"));
    out.push_str(host);
    out.push_str(path);
    if let Some(query) = query {
        let names: Vec<String> = query.split('&').map(name).collect();
        let signed = names.iter().any(|n| matches!(n.as_str(), "signature" | "sig"));
        let shown: Vec<String> =
            query.split('&').zip(&names).map(|(pair, name)| shown(pair, name, signed)).collect();
        out.push('?');
        out.push_str(&shown.join("&"));
    }
    if let Some(fragment) = fragment {
        out.push('#');
        out.push_str(fragment);
    }
    out
}

/// The name of a parameter, in lowercase.
fn name(pair: &str) -> String {
    pair.split('=').next().unwrap_or_default().to_ascii_lowercase()
}

fn shown(pair: &str, name: &str, signed: bool) -> String {
    let secret = SECRET.contains(&name)
        || SIGNED.iter().any(|s| name.starts_with(s))
        || (signed && SIGNED_ALSO.contains(&name));
    match pair.split_once('=') {
        Some((written, value)) if secret && !value.is_empty() => format!("{written}={HIDDEN}"),
        _ => pair.to_owned(),
    }
}

/// A text, for instance a study, with every address in it made public.
pub fn public_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let start =
            rest[..at].rfind(|c: char| !c.is_ascii_alphanumeric() && !"+.-".contains(c)).map_or(0, |i| i + 1);
        // `rfind` gives the place of an ASCII character or the start of a longer one.
        let start = (start..=at).find(|i| rest.is_char_boundary(*i)).unwrap_or(at);
        let after = at + "://".len();
        let end = rest[after..]
            .find(|c: char| c.is_whitespace() || "\"'`<>{}".contains(c))
            .map_or(rest.len(), |i| after + i);
        out.push_str(&rest[..start]);
        out.push_str(&public(&rest[start..end]));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// A text in which the secret parts of an address do not stand, whoever wrote it.
pub fn without_secrets(text: &str, url: &str) -> String {
    let public = public(url);
    if public == url {
        return text.to_owned();
    }
    let mut text = text.replace(url, &public);
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let mut parts: Vec<&str> = Vec::new();
    if let Some((user, _)) = rest[..end].rsplit_once('@') {
        parts.push(user);
        parts.extend(user.split_once(':').map(|(_, password)| password));
    }
    let query = rest.split_once('?').map_or("", |(_, query)| query.split('#').next().unwrap_or_default());
    parts.extend(
        query
            .split('&')
            .filter(|p| shown(p, &name(p), true) != **p)
            .filter_map(|p| Some(p.split_once('=')?.1)),
    );
    parts.retain(|p| p.len() > 3);
    parts.sort_by_key(|p| std::cmp::Reverse(p.len()));
    for part in parts {
        text = text.replace(part, HIDDEN);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_lets_in_is_shown() {
        for (url, expected) in [
            ("https://a.org/x/y.zip", "https://a.org/x/y.zip"),
            ("https://a.org/x?download=1#m", "https://a.org/x?download=1#m"),
            ("https://user:pw@a.org/x", "https://a.org/x"),
            ("https://user:p@w@a.org:8080?x=1", "https://a.org:8080?x=1"),
            ("https://token@a.org", "https://a.org"),
            ("https://a.org/@user/x@y", "https://a.org/@user/x@y"),
            ("https://a.org/x?a=b@c", "https://a.org/x?a=b@c"),
            ("https://a.org/x?Token=abc&v=2", "https://a.org/x?Token=***&v=2"),
            ("https://a.org/x?v=2&api_key=", "https://a.org/x?v=2&api_key="),
            (
                "https://s3.aws.com/b/k?X-Amz-Date=1&X-Amz-Signature=ab&versionId=3",
                "https://s3.aws.com/b/k?X-Amz-Date=***&X-Amz-Signature=***&versionId=3",
            ),
            (
                "https://cdn.org/x?Expires=17&Signature=q&Key-Pair-Id=K",
                "https://cdn.org/x?Expires=***&Signature=***&Key-Pair-Id=***",
            ),
            ("https://a.org/x?expires=never", "https://a.org/x?expires=never"),
            ("https://w.net/c?sv=2020&se=2030&sig=zz", "https://w.net/c?sv=2020&se=2030&sig=***"),
        ] {
            assert_eq!(public(url), expected, "{url}");
            assert_eq!(public(expected), expected, "{url}");
        }
    }

    #[test]
    fn an_address_shows_its_public_part_alone() {
        let address = Address::from("https://anna:s3cr3t@a.org/x?token=abcdef");
        let json = serde_json::to_string(&address).unwrap();
        for seen in [address.to_string(), format!("{address:?}"), json, (*address).to_owned()] {
            assert!(seen.contains("a.org/x?token=***") && !seen.contains("anna"), "{seen}");
        }
        assert_eq!(address.whole(), "https://anna:s3cr3t@a.org/x?token=abcdef");
    }

    #[test]
    fn a_study_is_shown_with_public_addresses() {
        let text = "download { url = \"https://u:pw@a.org/x?sig=q\" } # ü\u{1F600}http://v@b.org\nlast ://";
        let expected = "download { url = \"https://a.org/x?sig=***\" } # ü\u{1F600}http://b.org\nlast ://";
        assert_eq!(public_text(text), expected);
        assert_eq!(public_text("no address"), "no address");
    }

    #[test]
    fn texts_of_others_are_cleaned() {
        let url = "https://anna:s3cr3t@a.org/x?token=abcdef&v=1";
        for text in [url, "no anna:s3cr3t@a.org", "the password s3cr3t is wrong", "?token=abcdef is over"] {
            let clean = without_secrets(text, url);
            assert!(!clean.contains("s3cr3t") && !clean.contains("abcdef"), "{clean}");
        }
        assert_eq!(without_secrets("v=1 of a.org", url), "v=1 of a.org");
        assert_eq!(without_secrets("https://a.org/x", "https://a.org/x"), "https://a.org/x");
    }
}
