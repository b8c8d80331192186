//! Samples drawn once and written out: `samples.parquet`, one row a document.

use std::path::Path;

use super::Stores;
use crate::train::objectives::SampleForm;
use crate::train::samples::{Pool, Sample, Samples};
use xpipe_base::task::Failure;
use xpipe_data::table::{Cell, Kind, TableReader, TableWriter};

/// The table of an artifact of finite samples.
pub const FILE: &str = "samples.parquet";
const COLUMNS: [(&str, Kind); 4] =
    [("sample", Kind::Int), ("query_id", Kind::Text), ("document_id", Kind::Text), ("positive", Kind::Int)];
const TEACHER: (&str, Kind) = ("teacher", Kind::Double);

/// Writes the first `count` samples of a stream. The column `teacher` is there when the samples have scores.
///
/// # Errors
/// When the file cannot be written.
pub fn write(samples: &Samples, count: u64, stores: &Stores, folder: &Path) -> Result<(), Failure> {
    let scored = count > 0 && samples.at(0).teacher.is_some();
    let mut columns = COLUMNS.to_vec();
    if scored {
        columns.push(TEACHER);
    }
    let mut table = TableWriter::create(&folder.join(FILE), &columns)?;
    for position in 0..count {
        let sample = samples.at(position);
        let number = i32::try_from(position)
            .map_err(|_| Failure::wrong(format!("`count` is {count}, and must be below 2,147,483,648")))?;
        let query = stores.queries.id(sample.query as usize);
        for (i, document) in sample.documents.iter().enumerate() {
            let mut cells = vec![
                Cell::Int(number),
                Cell::Text(query),
                Cell::Text(stores.corpus.id(*document as usize)),
                Cell::Int(i32::from(i < sample.positives)),
            ];
            if let Some(teacher) = sample.teacher.as_ref().filter(|_| scored) {
                cells.push(Cell::Double(teacher[i]));
            }
            table.row(&cells)?;
        }
    }
    table.finish()
}

/// Calls `each` with the (query, document) ids of a table of samples, in order.
///
/// # Errors
/// When the table is missing or damaged, or `each` fails.
pub fn pairs(folder: &Path, each: &mut dyn FnMut(&str, &str) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut table = TableReader::open(&folder.join(FILE), &COLUMNS[1..3])?;
    while let Some(row) = table.row()? {
        each(row.text(0), row.text(1))?;
    }
    Ok(())
}

/// Reads a table of samples. Its form follows from its rows: no positive, a ranked list; two documents, pairs.
///
/// # Errors
/// When the table is missing or damaged, or names ids that the stores do not have.
pub fn read(folder: &Path, stores: &Stores) -> Result<Pool, Failure> {
    let path = folder.join(FILE);
    let scored = TableReader::has(&path, TEACHER.0)?;
    let mut columns = COLUMNS.to_vec();
    if scored {
        columns.push(TEACHER);
    }
    let mut table = TableReader::open(&path, &columns)?;
    let mut samples: Vec<Sample> = Vec::new();
    let mut current = None;
    while let Some(row) = table.row()? {
        if current != Some(row.int(0)) {
            current = Some(row.int(0));
            samples.push(Sample {
                query: stores.query(row.text(1), "a sample")?,
                teacher: scored.then(Vec::new),
                ..Sample::default()
            });
        }
        let Some(sample) = samples.last_mut() else { continue };
        sample.documents.push(stores.document(row.text(2), "a sample")?);
        sample.positives += usize::from(row.int(3) == 1);
        if let Some(teacher) = &mut sample.teacher {
            teacher.push(row.double(4));
        }
    }
    let form = match samples.first() {
        Some(s) if s.positives == 0 => SampleForm::RankedList,
        Some(_) if samples.iter().all(|s| s.positives == 1 && s.documents.len() == 2) => SampleForm::Pairs,
        _ => SampleForm::Group,
    };
    Ok(Pool::Fixed(form, samples))
}
