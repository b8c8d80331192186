//! Reads the members of a tar archive in order, with bounds on all sizes that the archive declares.
//!
//! The `tar` crate decodes the fields of a header. Its iteration over members is not used, since it allocates the
//! declared length of a long name. Must not know: the content of members.

use std::io::{Error, ErrorKind, Read, Result};

use tar::{EntryType, GnuExtSparseHeader, Header, PaxExtensions};

const BLOCK: usize = 512;
/// The longest name of a member: sixteen times what file systems allow.
const NAME: u64 = 64 << 10;
/// Maximum size of the extended headers of a member.
const ABOUT: u64 = 1 << 20;
/// Maximum number of members. Collections with one file per document have some millions.
const MEMBERS: u64 = 20_000_000;

/// The header of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The path inside the archive, as its bytes.
    pub name: Vec<u8>,
    /// Whether it is a file, a link, …
    pub kind: EntryType,
    /// Its size in bytes.
    pub size: u64,
}

/// An archive that is read from its start. Reading gives the bytes of the current member.
#[derive(Debug)]
pub struct Tar<R> {
    reader: R,
    /// Unread bytes of the current member.
    rest: u64,
    /// Padding of its last block.
    fill: u64,
    members: u64,
    /// Whether the end marker was found.
    pub ended: bool,
}

/// The extended headers of a member.
#[derive(Default)]
struct About {
    name: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl<R: Read> Tar<R> {
    /// An archive.
    pub fn new(reader: R) -> Self {
        Self { reader, rest: 0, fill: 0, members: 0, ended: false }
    }

    /// What follows the archive, also to read to the check sum of what it is packed in.
    pub fn into_inner(self) -> R {
        self.reader
    }

    /// The next member; the rest of the current one is skipped. `None` at the end.
    ///
    /// # Errors
    /// [`ErrorKind::UnexpectedEof`] where the archive is cut, [`ErrorKind::Other`] where it is damaged or beyond a
    /// bound, and errors of the reader.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        let mut about = About::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let size = header.entry_size()?;
            self.open(size)?;
            match header.entry_type() {
                EntryType::GNULongName => {
                    let mut name = self.bounded(size, NAME, "the name of a member")?;
                    while name.pop_if(|b| *b == 0).is_some() {}
                    about.name = Some(name);
                }
                EntryType::XHeader => {
                    let text = self.bounded(size, ABOUT, "what is said about a member")?;
                    about.pax(&text)?;
                }
                EntryType::XGlobalHeader | EntryType::GNULongLink => {}
                kind => {
                    if let Some(size) = about.size {
                        self.open(size)?;
                    }
                    self.members += 1;
                    if self.members > MEMBERS {
                        return Err(Error::other(format!("it has more than {MEMBERS} members")));
                    }
                    if kind == EntryType::GNUSparse {
                        self.sparse(&header)?;
                    }
                    let kind = if about.sparse { EntryType::GNUSparse } else { kind };
                    let name = about.name.unwrap_or_else(|| header.path_bytes().into_owned());
                    return Ok(Some(Member { name, kind, size: self.rest }));
                }
            }
        }
    }

    fn open(&mut self, size: u64) -> Result<()> {
        let whole = size.checked_next_multiple_of(BLOCK as u64);
        let whole = whole.ok_or_else(|| Error::other("the size of a member is damaged"))?;
        (self.rest, self.fill) = (size, whole - size);
        Ok(())
    }

    /// The next header; `None` at the end, with or without its mark.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let mut have = 0;
        while have < BLOCK {
            match self.reader.read(&mut block[have..]) {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => have += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        if block.iter().all(|b| *b == 0) {
            self.ended = true;
            return Ok(None);
        }
        // The field of the sum counts as blanks.
        let sum =
            block.iter().enumerate().map(|(i, b)| u32::from(if (148..156).contains(&i) { b' ' } else { *b }));
        let sum: u32 = sum.sum();
        if header.cksum()? != sum {
            return Err(Error::other("the check sum of a header is wrong"));
        }
        Ok(Some(header))
    }

    /// Skips the map of a sparse file, which stands between its header and its bytes.
    fn sparse(&mut self, header: &Header) -> Result<()> {
        let mut more = header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
        while more {
            let mut places = GnuExtSparseHeader::new();
            self.reader.read_exact(places.as_mut_bytes())?;
            more = places.is_extended();
        }
        Ok(())
    }

    fn bounded(&mut self, size: u64, most: u64, what: &str) -> Result<Vec<u8>> {
        if size > most {
            return Err(Error::other(format!("{what} takes {size} bytes, of which {most} are read at most")));
        }
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        if bytes.len() as u64 == size { Ok(bytes) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    fn skip(&mut self) -> Result<()> {
        let left = self.rest.saturating_add(self.fill);
        let skipped = std::io::copy(&mut (&mut self.reader).take(left), &mut std::io::sink())?;
        (self.rest, self.fill) = (0, 0);
        if skipped == left { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }
}

impl<R: Read> Read for Tar<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let most = usize::try_from(self.rest).unwrap_or(usize::MAX).min(buffer.len());
        let n = self.reader.read(&mut buffer[..most])?;
        self.rest -= n as u64;
        Ok(n)
    }
}

impl About {
    /// Reads path and size from a POSIX extended header.
    fn pax(&mut self, text: &[u8]) -> Result<()> {
        for record in PaxExtensions::new(text) {
            let record = record?;
            match record.key_bytes() {
                b"path" => self.name = Some(record.value_bytes().to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(record.value_bytes()).ok().and_then(|s| s.parse().ok());
                    self.size = Some(size.ok_or_else(|| Error::other("the size of a member is damaged"))?);
                }
                key if key.starts_with(b"GNU.sparse.") => self.sparse = true,
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
