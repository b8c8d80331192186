//! The settings of a remote cache, one table `[remote.NAME]` of the user's settings file. They hold no credentials.

use serde::Deserialize;
use url::Url;

use super::{Error, PublicKey};

/// What may be done with a remote cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Results are taken from it.
    #[default]
    Read,
    /// Results are taken from it and sent to it.
    ReadWrite,
}

/// A part of a remote cache whose records are signed for it alone: lowercase letters, digits, `.`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Namespace(String);

impl Namespace {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Namespace {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        match starts && text.len() <= 64 && text.chars().all(plain) {
            true => Ok(Self(text)),
            false => Err(format!(
                "namespace `{}`: expected at most 64 lowercase letters, digits, `.`, `_` and `-`, with a letter or digit first",
                text.escape_debug()
            )),
        }
    }
}

/// Refuses a name of a remote cache with other characters than letters, digits, `.`, `_` and `-`: the file of trusted keys
/// has it as a word.
///
/// # Errors
/// The name is empty or has another character.
pub fn require_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match !name.is_empty() && name.chars().all(plain) {
        true => Ok(()),
        false => Err(Error::settings(format!(
            "the name `{}` of a remote cache: expected letters (a to z), digits, `.`, `_` and `-`",
            name.escape_debug()
        ))),
    }
}

/// The settings of a remote cache.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Table")]
pub struct RemoteSettings {
    /// Where it is: `s3://BUCKET/PREFIX`, `gs://…`, `az://CONTAINER/PREFIX`, `https://…`, `http://…` or `file:///…`.
    pub url: Url,
    /// The address of an S3-compatible server; the default is Amazon's.
    pub endpoint: Option<Url>,
    /// The region of the bucket.
    pub region: Option<String>,
    /// What may be done with it.
    pub mode: Mode,
    /// The namespace of its records.
    pub namespace: Namespace,
    /// Keys whose records are used.
    pub trusted: Vec<PublicKey>,
    /// Records signed before this time are not used.
    pub not_before: Option<jiff::Timestamp>,
    /// Results with more bytes are neither taken nor sent.
    pub largest: u64,
}

/// Results with more bytes than this are refused unless the settings say otherwise.
const LARGEST: u64 = 100 << 30;

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    url: String,
    endpoint: Option<String>,
    region: Option<String>,
    #[serde(default)]
    mode: Mode,
    namespace: Namespace,
    #[serde(default)]
    trusted: Vec<PublicKeyText>,
    not_before: Option<String>,
    largest: Option<String>,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct PublicKeyText(PublicKey);

impl TryFrom<String> for PublicKeyText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl TryFrom<Table> for RemoteSettings {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        const SCHEMES: [&str; 6] = ["s3", "gs", "az", "https", "http", "file"];
        let url = address("url", &table.url, &SCHEMES)?;
        if matches!(url.scheme(), "s3" | "gs" | "az") && url.host_str().is_none_or(str::is_empty) {
            return Err(format!("url `{url}`: expected `{}://NAME/PREFIX`", url.scheme()));
        }
        let endpoint = table.endpoint.map(|e| address("endpoint", &e, &["https", "http"])).transpose()?;
        if endpoint.is_some() && url.scheme() != "s3" {
            return Err("`endpoint` is for urls that begin with `s3://`".to_owned());
        }
        let not_before = table.not_before.map(|t| {
            t.parse()
                .map_err(|e| format!("not_before `{t}`: {e}; expected a time such as `2026-11-30T00:00:00Z`"))
        });
        let largest = table
            .largest
            .map(|t| xpipe_base::value::text::read_bytes(&t).map_err(|e| format!("largest: {e}")));
        Ok(Self {
            url,
            endpoint,
            region: table.region,
            mode: table.mode,
            namespace: table.namespace,
            trusted: table.trusted.into_iter().map(|t| t.0).collect(),
            not_before: not_before.transpose()?,
            largest: largest.transpose()?.unwrap_or(LARGEST),
        })
    }
}

/// Whether the name of the host is written in ASCII: the program has no tables of other host names.
fn has_ascii_host(text: &str) -> bool {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let rest = if scheme == "file" { rest } else { rest.trim_start_matches(['/', '\\']) };
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.is_ascii() && !host.contains('%')
}

/// An address of one of some schemes, without credentials.
fn address(name: &str, text: &str, schemes: &[&str]) -> Result<Url, String> {
    let shown = xpipe_base::value::address::public(text);
    if !has_ascii_host(text) {
        return Err(format!(
            "{name} `{shown}`: the name of the host has other characters than ASCII; write it as browsers send it \
             (`xn--…`)"
        ));
    }
    let url = Url::parse(text).map_err(|e| format!("{name} `{shown}`: {e}"))?;
    if !schemes.contains(&url.scheme()) {
        let known: Vec<String> = schemes.iter().map(|s| format!("`{s}://`")).collect();
        return Err(format!("{name} `{shown}`: expected an address that begins with {}", known.join(", ")));
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(format!(
            "{name} `{shown}`: expected an address without user, password and query; credentials come from the environment"
        ));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &serde_json::Value) -> Result<RemoteSettings, String> {
        serde_json::from_value(json.clone()).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_to_read_only() {
        let settings = read(&serde_json::json!({"url": "s3://bucket/a/b", "namespace": "lab"})).unwrap();
        assert_eq!((settings.mode, settings.trusted.len(), settings.largest), (Mode::Read, 0, LARGEST));
        let settings = read(&serde_json::json!({
            "url": "s3://b", "namespace": "lab.1", "mode": "readwrite", "endpoint": "http://127.0.0.1:9000",
            "not_before": "2026-11-30T00:00:00Z", "largest": "2GiB",
        }));
        let settings = settings.unwrap();
        assert_eq!((settings.mode, settings.largest), (Mode::ReadWrite, 2 << 30));
    }

    #[test]
    fn a_name_is_one_plain_word() {
        for name in ["lab", "Lab-2", "a.b_c"] {
            require_name(name).unwrap();
        }
        for name in ["", "my lab", "#lab", "lab\nx", "läb", "a/b"] {
            assert!(require_name(name).unwrap_err().to_string().contains("expected letters"), "{name}");
        }
    }

    #[test]
    fn hosts_are_written_in_ascii() {
        let table = |url: &str| serde_json::json!({"url": url, "namespace": "lab"});
        for url in [
            "https://b\u{fc}cher.example/x",
            "https://B\u{dc}CHER.example",
            "https://%C3%9C.example",
            "https:///\u{dc}/x",
        ] {
            let error = read(&table(url)).unwrap_err();
            assert!(error.contains("other characters than ASCII"), "{url}: {error}");
        }
        for (url, host) in [
            ("https://xn--bcher-kva.example/\u{fc}", Some("xn--bcher-kva.example")),
            ("https://A.Example/%20x", Some("a.example")),
            ("s3://bucket/\u{fc}", Some("bucket")),
            ("file:///home/\u{dc}/x", None),
        ] {
            assert_eq!(read(&table(url)).unwrap().url.host_str(), host, "{url}");
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        for (name, value, said) in [
            ("url", "ftp://a/b", "begins with `s3://`"),
            ("url", "s3:///x", "expected `s3://NAME/PREFIX`"),
            ("url", "https://anna:pw@a.org/x", "without user, password"),
            ("url", "https://a.org/x?sig=abc", "without user, password"),
            ("url", "here", "relative URL"),
            ("namespace", "../x", "namespace `../x`"),
            ("namespace", "a/b", "namespace `a/b`"),
            ("namespace", "a\nb", "namespace `a\\nb`"),
            ("mode", "write", "unknown variant `write`"),
            ("not_before", "yesterday", "expected a time"),
            ("largest", "many", "expected an amount"),
            ("key", "x", "unknown field `key`"),
            ("trusted", "x", "expected a sequence"),
        ] {
            let mut table = serde_json::json!({"url": "s3://bucket", "namespace": "lab"});
            table[name] = value.into();
            let error = read(&table).unwrap_err();
            assert!(error.contains(said), "{name} = {value}: {error}");
            assert!(!error.contains(":pw@") && !error.contains("sig=abc"), "{error}");
        }
        let table = serde_json::json!({"url": "s3://b", "namespace": "lab", "trusted": ["ed25519:1"]});
        assert!(read(&table).unwrap_err().contains("not a public key"));
        let table = serde_json::json!({"url": "file:///x", "namespace": "lab", "endpoint": "http://a"});
        assert!(read(&table).unwrap_err().contains("`endpoint` is for"));
    }
}
