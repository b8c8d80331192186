//! Signed records: the manifest of a result, bound to its key and its namespace by an Ed25519 signature.
//!
//! The signed bytes are `xpipe-record-v1`, the namespace, the key and the time, each followed by a line feed, and the text
//! of the manifest. None of the first four can contain a line feed, so no two records have the same signed bytes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::keys::{PublicKey, SigningKey, from_hex};
use super::settings::Namespace;
use xpipe_base::value::Digest;
use xpipe_engine::cache::PortableManifest;

/// The longest record that is read, in bytes.
pub(crate) const LONGEST: u64 = 24 << 20;

const FORMAT: u32 = 1;

/// Whose records are used.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    /// The keys.
    pub(crate) keys: BTreeSet<PublicKey>,
    /// Records signed before this time are not used.
    pub(crate) not_before: Option<jiff::Timestamp>,
}

/// The file of a record.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    namespace: String,
    key: Digest,
    signed: String,
    #[serde(default)]
    signer: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    manifest: String,
}

/// A record whose signature, namespace and key are right.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// What is recorded.
    pub(crate) manifest: PortableManifest,
    /// Whose signature it has.
    pub(crate) signer: PublicKey,
}

/// The bytes of a new record.
pub(crate) fn sign(manifest: &PortableManifest, namespace: &Namespace, key: &SigningKey) -> Vec<u8> {
    let signed = jiff::Timestamp::now().to_string();
    let of = manifest.manifest().key;
    let file = File {
        format: FORMAT,
        namespace: namespace.as_str().to_owned(),
        key: of,
        signature: Some(key.sign(&message(namespace.as_str(), &of, &signed, manifest.text()))),
        signed,
        signer: Some(key.public().to_string()),
        manifest: manifest.text().to_owned(),
    };
    serde_json::to_vec(&file).unwrap_or_default()
}

/// Reads the record of a key.
///
/// # Errors
/// Why it is not used, as the end of a sentence that begins with "it".
pub(crate) fn read(
    bytes: &[u8],
    key: &Digest,
    namespace: &Namespace,
    trust: &Trust,
) -> Result<Record, String> {
    let file: File = serde_json::from_slice(bytes).map_err(|e| format!("is damaged: {e}"))?;
    if file.format != FORMAT {
        return Err(format!("has format {}, and this program reads format {FORMAT}", file.format));
    }
    let (Some(signer), Some(signature)) = (&file.signer, &file.signature) else {
        return Err("is not signed".to_owned());
    };
    let signer: PublicKey = signer.parse().map_err(|e| format!("is damaged: {e}"))?;
    if !trust.keys.contains(&signer) {
        return Err(format!(
            "is signed by {signer}, which is not trusted (`xpipe cache trust {signer}` trusts it)"
        ));
    }
    if file.namespace != namespace.as_str() {
        return Err(format!("belongs to namespace `{}`", file.namespace.escape_debug()));
    }
    if file.key != *key {
        return Err(format!("belongs to key {}", file.key));
    }
    let signature = from_hex(signature).ok_or("is damaged: its signature is not hexadecimal")?;
    if !signer.verifies(&message(&file.namespace, &file.key, &file.signed, &file.manifest), &signature) {
        return Err(format!("does not have the signature of {signer} that it claims to have"));
    }
    let signed: jiff::Timestamp =
        file.signed.parse().map_err(|e| format!("has no time of its signature: {e}"))?;
    if let Some(limit) = trust.not_before.filter(|limit| signed < *limit) {
        return Err(format!("was signed {signed}, and `not_before` is {limit}"));
    }
    let manifest = PortableManifest::parse(&file.manifest, key).map_err(|e| format!("is wrong: {e}"))?;
    Ok(Record { manifest, signer })
}

/// The bytes that are signed.
pub(crate) fn message(namespace: &str, key: &Digest, signed: &str, manifest: &str) -> Vec<u8> {
    format!("xpipe-record-v1\n{namespace}\n{key}\n{signed}\n{manifest}").into_bytes()
}
