//! Reading a bundle into a cache, after everything in it was checked.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::super::error::At;
use super::super::{Error, PortableManifest, Store};
use super::{FORMAT, INDEX, Index, MANIFESTS, MemberEntry, OBJECTS};
use xpipe_base::archive::Tar;
use xpipe_base::value::{Digest, InnerPath};

/// The largest table of contents, in bytes.
const LARGEST_INDEX: u64 = 256 << 20;
/// The largest manifest, in bytes.
const LARGEST_MANIFEST: u64 = 64 << 20;

/// What a bundle brought.
#[derive(Clone, Debug, Default)]
pub struct Unbundled {
    /// The study's main file.
    pub study: PathBuf,
    /// Results with their files that are new in the cache.
    pub results: usize,
    /// Results without their files that are new in the cache.
    pub records: usize,
    /// Results that the cache had before.
    pub known: usize,
    /// Results that the cache has with another content: the cache's were kept. Their addresses.
    pub different: Vec<String>,
    /// Bytes of files added to the cache.
    pub bytes: u64,
    /// What the study needs and the bundle did not have.
    pub missing: Vec<String>,
}

/// Puts the results of a bundle into a store and the files of its study into a folder, which must not exist or be empty.
///
/// # Errors
/// The archive is damaged or holds something that it should not; nothing was changed then. Or something cannot be written.
pub fn unbundle(store: &Store, archive: &Path, folder: &Path) -> Result<Unbundled, Error> {
    if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) || folder.is_file() {
        return Err(Error::Occupied { path: folder.to_owned() });
    }
    let work = store.temp("bundle")?;
    std::fs::create_dir(&work).at("making", &work)?;
    let done = Reader { store, archive, work: &work }.read(folder);
    let _ = std::fs::remove_dir_all(&work);
    done
}

struct Reader<'a> {
    store: &'a Store,
    archive: &'a Path,
    work: &'a Path,
}

impl Reader<'_> {
    fn wrong(&self, why: impl Into<String>) -> Error {
        Error::BadBundle { path: self.archive.to_owned(), why: why.into() }
    }

    fn read(&self, folder: &Path) -> Result<Unbundled, Error> {
        let file = File::open(self.archive).at("reading", self.archive)?;
        let whole = file.metadata().at("reading", self.archive)?.len();
        let mut tar = Tar::new(BufReader::with_capacity(1 << 20, file));
        let index = self.index(&mut tar, whole)?;
        let places = self.unpack(&mut tar, &index)?;
        let manifests = self.manifests(&index, &places)?;
        // Everything is as it should be: from here on the cache and the folder change.
        let mut done = Unbundled { missing: index.missing.clone(), ..Unbundled::default() };
        self.publish(&index, &places, &manifests, &mut done)?;
        self.place_files(&index, &places, folder)?;
        done.study = index.study.below(folder);
        Ok(done)
    }

    /// The table of contents, which is the first member.
    fn index(&self, tar: &mut Tar<impl Read>, whole: u64) -> Result<Index, Error> {
        let member = tar.next_member().map_err(|e| self.wrong(e.to_string()))?;
        let member = member.filter(|m| m.name == INDEX.as_bytes() && m.kind.is_file());
        let Some(member) = member else { return Err(self.wrong(format!("its first member is not {INDEX}"))) };
        if member.size > LARGEST_INDEX {
            return Err(
                self.wrong(format!("{INDEX} has {} bytes, of which {LARGEST_INDEX} are read", member.size))
            );
        }
        let mut text = Vec::new();
        tar.read_to_end(&mut text).map_err(|e| self.wrong(e.to_string()))?;
        let index: Index = serde_json::from_slice(&text).map_err(|e| self.wrong(format!("{INDEX}: {e}")))?;
        if index.format != FORMAT {
            return Err(self.wrong(format!("its format is {}, and this xpipe reads {FORMAT}", index.format)));
        }
        let total = index.members.iter().fold(0u64, |sum, m| sum.saturating_add(m.size));
        if total > whole {
            return Err(self.wrong(format!("{INDEX} lists {total} bytes, and the archive has {whole}")));
        }
        Ok(index)
    }

    /// Unpacks all members that the table of contents lists, and checks size and digest of each.
    fn unpack(&self, tar: &mut Tar<impl Read>, index: &Index) -> Result<BTreeMap<String, PathBuf>, Error> {
        let mut wanted: BTreeMap<&[u8], &MemberEntry> = BTreeMap::new();
        for entry in &index.members {
            if wanted.insert(entry.name.as_str().as_bytes(), entry).is_some() {
                return Err(self.wrong(format!("{INDEX} lists {} twice", entry.name)));
            }
        }
        let mut places = BTreeMap::new();
        while let Some(member) = tar.next_member().map_err(|e| self.wrong(e.to_string()))? {
            let shown = String::from_utf8_lossy(&member.name).into_owned();
            let Some(entry) = wanted.remove(member.name.as_slice()) else {
                return Err(self.wrong(format!("{INDEX} does not list its member {shown}, or once only")));
            };
            if !member.kind.is_file() || member.size != entry.size {
                return Err(self.wrong(format!("its member {shown} is no file of {} bytes", entry.size)));
            }
            let place = self.work.join(places.len().to_string());
            let digest = self.copy(tar, &place)?;
            let named = shown.strip_prefix(OBJECTS).is_none_or(|hex| hex == digest.hex());
            if digest != entry.digest || !named {
                return Err(self.wrong(format!("its member {shown} does not have its digest")));
            }
            places.insert(entry.name.as_str().to_owned(), place);
        }
        if let Some(entry) = wanted.into_values().next() {
            return Err(self.wrong(format!("its member {} is missing", entry.name)));
        }
        if !places.contains_key(&format!("study/{}", index.study)) {
            return Err(self.wrong(format!("the study {} is missing", index.study)));
        }
        Ok(places)
    }

    /// Writes the current member to a file; returns its digest.
    fn copy(&self, tar: &mut Tar<impl Read>, to: &Path) -> Result<Digest, Error> {
        let mut file = File::create_new(to).at("writing", to)?;
        let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; 1 << 20]);
        loop {
            let n = match tar.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(self.wrong(e.to_string())),
            };
            hasher.update(&buffer[..n]);
            file.write_all(&buffer[..n]).at("writing", to)?;
        }
        Ok(Digest(*hasher.finalize().as_bytes()))
    }

    /// Checks every manifest, and that the files that the bundle should have are there.
    fn manifests(
        &self,
        index: &Index,
        places: &BTreeMap<String, PathBuf>,
    ) -> Result<Vec<PortableManifest>, Error> {
        let mut manifests = Vec::new();
        for result in &index.results {
            let address = &result.address;
            let Some(place) = places.get(&format!("{MANIFESTS}{}.json", result.key.hex())) else {
                return Err(self.wrong(format!("the record of {address} is missing")));
            };
            if std::fs::metadata(place).at("reading", place)?.len() > LARGEST_MANIFEST {
                return Err(self.wrong(format!("the record of {address} is too large")));
            }
            let text = std::fs::read(place).at("reading", place)?;
            let portable = PortableManifest::parse(&String::from_utf8_lossy(&text), &result.key)
                .map_err(|why| self.wrong(format!("the record of {address} cannot be used: {why}")))?;
            let absent = portable.manifest().outputs.iter().find(|o| {
                let there = places.get(&format!("{OBJECTS}{}", o.digest.hex()));
                there.is_none_or(|p| std::fs::metadata(p).is_ok_and(|m| m.len() != o.size))
            });
            if let Some(output) = absent.filter(|_| result.files) {
                return Err(self.wrong(format!("the file {} of {address} is missing", output.name)));
            }
            manifests.push(portable);
        }
        Ok(manifests)
    }

    /// Puts the results into the store.
    fn publish(
        &self,
        index: &Index,
        places: &BTreeMap<String, PathBuf>,
        manifests: &[PortableManifest],
        done: &mut Unbundled,
    ) -> Result<(), Error> {
        let name = self.archive.file_name().unwrap_or_default().to_string_lossy();
        let origin = format!("the bundle {name}");
        for (portable, result) in manifests.iter().zip(&index.results) {
            let key = &result.key;
            match self.store.get(key) {
                Ok(known) if known.digest != portable.manifest().digest => {
                    done.different.push(result.address.clone());
                }
                Ok(_) if !result.files || !self.store.is_record(key) => done.known += 1,
                _ if result.files => {
                    done.bytes += self.adopt(portable, places, &origin)?;
                    done.results += 1;
                }
                _ => {
                    self.store.add_record(key, portable.text())?;
                    done.records += 1;
                }
            }
        }
        Ok(())
    }

    /// Publishes a result with its files; returns their size as far as the store did not have them.
    fn adopt(
        &self,
        portable: &PortableManifest,
        places: &BTreeMap<String, PathBuf>,
        origin: &str,
    ) -> Result<u64, Error> {
        let manifest = portable.manifest();
        let work = self.store.workspace(&manifest.key)?;
        let mut bytes = 0;
        for output in &manifest.outputs {
            if self.store.place_known(output, &work.out)? {
                continue;
            }
            let mut to = self.store.place_new(output, &work.out)?;
            let Some(place) = places.get(&format!("{OBJECTS}{}", output.digest.hex())) else { continue };
            let mut from = File::open(place).at("reading", place)?;
            bytes += std::io::copy(&mut from, &mut to).at("writing", place)?;
        }
        self.store.adopt(work, portable, origin)?;
        Ok(bytes)
    }

    /// Puts the files beside the results into a folder.
    fn place_files(
        &self,
        index: &Index,
        places: &BTreeMap<String, PathBuf>,
        folder: &Path,
    ) -> Result<(), Error> {
        for entry in &index.members {
            let name = entry.name.as_str();
            let inside = name.strip_prefix("study/").or_else(|| name.starts_with("results/").then_some(name));
            let Some(inside) = inside.and_then(|n| InnerPath::parse(n).ok()) else { continue };
            let Some(place) = places.get(name) else { continue };
            let to = inside.below(folder);
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent).at("making", parent)?;
            }
            let mode = if entry.executable { 0o755 } else { 0o644 };
            std::fs::copy(place, &to).at("writing", &to)?;
            std::fs::set_permissions(&to, Permissions::from_mode(mode)).at("writing", &to)?;
        }
        Ok(())
    }
}
