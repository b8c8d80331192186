use std::path::Path;

use xpipe_base::task::Silent;

use super::super::parts::each_part;
use super::super::table::{Cell as Value, Kind, TableWriter};
use super::*;

/// A table of some rows with the columns `id`, `text` and `grade`.
fn table(path: &Path) {
    let columns = [("id", Kind::Text), ("text", Kind::Text), ("grade", Kind::Int)];
    let mut table = TableWriter::create(path, &columns).unwrap();
    for n in 0..500 {
        table
            .row(&[Value::Text(&format!("d{n}")), Value::Text(&format!("text {n}")), Value::Int(n)])
            .unwrap();
    }
    table.finish().unwrap();
}

/// The numbers of the rows whose first wanted column holds what it should.
fn read(path: &Path, wanted: &[&str]) -> Result<u64, Failure> {
    let mut count = 0;
    each_part(path, &Silent, &mut |part| {
        let mut rows = ParquetRows::open(&part)?;
        while let Some(row) = rows.next(wanted)? {
            assert_eq!(row.fields.len(), wanted.len());
            let n = row.number - 1;
            for (column, name) in wanted.iter().enumerate() {
                match *name {
                    "id" => assert_eq!(row.id(column)?, format!("d{n}")),
                    "grade" => assert_eq!(row.decimal(column)?, n.to_string()),
                    "text" => assert_eq!(row.id(column)?, format!("text {n}")),
                    _ => assert!(row.fields[column].is_none()),
                }
            }
            count += 1;
        }
        Ok(())
    })?;
    Ok(count)
}

#[test]
fn only_wanted_columns_are_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    table(&path);
    for wanted in [&["id", "text", "grade"][..], &["grade", "id"], &["none", "text"]] {
        assert_eq!(read(&path, wanted).unwrap(), 500);
    }
    // The pages of `text` are damaged.
    let file = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let (start, length) = file.metadata().row_group(0).column(1).byte_range();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[start as usize..(start + length) as usize].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(read(&path, &["grade", "id"]).unwrap(), 500);
    let e = read(&path, &["id", "text"]).unwrap_err();
    assert!(e.message.contains("damaged or cut short"), "{e}");
}

#[test]
fn a_crafted_schema_is_a_plain_error_and_ends_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    // A root that claims 2,147,483,647 columns.
    let footer =
        [0x15, 2, 0x19, 0x1c, 0x48, 1, b'a', 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0x16, 0, 0x19, 0x0c, 0];
    let bytes = [b"PAR1", &footer[..], &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat();
    std::fs::write(&path, bytes).unwrap();
    let e = read(&path, &["a"]).unwrap_err();
    assert!(e.message.contains("claims 2147483647 columns, and 0 follow"), "{e}");
    assert!(e.help.is_some());
}
