//! A repository at a commit: which files it has, and downloading them into the hub's cache.
//!
//! The hub's list of files also has their sizes and the digests of large ones. A server without such a list is asked for
//! each file.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::client::{Client, Refused, quoted};
use super::folder::{Repository, is_commit};
use super::refusal::Refusal;
use crate::cache::downloads::{PartFile, part_file_at};
use crate::fetch::download::download_with;
use crate::fetch::files::{discard, io_failure};
use crate::fetch::http::RequestError;
use crate::fetch::request::FetchRequest;
use xpipe_base::task::{Failure, Progress};
use xpipe_base::value::{Checksum, InnerPath};

/// Files in a list: no model has more.
const MAX_FILES: usize = 200_000;

/// A file of the repository.
#[derive(Clone, Debug, Default, PartialEq)]
struct Entry {
    /// Bytes.
    size: Option<u64>,
    /// SHA-256, for files in large-file storage.
    sha256: Option<String>,
    /// The name of its blob in the cache.
    tag: Option<String>,
}

/// A repository at a commit.
pub struct Opened<'a> {
    client: &'a Client,
    repository: Repository,
    model: String,
    revision: String,
    commit: String,
    /// By name; `None` for files that were asked for and do not exist.
    known: BTreeMap<String, Option<Entry>>,
    /// Whether `known` is complete.
    listed: bool,
    progress: &'a dyn Progress,
}

impl std::fmt::Debug for Opened<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opened({}@{})", self.model, self.commit)
    }
}

impl<'a> Opened<'a> {
    /// Resolves a revision to a commit and lists its files. `probe`: files of which every model has at least one.
    ///
    /// # Errors
    /// The hub does not answer, has no such model or revision, or denies access.
    pub fn new(
        client: &'a Client,
        repository: Repository,
        (model, revision): (&str, &str),
        probe: &[&str],
        progress: &'a dyn Progress,
    ) -> Result<Self, Failure> {
        let mut opened = Self {
            client,
            repository,
            model: model.to_owned(),
            revision: revision.to_owned(),
            commit: String::new(),
            known: BTreeMap::new(),
            listed: false,
            progress,
        };
        let path = format!("/api/models/{model}/revision/{}?blobs=true", quoted(revision, ""));
        let list = client.json(&path, &opened.refusal("list of files"), progress)?;
        match list.filter(|l| l["siblings"].is_array() && l["sha"].is_string()) {
            Some(list) => opened.read(&list)?,
            None => opened.probe(probe)?,
        }
        Ok(opened)
    }

    fn refusal<'r>(&'r self, what: &'r str) -> Refusal<'r> {
        Refusal { client: self.client, model: &self.model, revision: &self.revision, what }
    }

    /// Reads the hub's list of files.
    fn read(&mut self, list: &serde_json::Value) -> Result<(), Failure> {
        let damaged =
            |why: &str| Failure::missing(format!("the hub's list of the files of {} {why}", self.model));
        let commit = list["sha"].as_str().filter(|c| is_commit(c)).ok_or_else(|| damaged("has no commit"))?;
        self.commit = commit.to_owned();
        let files = list["siblings"].as_array().map(Vec::as_slice).unwrap_or_default();
        if files.len() > MAX_FILES {
            return Err(damaged("has more files than a model has"));
        }
        for file in files {
            // No file that we read has a name that is not a path.
            let Some(name) = file["rfilename"].as_str().filter(|n| InnerPath::parse(*n).is_ok()) else {
                continue;
            };
            let lfs = &file["lfs"];
            let sha256 = lfs["sha256"].as_str().or_else(|| lfs["oid"].as_str()).map(str::to_owned);
            let size = lfs["size"].as_u64().or_else(|| file["size"].as_u64());
            let tag = sha256.clone().or_else(|| file["blobId"].as_str().map(str::to_owned));
            self.known.insert(name.to_owned(), Some(Entry { size, sha256, tag }));
        }
        self.listed = true;
        Ok(())
    }

    /// Finds the commit on a server without lists.
    fn probe(&mut self, files: &[&str]) -> Result<(), Failure> {
        for file in files {
            let url = self.client.address(&self.model, &self.revision, file);
            let Some(said) = self.client.head(&url, &self.refusal(file), self.progress)? else { continue };
            let commit = said.commit.filter(|c| is_commit(c)).ok_or_else(|| {
                Failure::missing(format!("{url}: the server does not name the commit"))
                    .help("HF_ENDPOINT must be the address of a hub")
            })?;
            self.commit = commit;
            return Ok(());
        }
        Err(self.refusal(files.first().copied().unwrap_or_default()).of(404, &Default::default()))
    }

    /// The commit, 40 hexadecimal digits.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// Whether the repository has a file.
    ///
    /// # Errors
    /// The hub does not answer, or denies access.
    pub fn has(&mut self, file: &str) -> Result<bool, Failure> {
        Ok(self.entry(file)?.is_some())
    }

    /// The names of all files, where the hub lists them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.known.iter().filter(|(_, e)| e.is_some()).map(|(n, _)| n.as_str())
    }

    fn entry(&mut self, file: &str) -> Result<Option<Entry>, Failure> {
        if let Some(entry) = self.known.get(file) {
            return Ok(entry.clone());
        }
        let entry = match self.listed {
            true => None,
            false => {
                let url = self.client.address(&self.model, &self.commit, file);
                let said = self.client.head(&url, &self.refusal(file), self.progress)?;
                said.map(|s| {
                    let sha256 =
                        s.etag.clone().filter(|t| t.len() == 64 && t.bytes().all(|b| b.is_ascii_hexdigit()));
                    Entry { size: s.size, sha256, tag: s.etag }
                })
            }
        };
        self.known.insert(file.to_owned(), entry.clone());
        Ok(entry)
    }

    /// Downloads a file into the snapshot, unless it is there with the right size; its path.
    ///
    /// # Errors
    /// The file cannot be had, or differs from what the hub lists; the disk is full; the run is cancelled.
    pub fn fetch(&mut self, file: &str) -> Result<PathBuf, Failure> {
        let name = InnerPath::parse(file).map_err(|why| {
            Failure::wrong(format!("{}: the file `{}` {why}", self.model, file.escape_debug()))
        })?;
        let Some(entry) = self.entry(file)? else {
            return Err(Failure::missing(format!(
                "the model {} has no {file} at `{}`",
                self.model, self.revision
            )));
        };
        let path = name.below(&self.repository.snapshot(&self.commit));
        let size =
            |path: &std::path::Path| std::fs::metadata(path).ok().filter(|m| m.is_file()).map(|m| m.len());
        let right = |found: Option<u64>| found.is_some_and(|n| entry.size.is_none_or(|size| size == n));
        if right(size(&path)) {
            return Ok(path);
        }
        let url = self.client.address(&self.model, &self.commit, file);
        // The tag becomes a file name on this machine.
        let plain = |t: &String| (8..=128).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric());
        let blob = entry.tag.clone().filter(plain).unwrap_or_else(|| {
            blake3::hash(format!("{url}\n{}", entry.tag.as_deref().unwrap_or_default()).as_bytes())
                .to_hex()
                .to_string()
        });
        let blobs = self.repository.root().join("blobs");
        let locks = self.repository.locks();
        for folder in [&blobs, &locks] {
            std::fs::create_dir_all(folder).map_err(|e| io_failure(folder, e))?;
        }
        let lock = locks.join(format!("{blob}.lock"));
        let part = loop {
            match part_file_at(&blobs, &blob, &lock).map_err(|e| io_failure(&lock, e))? {
                Some(part) => break part,
                None if self.progress.cancelled() => return Err(Failure::interrupted()),
                // Another process is downloading it.
                None => std::thread::sleep(std::time::Duration::from_millis(200)),
            }
        };
        let whole = blobs.join(&blob);
        if !right(size(&whole)) {
            self.download(file, &url, &entry, &part)?;
            std::fs::rename(&part.data, &whole).map_err(|e| io_failure(&whole, e))?;
            let _ = std::fs::remove_file(&part.note);
        }
        self.repository.link(&self.commit, file, &blob).map_err(|e| io_failure(&path, e))?;
        Ok(path)
    }

    /// Downloads a file and checks its size and digest.
    fn download(&self, file: &str, url: &str, entry: &Entry, part: &PartFile) -> Result<(), Failure> {
        let digest = entry.sha256.as_ref().and_then(|hex| Checksum::parse(&format!("sha256:{hex}")).ok());
        let declared = "the hub's list of its files".to_owned();
        let request =
            FetchRequest { url: url.into(), digest, declared, whole: true, members: Default::default() };
        let refused = Cell::new(false);
        let refusal = self.refusal(file);
        let get = |from: u64, validator: Option<&str>| {
            let content = self.client.bytes(url, from, validator, &refusal);
            refused.set(matches!(content, Err(RequestError::Permanent(_))));
            content
        };
        let progress = Named { inner: self.progress, file };
        download_with(&request, part, &get, &progress).map_err(|mut failure| {
            // The help for data sets does not apply to models.
            if !refused.get() && failure.help.as_ref().is_some_and(|h| h.contains("--mirror")) {
                failure.help = Some("try again later: the download resumes".to_owned());
            }
            failure.help = failure.help.map(|h| h.replace("`--cache DIR`", "HF_HOME"));
            failure
        })?;
        let found = std::fs::metadata(&part.data).map_err(|e| io_failure(&part.data, e))?.len();
        match entry.size.filter(|size| *size != found) {
            None => Ok(()),
            Some(size) => {
                discard(part);
                Err(Failure::missing(format!("{url} has {found} bytes, and the hub's list says {size}"))
                    .help("nothing of it was kept; try again"))
            }
        }
    }

    /// Records that the repository has no such file.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn note_absent(&self, file: &str) -> Result<(), Failure> {
        let root = self.repository.root();
        self.repository.note_absent(&self.commit, file).map_err(|e| io_failure(&root, e))
    }

    /// Records, after all downloads, which files do not exist and which commit the revision is; the snapshot's folder.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn finish(&self, absent: &[&str]) -> Result<PathBuf, Failure> {
        let root = self.repository.root();
        absent.iter().try_for_each(|file| self.note_absent(file))?;
        self.repository.note_commit(&self.revision, &self.commit).map_err(|e| io_failure(&root, e))?;
        Ok(self.repository.snapshot(&self.commit))
    }
}

/// A progress that names the file.
struct Named<'a> {
    inner: &'a dyn Progress,
    file: &'a str,
}

impl Progress for Named<'_> {
    fn progress(&self, done: u64, total: u64, unit: &str, _: &str) {
        self.inner.progress(done, total, unit, self.file);
    }

    fn note(&self, text: &str) {
        self.inner.note(text);
    }

    fn cancelled(&self) -> bool {
        self.inner.cancelled()
    }
}
