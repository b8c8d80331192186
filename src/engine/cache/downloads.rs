//! Files that were downloaded, and members unpacked from them: `downloads/` beside the blobs.
//!
//! ```text
//! downloads/<name>/record.json            written last: without it there is no download
//! downloads/<name>/<file>                 as the publisher names it
//! downloads/<name>/members/<name>/…       the same of a member: record.json and the file
//! downloads/parts/<name>.part             what has arrived of a file, .json what it is for, .lock who is at it
//! ```
//!
//! The name is made of the address and the digest, so that another content at the same address is another download.
//! What a record says is checked when the file is used: its size always, its content once an unchanged file.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::digest::{file_digest, remembered};
use super::error::At;
use super::{Error, Held, Store, locks};
use xpipe_base::value::{Checksum, Digest, InnerPath, sealed};

/// Version 1 had no checksum.
const FORMAT: u32 = 2;
const SEALED: u32 = 2;
const FOLDER: &str = "downloads";
const RECORD: &str = "record.json";

/// What is known about a file that was downloaded, or about a member of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    /// The address.
    pub url: String,
    /// The digest of what lies there, as it was declared or pinned.
    pub digest: String,
    /// The member of the archive; `None` for the file itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The file's name in its folder.
    pub file: InnerPath,
    /// Its size in bytes.
    pub size: u64,
    /// Its content.
    pub content: Digest,
    /// Where it came from: its address, or the file of a mirror.
    pub from: String,
    /// When it was complete, RFC 3339.
    pub time: String,
}

/// One download of a cache: where its files are, or will be.
#[derive(Clone, Debug)]
pub struct Download {
    folder: PathBuf,
    url: String,
    digest: Checksum,
}

/// Where a file grows until it is whole. Held by one process at a time.
#[derive(Debug)]
pub struct Growing {
    /// The bytes so far.
    pub part: PathBuf,
    /// What they are for.
    pub about: PathBuf,
    _lock: Held,
}

/// The place where a file grows in a folder that is not the store's; `None` while another process holds its lock.
///
/// # Errors
/// When the lock cannot be made.
pub fn growing_at(folder: &Path, name: &str, lock: &Path) -> std::io::Result<Option<Growing>> {
    let Some(held) = locks::try_lock(lock, false)? else { return Ok(None) };
    let part = folder.join(format!("{name}.part"));
    Ok(Some(Growing { about: folder.join(format!("{name}.part.json")), part, _lock: held }))
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
    // File systems take 255 bytes; the suffix tells the format.
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

    fn home(&self, member: Option<&str>) -> PathBuf {
        match member {
            None => self.folder.clone(),
            Some(member) => self.folder.join("members").join(short(member)),
        }
    }

    /// Where the file, or a member of it, is or will be.
    pub fn path(&self, member: Option<&str>) -> PathBuf {
        self.home(member).join(file_name(member.unwrap_or(&self.url)))
    }

    /// What is recorded about the file or a member of it, when it is there with the right size.
    pub fn record(&self, member: Option<&str>) -> Option<Record> {
        let record = read(&self.home(member))?;
        let size = std::fs::metadata(self.path(member)).ok()?.len();
        let same = record.url == self.url && record.member.as_deref() == member && record.size == size;
        (same && record.digest == self.digest.to_string()).then_some(record)
    }

    /// The content that keys see: that of the archive, which is known before it is here, and the name of the member.
    pub fn identity(digest: &Checksum, member: Option<&str>) -> Digest {
        let member = member.map_or(String::new(), |m| format!("\n{m}"));
        Digest::of(format!("xpipe download 1\n{digest}{member}").as_bytes())
    }
}

impl Record {
    /// Whether a checksum protects what it says; those of version 1 have none.
    pub(super) fn has_checksum(&self) -> bool {
        self.format >= SEALED
    }
}

/// The record in a folder. One that was changed is like one that is not there: the file is brought again.
fn read(home: &Path) -> Option<Record> {
    parse(&std::fs::read(home.join(RECORD)).ok()?).ok()
}

fn parse(text: &[u8]) -> Result<Record, String> {
    let record: Record = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    if !(1..=FORMAT).contains(&record.format) {
        return Err(format!("its record has version {}, this xpipe knows {FORMAT}", record.format));
    }
    sealed::check(text, record.format, SEALED)?;
    Ok(record)
}

impl Store {
    /// The download of an address with a digest.
    pub fn download(&self, url: &str, digest: &Checksum) -> Download {
        Download::new(&self.dir().join(FOLDER), url, digest)
    }

    /// Whether the file, or a member of it, is here with the content that was recorded. Reads it where it is not known
    /// to be unchanged since it was last read.
    pub fn has_download(&self, download: &Download, member: Option<&str>) -> bool {
        let Some(record) = download.record(member) else { return false };
        let path = download.path(member);
        let Ok(meta) = std::fs::metadata(&path) else { return false };
        remembered(&path, &meta, &self.memo, self.verify_always).is_ok_and(|d| d == record.content)
    }

    /// The newest whole file that was downloaded from an address, whatever its digest.
    pub fn downloaded(&self, url: &str) -> Option<Record> {
        let mut found: Vec<Record> =
            records(self).into_iter().map(|(_, r)| r).filter(|r| r.url == url).collect();
        found.retain(|r| r.member.is_none());
        found.sort_by(|a, b| a.time.cmp(&b.time));
        found.pop()
    }

    /// The place where the file of an address grows; `None` while another process is at it.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn growing(&self, url: &str, digest: Option<&Checksum>) -> Result<Option<Growing>, Error> {
        let folder = self.dir().join(FOLDER).join("parts");
        std::fs::create_dir_all(&folder).at("making", &folder)?;
        let name = short(&format!("{url}\n{}", digest.map(Checksum::to_string).unwrap_or_default()));
        let lock = folder.join(format!("{name}.lock"));
        let Some(held) = locks::try_lock(&lock, true).at("locking", &lock)? else { return Ok(None) };
        let part = folder.join(format!("{name}.part"));
        Ok(Some(Growing { about: folder.join(format!("{name}.json")), part, _lock: held }))
    }

    /// A file that is whole becomes a download, or a member of one; the file is moved. Its content must have been
    /// checked.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_download(
        &self,
        whole: &Path,
        download: &Download,
        member: Option<&str>,
        content: Digest,
        from: &str,
    ) -> Result<Record, Error> {
        let (home, path) = (download.home(member), download.path(member));
        std::fs::create_dir_all(&home).at("making", &home)?;
        // An older file of the same name was found damaged.
        let record = home.join(RECORD);
        let _ = std::fs::remove_file(&record);
        std::fs::set_permissions(whole, Permissions::from_mode(0o444)).at("protecting", whole)?;
        if self.durable {
            File::open(whole).and_then(|f| f.sync_all()).at("syncing", whole)?;
        }
        let size = std::fs::metadata(whole).at("reading", whole)?.len();
        let name = InnerPath::parse(file_name(member.unwrap_or(&download.url)))
            .map_err(|_| Error::Odd { path: path.clone(), what: "a name that cannot be kept" })?;
        std::fs::rename(whole, &path).at("writing", &path)?;
        let told = Record {
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
        let text = sealed::seal(&serde_json::to_vec_pretty(&told).unwrap_or_default());
        let mut file = tempfile::NamedTempFile::new_in(&home).at("writing", &home)?;
        file.write_all(&text).at("writing", &record)?;
        if self.durable {
            file.as_file().sync_all().at("syncing", &record)?;
        }
        file.persist(&record).map_err(|e| Error::io("writing", &record, e.error))?;
        if self.durable {
            File::open(&home).and_then(|f| f.sync_all()).at("syncing", &home)?;
        }
        Ok(told)
    }
}

/// Every record with the folder of its file, sorted by folder.
pub(super) fn records(store: &Store) -> Vec<(PathBuf, Record)> {
    homes(store).into_iter().filter_map(|home| read(&home).map(|r| (home, r))).collect()
}

/// The folders whose record cannot be used, and why.
pub(super) fn spoiled(store: &Store) -> Vec<(PathBuf, String)> {
    let wrong = |home: PathBuf| {
        let text = std::fs::read(home.join(RECORD)).ok()?;
        parse(&text).err().map(|why| (home, why))
    };
    homes(store).into_iter().filter_map(wrong).collect()
}

/// The folders of all downloads and members, sorted.
fn homes(store: &Store) -> Vec<PathBuf> {
    let entries = |p: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(p).into_iter().flatten().flatten().map(|e| e.path()).collect()
    };
    let mut homes = entries(&store.dir().join(FOLDER));
    homes.extend(homes.clone().iter().flat_map(|h| entries(&h.join("members"))));
    homes.sort();
    homes
}

/// The size of what has arrived of files that are not whole.
pub(super) fn unfinished(store: &Store) -> PathBuf {
    store.dir().join(FOLDER).join("parts")
}

/// The content that is recorded of the file at a path, if it is a download.
pub(super) fn recorded(path: &Path) -> Option<Digest> {
    let record = read(path.parent()?)?;
    (record.file.as_str() == path.file_name()?.to_str()?).then_some(record.content)
}

/// What is wrong with a recorded file, by reading it.
pub(super) fn damage(home: &Path, record: &Record) -> Option<String> {
    let path = record.file.below(home);
    match std::fs::metadata(&path) {
        Err(_) => Some("its file is gone".into()),
        Ok(meta) if meta.len() != record.size => {
            Some(format!("its file has {} bytes instead of {}", meta.len(), record.size))
        }
        Ok(_) => match file_digest(&path) {
            Ok(digest) if digest == record.content => None,
            _ => Some("its content is not what was recorded".into()),
        },
    }
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
        let grows = store.growing(url, None).unwrap().unwrap();
        std::fs::write(&grows.part, bytes).unwrap();
        store.keep_download(&grows.part, &download, member, Digest::of(bytes), "test").unwrap();
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
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
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
        let record = download.home(None).join(RECORD);
        let text = std::fs::read_to_string(&record).unwrap();
        std::fs::write(&record, text.replace("\"from\": \"test\"", "\"from\": \"rest\"")).unwrap();
        assert!(!store.has_download(&download, None));
        let found = crate::cache::verify(&store, true, &|_, _| {}).unwrap();
        assert!(
            matches!(&found.damage[..], [crate::cache::Damage::Download { why, .. }] if why.contains("checksum")),
            "{:?}",
            found.damage
        );
        kept(&store, "http://a.org/x.tar", None, b"whole");
        assert!(store.has_download(&download, None));
        assert!(crate::cache::verify(&store, false, &|_, _| {}).unwrap().damage.is_empty());
    }

    #[test]
    fn one_process_at_a_time_grows_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (Store::open(dir.path()).unwrap(), Store::open(dir.path()).unwrap());
        let held = a.growing("http://a.org/x", None).unwrap().unwrap();
        assert!(b.growing("http://a.org/x", None).unwrap().is_none());
        assert!(b.growing("http://a.org/x", Some(&digest("a"))).unwrap().is_some());
        drop(held);
        assert!(b.growing("http://a.org/x", None).unwrap().is_some());
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
