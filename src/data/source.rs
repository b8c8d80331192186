//! What an import reads: files, folders or archives, and which files of them.

use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::noted::Noted;
use xpipe_base::place;
use xpipe_base::task::{CaveatKind, Failure, Progress, is_ignored};

const MAX_DEPTH: usize = 32;

/// Files, folders or archives that are read one after another.
#[derive(Clone, Debug, Default)]
pub struct Source {
    paths: Vec<PathBuf>,
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

impl Source {
    /// Reads `paths` in their order. Of folders and archives, the files that match a pattern of `include`, where there is
    /// one, and none of `exclude`. A pattern without `/` is for the file's name, else for its path in the folder or
    /// archive; `./` begins one for files at the top. **Source:** the patterns of the crate `glob`; `*` stays in a folder,
    /// `**` does not.
    ///
    /// # Errors
    /// An invalid pattern.
    pub fn new(paths: Vec<PathBuf>, include: &[String], exclude: &[String]) -> Result<Self, Failure> {
        let patterns = |name: &str, all: &[String]| {
            let read = |text: &String| {
                Pattern::new(text).map_err(|e| {
                    let at = e.pos;
                    Failure::wrong(format!(
                        "{name}: found {}, which is no pattern at {at}: {}",
                        place::quote(text),
                        e.msg
                    ))
                    .help("write a file's name with `*` and `?`, for instance `\"FT*\"` or `\"FT/*/FT*\"`")
                })
            };
            all.iter().map(read).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self { paths, include: patterns("include", include)?, exclude: patterns("exclude", exclude)? })
    }

    /// Its name in messages.
    pub fn display(&self) -> String {
        match self.paths.as_slice() {
            [] => String::new(),
            [one] => one.display().to_string(),
            [first, more @ ..] => {
                format!("{} and {}", first.display(), place::count(more.len(), "more file"))
            }
        }
    }

    /// The files, those of folders in bytewise order of their paths, without what [`is_ignored`] names: path, name in its folder, size.
    ///
    /// # Errors
    /// What is missing or cannot be read, or a folder without files.
    pub(super) fn files(&self) -> Result<Vec<(PathBuf, String, u64)>, Failure> {
        let mut files = Vec::new();
        for path in &self.paths {
            let before = files.len();
            collect(path, path, 0, &mut files)?;
            if files.len() == before {
                return Err(Failure::wrong(format!("{}: the folder holds no files", path.display()))
                    .help("check the path: a collection's files are expected in it"));
            }
        }
        Ok(files)
    }

    /// Whether a file with this name in its folder or archive is included.
    pub(super) fn takes(&self, name: &str) -> bool {
        let matches = |p: &Pattern| matches(p, name);
        (self.include.is_empty() || self.include.iter().any(matches)) && !self.exclude.iter().any(matches)
    }

    /// Whether the study lists the files to read.
    pub(super) fn chosen(&self) -> bool {
        !self.include.is_empty()
    }
}

fn matches(pattern: &Pattern, name: &str) -> bool {
    let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
    // `FT911_1` is also meant where it is packed as `FT911_1.gz`.
    let plain = [".gz", ".zst", ".bz2"].iter().find_map(|s| name.strip_suffix(s));
    let own = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    [Some(name), plain].into_iter().flatten().any(|name| match pattern.as_str() {
        top if top.starts_with("./") => Pattern::new(&top[2..]).is_ok_and(|p| p.matches_with(name, options)),
        path if path.contains('/') => pattern.matches_with(name, options),
        _ => pattern.matches_with(&own(name), options),
    })
}

fn collect(
    path: &Path,
    root: &Path,
    depth: usize,
    files: &mut Vec<(PathBuf, String, u64)>,
) -> Result<(), Failure> {
    let found = std::fs::metadata(path).map_err(|e| place::io(path, e))?;
    if !found.is_dir() {
        let inside = path.strip_prefix(root).ok().filter(|p| !p.as_os_str().is_empty());
        let name = inside.unwrap_or_else(|| path.file_name().map(Path::new).unwrap_or(path));
        files.push((path.to_owned(), name.to_string_lossy().replace('\\', "/"), found.len()));
        return Ok(());
    }
    if depth == MAX_DEPTH {
        return Err(Failure::wrong(format!(
            "{}: folders are nested deeper than {MAX_DEPTH}",
            path.display()
        ))
        .help("look for a link that leads back up"));
    }
    let mut inside = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| place::io(path, e))? {
        let entry = entry.map_err(|e| place::io(path, e))?;
        if !is_ignored(&entry.file_name().to_string_lossy()) {
            inside.push(entry.path());
        }
    }
    inside.sort_unstable_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    inside.iter().try_for_each(|p| collect(p, root, depth + 1, files))
}

impl From<&Source> for Source {
    fn from(source: &Source) -> Self {
        source.clone()
    }
}

impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        Self { paths: vec![path.to_owned()], ..Self::default() }
    }
}

impl From<&PathBuf> for Source {
    fn from(path: &PathBuf) -> Self {
        path.as_path().into()
    }
}

/// Files that collections are published with and that are no part of them.
#[derive(Debug, Default)]
pub(super) struct CompanionFiles(Noted);

impl CompanionFiles {
    /// Whether a file of a folder or archive is a read-me, a definition of tags or a licence, by its name and because it
    /// begins with nothing that documents begin with.
    pub(super) fn is(name: &str, head: &[u8]) -> bool {
        let own = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
        let named = [
            "readme",
            "read.me",
            "read_me",
            "readchg",
            "readfr",
            "license",
            "licence",
            "copying",
            "changelog",
        ]
        .iter()
        .any(|n| own.starts_with(n))
            || [".dtd", ".md", ".md5", ".sha1", ".sha256"].iter().any(|s| own.ends_with(s));
        let text = String::from_utf8_lossy(&head[..head.len().min(256)]).to_ascii_lowercase();
        let text = text.trim_start_matches('\u{FEFF}').trim_start();
        let data = ["{", "<doc>", "<doc ", "<top", "par1"].iter().any(|d| text.starts_with(d));
        named && !data
    }

    /// Counts one.
    pub(super) fn leave_out(&mut self, name: &str) {
        self.0.add(|| name.to_owned());
    }

    /// Reports the count as a caveat.
    pub(super) fn tell(&self, progress: &dyn Progress) {
        let cause =
            "files were left out, since by their names they are no documents (`include` names files to read)";
        self.0.tell(CaveatKind::Dropped, cause, progress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_for_names_or_paths() {
        let source = |include: &[&str], exclude: &[&str]| {
            let own = |all: &[&str]| all.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
            Source::new(vec![], &own(include), &own(exclude)).unwrap()
        };
        let cases = [
            (source(&[], &[]), "FT/FT911/FT911_1", true),
            (source(&["FT*"], &[]), "FT/FT911/FT911_1", true),
            (source(&["FT*"], &[]), "FT/READFT", false),
            (source(&["FT/*/FT*"], &[]), "FT/FT911/FT911_1.gz", true),
            (source(&["FT/FT*"], &[]), "FT/FT911/FT911_1", false),
            (source(&["**/*.tsv"], &[]), "a/b/c.tsv", true),
            (source(&["./*.tsv"], &[]), "a/c.tsv", false),
            (source(&["./*.tsv"], &[]), "c.tsv.gz", true),
            (source(&[], &["AUX/*", "*.c"]), "AUX/x", false),
            (source(&[], &["AUX/*", "*.c"]), "src/x.c", false),
            (source(&["*"], &["x"]), "y", true),
        ];
        for (source, name, taken) in cases {
            assert_eq!(source.takes(name), taken, "{source:?} {name}");
        }
        let e = Source::new(vec![], &["a[".into()], &[]).unwrap_err();
        assert!(e.message.starts_with("include: found `a[`, which is no pattern"), "{e}");
    }

    #[test]
    fn what_lies_beside_documents_is_told_by_name_and_content() {
        let cases: [(&str, &str, bool); 6] = [
            ("FT/READMEFT", "Financial Times", true),
            ("dtds/ft.dtd", "<!-- -->\n<!ELEMENT DOC", true),
            ("README.md", "# About", true),
            ("readme.jsonl", "{\"_id\": 1", false),
            ("READMEFT", "<DOC>\n", false),
            ("FT911_1", "Financial Times", false),
        ];
        for (name, head, beside) in cases {
            assert_eq!(CompanionFiles::is(name, head.as_bytes()), beside, "{name}");
        }
    }
}
