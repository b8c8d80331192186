//! Rows of a Parquet file as others write it: columns by name, nulls allowed, in the shape of [`super::json`].
//!
//! [`super::table`] reads our own tables, which are strict and faster.

use std::fs::File;

use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field as Cell, reader::RowIter};
use parquet::schema::types::Type;

use super::json::Field;
use super::parquet_footer;
use super::parts::{Meter, Part};
use xpipe_base::place;
use xpipe_base::task::{Failure, caught};

/// The rows of a Parquet file, one after another.
pub struct ParquetRows<'a> {
    /// The file as messages about rows name it.
    file: &'a str,
    /// Its path, for messages about the whole file.
    name: String,
    columns: Vec<String>,
    /// The file, until the first row is asked for.
    unread: Option<SerializedFileReader<File>>,
    rows: Option<RowIter<'static>>,
    number: u64,
    meter: &'a Meter<'a>,
}

impl std::fmt::Debug for ParquetRows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ParquetRows({}:{})", self.name, self.number)
    }
}

impl<'a> ParquetRows<'a> {
    /// Opens a part that is a Parquet file.
    ///
    /// # Errors
    /// It is damaged, or packed: such a file is read from its end.
    pub fn open(part: &Part<'a>) -> Result<Self, Failure> {
        let Some(path) = part.path else {
            return Err(Failure::wrong(format!(
                "{}: found a Parquet file inside an archive, expected one outside of archives",
                part.name
            ))
            .help("unpack the archive, and name the folder"));
        };
        let opened = File::open(path).map_err(|e| place::io(path, e))?;
        let name = path.display().to_string();
        let reader = intact(&name, || parquet_footer::open(opened))?;
        let schema = reader.metadata().file_metadata().schema();
        let columns = schema.get_fields().iter().map(|f| f.name().to_owned()).collect();
        let (unread, rows) = (Some(reader), None);
        Ok(Self { file: part.name, name, columns, unread, rows, number: 0, meter: part.meter })
    }

    /// The names of the columns, for messages.
    pub fn names(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|c| place::quote(c)).collect();
        format!("the columns {}", names.join(", "))
    }

    /// All columns.
    pub fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    /// A failure because of the columns that the file has.
    pub fn unexpected(&self, expected: impl AsRef<str>) -> Failure {
        place::wrong_line(self.file, self.number.max(1), self.names(), expected)
    }

    /// The wanted columns of the next row; `None` after the last row. Only these columns are unpacked; every call names
    /// the same.
    ///
    /// # Errors
    /// The file is damaged, or a wanted column cannot be unpacked here, or the run was cancelled.
    pub fn next<'w>(&mut self, wanted: &'w [&'w str]) -> Result<Option<ParquetRow<'w>>, Failure>
    where
        'a: 'w,
    {
        if self.number.is_multiple_of(4096) {
            self.meter.check()?;
        }
        if let Some(file) = self.unread.take() {
            self.rows = Some(select(&self.name, file, wanted)?);
        }
        let rows = &mut self.rows;
        let next = || rows.as_mut().and_then(Iterator::next).transpose();
        let Some(row) = intact(&self.name, next)? else { return Ok(None) };
        self.number += 1;
        let mut fields = vec![None; wanted.len()];
        for (column, cell) in row.into_columns() {
            if let Some(i) = wanted.iter().position(|w| *w == column) {
                fields[i] = Some(field(cell));
            }
        }
        Ok(Some(ParquetRow { file: self.file, number: self.number, wanted, fields }))
    }
}

/// The wanted columns of one row; their numbers are places in the list of wanted columns.
#[derive(Debug)]
pub struct ParquetRow<'w> {
    file: &'w str,
    /// The number of the row, from 1.
    pub number: u64,
    wanted: &'w [&'w str],
    /// The columns in the order wanted; `None` where the file has no such column.
    pub fields: Vec<Option<Field>>,
}

impl ParquetRow<'_> {
    /// A failure because of what a column holds.
    pub fn wrong(&self, column: usize, expected: &str) -> Failure {
        let kind = self.fields[column].as_ref().map_or("nothing", Field::kind);
        let found = format!("{kind} in {}", place::quote(self.wanted[column]));
        place::wrong_line(self.file, self.number, found, expected)
    }

    /// The id in a column: a string or a whole number.
    ///
    /// # Errors
    /// It holds something else.
    pub fn id(&self, column: usize) -> Result<&str, Failure> {
        match &self.fields[column] {
            Some(Field::Text(id) | Field::Number(id)) => Ok(id),
            _ => Err(self.wrong(column, "a string or a whole number")),
        }
    }

    /// The number in a column, as it is written.
    ///
    /// # Errors
    /// It holds something else.
    pub fn decimal(&self, column: usize) -> Result<&str, Failure> {
        match &self.fields[column] {
            Some(Field::Number(n) | Field::Fraction(n)) => Ok(n),
            _ => Err(self.wrong(column, "a number")),
        }
    }

    /// The list in a column; `None` if it holds something else.
    pub fn list(&self, column: usize) -> Option<&[String]> {
        match &self.fields[column] {
            Some(Field::List(items)) => Some(items),
            _ => None,
        }
    }
}

/// The rows of a file with the wanted columns alone.
fn select(
    name: &str,
    file: SerializedFileReader<File>,
    wanted: &[&str],
) -> Result<RowIter<'static>, Failure> {
    let chunks = wanted_chunks(file.metadata(), wanted);
    packed(name, &chunks)?;
    intact(name, || {
        let schema = file.metadata().file_metadata().schema();
        let all = schema.get_fields();
        // Of columns of one name the library takes the last.
        let last = |name: &str| all.iter().rfind(|field| field.name() == name).cloned();
        let mut fields = Vec::new();
        for (i, column) in wanted.iter().enumerate() {
            if !wanted[..i].contains(column) {
                fields.extend(last(column));
            }
        }
        let projection = Type::group_type_builder(schema.name()).with_fields(fields).build()?;
        RowIter::from_file_into(Box::new(file)).project(Some(projection))
    })
}

/// The parts of a file that hold wanted columns.
fn wanted_chunks<'m>(metadata: &'m ParquetMetaData, wanted: &[&str]) -> Vec<&'m ColumnChunkMetaData> {
    let chunks = metadata.row_groups().iter().flat_map(RowGroupMetaData::columns);
    let is_wanted = |chunk: &&ColumnChunkMetaData| {
        chunk.column_path().parts().first().is_some_and(|name| wanted.contains(&name.as_str()))
    };
    chunks.filter(is_wanted).collect()
}

/// Refuses pages that this build cannot unpack.
fn packed(name: &str, chunks: &[&ColumnChunkMetaData]) -> Result<(), Failure> {
    use parquet::basic::Compression as C;
    let other = chunks
        .iter()
        .map(|chunk| chunk.compression())
        .find(|c| !matches!(c, C::UNCOMPRESSED | C::SNAPPY | C::ZSTD(_)));
    let Some(other) = other else { return Ok(()) };
    let other = other.to_string().to_lowercase();
    let other = other.split('(').next().unwrap_or_default();
    Err(Failure::wrong(format!(
        "{name}: found a Parquet file compressed with {other}, expected zstd, snappy or no compression"
    ))
    .help(
        "write it again, for instance with pyarrow: `pq.write_table(pq.read_table(\"a.parquet\"), \"b.parquet\", \
         compression=\"zstd\")`",
    ))
}

/// What the library reads. It panics on some damaged files.
fn intact<T>(name: &str, read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, Failure> {
    match caught(read) {
        Ok(result) => result.map_err(|e| damaged(name, &e)),
        Err(panic) => Err(damaged(name, &panic.message)),
    }
}

fn damaged(name: &str, e: &dyn std::fmt::Display) -> Failure {
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
            items.map_or(Field::Other("a list of other values than strings and numbers"), Field::List)
        }
        Cell::Group(_) | Cell::MapInternal(_) => Field::Other("an object"),
        _ => Field::Other("a value of another kind"),
    }
}

#[cfg(test)]
mod tests;
