//! Credentials of a remote cache: variables of the environment, and of a file named there. They are never shown.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Error;
use super::keys::require_private;

/// The beginnings of the names that are read.
const PREFIXES: [&str; 4] = ["AWS_", "GOOGLE_", "AZURE_", "XPIPE_REMOTE_"];
/// The variable that names a file of `NAME=VALUE` lines.
const FILE: &str = "XPIPE_REMOTE_CREDENTIALS";
/// Parts of names whose values are secrets.
const SECRET: [&str; 5] = ["SECRET", "TOKEN", "PASSWORD", "_KEY", "CREDENTIALS"];

/// Variables by name.
#[derive(Clone, Default)]
pub(crate) struct Credentials(BTreeMap<String, String>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Credentials {
    /// Those of this process's environment and of the file that it names. The environment comes first.
    ///
    /// # Errors
    /// The file cannot be read, others may read it, or a line is none.
    pub(crate) fn from_environment() -> Result<Self, Error> {
        let mut found = BTreeMap::new();
        if let Some(file) = std::env::var_os(FILE).filter(|f| !f.is_empty()) {
            found = read(Path::new(&file))?;
        }
        for (name, value) in std::env::vars_os() {
            if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string())
                && PREFIXES.iter().any(|p| name.starts_with(p))
                && !value.is_empty()
            {
                found.insert(name, value);
            }
        }
        Ok(Self(found))
    }

    /// The value of a variable.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The variables whose names begin with a prefix.
    pub(crate) fn with_prefix(&self, prefix: &'static str) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter(move |(n, _)| n.starts_with(prefix)).map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// A text in which no secret value stands, whoever wrote it.
    pub(crate) fn clean(&self, text: &str) -> String {
        let secret =
            |name: &str| SECRET.iter().any(|part| name.contains(part)) && name != "AWS_ACCESS_KEY_ID";
        let mut values: Vec<&String> =
            self.0.iter().filter(|(n, v)| secret(n) && v.len() > 3).map(|(_, v)| v).collect();
        let pair = self.basic();
        values.extend(&pair);
        values.sort_by_key(|v| std::cmp::Reverse(v.len()));
        values.iter().fold(text.to_owned(), |text, value| text.replace(value.as_str(), "***"))
    }

    /// User and password of a web server as they are sent: base64 of `USER:PASSWORD`.
    pub(crate) fn basic(&self) -> Option<String> {
        let user = self.get("XPIPE_REMOTE_USER")?;
        let password = self.get("XPIPE_REMOTE_PASSWORD").unwrap_or_default();
        Some(STANDARD.encode(format!("{user}:{password}")))
    }

    #[cfg(test)]
    pub(crate) fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        Self(variables.map(|(n, v)| (n.to_owned(), v.to_owned())).into())
    }
}

fn read(path: &Path) -> Result<BTreeMap<String, String>, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::settings(format!("the file {} in {FILE} cannot be read: {e}", path.display())))?;
    require_private(path)?;
    let mut found = BTreeMap::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let pair = line.strip_prefix("export ").unwrap_or(line).split_once('=');
        let known = pair.filter(|(name, _)| PREFIXES.iter().any(|p| name.trim().starts_with(p)));
        let Some((name, value)) = known else {
            return Err(Error::settings(format!(
                "{} line {}: expected NAME=VALUE with a name that begins with {}",
                path.display(),
                n + 1,
                PREFIXES.join(", ")
            )));
        };
        let value = value.trim();
        let plain = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        found.insert(name.trim().to_owned(), plain.to_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_of_credentials_is_private_and_read_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials");
        std::fs::write(
            &path,
            "# lab\nexport AWS_SECRET_ACCESS_KEY=\"s3cr3t\"\n\nXPIPE_REMOTE_TOKEN = abcdef\n",
        )
        .unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("other users"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let found = Credentials(read(&path).unwrap());
        assert_eq!(found.get("AWS_SECRET_ACCESS_KEY"), Some("s3cr3t"));
        assert_eq!(found.get("XPIPE_REMOTE_TOKEN"), Some("abcdef"));
        assert!(!format!("{found:?}").contains("s3cr3t"));
        assert_eq!(found.clean("wrong s3cr3t or abcdef"), "wrong *** or ***");
        let pair = Credentials::of([("XPIPE_REMOTE_USER", "anna"), ("XPIPE_REMOTE_PASSWORD", "pw")]);
        assert_eq!(pair.clean("authorization: Basic YW5uYTpwdw=="), "authorization: Basic ***");
        std::fs::write(&path, "PATH=/bin\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("line 1: expected NAME=VALUE"));
    }
}
