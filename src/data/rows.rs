//! Rows of a Parquet file as others write it: columns by name, nulls allowed, in the shape of [`super::json`].
//!
//! [`super::table`] reads our own tables, which are strict and faster.

use std::fs::File;
use std::path::Path;

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field as Cell, reader::RowIter};

use super::json::Field;
use super::parts::{Meter, Part};
use xpipe_base::place;
use xpipe_base::task::Failure;

/// How a Parquet file begins.
pub const MAGIC: &[u8] = b"PAR1";

/// The rows of a Parquet file, one after another.
pub struct Rows<'a> {
    name: String,
    columns: Vec<String>,
    iter: RowIter<'static>,
    number: u64,
    meter: &'a Meter<'a>,
}

impl std::fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rows({}:{})", self.name, self.number)
    }
}

impl<'a> Rows<'a> {
    /// Opens a part that is a Parquet file.
    ///
    /// # Errors
    /// It is damaged, or packed: such a file is read from its end.
    pub fn open(part: &Part<'a>) -> Result<Self, Failure> {
        let Some(path) = part.path else {
            return Err(Failure::wrong(format!(
                "{}: found a Parquet file inside an archive, expected one by itself",
                part.name
            ))
            .help("unpack the archive, and point to the folder"));
        };
        Self::of_file(path, part.meter)
    }

    fn of_file(path: &Path, meter: &'a Meter<'a>) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|e| place::io(path, e))?;
        let name = path.display().to_string();
        let damaged = |e: parquet::errors::ParquetError| damaged(&name, &e);
        let reader = SerializedFileReader::new(file).map_err(damaged)?;
        packed(&name, reader.metadata())?;
        let schema = reader.metadata().file_metadata().schema().clone();
        let columns = schema.get_fields().iter().map(|f| f.name().to_owned()).collect();
        let iter = RowIter::from_file_into(Box::new(reader));
        Ok(Self { columns, iter, number: 0, meter, name })
    }

    /// The names of the columns, for messages.
    pub fn names(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|c| place::quote(c)).collect();
        format!("the columns {}", names.join(", "))
    }

    /// Whether there is a column of this name.
    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|c| c == column)
    }

    /// All columns.
    pub fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    /// The number of the row read last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The wanted columns of the next row, in the order wanted: `None` where there is no such column; `None` after the
    /// last row.
    ///
    /// # Errors
    /// The file is damaged, or the run was cancelled.
    pub fn next(&mut self, wanted: &[&str]) -> Result<Option<Vec<Option<Field>>>, Failure> {
        if self.number.is_multiple_of(4096) {
            self.meter.check()?;
        }
        let Some(row) = self.iter.next() else { return Ok(None) };
        let row = row.map_err(|e| damaged(&self.name, &e))?;
        self.number += 1;
        let mut found = vec![None; wanted.len()];
        for (column, cell) in row.into_columns() {
            if let Some(i) = wanted.iter().position(|w| *w == column) {
                found[i] = Some(field(cell));
            }
        }
        Ok(Some(found))
    }
}

/// Refuses pages that this build cannot unpack.
fn packed(name: &str, metadata: &ParquetMetaData) -> Result<(), Failure> {
    use parquet::basic::Compression as C;
    let columns = metadata.row_groups().iter().flat_map(RowGroupMetaData::columns);
    let other = columns
        .map(ColumnChunkMetaData::compression)
        .find(|c| !matches!(c, C::UNCOMPRESSED | C::SNAPPY | C::ZSTD(_)));
    let Some(other) = other else { return Ok(()) };
    let other = other.to_string().to_lowercase();
    let other = other.split('(').next().unwrap_or_default();
    Err(Failure::wrong(format!(
        "{name}: found a Parquet file packed with {other}, expected zstd, snappy or no packing"
    ))
    .help(
        "write it anew, for instance with pyarrow: `pq.write_table(pq.read_table(\"a.parquet\"), \"b.parquet\", \
         compression=\"zstd\")`",
    ))
}

fn damaged(name: &str, e: &parquet::errors::ParquetError) -> Failure {
    Failure::wrong(format!("{name}: the Parquet file is damaged or cut short: {e}"))
        .help("copy or download the file again")
}

fn field(cell: Cell) -> Field {
    let whole = |x: f64| {
        let fits = x.fract() == 0.0 && x.abs() < 9e15;
        if fits { Field::Number((x as i64).to_string()) } else { Field::Fraction(x.to_string()) }
    };
    match cell {
        Cell::Null => Field::Null,
        Cell::Str(text) => Field::Text(text),
        Cell::Bytes(bytes) => match String::from_utf8(bytes.data().to_vec()) {
            Ok(text) => Field::Text(text),
            Err(_) => Field::Other("bytes that are not UTF-8"),
        },
        Cell::Byte(n) => Field::Number(n.to_string()),
        Cell::Short(n) => Field::Number(n.to_string()),
        Cell::Int(n) => Field::Number(n.to_string()),
        Cell::Long(n) => Field::Number(n.to_string()),
        Cell::UByte(n) => Field::Number(n.to_string()),
        Cell::UShort(n) => Field::Number(n.to_string()),
        Cell::UInt(n) => Field::Number(n.to_string()),
        Cell::ULong(n) => Field::Number(n.to_string()),
        Cell::Float(x) => whole(f64::from(x)),
        Cell::Double(x) => whole(x),
        Cell::Bool(truth) => Field::Bool(truth),
        Cell::ListInternal(list) => {
            let items = list.elements().iter().map(|item| match field(item.clone()) {
                Field::Text(item) | Field::Number(item) | Field::Fraction(item) => Some(item),
                _ => None,
            });
            let items: Option<Vec<String>> = items.collect();
            items.map_or(Field::Other("a list of other things than strings"), Field::List)
        }
        Cell::Group(_) | Cell::MapInternal(_) => Field::Other("an object"),
        _ => Field::Other("a value of another kind"),
    }
}
