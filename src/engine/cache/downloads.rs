//! Files that were downloaded, and members unpacked from them: `downloads/` beside the blobs.
//!
//! ```text
//! downloads/<name>/record.json            written last: without it there is no download
//! downloads/<name>/<file>                 as the publisher names it
//! downloads/<name>/members/<name>/…       the same of a member: record.json and the file
//! downloads/parts/<name>.part             an incomplete file; .json: what it is for, .lock: held while it is written
//! ```
//!
//! A name is a hash of address and digest, so that new content at the same address is a new download. When a file is
//! used, its size is checked against its record always, its content once per unchanged file.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::digest::{cached_digest, file_digest};
use super::error::At;
use super::{Error, FileLock, Store, folders, locks};
use xpipe_base::modes;
use xpipe_base::value::{Checksum, Digest, InnerPath, sealed};

/// Version of the record's layout. Version 1 had no checksum.
const FORMAT: u32 = 2;
/// The first version with a checksum.
const SEALED: u32 = 2;
const FOLDER: &str = "downloads";
const RECORD: &str = "record.json";

/// The record of a downloaded file, or of an archive member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    /// Its public address.
    pub url: String,
    /// The digest of the file at the address, as declared or pinned.
    pub digest: String,
    /// The member of the archive; `None` for the file itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The file's name in its folder.
    pub file: InnerPath,
    /// Size in bytes.
    pub size: u64,
    /// The digest of its content.
    pub content: Digest,
    /// Where it came from: its address, or the file of a mirror.
    pub from: String,
    /// When it was stored, RFC 3339.
    pub time: String,
}

/// The place of a downloaded file and its members in the cache.
#[derive(Clone, Debug)]
pub struct Download {
    folder: PathBuf,
    url: String,
    digest: Checksum,
}

/// An incomplete file, locked by one process at a time.
#[derive(Debug)]
pub struct PartFile {
    /// The file with the bytes so far.
    pub data: PathBuf,
    /// A file that says which download they are of.
    pub note: PathBuf,
    _lock: FileLock,
}

/// The part file of a download outside the store; `None` while another process holds its lock.
///
/// # Errors
/// The lock file cannot be created.
pub fn part_file_at(folder: &Path, name: &str, lock: &Path) -> std::io::Result<Option<PartFile>> {
    let Some(held) = locks::try_lock(lock, false)? else { return Ok(None) };
    let data = folder.join(format!("{name}.part"));
    Ok(Some(PartFile { note: folder.join(format!("{name}.part.json")), data, _lock: held }))
}

/// The folder of downloads below a cache's root.
pub fn downloads(root: &Path) -> PathBuf {
    root.join("v1").join(FOLDER)
}

/// The last part of an address without its query: `scifact.zip`. For messages, and as the file's name.
pub fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let plain: String =
        last.chars().map(|c| if c.is_ascii_alphanumeric() || "._-+".contains(c) { c } else { '_' }).collect();
    let name = plain.trim_start_matches('.');
    // File systems allow 255 bytes. The end is kept, since the suffix tells the format.
    let from = name.len().saturating_sub(200);
    if name.is_empty() || name == RECORD || name == "members" {
        "file".to_owned()
    } else {
        name[from..].to_owned()
    }
}

fn short(text: &str) -> String {
    Digest::of(text.as_bytes()).hex()[..32].to_owned()
}

impl Download {
    /// The download of an address with a digest, below a folder of downloads.
    pub fn new(downloads: &Path, url: &str, digest: &Checksum) -> Self {
        let folder = downloads.join(short(&format!("{url}\n{digest}")));
        Self { folder, url: url.to_owned(), digest: digest.clone() }
    }

    fn folder(&self, member: Option<&str>) -> PathBuf {
        match member {
            None => self.folder.clone(),
            Some(member) => self.folder.join("members").join(short(member)),
        }
    }

    /// The path of the file, or of a member. It may not exist yet.
    pub fn path(&self, member: Option<&str>) -> PathBuf {
        self.folder(member).join(file_name(member.unwrap_or(&self.url)))
    }

    /// The record of the file or of a member, if it exists with the recorded size.
    pub fn record(&self, member: Option<&str>) -> Option<Record> {
        let record = read(&self.folder(member))?;
        let size = std::fs::metadata(self.path(member)).ok()?.len();
        let same = record.url == self.url && record.member.as_deref() == member && record.size == size;
        (same && record.digest == self.digest.to_string()).then_some(record)
    }

    /// The digest that keys see: of the file's digest, which is known before the download, and the member's name.
    pub fn identity(digest: &Checksum, member: Option<&str>) -> Digest {
        let member = member.map_or(String::new(), |m| format!("\n{m}"));
        Digest::of(format!("xpipe download 1\n{digest}{member}").as_bytes())
    }
}

impl Record {
    /// The digest that keys see of it; `None` where the recorded digest cannot be read.
    pub(super) fn identity(&self) -> Option<Digest> {
        let digest = Checksum::parse(&self.digest).ok()?;
        Some(Download::identity(&digest, self.member.as_deref()))
    }

    /// Whether it has a checksum of itself; version 1 had none.
    pub(super) fn has_checksum(&self) -> bool {
        self.format >= SEALED
    }
}

/// The record in a folder. A damaged record counts as absent: the file is downloaded again.
fn read(home: &Path) -> Option<Record> {
    parse(&std::fs::read(home.join(RECORD)).ok()?).ok()
}

fn parse(text: &[u8]) -> Result<Record, String> {
    let record: Record = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    if !(1..=FORMAT).contains(&record.format) {
        return Err(format!(
            "its record has version {}, and this xpipe supports up to {FORMAT}",
            record.format
        ));
    }
    sealed::check(text, record.format, SEALED)?;
    Ok(record)
}

impl Store {
    /// The download of an address with a digest.
    pub fn download(&self, url: &str, digest: &Checksum) -> Download {
        Download::new(&self.dir().join(FOLDER), url, digest)
    }

    /// Whether the file or a member exists with the recorded content. Reads it unless it is known to be unchanged
    /// since the last time.
    pub fn has_download(&self, download: &Download, member: Option<&str>) -> bool {
        let Some(record) = download.record(member) else { return false };
        let path = download.path(member);
        let Ok(meta) = std::fs::metadata(&path) else { return false };
        cached_digest(&path, &meta, &self.memo, self.verify_always).is_ok_and(|d| d == record.content)
    }

    /// The newest record of an address, whatever the digest.
    pub fn downloaded(&self, url: &str) -> Option<Record> {
        let mut found: Vec<Record> = readable(self).map(|(_, r)| r).filter(|r| r.url == url).collect();
        found.retain(|r| r.member.is_none());
        found.sort_by(|a, b| a.time.cmp(&b.time));
        found.pop()
    }

    /// The file of a download, or of a member, by the digest that keys see; `None` if it is not here as a whole.
    pub fn download_of(&self, identity: &Digest) -> Option<PathBuf> {
        let (home, record) = readable(self).find(|(_, r)| r.identity() == Some(*identity))?;
        let path = record.file.below(&home);
        let meta = std::fs::metadata(&path).ok()?;
        let same =
            cached_digest(&path, &meta, &self.memo, self.verify_always).is_ok_and(|d| d == record.content);
        same.then_some(path)
    }

    /// The part file of an address; `None` while another process holds its lock.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn part_file(&self, url: &str, digest: Option<&Checksum>) -> Result<Option<PartFile>, Error> {
        let folder = self.dir().join(FOLDER).join("parts");
        modes::make_folder(&folder).at("making", &folder)?;
        let name = short(&format!("{url}\n{}", digest.map(Checksum::to_string).unwrap_or_default()));
        let lock = folder.join(format!("{name}.lock"));
        let Some(held) = locks::try_lock(&lock, true).at("locking", &lock)? else { return Ok(None) };
        let data = folder.join(format!("{name}.part"));
        Ok(Some(PartFile { note: folder.join(format!("{name}.json")), data, _lock: held }))
    }

    /// Moves a complete, checked file to its place as a download, or as a member of one.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn keep_download(
        &self,
        whole: &Path,
        download: &Download,
        member: Option<&str>,
        content: Digest,
        from: &str,
    ) -> Result<Record, Error> {
        let (home, path) = (download.folder(member), download.path(member));
        modes::make_folder(&home).at("making", &home)?;
        // A file that is there was found damaged.
        let record = home.join(RECORD);
        let _ = std::fs::remove_file(&record);
        let folder = std::fs::metadata(&home).at("reading", &home)?;
        std::fs::set_permissions(whole, modes::read_only(&folder)).at("protecting", whole)?;
        if self.durable {
            File::open(whole).and_then(|f| f.sync_all()).at("syncing", whole)?;
        }
        let size = std::fs::metadata(whole).at("reading", whole)?.len();
        let name = InnerPath::parse(file_name(member.unwrap_or(&download.url)))
            .map_err(|_| Error::Unsupported { path: path.clone(), what: "a name that cannot be kept" })?;
        std::fs::rename(whole, &path).at("writing", &path)?;
        let saved = Record {
            format: FORMAT,
            url: download.url.clone(),
            digest: download.digest.to_string(),
            member: member.map(str::to_owned),
            file: name,
            size,
            content,
            from: from.to_owned(),
            time: jiff::Timestamp::now().to_string(),
        };
        let text = sealed::seal(&serde_json::to_vec_pretty(&saved).unwrap_or_default());
        let mut file = tempfile::NamedTempFile::new_in(&home).at("writing", &home)?;
        file.write_all(&text).at("writing", &record)?;
        modes::inherit_file(file.path()).at("protecting", &record)?;
        if self.durable {
            file.as_file().sync_all().at("syncing", &record)?;
        }
        file.persist(&record).map_err(|e| Error::io("writing", &record, e.error))?;
        if self.durable {
            File::open(&home).and_then(|f| f.sync_all()).at("syncing", &home)?;
        }
        Ok(saved)
    }
}

/// Every record with the folder of its file, sorted by folder. Damaged ones are left out.
///
/// # Errors
/// A folder or record is there and cannot be read.
pub(super) fn records(store: &Store) -> Result<Vec<(PathBuf, Record)>, Error> {
    let mut records = Vec::new();
    for (home, text) in texts(store)? {
        records.extend(parse(&text?).ok().map(|record| (home, record)));
    }
    Ok(records)
}

/// The records that can be read, each with the folder of its file: one that cannot hides no other.
pub(super) fn readable(store: &Store) -> impl Iterator<Item = (PathBuf, Record)> {
    let all = texts(store).unwrap_or_default().into_iter();
    all.filter_map(|(home, text)| Some((home, parse(&text.ok()?).ok()?)))
}

/// The folder of a download or a member, and what is wrong with its record, or why that cannot be read.
pub(super) type RecordProblem = (PathBuf, Result<String, Error>);

/// The folders with a record that is damaged or cannot be read.
///
/// # Errors
/// The folder of downloads cannot be read.
pub(super) fn damaged_records(store: &Store) -> Result<Vec<RecordProblem>, Error> {
    let damaged = |text: Result<Vec<u8>, Error>| match text {
        Ok(text) => parse(&text).err().map(Ok),
        Err(e) => Some(Err(e)),
    };
    let all = texts(store)?.into_iter();
    Ok(all.filter_map(|(home, text)| Some((home, damaged(text)?))).collect())
}

fn is_gone(e: &std::io::Error) -> bool {
    matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// A folder of a download or a member with the text of its record.
type RecordText = (PathBuf, Result<Vec<u8>, Error>);

/// The folders of all downloads and members that have a record, sorted.
///
/// # Errors
/// The folder of downloads cannot be read.
fn texts(store: &Store) -> Result<Vec<RecordText>, Error> {
    let mut homes = folders::entries(&store.dir().join(FOLDER))?;
    homes.retain(|home| !home.is_file());
    let mut texts = Vec::new();
    for home in homes.clone() {
        match folders::entries(&home.join("members")) {
            Ok(members) => homes.extend(members),
            Err(e) => texts.push((home, Err(e))),
        }
    }
    for home in homes {
        match std::fs::read(home.join(RECORD)) {
            Err(e) if is_gone(&e) => {}
            text => texts.push((home.clone(), text.at("reading", &home.join(RECORD)))),
        }
    }
    texts.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(texts)
}

/// The folder of a whole download, given its folder or that of a member.
pub(super) fn whole(home: &Path) -> &Path {
    match home.parent() {
        Some(members) if members.ends_with("members") => members.parent().unwrap_or(home),
        _ => home,
    }
}

/// The folder of incomplete files.
pub(super) fn part_files(store: &Store) -> PathBuf {
    store.dir().join(FOLDER).join("parts")
}

/// The recorded digest of the file at a path, if it is a download.
pub(super) fn recorded(path: &Path) -> Option<Digest> {
    let record = read(path.parent()?)?;
    (record.file.as_str() == path.file_name()?.to_str()?).then_some(record.content)
}

/// Reads a recorded file and says what is wrong with it.
///
/// # Errors
/// It is there and cannot be read, which says nothing about its content.
pub(super) fn damage(home: &Path, record: &Record) -> Result<Option<String>, Error> {
    let path = record.file.below(home);
    match std::fs::metadata(&path) {
        Err(e) if is_gone(&e) => return Ok(Some("its file is gone".into())),
        Err(e) => return Err(Error::io("reading", &path, e)),
        Ok(meta) if meta.len() != record.size => {
            let why = format!("its file has {} bytes and its record says {}", meta.len(), record.size);
            return Ok(Some(why));
        }
        Ok(_) => {}
    }
    let same = file_digest(&path)? == record.content;
    Ok((!same).then(|| "its content is not what was recorded".into()))
}

/// Forgets a damaged file, so that it is brought again.
pub(super) fn forget(home: &Path, record: &Record) {
    forget_record(home);
    let _ = std::fs::remove_file(record.file.below(home));
}

/// Forgets a record that cannot be used, so that its file is brought again.
pub(super) fn forget_record(home: &Path) {
    let _ = std::fs::remove_file(home.join(RECORD));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(of: &str) -> Checksum {
        Checksum::parse(&format!("md5:{}", of.repeat(32))).unwrap()
    }

    fn kept(store: &Store, url: &str, member: Option<&str>, bytes: &[u8]) -> Download {
        let download = store.download(url, &digest("a"));
        let part = store.part_file(url, None).unwrap().unwrap();
        std::fs::write(&part.data, bytes).unwrap();
        store.keep_download(&part.data, &download, member, Digest::of(bytes), "test").unwrap();
        download
    }

    #[test]
    fn names_of_files_are_plain() {
        for (url, name) in [
            ("https://a.org/x/scifact.zip", "scifact.zip"),
            ("https://a.org/x/t.tsv?download=1", "t.tsv"),
            ("https://a.org/", "file"),
            ("https://a.org/..", "file"),
            ("https://a.org/a%2Fb c.txt", "a_2Fb_c.txt"),
            ("lotte/x/record.json", "file"),
        ] {
            assert_eq!(file_name(url), name, "{url}");
        }
        assert_eq!(file_name(&format!("{}.tsv", "x".repeat(500))).len(), 200);
    }

    #[test]
    fn what_was_kept_is_found_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let url = "http://a.org/x.tar";
        let download = store.download(url, &digest("a"));
        assert!(!store.has_download(&download, None) && store.downloaded(url).is_none());
        kept(&store, url, None, b"whole");
        kept(&store, url, Some("d/a.tsv"), b"member");
        assert!(store.has_download(&download, None) && store.has_download(&download, Some("d/a.tsv")));
        assert!(!store.has_download(&download, Some("d/b.tsv")));
        assert!(
            !store.has_download(&store.download(url, &digest("b")), None),
            "another digest is another file"
        );
        assert_eq!(store.downloaded(url).unwrap().size, 5);
        // The same size, another content.
        let path = download.path(None);
        modes::inherit_file(&path).unwrap();
        std::fs::write(&path, b"WHOLE").unwrap();
        assert!(!store.has_download(&download, None));
        kept(&store, url, None, b"whole");
        assert!(store.has_download(&download, None), "it was replaced");
    }

    #[test]
    fn a_changed_record_is_told_and_the_file_brought_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let download = kept(&store, "http://a.org/x.tar", None, b"whole");
        let record = download.folder(None).join(RECORD);
        let text = std::fs::read_to_string(&record).unwrap();
        std::fs::write(&record, text.replace("\"from\": \"test\"", "\"from\": \"rest\"")).unwrap();
        assert!(!store.has_download(&download, None));
        let found = crate::cache::verify(&store, true, &|_, _| {});
        assert!(
            matches!(&found.damage[..], [crate::cache::Damage::Download { why, .. }] if why.contains("checksum")),
            "{:?}",
            found.damage
        );
        kept(&store, "http://a.org/x.tar", None, b"whole");
        assert!(store.has_download(&download, None));
        assert!(crate::cache::verify(&store, false, &|_, _| {}).damage.is_empty());
    }

    #[test]
    fn a_record_that_cannot_be_read_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (lost, found) = ("http://a.org/lost.tar", "http://a.org/found.tar");
        let download = kept(&store, lost, None, b"lost");
        let path = kept(&store, found, None, b"found").path(None);
        let identity = Download::identity(&digest("a"), Some("d/a.tsv"));
        let member = kept(&store, found, Some("d/a.tsv"), b"member").path(Some("d/a.tsv"));
        // Links to themselves: they are there, and the system gives an error for them.
        let record = download.folder(None).join(RECORD);
        std::fs::remove_file(&record).unwrap();
        for unreadable in [record, download.folder(None).join("members")] {
            std::os::unix::fs::symlink(&unreadable, &unreadable).unwrap();
            assert!(records(&store).is_err(), "`gc` must not take it for absent");
            assert_eq!(store.downloaded(found).unwrap().size, 5);
            assert!(store.downloaded(lost).is_none());
            assert_eq!(store.download_of(&identity), Some(member.clone()));
            assert_eq!(store.download_of(&Download::identity(&digest("a"), None)), Some(path.clone()));
            std::fs::remove_file(&unreadable).unwrap();
        }
    }

    #[test]
    fn one_process_at_a_time_grows_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (Store::open(dir.path()).unwrap(), Store::open(dir.path()).unwrap());
        let held = a.part_file("http://a.org/x", None).unwrap().unwrap();
        assert!(b.part_file("http://a.org/x", None).unwrap().is_none());
        assert!(b.part_file("http://a.org/x", Some(&digest("a"))).unwrap().is_some());
        drop(held);
        assert!(b.part_file("http://a.org/x", None).unwrap().is_some());
    }

    #[test]
    fn a_record_of_the_first_format_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (url, digest) = ("http://a.org/x.tsv", digest("a"));
        let download = store.download(url, &digest);
        let home = download.path(None).parent().unwrap().to_owned();
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("x.tsv"), "abc").unwrap();
        let text = format!(
            r#"{{"format": 1, "url": "{url}", "digest": "{digest}", "file": "x.tsv", "size": 3, "content": "{}",
                "from": "{url}", "time": "2026-11-26T00:00:00Z"}}"#,
            Digest::of(b"abc")
        );
        std::fs::write(home.join(RECORD), &text).unwrap();
        assert!(store.has_download(&download, None));
        assert!(!read(&home).unwrap().has_checksum());
        assert_eq!(home.file_name().unwrap(), "a267d37a2dbd11d28b64e630fee377be", "names stay the same");
        std::fs::write(home.join(RECORD), text.replace("\"format\": 1", "\"format\": 3")).unwrap();
        assert!(!store.has_download(&download, None), "a later format is not guessed at");
    }
}
