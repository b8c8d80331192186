//! Where things are in a remote cache, below its prefix.
//!
//! | path | holds |
//! |---|---|
//! | `v1/objects/ab/<digest>` | a blob, by its BLAKE3 digest |
//! | `v1/actions/<namespace>/ab/<key>.json` | a signed record: the manifest of a result |
//! | `v1/probe/<random>` | a file that shows what the store can do; removed at once |

use super::settings::Namespace;
use xpipe_base::value::Digest;

/// The path of a blob.
pub(crate) fn blob(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("v1/objects/{}/{hex}", &hex[..2])
}

/// The path of the record of a key.
pub(crate) fn record(namespace: &Namespace, key: &Digest) -> String {
    let hex = key.hex();
    format!("v1/actions/{}/{}/{hex}.json", namespace.as_str(), &hex[..2])
}

/// The path of a probe.
pub(crate) fn probe(random: &str) -> String {
    format!("v1/probe/{random}")
}
