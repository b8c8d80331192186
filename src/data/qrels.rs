//! Relevance judgements: for each query the judged documents and their grades.
//!
//! An artifact is a folder with `qrels.parquet` (query_id, document_id, grade), rows in the order of the source,
//! grouped by query.

use indexmap::IndexMap;

/// Judgements by query and document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Qrels {
    queries: IndexMap<String, IndexMap<String, i32>>,
}

impl Qrels {
    /// No judgements.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a grade; returns the previous one.
    pub fn insert(&mut self, query: &str, document: &str, grade: i32) -> Option<i32> {
        if let Some(documents) = self.queries.get_mut(query) {
            return documents.insert(document.to_owned(), grade);
        }
        self.queries.insert(query.to_owned(), IndexMap::from([(document.to_owned(), grade)]));
        None
    }

    /// The grade of a document for a query; `None` when it was not judged.
    pub fn grade(&self, query: &str, document: &str) -> Option<i32> {
        self.queries.get(query)?.get(document).copied()
    }

    /// The judged documents of a query with their grades, in the order of the source.
    pub fn get(&self, query: &str) -> Option<&IndexMap<String, i32>> {
        self.queries.get(query)
    }

    /// All judged queries with their documents, in the order of the source.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &IndexMap<String, i32>)> {
        self.queries.iter().map(|(q, d)| (q.as_str(), d))
    }

    /// The number of judged queries.
    pub fn len(&self) -> usize {
        self.queries.len()
    }

    /// Whether nothing is judged.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }

    /// The number of judgements.
    pub fn judgements(&self) -> usize {
        self.queries.values().map(IndexMap::len).sum()
    }

    /// Writes the judgements as TREC has them: `query 0 document grade`.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn export(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        for (query, documents) in &self.queries {
            for (document, grade) in documents {
                writeln!(out, "{query} 0 {document} {grade}")?;
            }
        }
        Ok(())
    }
}

pub use artifact::QRELS_FILE;

mod artifact {
    use std::path::Path;

    use super::super::table::{Cell, Columns, Kind, TableReader, TableWriter};
    use super::Qrels;
    use xpipe_base::place;
    use xpipe_base::task::Failure;

    /// The table inside an artifact.
    pub const QRELS_FILE: &str = "qrels.parquet";
    const COLUMNS: Columns<'static> =
        &[("query_id", Kind::Text), ("document_id", Kind::Text), ("grade", Kind::Int)];

    impl Qrels {
        /// Reads the judgements in a folder.
        ///
        /// # Errors
        /// The folder has none, or they are damaged.
        pub fn read(dir: &Path) -> Result<Self, Failure> {
            let mut table = TableReader::open(&dir.join(QRELS_FILE), COLUMNS)?;
            let mut qrels = Self::new();
            while let Some(row) = table.row()? {
                qrels.insert(row.text(0), row.text(1), row.int(2));
            }
            Ok(qrels)
        }

        /// Writes the judgements into a folder, creating it if needed.
        ///
        /// # Errors
        /// The folder cannot be written.
        pub fn write(&self, dir: &Path) -> Result<(), Failure> {
            std::fs::create_dir_all(dir).map_err(|e| place::io(dir, e))?;
            let mut table = TableWriter::create(&dir.join(QRELS_FILE), COLUMNS)?;
            for (query, documents) in self.iter() {
                for (document, grade) in documents {
                    table.row(&[Cell::Text(query), Cell::Text(document), Cell::Int(*grade)])?;
                }
            }
            table.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Qrels {
        let mut qrels = Qrels::new();
        for (q, d, g) in [("2", "x", 1), ("1", "y", 0), ("2", "a", 3), ("1", "x", -2)] {
            assert_eq!(qrels.insert(q, d, g), None);
        }
        qrels
    }

    #[test]
    fn grades_are_found_and_order_is_kept() {
        let mut qrels = example();
        assert_eq!(
            (qrels.grade("2", "a"), qrels.grade("2", "y"), qrels.grade("3", "x")),
            (Some(3), None, None)
        );
        assert_eq!((qrels.len(), qrels.judgements()), (2, 4));
        assert_eq!(qrels.insert("2", "a", 1), Some(3));
        let mut out = Vec::new();
        qrels.export(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "2 0 x 1\n2 0 a 1\n1 0 y 0\n1 0 x -2\n");
    }

    #[test]
    fn an_artifact_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        example().write(dir.path()).unwrap();
        let back = Qrels::read(dir.path()).unwrap();
        assert_eq!(back, example());
        assert_eq!(back.iter().map(|(q, _)| q).collect::<Vec<_>>(), ["2", "1"]);
    }
}
