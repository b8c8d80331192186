//! The values of each query in an evaluation's folder.

use std::path::Path;

use xpipe_base::task::Failure;
use xpipe_data::ir::metrics::Measure;
use xpipe_data::table::{Kind, TableReader};

/// Reads the values of one measure, by its published name (`ndcg_10`), in the order of the file.
///
/// # Errors
/// A name that is no measure's, and a folder without a readable `metrics.parquet` or without that measure.
pub fn read(folder: &Path, member: &str) -> Result<Vec<(String, f64)>, Failure> {
    let measure = Measure::from_member(member).ok_or_else(|| {
        Failure::wrong(format!("`{member}` is not the name of a measure, expected for instance `ndcg_10`"))
    })?;
    let printed = measure.to_string();
    let path = folder.join("metrics.parquet");
    let columns = [("query_id", Kind::Text), ("metric", Kind::Text), ("value", Kind::Double)];
    let mut table = TableReader::open(&path, &columns)?;
    let mut values = Vec::new();
    while let Some(row) = table.row()? {
        if row.text(1) == printed {
            values.push((row.text(0).to_owned(), row.double(2)));
        }
    }
    if values.is_empty() {
        return Err(Failure::wrong(format!("{}: no value of `{printed}`", path.display()))
            .help(format!("add it to `metrics` of the evaluation, for instance `{}`", measure.member())));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xpipe_data::table::{Cell, TableWriter};

    #[test]
    fn one_measure_of_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let columns = [("query_id", Kind::Text), ("metric", Kind::Text), ("value", Kind::Double)];
        let mut table = TableWriter::create(&dir.path().join("metrics.parquet"), &columns).unwrap();
        for (query, metric, value) in [("q2", "nDCG@10", 0.5), ("q2", "AP", 0.1), ("q1", "nDCG@10", 0.25)] {
            table.row(&[Cell::Text(query), Cell::Text(metric), Cell::Double(value)]).unwrap();
        }
        table.finish().unwrap();
        assert_eq!(read(dir.path(), "ndcg_10").unwrap(), [("q2".to_owned(), 0.5), ("q1".to_owned(), 0.25)]);
        assert_eq!(read(dir.path(), "ap").unwrap(), [("q2".to_owned(), 0.1)]);
        assert!(read(dir.path(), "rr_10").unwrap_err().message.contains("no value of `RR@10`"));
        assert!(read(dir.path(), "loss").unwrap_err().message.contains("not the name of a measure"));
        assert!(read(&dir.path().join("none"), "ap").is_err());
    }
}
