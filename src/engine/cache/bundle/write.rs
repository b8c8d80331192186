//! Writing a bundle.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::super::digest::file_digest;
use super::super::error::At;
use super::super::{Error, Store};
use super::{FORMAT, INDEX, Index, MANIFESTS, MemberEntry, OBJECTS, ResultEntry};
use xpipe_base::value::{Digest, InnerPath};

/// A file beside the results.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// Its name in the bundle, below `study/` or `results/`.
    pub name: InnerPath,
    /// The file.
    pub path: PathBuf,
    /// Whether it may be executed.
    pub executable: bool,
}

/// A result in a bundle.
#[derive(Clone, Debug)]
pub struct BundledResult {
    /// Its address in the study.
    pub address: String,
    /// Its key.
    pub key: Digest,
    /// Whether its files are included.
    pub files: bool,
}

/// The source of a member.
enum Source {
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// Writes a bundle of results, each of which must be in the store. `study` is the main file below `study/`, `missing` what
/// the study needs and the bundle does not have.
///
/// # Errors
/// A result is damaged, a file cannot be read or changes meanwhile, or the bundle cannot be written.
pub fn bundle(
    store: &Store,
    study: InnerPath,
    attachments: &[Attachment],
    results: &[BundledResult],
    missing: Vec<String>,
    out: &Path,
) -> Result<(), Error> {
    let mut members = Members::default();
    for file in attachments {
        let size = std::fs::metadata(&file.path).at("reading", &file.path)?.len();
        let digest = file_digest(&file.path)?;
        let source = Source::File(file.path.clone());
        members.add(file.name.as_str().to_owned(), size, digest, file.executable, source)?;
    }
    let mut entries: BTreeMap<Digest, ResultEntry> = BTreeMap::new();
    for result in results {
        members.add_result(store, result)?;
        let entry = ResultEntry { address: result.address.clone(), key: result.key, files: result.files };
        // An action of several cells is one result, with its files if one of them asks for these.
        entries.entry(result.key).and_modify(|e| e.files |= result.files).or_insert(entry);
    }
    let index = Index {
        format: FORMAT,
        tool: concat!("xpipe ", env!("CARGO_PKG_VERSION")).to_owned(),
        study,
        members: members.0.values().map(|(entry, _)| entry.clone()).collect(),
        results: entries.into_values().collect(),
        missing,
    };
    let index = serde_json::to_vec_pretty(&index).map_err(|e| Error::io("writing", out, e.into()))?;
    write_tar(out, &index, members.0.into_values())
}

/// Members of a bundle by name.
#[derive(Default)]
struct Members(BTreeMap<String, (MemberEntry, Source)>);

impl Members {
    fn add(
        &mut self,
        name: String,
        size: u64,
        digest: Digest,
        executable: bool,
        source: Source,
    ) -> Result<(), Error> {
        let Ok(inner) = InnerPath::parse(name.as_str()) else {
            return Err(Error::Unsupported { path: name.into(), what: "a name that cannot be kept" });
        };
        let entry = MemberEntry { name: inner, size, digest, executable };
        self.0.insert(name, (entry, source));
        Ok(())
    }

    /// Adds the manifest of a result, and its files where they are asked for.
    fn add_result(&mut self, store: &Store, result: &BundledResult) -> Result<(), Error> {
        let damaged = |miss: &dyn std::fmt::Display| Error::DamagedResult {
            address: result.address.clone(),
            why: miss.to_string(),
        };
        let portable = store.portable(&result.key).map_err(|miss| damaged(&miss))?;
        let (manifest, text) = (portable.manifest(), portable.text().as_bytes().to_vec());
        let name = format!("{MANIFESTS}{}.json", result.key.hex());
        self.add(name, text.len() as u64, Digest::of(&text), false, Source::Bytes(text))?;
        if result.files {
            store.check(manifest)?.map_err(|miss| damaged(&miss))?;
            for output in &manifest.outputs {
                let source = Source::File(store.blob(&output.digest));
                let name = format!("{OBJECTS}{}", output.digest.hex());
                self.add(name, output.size, output.digest, false, source)?;
            }
        }
        Ok(())
    }
}

/// Writes to a temporary file beside the place, so that a bundle is there as a whole or not at all.
fn write_tar(
    out: &Path,
    index: &[u8],
    members: impl Iterator<Item = (MemberEntry, Source)>,
) -> Result<(), Error> {
    let folder = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // As any other file that is written: the umask decides who may read it.
    let everybody = std::fs::Permissions::from_mode(0o666);
    let temp = tempfile::Builder::new().permissions(everybody).tempfile_in(folder).at("writing", out)?;
    let mut tar = tar::Builder::new(BufWriter::with_capacity(1 << 20, temp));
    append(&mut tar, INDEX, index.len() as u64, false, index).at("writing", out)?;
    for (entry, source) in members {
        match source {
            Source::Bytes(bytes) => {
                append(&mut tar, entry.name.as_str(), entry.size, entry.executable, &bytes[..])
            }
            Source::File(path) => {
                let mut hasher =
                    Hashing { from: File::open(&path).at("reading", &path)?, hasher: blake3::Hasher::new() };
                let added = append(&mut tar, entry.name.as_str(), entry.size, entry.executable, &mut hasher);
                if added.is_ok() && Digest(*hasher.hasher.finalize().as_bytes()) != entry.digest {
                    return Err(Error::Changing { path });
                }
                added
            }
        }
        .at("writing", out)?;
    }
    let temp = tar.into_inner().and_then(|writer| Ok(writer.into_inner()?)).at("writing", out)?;
    temp.as_file().sync_all().at("syncing", out)?;
    temp.persist(out).map_err(|e| Error::io("writing", out, e.error))?;
    Ok(())
}

/// Adds a member whose header depends on name, size and content only.
fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    name: &str,
    size: u64,
    executable: bool,
    from: impl Read,
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(if executable { 0o755 } else { 0o644 });
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_entry_type(tar::EntryType::Regular);
    // A file that became longer must not spoil the archive; one that became shorter is found by its digest.
    let mut limited = from.take(size);
    tar.append_data(&mut header, name, &mut limited)
}

struct Hashing {
    from: File,
    hasher: blake3::Hasher,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}
