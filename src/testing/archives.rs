//! Archives made by hand, so that they can also be wrong.

use std::io::Write;

/// A zip entry that is a plain file, as Unix says it.
pub const FILE: u32 = 0o100_644;

/// Bytes packed by gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A tar archive; names are written as they are.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        builder.append(&tar_header(tar::EntryType::Regular, name, "", bytes.len() as u64), *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The header of a tar entry of any kind, name and target.
pub fn tar_header(kind: tar::EntryType, name: &str, target: &str, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    let raw = header.as_gnu_mut().unwrap();
    raw.name[..name.len()].copy_from_slice(name.as_bytes());
    raw.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    header
}

/// A zip archive of files packed by deflate.
pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let entries: Vec<_> = files.iter().map(|(name, bytes)| (*name, *bytes, FILE, None)).collect();
    zip_of(&entries)
}

/// The same of entries of any kind that may lie about their size.
///
/// **Source:** PKWARE's APPNOTE 6.3, sections 4.3.7, 4.3.12 and 4.3.16.
pub fn zip_of(entries: &[(&str, &[u8], u32, Option<u32>)]) -> Vec<u8> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    for (name, bytes, mode, stated) in entries {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        let packed = encoder.finish().unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let at = out.len() as u32;
        // Version 2.0, no flags, deflate, midnight of 1 January 1980.
        let mut shared = Vec::new();
        for short in [20u16, 0, 8, 0, 0x21] {
            shared.extend(short.to_le_bytes());
        }
        for long in [crc.sum(), packed.len() as u32, stated.unwrap_or(bytes.len() as u32)] {
            shared.extend(long.to_le_bytes());
        }
        for short in [name.len() as u16, 0] {
            shared.extend(short.to_le_bytes());
        }
        out.extend(b"PK\x03\x04");
        out.extend(&shared);
        out.extend(name.as_bytes());
        out.extend(packed);
        // Made by Unix; comment, disk and internal attributes are none.
        central.extend(b"PK\x01\x02");
        central.extend((3u16 << 8 | 20).to_le_bytes());
        central.extend(&shared);
        central.extend([0; 6]);
        central.extend((mode << 16).to_le_bytes());
        central.extend(at.to_le_bytes());
        central.extend(name.as_bytes());
    }
    let (at, size, n) = (out.len() as u32, central.len() as u32, entries.len() as u16);
    out.extend(central);
    out.extend(b"PK\x05\x06\0\0\0\0");
    for short in [n, n] {
        out.extend(short.to_le_bytes());
    }
    for long in [size, at] {
        out.extend(long.to_le_bytes());
    }
    out.extend([0, 0]);
    out
}
