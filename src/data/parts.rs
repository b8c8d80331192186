//! Opens inputs: a file, a folder of files or a tar archive, each plain or compressed by gzip, bzip2 or zstd. The kind
//! is recognised by magic bytes.
//!
//! Every reader of a format sees a [`Part`]: one file's name, its first bytes, and a stream. Bytes read from disk
//! are counted for progress; reading stops when the run is cancelled.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, Chain, Cursor, Read};
use std::path::Path;

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;

use super::source::{CompanionFiles, Source};
use xpipe_base::archive::Tar;
use xpipe_base::place;
use xpipe_base::task::{Failure, Progress};

/// Number of bytes of each part that can be inspected before it is read.
pub const HEAD: usize = 4096;
pub(super) const BUFFER: usize = 256 << 10;
/// How many levels of packing are undone.
pub(super) const LEVELS: usize = 3;
const REPORT_EVERY: u64 = 4 << 20;

/// Counts bytes read from disk and reports them.
pub struct Meter<'p> {
    progress: &'p dyn Progress,
    read: Cell<u64>,
    reported: Cell<u64>,
    total: u64,
}

impl std::fmt::Debug for Meter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Meter({} of {} bytes)", self.read.get(), self.total)
    }
}

impl Meter<'_> {
    fn add(&self, bytes: u64) {
        let read = self.read.get() + bytes;
        self.read.set(read);
        if read - self.reported.get() >= REPORT_EVERY {
            self.reported.set(read);
            self.progress.progress(read, self.total, "bytes", "");
        }
    }

    /// Fails when the run was cancelled.
    ///
    /// # Errors
    /// The interruption.
    pub fn check(&self) -> Result<(), Failure> {
        if self.progress.cancelled() { Err(Failure::interrupted()) } else { Ok(()) }
    }
}

/// One file: a path given by the study, or a member of a folder or archive.
pub struct Part<'a> {
    /// Its path as messages name it; members of archives after the archive's name.
    pub name: &'a str,
    /// Its path on disk; `None` inside compressed files and archives.
    pub path: Option<&'a Path>,
    /// Its first bytes, decompressed, at most [`HEAD`].
    pub head: &'a [u8],
    /// All its bytes, decompressed.
    pub reader: &'a mut dyn BufRead,
    /// Where to report and ask whether to stop.
    pub meter: &'a Meter<'a>,
}

impl std::fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Part({})", self.name)
    }
}

impl Part<'_> {
    /// The file's own name without folders and without the suffix of its packing.
    pub fn file_name(&self) -> &str {
        let name = self.name.rsplit(['/', '\\']).next().unwrap_or(self.name);
        [".gz", ".bz2", ".zst"].iter().find_map(|s| name.strip_suffix(s)).unwrap_or(name)
    }

    /// The file's name without its last suffix.
    pub fn stem(&self) -> &str {
        let name = self.file_name();
        name.rsplit_once('.').map_or(name, |(stem, _)| stem)
    }

    /// The suffix in lower case, without that of a packing; empty when there is none.
    pub fn suffix(&self) -> String {
        self.file_name().rsplit_once('.').map_or(String::new(), |(_, suffix)| suffix.to_ascii_lowercase())
    }
}

/// Callback for each part.
pub type Each<'f> = &'f mut dyn FnMut(Part<'_>) -> Result<(), Failure>;

/// Reads a source part by part: files of a folder in bytewise order of their paths, members of an archive in its
/// order, without hidden and excluded files. Returns the number of parts.
///
/// # Errors
/// What `each` returns; a source that is missing, empty, cut short, damaged, or packed in another way.
pub fn each_part(source: impl Into<Source>, progress: &dyn Progress, each: Each<'_>) -> Result<u64, Failure> {
    let source = source.into();
    let files = source.files()?;
    let total = files.iter().map(|(.., size)| size).sum();
    let meter = Meter { progress, read: Cell::new(0), reported: Cell::new(0), total };
    let several = files.len() > 1;
    let mut walk = Walk { source: &source, meter: &meter, parts: 0, beside: CompanionFiles::default() };
    for (path, inside, _) in &files {
        meter.check()?;
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| place::io(path, e))?;
        let mut reader = BufReader::with_capacity(BUFFER, Counted { inner: file, meter: &meter });
        let at = At { name: &name, path: Some(path.as_path()), inside, several };
        walk.open(at, &mut reader, 0, each)?;
    }
    progress.progress(total, total, "bytes", "");
    walk.beside.tell(progress);
    if walk.parts == 0 && source.chosen() {
        return Err(Failure::wrong(format!("{}: no file matches `include`", source.display()))
            .help("a pattern without `/` is for the name of a file, one with `/` for its path in the folder or archive"));
    }
    Ok(walk.parts)
}

/// A file before decompression.
#[derive(Clone, Copy)]
struct At<'n> {
    /// As messages name it.
    name: &'n str,
    /// Its path on disk, unless it is a member of an archive.
    path: Option<&'n Path>,
    /// Its name in the folder or archive.
    inside: &'n str,
    /// Whether the source has other files.
    several: bool,
}

struct Walk<'w> {
    source: &'w Source,
    meter: &'w Meter<'w>,
    parts: u64,
    beside: CompanionFiles,
}

impl Walk<'_> {
    /// Unpacks compression and tar, up to three levels, and passes on the content.
    fn open(
        &mut self,
        at: At<'_>,
        reader: &mut dyn BufRead,
        depth: usize,
        each: Each<'_>,
    ) -> Result<(), Failure> {
        let (head, mut reader) = peek(reader).map_err(|e| read_failed(at.name, None, e))?;
        if depth < LEVELS
            && let Some(inner) = unpacked(&head, &mut reader).map_err(|e| read_failed(at.name, None, e))?
        {
            let mut inner = BufReader::with_capacity(BUFFER, inner);
            return self.open(At { path: None, ..at }, &mut inner, depth + 1, each);
        }
        if depth < LEVELS && is_tar(&head) {
            return self.members(at, &mut reader, depth + 1, each);
        }
        if !self.source.takes(at.inside) {
            return Ok(());
        }
        if at.several && !self.source.chosen() && CompanionFiles::is(at.inside, &head) {
            self.beside.leave_out(at.inside);
            return Ok(());
        }
        if let Some((kind, tool)) = foreign(&head) {
            return Err(Failure::wrong(format!(
                "{}: found {kind}, expected plain text, gzip, bzip2, zstd or tar",
                at.name
            ))
            .help(format!("{tool}, and name the result")));
        }
        self.parts += 1;
        each(Part { name: at.name, path: at.path, head: &head, reader: &mut reader, meter: self.meter })
    }

    fn members(
        &mut self,
        at: At<'_>,
        reader: &mut dyn BufRead,
        depth: usize,
        each: Each<'_>,
    ) -> Result<(), Failure> {
        let name = at.name;
        let mut archive = Tar::new(reader);
        while let Some(found) = archive.next_member().map_err(|e| read_failed(name, None, e))? {
            self.meter.check()?;
            let member = String::from_utf8_lossy(&found.name).into_owned();
            let own = member.rsplit('/').next().unwrap_or_default();
            if !found.kind.is_file() || own.starts_with('.') {
                continue;
            }
            let inside = member.trim_start_matches("./");
            let member = format!("{name}/{inside}");
            let taken = Cell::new(0);
            let mut reader = BufReader::with_capacity(BUFFER, Bytes { inner: &mut archive, seen: &taken });
            self.open(At { name: &member, path: None, inside, several: true }, &mut reader, depth, each)?;
            std::io::copy(&mut reader, &mut std::io::sink()).map_err(|e| read_failed(&member, None, e))?;
            if taken.get() != found.size {
                return Err(cut_short(&member, None));
            }
        }
        // What follows the last member holds the end mark and, under gzip, the checksum.
        let ended = archive.ended;
        std::io::copy(&mut archive.into_inner(), &mut std::io::sink())
            .map_err(|e| read_failed(name, None, e))?;
        if ended { Ok(()) } else { Err(cut_short(name, None)) }
    }
}

/// A decompressing reader; `None` for data in no supported compression.
pub(super) fn unpacked<'r>(
    head: &[u8],
    reader: &'r mut dyn BufRead,
) -> std::io::Result<Option<Box<dyn Read + 'r>>> {
    // A block of bzip2 begins with the digits of pi, an empty file with those of its square root.
    let bzip2 = head.starts_with(b"BZh")
        && head.get(4..10).is_some_and(|b| matches!(b, b"1AY&SY" | b"\x17\x72\x45\x38\x50\x90"));
    if head.starts_with(&[0x1F, 0x8B]) {
        return Ok(Some(Box::new(MultiGzDecoder::new(reader))));
    }
    if bzip2 {
        return Ok(Some(Box::new(MultiBzDecoder::new(reader))));
    }
    if head.starts_with(&ZSTD) {
        return Ok(Some(Box::new(zstd::stream::read::Decoder::with_buffer(reader)?)));
    }
    Ok(None)
}

/// How zstd-compressed data begins.
const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// What was looked at, and the rest.
pub(super) type Peeked<R> = Chain<Cursor<Vec<u8>>, R>;

/// The first bytes, and a reader of all.
pub(super) fn peek<R: BufRead>(mut reader: R) -> std::io::Result<(Vec<u8>, Peeked<R>)> {
    let mut head = Vec::with_capacity(HEAD);
    reader.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(reader)))
}

/// The failure of a read, at a line when one is known.
pub(super) fn read_failed(name: &str, line: Option<u64>, e: std::io::Error) -> Failure {
    use std::io::ErrorKind as K;
    let at = line.map_or_else(|| name.to_owned(), |n| format!("{name}:{n}"));
    match e.kind() {
        K::UnexpectedEof => cut_short(name, line),
        K::InvalidData | K::InvalidInput => {
            Failure::wrong(format!("{at}: the compressed data is damaged: {e}"))
                .help("copy or download the file again")
        }
        K::Other => Failure::wrong(format!("{at}: the archive is damaged or cut short: {e}"))
            .help("copy or download the file again"),
        _ => place::io(at, e),
    }
}

fn cut_short(name: &str, line: Option<u64>) -> Failure {
    let after = line.map_or(String::new(), |n| format!(" after line {}", n.saturating_sub(1)));
    Failure::wrong(format!(
        "{name}: the file is truncated: its compressed or archived data ends{after} in the middle"
    ))
    .help("copy or download the file again")
}

/// Ways of packing that are not read, with what to do.
fn foreign(head: &[u8]) -> Option<(&'static str, &'static str)> {
    // UTF-16 without a mark: every other byte of Latin letters is 0.
    let zeros = |from: usize| head.iter().skip(from).step_by(2).filter(|b| **b == 0).count();
    if head.len() >= 16
        && !head.starts_with(b"PAR1")
        && (zeros(0) > head.len() / 5) != (zeros(1) > head.len() / 5)
    {
        return Some((
            "what looks like UTF-16 text",
            "convert it with `iconv -f UTF-16LE -t UTF-8` (or `UTF-16BE`)",
        ));
    }
    let known: [(&[u8], _, _); 6] = [
        (&ZSTD, "zstd-compressed data", "unpack it with `zstd -d`"),
        (&[0xFD, b'7', b'z', b'X', b'Z', 0], "xz-compressed data", "unpack it with `unxz`"),
        (b"PK\x03\x04", "a zip archive", "unpack it with `unzip`"),
        (&[0x1F, 0x9D], "compress(1)-ed data", "unpack it with `gzip -d`"),
        (&[0xFF, 0xFE], "UTF-16 text", "convert it with `iconv -f UTF-16 -t UTF-8`"),
        (&[0xFE, 0xFF], "UTF-16 text", "convert it with `iconv -f UTF-16 -t UTF-8`"),
    ];
    known.into_iter().find(|(magic, ..)| head.starts_with(magic)).map(|(_, kind, tool)| (kind, tool))
}

/// Whether the first block is a tar header: its checksum is right.
pub(super) fn is_tar(head: &[u8]) -> bool {
    let Some(block) = head.get(..512) else { return false };
    let stated = std::str::from_utf8(&block[148..156]).unwrap_or_default();
    let stated = u32::from_str_radix(stated.trim_matches(['\0', ' ']), 8);
    let sum =
        block.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) }).sum();
    stated == Ok(sum) && block[0] != 0
}

struct Counted<'m, 'p> {
    inner: File,
    meter: &'m Meter<'p>,
}

impl Read for Counted<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.meter.add(n as u64);
        Ok(n)
    }
}

struct Bytes<'c, R> {
    inner: R,
    seen: &'c Cell<u64>,
}

impl<R: Read> Read for Bytes<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.seen.set(self.seen.get() + n as u64);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use xpipe_base::task::{FailureKind, Silent};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn read(path: &Path) -> Result<Vec<(String, String)>, Failure> {
        let mut all = Vec::new();
        each_part(path, &Silent, &mut |part| {
            let mut text = String::new();
            part.reader.read_to_string(&mut text).map_err(|e| read_failed(part.name, Some(1), e))?;
            all.push((part.file_name().to_owned(), text));
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn packing_is_told_by_content_not_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.txt");
        let both = [gzip(b"one\n"), gzip(b"two\n")].concat();
        for (bytes, text) in [(b"one\n".to_vec(), "one\n"), (gzip(b"one\n"), "one\n"), (both, "one\ntwo\n")] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read(&path).unwrap(), [("x.txt".to_owned(), text.to_owned())]);
        }
        std::fs::write(&path, b"").unwrap();
        assert_eq!(read(&path).unwrap()[0].1, "");
    }

    #[test]
    fn folders_are_sorted_and_archives_keep_their_order() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        for name in ["c", "b/2", "b/1", "a", ".hidden", "a~"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let names = |all: Vec<(String, String)>| all.into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(names(read(dir.path()).unwrap()), ["a", "b/1", "b/2", "c"]);
        let packed = archive(&[("z", b"z"), ("./d/a", b"a"), ("d/.DS_Store", b"x"), ("g.gz", &gzip(b"g"))]);
        let path = dir.path().join("t");
        for bytes in [packed.clone(), gzip(&packed)] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(names(read(&path).unwrap()), ["z", "a", "g"]);
        }
    }

    #[test]
    fn every_cut_of_gzip_and_tar_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let text: String = (0..500).map(|i| format!("line {i} {}\n", i * 7919 % 1000)).collect();
        let packed = archive(&[("a", text.as_bytes()), ("b", text.as_bytes())]);
        for whole in [gzip(text.as_bytes()), gzip(&packed), packed] {
            let end = if whole.starts_with(&[0x1F]) { whole.len() } else { whole.len() - 1024 };
            for cut in (512.min(end / 2)..=end - 1).step_by(101).chain([end - 1, end - 8, end]) {
                if cut == whole.len() {
                    continue;
                }
                std::fs::write(&path, &whole[..cut]).unwrap();
                let e = read(&path).unwrap_err();
                assert!(e.message.contains("truncated") || e.message.contains("cut short"), "{cut}: {e}");
                assert!(e.kind == FailureKind::Wrong && e.help.is_some());
            }
        }
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn bzip2_is_read_and_every_cut_of_it_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let text: String = (0..300).map(|i| format!("line {i} {}\n", i * 7919 % 1000)).collect();
        let path = dir.path().join("c.tsv.bz2");
        let whole = [bzip2(text.as_bytes()), bzip2(b"more\n")].concat();
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(read(&path).unwrap(), [("c.tsv".to_owned(), format!("{text}more\n"))]);
        std::fs::write(&path, bzip2(&archive(&[("a", b"x"), ("b", b"y")]))).unwrap();
        assert_eq!(read(&path).unwrap().len(), 2);
        let one = bzip2(text.as_bytes());
        for cut in (20..one.len() - 1).step_by(97).chain([one.len() - 1]) {
            std::fs::write(&path, &one[..cut]).unwrap();
            let e = read(&path).unwrap_err();
            assert!(e.message.contains("truncated"), "{cut}: {e}");
        }
        std::fs::write(&path, "BZhang\ta name\n").unwrap();
        assert_eq!(read(&path).unwrap()[0].1, "BZhang\ta name\n");
    }

    #[test]
    fn zstd_is_read_and_every_cut_of_it_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let text: String = (0..300).map(|i| format!("line {i} {}\n", i * 7919 % 1000)).collect();
        let path = dir.path().join("c.zst");
        let one = zstd::encode_all(text.as_bytes(), 3).unwrap();
        let two = [one.clone(), zstd::encode_all(b"more\n".as_slice(), 3).unwrap()].concat();
        std::fs::write(&path, two).unwrap();
        assert_eq!(read(&path).unwrap(), [("c".to_owned(), format!("{text}more\n"))]);
        for cut in (20..one.len() - 1).step_by(97).chain([one.len() - 1]) {
            std::fs::write(&path, &one[..cut]).unwrap();
            let e = read(&path).unwrap_err();
            assert!(e.message.contains("truncated") || e.message.contains("cut short"), "{cut}: {e}");
        }
    }

    #[test]
    fn files_beside_the_documents_are_left_out_and_told() {
        use xpipe_testing::CaveatLog;
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("FT/FT911")).unwrap();
        for (name, text) in
            [("FT/READMEFT", "About."), ("FT/FT911/FT911_1", "<DOC>"), ("ft.dtd", "<!ELEMENT x>")]
        {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let names = |source: &Source| {
            let (mut all, told) = (Vec::new(), CaveatLog::default());
            each_part(source, &told, &mut |part| {
                all.push(part.file_name().to_owned());
                Ok(())
            })
            .map(|_| (all, told.caveats()))
        };
        let (all, caveats) = names(&dir.path().into()).unwrap();
        assert_eq!(all, ["FT911_1"]);
        assert!(
            caveats[0].starts_with("2 files were left out") && caveats[0].ends_with("FT/READMEFT"),
            "{caveats:?}"
        );
        let chosen =
            |include: &str| Source::new(vec![dir.path().to_owned()], &[include.into()], &[]).unwrap();
        assert_eq!(names(&chosen("READ*")).unwrap(), (vec!["READMEFT".to_owned()], vec![]));
        assert!(names(&chosen("FR*")).unwrap_err().message.contains("no file matches `include`"));
        // By itself such a file is what was asked for.
        assert_eq!(names(&dir.path().join("ft.dtd").as_path().into()).unwrap().0, ["ft.dtd"]);
        let both = vec![dir.path().join("ft.dtd"), dir.path().join("FT/FT911/FT911_1")];
        assert_eq!(names(&Source::new(both, &[], &[]).unwrap()).unwrap().0.len(), 1);
    }

    #[test]
    fn text_in_two_bytes_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.tsv");
        let utf16: Vec<u8> =
            "1\ta document in Latin letters".encode_utf16().flat_map(u16::to_le_bytes).collect();
        std::fs::write(&path, &utf16).unwrap();
        let e = read(&path).unwrap_err();
        assert!(e.message.contains("UTF-16") && e.help.unwrap().contains("iconv"), "{}", e.message);
        std::fs::write(&path, [b"\xFF\xFE".as_slice(), &utf16].concat()).unwrap();
        assert!(read(&path).unwrap_err().message.contains("UTF-16"));
    }

    #[test]
    fn other_packings_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, b"PK\x03\x04....").unwrap();
        let e = read(&path).unwrap_err();
        assert!(e.message.contains("a zip archive") && e.help.unwrap().contains("unzip"));
        std::fs::write(&path, [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 0xFF, 0xFF, 0xFF]).unwrap();
        assert!(read(&path).unwrap_err().message.contains("damaged"));
        assert_eq!(read(&dir.path().join("none")).unwrap_err().kind, FailureKind::Missing);
        let empty = dir.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        assert!(read(&empty).unwrap_err().message.contains("no files"));
    }
}
