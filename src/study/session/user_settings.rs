//! The user's settings file: what belongs to a person and the machines that they use, never to a study.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::error::Error;
use xpipe_base::diag::suggest::did_you_mean;

/// The tables that the file may have, each with tables by name: `[remote.lab]`.
const KINDS: [&str; 2] = ["cluster", "remote"];

/// The content of the file.
#[derive(Clone, Debug)]
pub struct UserSettings {
    path: PathBuf,
    table: toml::Table,
}

impl UserSettings {
    /// Reads the file in XPIPE_SETTINGS, else `settings.toml` in [`Self::folder`]. Without that file nothing is set.
    ///
    /// # Errors
    /// It cannot be read, or is wrong.
    pub fn read() -> Result<Self, Error> {
        let named = std::env::var_os("XPIPE_SETTINGS").filter(|p| !p.is_empty()).map(PathBuf::from);
        let required = named.is_some();
        let Some(path) = named.or_else(|| Some(Self::folder()?.join("settings.toml"))) else {
            return Ok(Self { path: PathBuf::from("settings.toml"), table: toml::Table::new() });
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&path, &text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !required => {
                Ok(Self { path, table: toml::Table::new() })
            }
            Err(e) => Err(Error::usage(format!("the settings file {} cannot be read: {e}", path.display()))),
        }
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let wrong = |what: String| Error::usage(format!("the settings file {}: {what}", path.display()));
        let table: toml::Table =
            text.parse().map_err(|e: toml::de::Error| wrong(e.to_string().trim().to_owned()))?;
        for (kind, value) in &table {
            if !KINDS.contains(&kind.as_str()) {
                let error = wrong(format!(
                    "unknown table `{kind}`; expected {}",
                    KINDS.map(|k| format!("`[{k}.NAME]`")).join(" or ")
                ));
                return Err(match did_you_mean(kind, KINDS) {
                    Some(question) => error.help(question),
                    None => error,
                });
            }
            if !value.as_table().is_some_and(|t| t.values().all(toml::Value::is_table)) {
                return Err(wrong(format!("`{kind}`: expected tables by name, `[{kind}.NAME]`")));
            }
        }
        Ok(Self { path: path.to_owned(), table })
    }

    /// The folder of the user's settings and keys: `xpipe` in XDG_CONFIG_HOME, else in `~/.config`.
    pub fn folder() -> Option<PathBuf> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
        folder.map(|f| f.join("xpipe"))
    }

    /// The settings in the table `[kind.name]`.
    ///
    /// # Errors
    /// There is no such table, or something in it is wrong.
    pub fn table<T: DeserializeOwned>(&self, kind: &str, name: &str) -> Result<T, Error> {
        let path = self.path.display();
        let tables = self.table.get(kind).and_then(toml::Value::as_table);
        let Some(table) = tables.and_then(|t| t.get(name)) else {
            let known: Vec<&str> = tables.into_iter().flat_map(|t| t.keys().map(String::as_str)).collect();
            let error = Error::usage(format!("there is no `[{kind}.{name}]` in the settings file {path}"));
            return Err(error.help(match known.as_slice() {
                [] => format!("write a table `[{kind}.{name}]` there"),
                known => format!(
                    "it has {}",
                    known.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
                ),
            }));
        };
        table.clone().try_into().map_err(|e: toml::de::Error| {
            let what = e.to_string();
            Error::usage(format!("the settings file {path}, [{kind}.{name}]: {}", what.trim()))
        })
    }
}

impl UserSettings {
    /// Whether there is a table `[kind.name]`.
    pub fn has(&self, kind: &str, name: &str) -> bool {
        self.table.get(kind).and_then(|t| t.get(name)).is_some()
    }

    /// Refuses a setting of a table that is none of those that are known.
    ///
    /// # Errors
    /// There is one, with the name that may be meant.
    pub fn require_known(&self, kind: &str, name: &str, known: &[&str]) -> Result<(), Error> {
        let table = self.table.get(kind).and_then(|t| t.get(name)).and_then(toml::Value::as_table);
        let unknown = table.and_then(|t| t.keys().find(|k| !known.contains(&k.as_str())));
        let Some(unknown) = unknown else { return Ok(()) };
        let path = self.path.display();
        let error =
            Error::usage(format!("the settings file {path}, [{kind}.{name}]: unknown setting `{unknown}`"));
        Err(error.help(did_you_mean(unknown, known.iter().copied()).unwrap_or_else(|| {
            format!("expected {}", known.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", "))
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Lab {
        url: String,
    }

    fn parse(text: &str) -> Result<UserSettings, String> {
        UserSettings::parse(Path::new("settings.toml"), text).map_err(|e| format!("{e:?}"))
    }

    #[test]
    fn tables_are_found_by_kind_and_name() {
        let settings = parse("[remote.lab]\nurl = \"s3://b\"\n[cluster.big]\nx = 1\n").unwrap();
        assert_eq!(settings.table::<Lab>("remote", "lab").unwrap(), Lab { url: "s3://b".into() });
        let error = settings.table::<Lab>("remote", "home").unwrap_err();
        assert!(format!("{error:?}").contains("it has `lab`"), "{error:?}");
        let error = settings.table::<Lab>("cluster", "big").unwrap_err().to_string();
        assert!(error.contains("[cluster.big]: unknown field `x`, expected `url`"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, said) in [
            ("x = ", "settings.toml"),
            ("[remotes.lab]\n", "did you mean `remote`?"),
            ("remote = \"lab\"\n", "expected tables by name, `[remote.NAME]`"),
            ("[remote]\nurl = \"x\"\n", "expected tables by name"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
