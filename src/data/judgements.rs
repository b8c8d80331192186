//! Imports relevance judgements: TREC's four columns, or BEIR's three with a header.

use std::collections::HashMap;
use std::path::Path;

use super::known::{Checker, Known};
use super::lines::{Line, Lines};
use super::parts::each_part;
use super::place;
use super::qrels::Qrels;
use crate::task::{Failure, Progress};

/// Names of the third column that make the first line a header.
pub(super) const HEADERS: [&str; 6] = ["score", "relevance", "grade", "label", "rel", "relevance_label"];

/// Imports judgements from a file, folder or archive.
///
/// `format` is `trec` (`query iteration document grade`, white space between), `beir` (`query document grade`, tabs
/// between, a header line if there is one) or `auto` (by the number of columns). Lines that start with `#` are
/// comments, as for trec_eval. The same judgement twice counts once.
///
/// # Errors
/// A line of another form, a grade that is no whole number, two grades for one pair, an id that is not of the
/// collection, a file without judgements.
pub fn import(source: &Path, format: &str, known: &Known, progress: &dyn Progress) -> Result<Qrels, Failure> {
    let wanted = match format {
        "auto" => None,
        "trec" => Some(4),
        "beir" => Some(3),
        other => {
            let found = place::quote(other);
            return Err(Failure::wrong(format!("format: found {found}, expected `auto`, `trec` or `beir`")));
        }
    };
    let mut qrels = Qrels::new();
    let mut checker = Checker::new(known);
    // Where each pair was judged, for messages about a second grade.
    let mut places: HashMap<(String, String), (String, u64)> = HashMap::new();
    let mut twice = 0;
    each_part(source, progress, &mut |part| {
        let file = part.name.to_owned();
        let mut lines = Lines::new(part);
        let mut width = wanted;
        while let Some(line) = lines.next()? {
            if line.is_blank() || line.bytes.starts_with(b"#") {
                continue;
            }
            let text = line.text()?;
            let columns: Vec<&str> = text.split_whitespace().collect();
            let width = *width.get_or_insert(columns.len());
            if line.number == 1 && width == 3 && columns.len() == 3 && is_header(columns[2]) {
                continue;
            }
            let (query, document, grade) = match (width, columns.as_slice()) {
                (4, [query, _, document, grade]) | (3, [query, document, grade]) => {
                    (*query, *document, *grade)
                }
                _ => return Err(off(&line, text, columns.len(), width)),
            };
            let grade: i32 = grade.parse().map_err(|_| {
                line.wrong(format!("the grade {}", place::quote(grade)), "a whole number")
                    .help("the last column of judgements is the grade: 0 not relevant, 1 and more relevant")
            })?;
            if !checker.keep(&file, line.number, query, &[document]) {
                continue;
            }
            let pair = (query.to_owned(), document.to_owned());
            match qrels.grade(query, document) {
                Some(before) if before != grade => {
                    let (first_file, first) = places.get(&pair).map_or(("", 0), |(f, n)| (f.as_str(), *n));
                    let found = format!(
                        "grade {grade} for query {} and document {}, judged {before} at {first_file}:{first}",
                        place::quote(query),
                        place::quote(document)
                    );
                    return Err(line
                        .wrong(found, "one grade for a pair")
                        .help("remove one of the two lines"));
                }
                Some(_) => twice += 1,
                None => {
                    qrels.insert(query, document, grade);
                    places.insert(pair, (file.clone(), line.number));
                }
            }
        }
        Ok(())
    })?;
    let unknown = checker.finish(progress)?;
    if qrels.is_empty() {
        let left = if unknown > 0 { ": every line has an id outside the collection" } else { "" };
        return Err(Failure::wrong(format!("{}: found no judgements{left}", source.display()))
            .help("check that this is the right file"));
    }
    if twice > 0 {
        let lines = place::count(twice, "line");
        progress.note(&format!("{}: {lines} repeat a judgement and count once", source.display()));
    }
    Ok(qrels)
}

fn off(line: &Line<'_>, text: &str, n: usize, width: usize) -> Failure {
    let found = format!("{} in {}", place::count(n, "column"), place::quote(text));
    let trec = "4 columns: query, iteration, document, grade";
    let beir = "3 columns: query, document, grade";
    let expected = match width {
        4 => trec.to_owned(),
        3 => beir.to_owned(),
        _ => format!("{trec}; or {beir}"),
    };
    line.wrong(found, expected).help("columns are separated by tabs or blanks")
}

/// Whether the last column of a first line names a column instead of holding a value.
pub(super) fn is_header(column: &str) -> bool {
    HEADERS.contains(&column.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::super::known::Unknown;
    use super::super::store::TextStore;
    use super::super::store_writer::TextStoreWriter;
    use super::super::testing::{file, gzip, shared};
    use super::*;
    use crate::task::{FailureKind, Silent};

    fn read(text: &str, format: &str, known: &Known) -> Result<Qrels, Failure> {
        let dir = tempfile::tempdir().unwrap();
        import(&file(dir.path(), "q.txt", text), format, known, &Silent)
    }

    fn store(dir: &Path, ids: &[&str]) -> TextStore {
        let mut writer = TextStoreWriter::create(dir).unwrap();
        for (i, id) in ids.iter().enumerate() {
            writer.push(id, "x", "f", i as u64).unwrap();
        }
        writer.finish().unwrap();
        TextStore::open(dir).unwrap()
    }

    #[test]
    fn both_forms_are_read() {
        let none = Known::default();
        let trec = read("# c\n1 0 a 2\n1\tQ0\tb\t0\n\n2 0 a -1\r\n1 0 a 2\n", "auto", &none).unwrap();
        let all: Vec<_> =
            trec.iter().flat_map(|(q, d)| d.iter().map(move |(d, g)| (q, d.as_str(), *g))).collect();
        assert_eq!(all, [("1", "a", 2), ("1", "b", 0), ("2", "a", -1)]);
        let beir = read("query-id\tcorpus-id\tscore\n1\ta\t2\n", "auto", &none).unwrap();
        assert_eq!(beir.grade("1", "a"), Some(2));
        assert_eq!(read("1\ta\t2\n", "beir", &none).unwrap(), beir);
    }

    #[test]
    fn bad_lines_are_named() {
        let none = Known::default();
        let cases = [
            ("1 0 a 1\n1 0 b\n", "auto", "q.txt:2: found 3 columns in `1 0 b`, expected 4 columns"),
            ("1 0\n", "auto", "q.txt:1: found 2 columns in `1 0`, expected 4 columns: query, iteration"),
            ("1 0 a 1\n", "beir", "q.txt:1: found 4 columns in `1 0 a 1`, expected 3 columns"),
            ("1 0 a x\n", "auto", "q.txt:1: found the grade `x`, expected a whole number"),
            ("1 0 a 1.0\n", "auto", "q.txt:1: found the grade `1.0`"),
            (
                "1 0 a 1\n2 0 a 1\n1 0 a 0\n",
                "auto",
                "q.txt:3: found grade 0 for query `1` and document `a`, judged 1 at",
            ),
            ("", "auto", "q.txt: found no judgements"),
            ("query-id corpus-id score\n", "auto", "q.txt: found no judgements"),
        ];
        for (text, format, message) in cases {
            let e = read(text, format, &none).unwrap_err();
            assert!(e.message.contains(message), "{e}");
        }
        assert!(read("1 0 a 1", "tsv", &none).unwrap_err().message.starts_with("format: found `tsv`"));
    }

    #[test]
    fn unknown_ids_are_an_error_unless_told_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let known = |unknown| Known {
            queries: Some(store(&dir.path().join("q"), &["1", "2"])),
            corpus: Some(store(&dir.path().join("c"), &["a", "b"])),
            unknown,
        };
        let text = "1 0 a 1\n1 0 z 1\n3 0 a 1\n2 0 y 1\n2 0 b 0\n";
        let e = read(text, "auto", &known(Unknown::Error)).unwrap_err();
        assert!(
            e.message.ends_with(
                "q.txt:2: found the document id `z`, expected the id of one of the collection's 2 documents \
                 (2 more lines with an unknown id)"
            ),
            "{e}"
        );
        assert!(e.help.unwrap().contains("`unknown = drop`"));
        let e = read("3 0 a 1\n", "auto", &known(Unknown::Error)).unwrap_err();
        assert!(
            e.message
                .contains("q.txt:1: found the query id `3`, expected the id of one of the collection's 2 q")
        );
        let dropped = read(text, "auto", &known(Unknown::Drop)).unwrap();
        assert_eq!((dropped.len(), dropped.judgements()), (2, 2));
        assert_eq!(read(text, "auto", &known(Unknown::Keep)).unwrap().judgements(), 5);
        let e = read("9 0 a 1\n", "auto", &known(Unknown::Drop)).unwrap_err();
        assert!(e.message.contains("every line has an id outside"), "{e}");
    }

    #[test]
    fn truncated_and_missing_files_are_clear() {
        let dir = tempfile::tempdir().unwrap();
        let text: String = (0..3000).map(|i| format!("{i} 0 d{} {}\n", i * 7919 % 1013, i % 3)).collect();
        let packed = gzip(text.as_bytes());
        let path = file(dir.path(), "q.gz", &packed[..packed.len() / 2]);
        let e = import(&path, "auto", &Known::default(), &Silent).unwrap_err();
        assert!(e.message.contains("truncated"), "{e}");
        let e = import(&dir.path().join("none"), "auto", &Known::default(), &Silent).unwrap_err();
        assert_eq!(e.kind, FailureKind::Missing);
    }

    /// Counts by `wc -l` and `cut | sort -u | wc -l`.
    #[test]
    fn real_judgements_have_their_counts() {
        let cases = [
            ("cacm/qrels.cacm.txt", 52, 796),
            ("vaswani/qrels", 93, 2083),
            ("cranfield/qrels/test.tsv", 225, 1612),
            ("medquad/qrels/train.tsv", 14810, 14841),
            ("medquad/qrels/dev.tsv", 775, 775),
            ("medquad/qrels/test.tsv", 791, 791),
            ("pubmedqa/qrels/test.tsv", 1000, 1000),
            ("msmarco-dl21/qrels.txt", 53, 10828),
            ("trec_eval/test/qrels.test", 3, 3681),
            ("trec_eval/test/qrels.test.with-comments", 3, 3681),
            ("trec_eval/test/qrels.comment.test", 31, 5890),
        ];
        for (path, queries, judgements) in cases {
            let Some(source) = shared("real_judgements_have_their_counts", path) else { return };
            let qrels = import(&source, "auto", &Known::default(), &Silent).unwrap();
            assert_eq!((qrels.len(), qrels.judgements()), (queries, judgements), "{path}");
        }
    }
}
