//! Messages about lines of files: one form for all readers.

use std::path::Path;

use crate::task::Failure;

/// A failure at a line: `file:12: found …, expected …`.
pub fn wrong_line(file: &str, line: u64, found: impl AsRef<str>, expected: impl AsRef<str>) -> Failure {
    Failure::wrong(format!("{file}:{line}: found {}, expected {}", found.as_ref(), expected.as_ref()))
}

/// The position of a line, without folders: results must not contain paths of this machine.
pub fn spot(file: &str, line: u64) -> String {
    format!("{}, line {line}", file.rsplit(['/', '\\']).next().unwrap_or(file))
}

/// A failure to open, read or write a file, with its name in front.
///
/// Full disks and missing files keep their kind and advice.
pub fn io(file: impl AsRef<Path>, e: std::io::Error) -> Failure {
    use std::io::ErrorKind as K;
    let name = file.as_ref().display().to_string();
    match e.kind() {
        K::NotFound => Failure::missing(format!("{name}: there is no such file or folder"))
            .help("check the path; relative paths are relative to the file that writes them"),
        K::PermissionDenied => Failure::missing(format!("{name}: may not be read or written by this user"))
            .help("check the permissions of the file and of its folder"),
        _ => {
            let mut failure = Failure::from(e);
            failure.message = format!("{name}: {}", failure.message);
            failure
        }
    }
}

/// A piece of input as a message shows it: quoted, control characters escaped, cut after 40 characters.
pub fn quote(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(40) {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    if text.chars().nth(40).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// A file's name without folders, for use in results: the same on every machine.
pub fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// `1 column`, `3 columns`.
pub fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::FailureKind;

    #[test]
    fn messages_name_the_file_and_keep_the_kind() {
        let e = io("x/y.tsv", std::io::Error::from(std::io::ErrorKind::NotFound));
        assert_eq!(e.kind, FailureKind::Missing);
        assert!(e.message.starts_with("x/y.tsv: "), "{}", e.message);
        let full = io("z", std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!(full.kind, FailureKind::Missing);
        assert!(full.message.contains("disk is full") && full.help.is_some(), "{full:?}");
    }

    #[test]
    fn quotes_are_short_and_printable() {
        assert_eq!(quote("a\t\"b\""), "`a\\t\"b\"`");
        assert_eq!(quote(&"x".repeat(50)).chars().count(), 43);
        assert_eq!((file_name("/a/b.tar.gz/c.tsv"), file_name("c.tsv")), ("c.tsv", "c.tsv"));
        assert_eq!((count(1, "column"), count(0, "column")), ("1 column".into(), "0 columns".into()));
    }
}
