//! Tables as Parquet that pandas, polars and DuckDB open: thin wrappers over the column writers and readers.
//!
//! Columns are required (no nulls). Text columns are dictionary-encoded, pages are zstd, a row group holds at most
//! [`ROW_GROUP`] rows. The same rows give the same bytes: no time, no version of a library is in a file.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::parquet_footer;
use xpipe_base::place;
use xpipe_base::task::Failure;

/// The most rows in one row group.
pub const ROW_GROUP: usize = 131_072;
const BATCH: usize = 8_192;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// 32-bit whole numbers.
    Int,
    /// 32-bit floats.
    Float,
    /// 64-bit floats.
    Double,
}

impl Kind {
    fn declaration(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("binary", " (STRING)"),
            Self::Int => ("int32", ""),
            Self::Float => ("float", ""),
            Self::Double => ("double", ""),
        }
    }
}

/// Columns by name and type.
pub type Columns<'a> = &'a [(&'a str, Kind)];

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "each mirrors a variant of Kind")]
pub enum Cell<'a> {
    Text(&'a str),
    Int(i32),
    Float(f32),
    Double(f64),
}

#[derive(Debug)]
enum Values {
    Text(Vec<ByteArray>),
    Int(Vec<i32>),
    Float(Vec<f32>),
    Double(Vec<f64>),
}

impl Values {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text(Vec::new()),
            Kind::Int => Self::Int(Vec::new()),
            Kind::Float => Self::Float(Vec::new()),
            Kind::Double => Self::Double(Vec::new()),
        }
    }

    fn push(&mut self, cell: Cell<'_>) -> bool {
        match (self, cell) {
            (Self::Text(v), Cell::Text(s)) => {
                // Ids repeat from row to row: share the bytes.
                let same = v.last().filter(|last| last.data() == s.as_bytes()).cloned();
                v.push(same.unwrap_or_else(|| ByteArray::from(s.as_bytes().to_vec())));
            }
            (Self::Int(v), Cell::Int(x)) => v.push(x),
            (Self::Float(v), Cell::Float(x)) => v.push(x),
            (Self::Double(v), Cell::Double(x)) => v.push(x),
            _ => return false,
        }
        true
    }

    fn clear(&mut self) {
        match self {
            Self::Text(v) => v.clear(),
            Self::Int(v) => v.clear(),
            Self::Float(v) => v.clear(),
            Self::Double(v) => v.clear(),
        }
    }
}

/// Writes a table row by row.
pub struct TableWriter {
    path: PathBuf,
    file: SerializedFileWriter<File>,
    columns: Vec<Values>,
    rows: usize,
    written: u64,
}

impl std::fmt::Debug for TableWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TableWriter({})", self.path.display())
    }
}

impl TableWriter {
    /// Begins a table in a file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path, columns: Columns<'_>) -> Result<Self, Failure> {
        use std::fmt::Write as _;
        let mut schema = "message table {".to_owned();
        for (name, kind) in columns {
            let (physical, logical) = kind.declaration();
            // Writing to a string does not fail.
            let _ = write!(schema, " required {physical} {name}{logical};");
        }
        schema.push_str(" }");
        let schema =
            parse_message_type(&schema).map_err(|e| Failure::bug(format!("schema of a table: {e}")))?;
        let level = ZstdLevel::try_new(3).map_err(|e| Failure::bug(e.to_string()))?;
        let properties = WriterProperties::builder()
            .set_created_by("xpipe".into())
            .set_compression(Compression::ZSTD(level))
            .set_dictionary_enabled(true)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .build();
        let file = File::create(path).map_err(|e| place::io(path, e))?;
        let file = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))
            .map_err(|e| failed(path, e))?;
        let columns = columns.iter().map(|(_, kind)| Values::new(*kind)).collect();
        Ok(Self { path: path.to_owned(), file, columns, rows: 0, written: 0 })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// A full disk; [`xpipe_base::task::FailureKind::Bug`] when the cells are not those of the columns.
    pub fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), Failure> {
        let fits = cells.len() == self.columns.len();
        if !fits || !self.columns.iter_mut().zip(cells).all(|(column, cell)| column.push(*cell)) {
            return Err(Failure::bug(format!("{}: a row is {cells:?}", self.path.display())));
        }
        self.rows += 1;
        self.written += 1;
        if self.rows == ROW_GROUP { self.flush() } else { Ok(()) }
    }

    /// The rows written so far.
    pub fn len(&self) -> u64 {
        self.written
    }

    /// Whether no row was written yet.
    pub fn is_empty(&self) -> bool {
        self.written == 0
    }

    /// Writes the remaining rows and the footer.
    ///
    /// # Errors
    /// A full disk.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.flush()?;
        self.file.close().map(|_| ()).map_err(|e| failed(&self.path, e))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.rows == 0 {
            return Ok(());
        }
        write_group(&mut self.file, &self.columns).map_err(|e| failed(&self.path, e))?;
        self.columns.iter_mut().for_each(Values::clear);
        self.rows = 0;
        Ok(())
    }
}

fn write_group(file: &mut SerializedFileWriter<File>, columns: &[Values]) -> Result<(), ParquetError> {
    let mut group = file.next_row_group()?;
    for values in columns {
        let Some(mut column) = group.next_column()? else { break };
        match values {
            Values::Text(v) => column.typed::<ByteArrayType>().write_batch(v, None, None)?,
            Values::Int(v) => column.typed::<Int32Type>().write_batch(v, None, None)?,
            Values::Float(v) => column.typed::<FloatType>().write_batch(v, None, None)?,
            Values::Double(v) => column.typed::<DoubleType>().write_batch(v, None, None)?,
        };
        column.close()?;
    }
    group.close().map(|_| ())
}

fn failed(path: &Path, e: ParquetError) -> Failure {
    // The library wraps errors of the system; a full disk must stay recognisable.
    if let ParquetError::External(inner) = e {
        return match inner.downcast::<std::io::Error>() {
            Ok(io) => place::io(path, *io),
            Err(other) => Failure::wrong(format!("{}: {other}", path.display())),
        };
    }
    Failure::wrong(format!("{}: {e}", path.display()))
}

enum Column {
    Text(ColumnReaderImpl<ByteArrayType>),
    Int(ColumnReaderImpl<Int32Type>),
    Float(ColumnReaderImpl<FloatType>),
    Double(ColumnReaderImpl<DoubleType>),
}

/// Reads a table row by row.
pub struct TableReader {
    path: PathBuf,
    file: SerializedFileReader<File>,
    /// Index and type of each requested column.
    wanted: Vec<(usize, Kind)>,
    groups: VecDeque<usize>,
    current: Vec<Column>,
    buffers: Vec<Values>,
    at: usize,
    filled: usize,
}

impl std::fmt::Debug for TableReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TableReader({})", self.path.display())
    }
}

/// A row of a table, by the indices of the requested columns.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    buffers: &'a [Values],
    at: usize,
}

impl<'a> Row<'a> {
    /// The text in a column; empty when it is not a text column.
    pub fn text(&self, column: usize) -> &'a str {
        match self.buffers.get(column) {
            Some(Values::Text(v)) => v[self.at].as_utf8().unwrap_or("\u{FFFD}"),
            _ => "",
        }
    }

    /// The whole number in a column; 0 when it is not such a column.
    pub fn int(&self, column: usize) -> i32 {
        if let Some(Values::Int(v)) = self.buffers.get(column) { v[self.at] } else { 0 }
    }

    /// The 32-bit float in a column; NaN when it is not such a column.
    pub fn float(&self, column: usize) -> f32 {
        if let Some(Values::Float(v)) = self.buffers.get(column) { v[self.at] } else { f32::NAN }
    }

    /// The 64-bit float in a column; NaN when it is not such a column.
    pub fn double(&self, column: usize) -> f64 {
        if let Some(Values::Double(v)) = self.buffers.get(column) { v[self.at] } else { f64::NAN }
    }
}

impl TableReader {
    /// Opens a table for the columns given, in the order given; the file may have others.
    ///
    /// # Errors
    /// The file is missing, is no Parquet file, or lacks a column of that name and type.
    pub fn open(path: &Path, columns: Columns<'_>) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|e| place::io(path, e))?;
        let file = parquet_footer::open(file).map_err(|e| failed(path, e))?;
        let schema = file.metadata().file_metadata().schema_descr_ptr();
        let mut wanted = Vec::new();
        for (name, kind) in columns {
            let found = (0..schema.num_columns()).find(|i| schema.column(*i).name() == *name);
            let fits = found.is_some_and(|i| {
                let column = schema.column(i);
                let physical = match kind {
                    Kind::Text => ByteArrayType::get_physical_type(),
                    Kind::Int => Int32Type::get_physical_type(),
                    Kind::Float => FloatType::get_physical_type(),
                    Kind::Double => DoubleType::get_physical_type(),
                };
                column.physical_type() == physical
                    && column.max_def_level() == 0
                    && column.max_rep_level() == 0
            });
            let Some(place) = found.filter(|_| fits) else {
                let has: Vec<&str> = (0..schema.num_columns()).map(|i| schema.columns()[i].name()).collect();
                let (physical, logical) = kind.declaration();
                return Err(Failure::wrong(format!(
                    "{}: found columns {}, expected a column `{name}` of required {physical}{logical}",
                    path.display(),
                    has.join(", ")
                )));
            };
            wanted.push((place, *kind));
        }
        let groups = (0..file.num_row_groups()).collect();
        let buffers = wanted.iter().map(|(_, kind)| Values::new(*kind)).collect();
        Ok(Self {
            path: path.to_owned(),
            file,
            wanted,
            groups,
            current: Vec::new(),
            buffers,
            at: 0,
            filled: 0,
        })
    }

    /// Whether the file has a column of this name.
    ///
    /// # Errors
    /// The file is missing or is no Parquet file.
    pub fn has(path: &Path, name: &str) -> Result<bool, Failure> {
        let file = File::open(path).map_err(|e| place::io(path, e))?;
        let file = parquet_footer::open(file).map_err(|e| failed(path, e))?;
        Ok(file.metadata().file_metadata().schema_descr().columns().iter().any(|c| c.name() == name))
    }

    /// The number of rows of the whole table.
    pub fn len(&self) -> u64 {
        u64::try_from(self.file.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Whether the table has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next row; `None` after the last.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn row(&mut self) -> Result<Option<Row<'_>>, Failure> {
        while self.at == self.filled {
            if !self.refill().map_err(|e| failed(&self.path, e))? {
                return Ok(None);
            }
        }
        let at = self.at;
        self.at += 1;
        Ok(Some(Row { buffers: &self.buffers, at }))
    }

    /// Reads the next batch; false at the end of the table.
    fn refill(&mut self) -> Result<bool, ParquetError> {
        self.at = 0;
        self.filled = 0;
        if self.current.is_empty() {
            let Some(group) = self.groups.pop_front() else { return Ok(false) };
            let group = self.file.get_row_group(group)?;
            self.current = self.wanted.iter().map(|w| column(&*group, *w)).collect::<Result<_, _>>()?;
        }
        let mut read = None;
        for (column, buffer) in self.current.iter_mut().zip(&mut self.buffers) {
            buffer.clear();
            let n = match (column, buffer) {
                (Column::Text(c), Values::Text(v)) => c.read_records(BATCH, None, None, v)?.0,
                (Column::Int(c), Values::Int(v)) => c.read_records(BATCH, None, None, v)?.0,
                (Column::Float(c), Values::Float(v)) => c.read_records(BATCH, None, None, v)?.0,
                (Column::Double(c), Values::Double(v)) => c.read_records(BATCH, None, None, v)?.0,
                _ => 0,
            };
            if *read.get_or_insert(n) != n {
                return Err(ParquetError::General("columns of unequal length".into()));
            }
        }
        self.filled = read.unwrap_or(0);
        if self.filled == 0 {
            self.current.clear();
        }
        Ok(true)
    }
}

fn column(group: &dyn RowGroupReader, (place, kind): (usize, Kind)) -> Result<Column, ParquetError> {
    let reader = group.get_column_reader(place)?;
    Ok(match kind {
        Kind::Text => Column::Text(get_typed_column_reader(reader)),
        Kind::Int => Column::Int(get_typed_column_reader(reader)),
        Kind::Float => Column::Float(get_typed_column_reader(reader)),
        Kind::Double => Column::Double(get_typed_column_reader(reader)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[(&str, Kind)] =
        &[("id", Kind::Text), ("n", Kind::Int), ("score", Kind::Float), ("value", Kind::Double)];

    fn write(path: &Path, rows: usize) {
        let mut table = TableWriter::create(path, COLUMNS).unwrap();
        for i in 0..rows {
            let id = format!("q{}", i / 3);
            let cells = [
                Cell::Text(&id),
                Cell::Int(i as i32 - 5),
                Cell::Float(i as f32 / 7.0),
                Cell::Double(1.0 / (i as f64 + 1.0)),
            ];
            table.row(&cells).unwrap();
        }
        table.finish().unwrap();
    }

    #[test]
    fn rows_come_back_across_batches_and_groups() {
        let dir = tempfile::tempdir().unwrap();
        for rows in [0, 1, BATCH, BATCH + 1, ROW_GROUP + 10] {
            let path = dir.path().join("t.parquet");
            write(&path, rows);
            let mut table = TableReader::open(&path, COLUMNS).unwrap();
            assert_eq!(table.len(), rows as u64);
            let mut seen = 0;
            while let Some(row) = table.row().unwrap() {
                assert_eq!(row.text(0), format!("q{}", seen / 3));
                assert_eq!(row.int(1), seen - 5);
                assert_eq!(row.float(2), seen as f32 / 7.0);
                assert_eq!(row.double(3), 1.0 / (f64::from(seen) + 1.0));
                seen += 1;
            }
            assert_eq!(seen as usize, rows);
        }
    }

    #[test]
    fn columns_are_found_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.parquet");
        write(&path, 4);
        let mut table = TableReader::open(&path, &[("n", Kind::Int), ("id", Kind::Text)]).unwrap();
        let row = table.row().unwrap().unwrap();
        assert_eq!((row.int(0), row.text(1)), (-5, "q0"));
        let e = TableReader::open(&path, &[("score", Kind::Double)]).unwrap_err();
        assert!(e.message.contains("expected a column `score` of required double"), "{e}");
        let e = TableReader::open(&path, &[("grade", Kind::Int)]).unwrap_err();
        assert!(e.message.contains("found columns id, n, score, value"), "{e}");
        assert!(TableReader::has(&path, "value").unwrap() && !TableReader::has(&path, "rank").unwrap());
    }

    #[test]
    fn the_same_rows_give_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        write(&a, 1000);
        write(&b, 1000);
        let bytes = std::fs::read(&a).unwrap();
        assert_eq!(bytes, std::fs::read(&b).unwrap());
        let version = b"parquet-rs";
        assert!(!bytes.windows(version.len()).any(|w| w == version));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_named() {
        for rows in [3, ROW_GROUP] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("full.parquet");
            std::os::unix::fs::symlink("/dev/full", &path).unwrap();
            let write = || {
                let mut table = TableWriter::create(&path, &[("n", Kind::Int)])?;
                (0..rows).try_for_each(|i| table.row(&[Cell::Int(i as i32)]))?;
                table.finish()
            };
            let e: Failure = write().unwrap_err();
            assert_eq!(e.kind, xpipe_base::task::FailureKind::Missing, "{e}");
            assert!(e.message.contains("full.parquet") && e.message.contains("the disk is full"), "{e}");
        }
    }

    #[test]
    fn no_parquet_file_is_a_plain_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        std::fs::write(&path, "not a table").unwrap();
        assert!(TableReader::open(&path, COLUMNS).unwrap_err().message.contains("x.parquet"));
        assert!(TableReader::open(&dir.path().join("none"), COLUMNS).is_err());
    }
}
