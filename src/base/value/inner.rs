//! Untrusted relative paths: file names in manifests, archives, lists of shards, responses of a hub.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A relative path with `/` that cannot leave the folder it is joined to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InnerPath(String);

/// The longest path, and the longest component of one, that file systems allow, in bytes.
const MAX_LEN: (usize, usize) = (4000, 255);

impl InnerPath {
    /// Validates a path.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence that begins with the path.
    pub fn parse(text: impl Into<String>) -> Result<Self, &'static str> {
        let text = text.into();
        if text.is_empty() {
            return Err("is not a file name");
        }
        if text.starts_with('/') || text.split('/').any(|part| part == "..") {
            return Err("leads out of its folder");
        }
        if text.contains('\0') || text.split('/').any(|part| part.is_empty() || part == ".") {
            return Err("is not a plain path of names and `/`");
        }
        if text.len() > MAX_LEN.0 || text.split('/').any(|part| part.len() > MAX_LEN.1) {
            return Err("is longer than file systems allow");
        }
        Ok(Self(text))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Validates a path in an input folder. Files that are ignored there are not part of the content, so they must not be
    /// read.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence that begins with the path.
    pub fn of_input(text: impl Into<String>, is_ignored: fn(&str) -> bool) -> Result<Self, &'static str> {
        let path = Self::parse(text)?;
        match path.0.split('/').any(is_ignored) {
            true => Err("is hidden or left by a tool, and such files are ignored in input folders"),
            false => Ok(path),
        }
    }

    /// The path below a folder.
    pub fn below(&self, folder: &Path) -> PathBuf {
        folder.join(&self.0)
    }
}

impl std::fmt::Display for InnerPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl From<InnerPath> for String {
    fn from(path: InnerPath) -> Self {
        path.0
    }
}

impl TryFrom<String> for InnerPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(text.as_str()).map_err(|why| format!("`{}` {why}", text.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_inside_passes() {
        for good in ["a", "a/b.bin", "..a/b..", "a b/ü", ".hidden", "a\\b"] {
            assert_eq!(InnerPath::parse(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(256);
        let deep = "ab/".repeat(2000) + "c";
        for bad in [
            "",
            "/",
            "/etc/x",
            "..",
            "../x",
            "a/../../x",
            "a/..",
            "a//b",
            "a/",
            "./a",
            "a/.",
            "a\0b",
            &long,
            &deep,
        ] {
            assert!(InnerPath::parse(bad).is_err(), "{bad:?}");
            assert!(serde_json::from_value::<InnerPath>(bad.into()).is_err(), "{bad:?}");
        }
        let input = |text: &str| InnerPath::of_input(text, |name| name.starts_with('.'));
        for hidden in [".a", "a/.b", "a/.b/c"] {
            assert!(InnerPath::parse(hidden).is_ok() && input(hidden).is_err(), "{hidden}");
        }
        assert!(input("a/b.bin").is_ok() && input("../b.bin").is_err());
        assert_eq!(InnerPath::parse("a/b").unwrap().below(Path::new("/f")), Path::new("/f/a/b"));
    }
}
