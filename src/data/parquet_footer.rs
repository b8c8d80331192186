//! A check of the schema in the footer of a Parquet file, before the library reads it.
//!
//! The library reserves memory for as many columns as a group claims, and reads nested groups by recursion: a file of a
//! few bytes could end the process, which no error reports. A schema passes only when it is written as the format says,
//! so that the library reads what was checked here.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use parquet::errors::ParquetError;
use parquet::file::reader::SerializedFileReader;

/// How a Parquet file begins and ends.
const MAGIC: &[u8; 4] = b"PAR1";

/// The most groups inside each other.
const MAX_DEPTH: usize = 64;
/// What ends a file: the length of the footer, and `PAR1`.
const END: u64 = 8;

/// Opens a Parquet file for the library.
///
/// # Errors
/// It is damaged, or its schema claims what is not there.
pub(crate) fn open(mut file: File) -> Result<SerializedFileReader<File>, ParquetError> {
    if let Some(footer) = footer(&mut file)? {
        Scan { rest: &footer }.file()?;
    }
    SerializedFileReader::new(file)
}

/// The footer of a file; `None` when its end is not that of a Parquet file, which the library reports.
fn footer(file: &mut File) -> Result<Option<Vec<u8>>, ParquetError> {
    let size = file.metadata()?.len();
    let Some(at) = size.checked_sub(END) else { return Ok(None) };
    let mut end = [0; END as usize];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut end)?;
    let [a, b, c, d, magic @ ..] = end;
    if magic != *MAGIC {
        return Ok(None);
    }
    let claimed = u32::from_le_bytes([a, b, c, d]);
    let Some(begin) = at.checked_sub(claimed.into()) else {
        return Err(wrong(format!("its footer claims {claimed} bytes, and the file has {size}")));
    };
    let mut footer = vec![0; claimed as usize];
    file.seek(SeekFrom::Start(begin))?;
    file.read_exact(&mut footer)?;
    Ok(Some(footer))
}

fn wrong(message: String) -> ParquetError {
    ParquetError::General(message)
}

/// Fields of a record by number.
type Fields = &'static [(u8, Kind)];

/// Types of Thrift's compact protocol that occur in a schema.
#[derive(Clone, Copy)]
enum Kind {
    Bool,
    Byte,
    Int,
    Binary,
    Record(Fields),
}

const BINARY: u8 = 8;
const LIST: u8 = 9;
const RECORD: u8 = 12;
const INT: u8 = 5;

const NONE: Kind = Kind::Record(&[]);
const TIME: Kind = Kind::Record(&[(1, Kind::Bool), (2, Kind::Record(&[(1, NONE), (2, NONE), (3, NONE)]))]);
const LOGICAL_TYPE: Fields = &[
    (1, NONE),
    (2, NONE),
    (3, NONE),
    (4, NONE),
    (5, Kind::Record(&[(1, Kind::Int), (2, Kind::Int)])),
    (6, NONE),
    (7, TIME),
    (8, TIME),
    (10, Kind::Record(&[(1, Kind::Byte), (2, Kind::Bool)])),
    (16, Kind::Record(&[(1, Kind::Byte)])),
    (17, Kind::Record(&[(1, Kind::Binary)])),
    (18, Kind::Record(&[(1, Kind::Binary), (2, Kind::Int)])),
];
const CHILDREN: u8 = 5;
/// An element of the schema: physical type, length, repetition, name, number of children, converted type, scale,
/// precision, id, logical type.
const ELEMENT: Fields = &[
    (1, Kind::Int),
    (2, Kind::Int),
    (3, Kind::Int),
    (4, Kind::Binary),
    (CHILDREN, Kind::Int),
    (6, Kind::Int),
    (7, Kind::Int),
    (8, Kind::Int),
    (9, Kind::Int),
    (10, Kind::Record(LOGICAL_TYPE)),
];

/// What is left of a footer.
struct Scan<'a> {
    rest: &'a [u8],
}

impl Scan<'_> {
    /// The metadata of the file as far as its schema: its version, then the schema.
    fn file(&mut self) -> Result<(), ParquetError> {
        if self.byte()? != 1 << 4 | INT {
            return Err(self.odd());
        }
        self.int()?;
        if self.byte()? != 1 << 4 | LIST {
            return Err(self.odd());
        }
        self.schema()
    }

    /// The elements of the schema, each before its children.
    fn schema(&mut self) -> Result<(), ParquetError> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        if count == 0 || head & 15 != RECORD || count > self.rest.len() as u64 {
            return Err(self.odd());
        }
        // How many children of each group are still to come.
        let mut open: Vec<u64> = Vec::new();
        for left in (0..count).rev() {
            if let Some(coming) = open.last_mut() {
                *coming -= 1;
            }
            let mut claimed = 0;
            self.record(ELEMENT, &mut |field, number| {
                if field == CHILDREN {
                    claimed = number;
                }
            })?;
            let children = u64::try_from(claimed).ok().filter(|n| *n <= left).ok_or_else(|| {
                wrong(format!("a group of its schema claims {claimed} columns, and {left} follow"))
            })?;
            if children > 0 {
                open.push(children);
            }
            if open.len() > MAX_DEPTH {
                return Err(wrong(format!("its schema has more than {MAX_DEPTH} groups inside each other")));
            }
            while open.last() == Some(&0) {
                open.pop();
            }
        }
        if open.is_empty() { Ok(()) } else { Err(wrong("its schema ends within a group".into())) }
    }

    /// A record of the fields given; `number` gets its whole numbers.
    fn record(&mut self, fields: Fields, number: &mut dyn FnMut(u8, i64)) -> Result<(), ParquetError> {
        let mut id = 0u8;
        loop {
            let head = self.byte()?;
            if head & 15 == 0 {
                return Ok(());
            }
            // The distance from the field before, or zero and the number of the field.
            let next = match head >> 4 {
                0 => self.int()?,
                more => i64::from(id) + i64::from(more),
            };
            id = u8::try_from(next).ok().filter(|next| *next > id).ok_or_else(|| self.odd())?;
            let kind = fields.iter().find(|(known, _)| *known == id).map(|(_, kind)| *kind);
            match (kind, head & 15) {
                (Some(Kind::Bool), 1 | 2) => {}
                (Some(Kind::Byte), 3) => drop(self.byte()?),
                (Some(Kind::Int), INT) => number(id, self.int()?),
                (Some(Kind::Binary), BINARY) => {
                    let length = self.varint()?;
                    self.take(length)?;
                }
                (Some(Kind::Record(fields)), RECORD) => self.record(fields, &mut |_, _| {})?,
                // Another logical type without properties.
                (None, RECORD) if self.byte()? == 0 => {}
                _ => return Err(self.odd()),
            }
        }
    }

    fn take(&mut self, bytes: u64) -> Result<&[u8], ParquetError> {
        let bytes =
            usize::try_from(bytes).ok().filter(|n| *n <= self.rest.len()).ok_or_else(|| self.odd())?;
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, ParquetError> {
        self.take(1).map(|taken| taken[0])
    }

    /// A number of at most 35 bits.
    fn varint(&mut self) -> Result<u64, ParquetError> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(value);
            }
        }
        Err(self.odd())
    }

    /// A number of 32 bits with a sign.
    fn int(&mut self) -> Result<i64, ParquetError> {
        let value = self.varint()?;
        if value > u32::MAX.into() {
            return Err(self.odd());
        }
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn odd(&self) -> ParquetError {
        wrong(format!(
            "its schema is not one of Parquet, {} bytes before the end of its footer",
            self.rest.len()
        ))
    }
}

#[cfg(test)]
mod tests;
