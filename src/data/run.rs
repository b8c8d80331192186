//! Runs: for each query the documents a system ranked, with scores.
//!
//! In memory and on disk hits are in the order of [`super::order::trec_cmp`]; queries keep the order of the source.
//! An artifact is a folder with `run.parquet` (query_id, document_id, rank from 1, score).

use std::collections::HashMap;

use super::order::trec_cmp;
use xpipe_base::task::Failure;

/// One ranked document.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The document's id.
    pub document: String,
    /// The system's score; finite.
    pub score: f32,
}

/// The ranking of one query, best first.
#[derive(Clone, Debug, PartialEq)]
pub struct RunQuery {
    /// The query's id.
    pub id: String,
    /// Its hits in the order of [`trec_cmp`], each document once.
    pub hits: Vec<Hit>,
}

impl RunQuery {
    /// A ranking; hits may come in any order.
    ///
    /// # Errors
    /// A document twice, or a score that is not finite.
    pub fn new(id: impl Into<String>, mut hits: Vec<Hit>) -> Result<Self, Failure> {
        let id = id.into();
        if let Some(bad) = hits.iter().find(|h| !h.score.is_finite()) {
            return Err(Failure::wrong(format!(
                "query `{id}`: document `{}` has the score {}, expected a finite number",
                bad.document, bad.score
            )));
        }
        hits.sort_by(|a, b| trec_cmp(a.score, &a.document, b.score, &b.document));
        let mut names: Vec<&str> = hits.iter().map(|h| h.document.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|p| p[0] == p[1]) {
            return Err(Failure::wrong(format!("query `{id}`: document `{}` is ranked twice", pair[0])));
        }
        Ok(Self { id, hits })
    }
}

/// A run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    queries: Vec<RunQuery>,
    places: HashMap<String, usize>,
}

impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        self.queries == other.queries
    }
}

impl Run {
    /// A run of rankings, each query once.
    ///
    /// # Errors
    /// A query twice.
    pub fn new(queries: Vec<RunQuery>) -> Result<Self, Failure> {
        let mut places = HashMap::with_capacity(queries.len());
        for (i, query) in queries.iter().enumerate() {
            if places.insert(query.id.clone(), i).is_some() {
                return Err(Failure::wrong(format!("query `{}` is ranked twice", query.id)));
            }
        }
        Ok(Self { queries, places })
    }

    /// The rankings, in the order of the source.
    pub fn queries(&self) -> &[RunQuery] {
        &self.queries
    }

    /// The ranking of a query.
    pub fn get(&self, query: &str) -> Option<&RunQuery> {
        self.places.get(query).map(|i| &self.queries[*i])
    }

    /// The number of queries.
    pub fn len(&self) -> usize {
        self.queries.len()
    }

    /// Whether there is no query.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }

    /// The deepest ranking.
    pub fn depth(&self) -> usize {
        self.queries.iter().map(|q| q.hits.len()).max().unwrap_or(0)
    }

    /// Writes the run as TREC has it: `query Q0 document rank score tag`, scores in the shortest form that reads
    /// back.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn export(&self, out: &mut dyn std::io::Write, tag: &str) -> std::io::Result<()> {
        for query in &self.queries {
            export_query(query, out, tag)?;
        }
        Ok(())
    }
}

/// Writes one ranking as TREC has it, ranks from 1.
///
/// # Errors
/// What the writer reports.
pub fn export_query(query: &RunQuery, out: &mut dyn std::io::Write, tag: &str) -> std::io::Result<()> {
    for (i, hit) in query.hits.iter().enumerate() {
        writeln!(out, "{} Q0 {} {} {} {tag}", query.id, hit.document, i + 1, hit.score)?;
    }
    Ok(())
}

pub use artifact::{RUN_FILE, RunReader, RunWriter};

mod artifact {
    use std::path::Path;

    use super::super::table::{Cell, Columns, Kind, TableReader, TableWriter};
    use super::{Hit, Run, RunQuery};
    use xpipe_base::place;
    use xpipe_base::task::Failure;

    /// The table inside an artifact.
    pub const RUN_FILE: &str = "run.parquet";
    const COLUMNS: Columns<'static> =
        &[("query_id", Kind::Text), ("document_id", Kind::Text), ("rank", Kind::Int), ("score", Kind::Float)];

    /// Writes a run query by query.
    #[derive(Debug)]
    pub struct RunWriter(TableWriter);

    impl RunWriter {
        /// Creates a run in a folder, creating the folder if needed.
        ///
        /// # Errors
        /// The folder cannot be written.
        pub fn create(dir: &Path) -> Result<Self, Failure> {
            std::fs::create_dir_all(dir).map_err(|e| place::io(dir, e))?;
            TableWriter::create(&dir.join(RUN_FILE), COLUMNS).map(Self)
        }

        /// Adds a ranking; the caller ensures that queries are unique.
        ///
        /// # Errors
        /// A full disk.
        pub fn push(&mut self, query: &RunQuery) -> Result<(), Failure> {
            for (i, hit) in query.hits.iter().enumerate() {
                let rank = i32::try_from(i + 1).unwrap_or(i32::MAX);
                self.0.row(&[
                    Cell::Text(&query.id),
                    Cell::Text(&hit.document),
                    Cell::Int(rank),
                    Cell::Float(hit.score),
                ])?;
            }
            Ok(())
        }

        /// Completes the file.
        ///
        /// # Errors
        /// A full disk.
        pub fn finish(self) -> Result<(), Failure> {
            self.0.finish()
        }
    }

    /// Reads a run query by query.
    #[derive(Debug)]
    pub struct RunReader {
        table: TableReader,
        /// The first row of the next query.
        next: Option<(String, Hit)>,
    }

    impl RunReader {
        /// Opens the run in a folder.
        ///
        /// # Errors
        /// The folder has no run, or it is damaged.
        pub fn open(dir: &Path) -> Result<Self, Failure> {
            let mut table = TableReader::open(
                &dir.join(RUN_FILE),
                &[("query_id", Kind::Text), ("document_id", Kind::Text), ("score", Kind::Float)],
            )?;
            let next = row(&mut table)?;
            Ok(Self { table, next })
        }

        /// The number of rows of the whole run.
        pub fn rows(&self) -> u64 {
            self.table.len()
        }

        /// The next ranking; `None` after the last.
        ///
        /// # Errors
        /// The file is damaged.
        pub fn query(&mut self) -> Result<Option<RunQuery>, Failure> {
            let Some((id, first)) = self.next.take() else { return Ok(None) };
            let mut hits = vec![first];
            loop {
                match row(&mut self.table)? {
                    Some((next, hit)) if next == id => hits.push(hit),
                    other => {
                        self.next = other;
                        return RunQuery::new(id, hits).map(Some);
                    }
                }
            }
        }
    }

    fn row(table: &mut TableReader) -> Result<Option<(String, Hit)>, Failure> {
        Ok(table.row()?.map(|row| {
            (row.text(0).to_owned(), Hit { document: row.text(1).to_owned(), score: row.float(2) })
        }))
    }

    impl Run {
        /// Reads the run in a folder, whole.
        ///
        /// # Errors
        /// The folder has no run, or it is damaged.
        pub fn read(dir: &Path) -> Result<Self, Failure> {
            let mut reader = RunReader::open(dir)?;
            let mut queries = Vec::new();
            while let Some(query) = reader.query()? {
                queries.push(query);
            }
            Self::new(queries)
        }

        /// Writes the run into a folder.
        ///
        /// # Errors
        /// The folder cannot be written.
        pub fn write(&self, dir: &Path) -> Result<(), Failure> {
            let mut writer = RunWriter::create(dir)?;
            for query in self.queries() {
                writer.push(query)?;
            }
            writer.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(document: &str, score: f32) -> Hit {
        Hit { document: document.into(), score }
    }

    fn example() -> Run {
        let q2 = RunQuery::new("q2", vec![hit("a", 1.0), hit("b", 2.5), hit("c", 1.0)]).unwrap();
        let q1 = RunQuery::new("q1", vec![hit("z", -0.1)]).unwrap();
        Run::new(vec![q2, q1]).unwrap()
    }

    #[test]
    fn hits_are_ordered_and_queries_keep_their_order() {
        let run = example();
        let ids: Vec<&str> = run.queries().iter().map(|q| q.id.as_str()).collect();
        assert_eq!(ids, ["q2", "q1"]);
        let documents: Vec<&str> = run.get("q2").unwrap().hits.iter().map(|h| h.document.as_str()).collect();
        assert_eq!(documents, ["b", "c", "a"]);
        assert_eq!((run.len(), run.depth(), run.get("q3")), (2, 3, None));
    }

    #[test]
    fn duplicates_and_odd_scores_are_refused() {
        assert!(RunQuery::new("q", vec![hit("a", 1.0), hit("a", 2.0)]).is_err());
        assert!(
            RunQuery::new("q", vec![hit("a", f32::NAN)])
                .unwrap_err()
                .message
                .contains("`a` has the score NaN")
        );
        let q = RunQuery::new("q", vec![]).unwrap();
        assert!(Run::new(vec![q.clone(), q]).is_err());
    }

    #[test]
    fn export_is_a_trec_run() {
        let mut out = Vec::new();
        example().export(&mut out, "tag").unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "q2 Q0 b 1 2.5 tag\nq2 Q0 c 2 1 tag\nq2 Q0 a 3 1 tag\nq1 Q0 z 1 -0.1 tag\n");
    }

    #[test]
    fn an_artifact_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let run = example();
        run.write(dir.path()).unwrap();
        assert_eq!(Run::read(dir.path()).unwrap(), run);
        Run::default().write(dir.path()).unwrap();
        assert!(Run::read(dir.path()).unwrap().is_empty());
    }
}
