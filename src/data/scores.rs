//! Scores of (query, document) pairs, by a teacher or a model, in no ranked order.
//!
//! An artifact is a folder with `scores.parquet` (query_id, document_id, score), rows in the order of the source,
//! grouped by query.

use indexmap::IndexMap;

/// Scores by query and document; all finite.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    queries: IndexMap<String, IndexMap<String, f32>>,
}

impl Scores {
    /// No scores.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a score; returns the previous one.
    pub fn insert(&mut self, query: &str, document: &str, score: f32) -> Option<f32> {
        if let Some(documents) = self.queries.get_mut(query) {
            return documents.insert(document.to_owned(), score);
        }
        self.queries.insert(query.to_owned(), IndexMap::from([(document.to_owned(), score)]));
        None
    }

    /// The score of a pair.
    pub fn score(&self, query: &str, document: &str) -> Option<f32> {
        self.queries.get(query)?.get(document).copied()
    }

    /// The scored documents of a query, in the order of the source.
    pub fn get(&self, query: &str) -> Option<&IndexMap<String, f32>> {
        self.queries.get(query)
    }

    /// All queries with their documents, in the order of the source.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &IndexMap<String, f32>)> {
        self.queries.iter().map(|(q, d)| (q.as_str(), d))
    }

    /// The number of queries.
    pub fn len(&self) -> usize {
        self.queries.len()
    }

    /// Whether nothing is scored.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }

    /// The number of scored pairs.
    pub fn pairs(&self) -> usize {
        self.queries.values().map(IndexMap::len).sum()
    }

    /// Writes the scores as `query<tab>document<tab>score`, in the shortest form that reads back.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn export(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        for (query, documents) in &self.queries {
            for (document, score) in documents {
                writeln!(out, "{query}\t{document}\t{score}")?;
            }
        }
        Ok(())
    }
}

pub use artifact::{SCORES_FILE, ScoresWriter};

mod artifact {
    use std::path::Path;

    use super::super::table::{Cell, Columns, Kind, TableReader, TableWriter};
    use super::Scores;
    use xpipe_base::place;
    use xpipe_base::task::Failure;

    /// The table inside an artifact.
    pub const SCORES_FILE: &str = "scores.parquet";
    const COLUMNS: Columns<'static> =
        &[("query_id", Kind::Text), ("document_id", Kind::Text), ("score", Kind::Float)];

    /// Writes scores row by row.
    #[derive(Debug)]
    pub struct ScoresWriter(TableWriter);

    impl ScoresWriter {
        /// Creates scores in a folder, creating the folder if needed.
        ///
        /// # Errors
        /// The folder cannot be written.
        pub fn create(dir: &Path) -> Result<Self, Failure> {
            std::fs::create_dir_all(dir).map_err(|e| place::io(dir, e))?;
            TableWriter::create(&dir.join(SCORES_FILE), COLUMNS).map(Self)
        }

        /// Adds a score; the caller ensures that pairs are unique and rows of a query adjacent.
        ///
        /// # Errors
        /// A score that is not finite, or a full disk.
        pub fn push(&mut self, query: &str, document: &str, score: f32) -> Result<(), Failure> {
            if !score.is_finite() {
                return Err(Failure::wrong(format!(
                    "query `{query}`, document `{document}`: the score is {score}, expected a finite number"
                )));
            }
            self.0.row(&[Cell::Text(query), Cell::Text(document), Cell::Float(score)])
        }

        /// Completes the file.
        ///
        /// # Errors
        /// A full disk.
        pub fn finish(self) -> Result<(), Failure> {
            self.0.finish()
        }
    }

    impl Scores {
        /// Reads the scores in a folder.
        ///
        /// # Errors
        /// The folder has none, or they are damaged.
        pub fn read(dir: &Path) -> Result<Self, Failure> {
            let mut table = TableReader::open(&dir.join(SCORES_FILE), COLUMNS)?;
            let mut scores = Self::new();
            while let Some(row) = table.row()? {
                scores.insert(row.text(0), row.text(1), row.float(2));
            }
            Ok(scores)
        }

        /// Writes the scores into a folder, creating it if needed.
        ///
        /// # Errors
        /// The folder cannot be written, or a score is not finite.
        pub fn write(&self, dir: &Path) -> Result<(), Failure> {
            let mut writer = ScoresWriter::create(dir)?;
            for (query, documents) in self.iter() {
                for (document, score) in documents {
                    writer.push(query, document, *score)?;
                }
            }
            writer.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_found_and_exported() {
        let mut scores = Scores::new();
        scores.insert("q", "b", 0.1);
        scores.insert("p", "a", -3.0);
        assert_eq!(scores.insert("q", "a", 2.0), None);
        assert_eq!((scores.score("q", "b"), scores.score("q", "c")), (Some(0.1), None));
        assert_eq!((scores.len(), scores.pairs()), (2, 3));
        let mut out = Vec::new();
        scores.export(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "q\tb\t0.1\nq\ta\t2\np\ta\t-3\n");
    }

    #[test]
    fn an_artifact_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut scores = Scores::new();
        scores.insert("q", "b", 0.1);
        scores.insert("q", "a", 1e-30);
        scores.write(dir.path()).unwrap();
        assert_eq!(Scores::read(dir.path()).unwrap(), scores);
        scores.insert("q", "c", f32::INFINITY);
        assert!(scores.write(dir.path()).unwrap_err().message.contains("document `c`"));
    }
}
