//! What tests of engines share.
use std::path::PathBuf;
/// The folder of a fixture.
pub(crate) fn fixture(name: &str) -> PathBuf {
    let root = std::env::var_os("XPIPE_FIXTURES")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/fixtures"), PathBuf::from);
    root.join(name)
}
