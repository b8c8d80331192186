//! From settings and credentials to an object store.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use url::Url;

use super::Error;
use super::credentials::Credentials;
use super::folder::Folder;
use super::objects::{Large, Objects};
use super::settings::RemoteSettings;
use super::transport::Transport;
use ureq::http::header::HeaderValue;

/// The object store of a remote cache.
///
/// # Errors
/// The settings and the credentials do not fit together.
pub(crate) fn connect(settings: &RemoteSettings, credentials: Credentials) -> Result<Objects, Error> {
    connect_with(settings, credentials, retry())
}

/// The same with another number of attempts.
pub(crate) fn connect_with(
    settings: &RemoteSettings,
    credentials: Credentials,
    retry: RetryConfig,
) -> Result<Objects, Error> {
    let url = &settings.url;
    let prefix = Path::from_url_path(url.path()).map_err(|e| Error::settings(format!("{url}: {e}")))?;
    match url.scheme() {
        "s3" => {
            let store = Arc::new(amazon(settings, &credentials, retry)?);
            Ok(Objects::new(store.clone(), Large::Parts(store), prefix, credentials))
        }
        "gs" => {
            let store = Arc::new(google(url, &credentials, retry)?);
            Ok(Objects::new(store.clone(), Large::Parts(store), prefix, credentials))
        }
        "az" => {
            let store = Arc::new(azure(url, &credentials, retry)?);
            Ok(Objects::new(store.clone(), Large::Parts(store), prefix, credentials))
        }
        "file" => {
            let path = url
                .to_file_path()
                .map_err(|()| Error::settings(format!("{url}: expected `file:///FOLDER`")))?;
            Ok(Objects::in_folder(Folder::new(path)))
        }
        _ => {
            let transport = Transport { authorization: authorization(url, &credentials)? };
            let builder = HttpBuilder::new().with_url(url.as_str().trim_end_matches('/')).with_retry(retry);
            let builder = builder.with_client_options(options(url)).with_http_connector(transport);
            let store = Arc::new(builder.build().map_err(wrong)?);
            Ok(Objects::new(store, Large::Whole, Path::default(), credentials))
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is an argument of map_err")]
fn wrong(e: object_store::Error) -> Error {
    Error::settings(match std::error::Error::source(&e) {
        Some(cause) => cause.to_string(),
        None => e.to_string(),
    })
}

/// Up to eight more attempts within half a minute: long enough for a server that starts again, and no longer, since a run
/// waits for it.
fn retry() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(500),
        max_backoff: Duration::from_secs(5),
        base: 2.0,
    };
    RetryConfig { backoff, max_retries: 8, retry_timeout: Duration::from_secs(30) }
}

fn options(address: &Url) -> ClientOptions {
    ClientOptions::new().with_allow_http(address.scheme() == "http")
}

fn amazon(
    settings: &RemoteSettings,
    credentials: &Credentials,
    retry: RetryConfig,
) -> Result<object_store::aws::AmazonS3, Error> {
    const SOURCES: [&str; 4] = [
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ];
    let mut builder = AmazonS3Builder::new();
    for (name, value) in credentials.with_prefix("AWS_") {
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
        builder = builder.with_client_options(options(endpoint));
    }
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    if SOURCES.iter().all(|s| credentials.get(s).is_none()) {
        // Without this the library would ask the metadata service of a cloud machine, and wait for it elsewhere.
        builder = builder.with_skip_signature(true);
    }
    let bucket = settings.url.host_str().unwrap_or_default();
    // Not every server has the request that removes several files.
    builder = builder.with_bucket_name(bucket).with_retry(retry).with_disable_bulk_delete(true);
    builder.with_http_connector(Transport::default()).build().map_err(wrong)
}

fn google(
    url: &Url,
    credentials: &Credentials,
    retry: RetryConfig,
) -> Result<object_store::gcp::GoogleCloudStorage, Error> {
    let mut builder = GoogleCloudStorageBuilder::new();
    let mut known = false;
    for (name, value) in credentials.with_prefix("GOOGLE_") {
        if let Ok(key) = name.to_ascii_lowercase().parse::<GoogleConfigKey>() {
            builder = builder.with_config(key, value);
            known = true;
        }
    }
    let bucket = url.host_str().unwrap_or_default();
    builder = builder.with_bucket_name(bucket).with_retry(retry).with_skip_signature(!known);
    builder.with_http_connector(Transport::default()).build().map_err(wrong)
}

fn azure(
    url: &Url,
    credentials: &Credentials,
    retry: RetryConfig,
) -> Result<object_store::azure::MicrosoftAzure, Error> {
    let mut builder = MicrosoftAzureBuilder::new();
    let mut signs = false;
    for (name, value) in credentials.with_prefix("AZURE_") {
        if let Ok(key) = name.to_ascii_lowercase().parse::<AzureConfigKey>() {
            builder = builder.with_config(key, value);
            signs |= ["KEY", "SECRET", "TOKEN", "SAS"].iter().any(|part| name.contains(part));
        }
    }
    if credentials.get("AZURE_STORAGE_ACCOUNT_NAME").is_none() {
        return Err(Error::settings(format!("{url}: the account is not known"))
            .help("set AZURE_STORAGE_ACCOUNT_NAME to the name of the storage account"));
    }
    let container = url.host_str().unwrap_or_default();
    builder = builder.with_container_name(container).with_retry(retry).with_skip_signature(!signs);
    builder.with_http_connector(Transport::default()).build().map_err(wrong)
}

/// The header of a server without a scheme of signatures: a token, or user and password.
fn authorization(url: &Url, credentials: &Credentials) -> Result<Option<HeaderValue>, Error> {
    let text = match (credentials.get("XPIPE_REMOTE_TOKEN"), credentials.basic()) {
        (Some(token), _) => format!("Bearer {token}"),
        (None, Some(pair)) => format!("Basic {pair}"),
        (None, None) => return Ok(None),
    };
    let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() == "http" && !here {
        return Err(Error::settings(format!("{url}: credentials are not sent without encryption"))
            .help("use an https address, or unset XPIPE_REMOTE_TOKEN and XPIPE_REMOTE_USER"));
    }
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        Error::settings("XPIPE_REMOTE_TOKEN or XPIPE_REMOTE_USER holds characters that no header may hold")
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: serde_json::Value) -> RemoteSettings {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn each_scheme_has_its_store() {
        let dir = tempfile::tempdir().unwrap();
        let file = format!("file://{}/remote", dir.path().display());
        let account = Credentials::of([("AZURE_STORAGE_ACCOUNT_NAME", "lab")]);
        for (url, with) in [
            ("s3://bucket/a/b", Credentials::default()),
            ("gs://bucket/a", Credentials::default()),
            ("az://container/a", account),
            ("https://cache.example.org/x", Credentials::default()),
            (file.as_str(), Credentials::default()),
        ] {
            let settings = settings(serde_json::json!({"url": url, "namespace": "lab", "mode": "readwrite"}));
            connect(&settings, with).unwrap_or_else(|e| panic!("{url}: {e}"));
        }
        // It is opened although the folder is absent, which is told when it is used.
        let gone = settings(serde_json::json!({"url": "file:///no/such/folder", "namespace": "lab"}));
        let error = connect(&gone, Credentials::default()).unwrap().size("x").unwrap_err();
        assert!(error.to_string().contains("mkdir -p /no/such/folder"), "{error}");
        assert!(!dir.path().join("remote").exists(), "no folder is made");
        let azure = settings(serde_json::json!({"url": "az://container/a", "namespace": "lab"}));
        let error = connect(&azure, Credentials::default()).unwrap_err();
        assert!(error.to_string().contains("the account is not known"), "{error}");
    }

    #[test]
    fn a_request_is_tried_for_half_a_minute() {
        let RetryConfig { backoff, max_retries, retry_timeout } = retry();
        let mut waits = backoff.init_backoff;
        let longest: Duration = (0..max_retries)
            .map(|_| {
                let wait = waits;
                waits = (waits * 2).min(backoff.max_backoff);
                wait
            })
            .sum();
        assert!((20..=30).contains(&longest.as_secs()) && retry_timeout.as_secs() == 30, "{longest:?}");
    }

    #[test]
    fn credentials_are_not_sent_in_the_open() {
        let with = Credentials::of([("XPIPE_REMOTE_USER", "anna"), ("XPIPE_REMOTE_PASSWORD", "pw")]);
        let url = |text: &str| Url::parse(text).unwrap();
        let header = authorization(&url("http://127.0.0.1:1/x"), &with).unwrap().unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic YW5uYTpwdw==");
        assert!(header.is_sensitive() && authorization(&url("https://a.org"), &with).is_ok());
        assert!(
            authorization(&url("http://a.org"), &with)
                .unwrap_err()
                .to_string()
                .contains("without encryption")
        );
        assert_eq!(authorization(&url("http://a.org"), &Credentials::default()).unwrap(), None);
    }
}
