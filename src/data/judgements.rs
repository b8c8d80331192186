//! Imports relevance judgements: TREC's four columns, BEIR's three with a header, LoTTE's JSON lines with answers, or
//! a Parquet file with columns by name.

use std::collections::HashMap;

use super::columns::Separator;
use super::json;
use super::known::{Checker, Known};
use super::lines::{Line, Lines};
use super::names::{Role, role};
use super::noted::TableNotes;
use super::parquet_rows::ParquetRows;
use super::parts::{Part, each_part};
use super::qrels::Qrels;
use super::recognise::TextFormat;
use super::source::Source;
use xpipe_base::place;
use xpipe_base::task::{Caveat, CaveatKind, Failure, Progress};

/// How judgements are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Columns: 4 of TREC, 3 of BEIR; decided by the first line when no number is given.
    Columns(Option<usize>),
    /// `{"qid": 1, "answer_pids": [2, 3]}` a line: each answer has grade 1.
    Answers,
    /// A Parquet file with `query-id`, `corpus-id` and, unless all are relevant, `score`.
    Parquet,
}

impl Form {
    /// Reads the argument `format`; `None` for `auto`.
    fn parse(format: &str) -> Result<Option<Self>, Failure> {
        Ok(Some(match format {
            "auto" | "" => return Ok(None),
            "csv" => Self::Columns(None),
            "trec" => Self::Columns(Some(4)),
            "beir" | "tsv" => Self::Columns(Some(3)),
            "jsonl" => Self::Answers,
            "parquet" => Self::Parquet,
            other => {
                let found = place::quote(other);
                return Err(Failure::wrong(format!(
                    "format: found {found}, expected `auto`, `trec`, `beir`, `csv`, `jsonl` or `parquet`"
                )));
            }
        }))
    }

    /// The form that the first bytes of a part show.
    fn of(part: &Part<'_>) -> Self {
        match TextFormat::by_content(part.head) {
            Some(TextFormat::Parquet) => Self::Parquet,
            Some(TextFormat::Jsonl) => Self::Answers,
            _ => Self::Columns(None),
        }
    }
}

/// The state of an import.
struct Gathered<'k> {
    qrels: Qrels,
    checker: Checker<'k>,
    /// Where each pair was judged, for messages about a second grade.
    places: HashMap<(String, String), (String, u64)>,
    twice: usize,
    options: &'k QrelOptions,
    notes: TableNotes,
}

impl Gathered<'_> {
    fn add(&mut self, file: &str, line: u64, query: &str, document: &str, grade: i32) -> Result<(), Failure> {
        let blanks = self.options.blanks.as_deref();
        let query = &*self.notes.id(query, blanks, (file, line));
        let document = &*self.notes.id(document, blanks, (file, line));
        if !self.checker.keep(file, line, query, &[document]) {
            return Ok(());
        }
        let pair = (query.to_owned(), document.to_owned());
        match self.qrels.grade(query, document) {
            Some(before) if before != grade => {
                let (first_file, first) = self.places.get(&pair).map_or(("", 0), |(f, n)| (f.as_str(), *n));
                let found = format!(
                    "grade {grade} for query {} and document {}, judged {before} at {first_file}:{first}",
                    place::quote(query),
                    place::quote(document)
                );
                return Err(place::wrong_line(file, line, found, "one grade for a pair")
                    .help("remove one of the two lines"));
            }
            Some(_) => self.twice += 1,
            None => {
                self.qrels.insert(query, document, grade);
                self.places.insert(pair, (file.to_owned(), line));
            }
        }
        Ok(())
    }
}

/// How to import judgements.
#[derive(Clone, Debug, Default)]
pub struct QrelOptions {
    /// One of the formats of [`import`]; empty: `auto`.
    pub format: String,
    /// Replacement for white space in an id; `None`: white space separates columns.
    pub blanks: Option<String>,
}

impl QrelOptions {
    /// Options with a format.
    pub fn format(format: &str) -> Self {
        Self { format: format.to_owned(), ..Self::default() }
    }

    fn separator(&self, part: &Part<'_>) -> Separator {
        Separator::of(part, &self.format, self.blanks.is_some())
    }
}

/// Imports judgements from a file, folder or archive.
///
/// `format` is `trec` (`query iteration document grade`, white space between), `beir` (`query document grade`, tabs
/// between, a header line if there is one), `jsonl` (LoTTE: `qid` and `answer_pids`, each answer with grade 1),
/// `parquet` (columns `query-id`, `corpus-id`, and `score`, without which each has grade 1) or `auto` (by content and
/// number of columns), or `csv`. A first line may name the columns, in any order. Lines that start with `#` and are no
/// judgement are left out as comments. The same judgement twice counts once.
///
/// # Errors
/// A line of another form, a grade that is no whole number, two grades for one pair, an id that is not of the
/// collection, a file without judgements.
pub fn import(
    source: impl Into<Source>,
    options: &QrelOptions,
    known: &Known,
    progress: &dyn Progress,
) -> Result<Qrels, Failure> {
    let source: &Source = &source.into();
    let wanted = Form::parse(&options.format)?;
    let mut all = Gathered {
        qrels: Qrels::new(),
        checker: Checker::new(known),
        places: HashMap::new(),
        twice: 0,
        options,
        notes: TableNotes::default(),
    };
    each_part(source, progress, &mut |part| match wanted.unwrap_or_else(|| Form::of(&part)) {
        Form::Columns(width) => columns(part, width, &mut all),
        Form::Answers => answers(part, &mut all),
        Form::Parquet => parquet(&part, &mut all),
    })?;
    let Gathered { qrels, checker, twice, notes, .. } = all;
    notes.tell(progress);
    let unknown = checker.finish(progress)?;
    if qrels.is_empty() {
        let left = if unknown > 0 { ": every line has an id outside the collection" } else { "" };
        return Err(Failure::wrong(format!("{}: found no judgements{left}", source.display()))
            .help("check that this is the right file"));
    }
    if twice > 0 {
        let cause = "lines repeat a judgement and count once";
        progress.caveat(&Caveat::counted(CaveatKind::Changed, twice as u64, cause));
    }
    Ok(qrels)
}

fn columns(part: Part<'_>, wanted: Option<usize>, all: &mut Gathered<'_>) -> Result<(), Failure> {
    let file = part.name.to_owned();
    let separator = all.options.separator(&part);
    let mut lines = Lines::new(part);
    let mut layout: Option<Columns> = None;
    let mut first = true;
    while let Some(line) = lines.next()? {
        if line.is_blank() {
            continue;
        }
        let text = line.text()?;
        let mut columns = Vec::with_capacity(4);
        separator.columns(text, &mut columns);
        let n = columns.len();
        let fits = layout.or_else(|| Columns::by_width(wanted.unwrap_or(n))).filter(|l| l.width == n);
        let value = fits.and_then(|l| whole(columns[l.grade]));
        if text.starts_with('#') && value.is_none() {
            all.notes.comment(line.file, line.number, text);
            continue;
        }
        if std::mem::take(&mut first)
            && value.is_none()
            && wanted.is_none_or(|w| w == n)
            && let Some(named) = Columns::named(&columns)
        {
            layout = Some(named);
            continue;
        }
        let Some(at) = fits else {
            return Err(off(&line, text, n, layout.map(|l| l.width).or(wanted).unwrap_or(n)));
        };
        layout = Some(at);
        let grade = value.ok_or_else(|| {
            line.wrong(format!("the grade {}", place::quote(columns[at.grade])), "a whole number")
                .help("the last column of judgements is the grade: 0 not relevant, 1 and more relevant")
        })?;
        all.add(&file, line.number, columns[at.query], columns[at.document], grade)?;
    }
    Ok(())
}

/// Where the columns of a line are.
#[derive(Clone, Copy, Debug)]
struct Columns {
    width: usize,
    query: usize,
    document: usize,
    grade: usize,
}

impl Columns {
    fn by_width(width: usize) -> Option<Self> {
        match width {
            3 => Some(Self { width, query: 0, document: 1, grade: 2 }),
            4 => Some(Self { width, query: 0, document: 2, grade: 3 }),
            _ => None,
        }
    }

    /// The columns of a first line that names them.
    fn named(columns: &[&str]) -> Option<Self> {
        let at = |wanted: Role| columns.iter().position(|c| role(c) == Some(wanted));
        let grade = at(Role::Grade).or_else(|| at(Role::Score))?;
        match (at(Role::Query), at(Role::Document)) {
            (Some(query), Some(document)) => Some(Self { width: columns.len(), query, document, grade }),
            // Only the grade has a name that is known: the usual order.
            _ => Self::by_width(columns.len()).filter(|l| l.grade == grade),
        }
    }
}

/// A grade: whole, also when it is written 1.0, as trec_eval reads it.
fn whole(text: &str) -> Option<i32> {
    let written = |x: f64| (x.fract() == 0.0 && x.abs() <= f64::from(i32::MAX)).then_some(x as i32);
    text.parse().ok().or_else(|| text.parse::<f64>().ok().and_then(written))
}

fn answers(part: Part<'_>, all: &mut Gathered<'_>) -> Result<(), Failure> {
    let file = part.name.to_owned();
    let mut lines = Lines::new(part);
    while let Some(line) = lines.next()? {
        if line.is_blank() {
            continue;
        }
        let record: Option<(String, Vec<String>)> =
            serde_json::from_str::<serde_json::Value>(line.text()?).ok().and_then(|json| {
                let id = |v: &serde_json::Value| {
                    v.as_str().map(str::to_owned).or_else(|| v.as_i64().map(|n| n.to_string()))
                };
                let documents = json.get("answer_pids")?.as_array()?;
                Some((id(json.get("qid")?)?, documents.iter().map(id).collect::<Option<_>>()?))
            });
        let Some((query, documents)) = record else {
            // The object is parsed first, for an error with its position in the line.
            json::object(&line, &[])?;
            let expected = "a query id in `qid` and a list of document ids in `answer_pids`";
            return Err(line.wrong(json::names(&line), expected));
        };
        for document in &documents {
            all.add(&file, line.number, &query, document, 1)?;
        }
    }
    Ok(())
}

fn parquet(part: &Part<'_>, all: &mut Gathered<'_>) -> Result<(), Failure> {
    let mut rows = ParquetRows::open(part)?;
    let names = rows.columns();
    let find = |wanted: Role| names.iter().map(String::as_str).find(|n| role(n) == Some(wanted));
    let (Some(query), Some(document)) = (find(Role::Query), find(Role::Document)) else {
        return Err(rows.unexpected(
            "the columns `query-id` and `corpus-id`, or others that hold the ids of queries and documents",
        ));
    };
    let grade = find(Role::Grade).or_else(|| find(Role::Score));
    let wanted: Vec<&str> = [query, document].into_iter().chain(grade).collect();
    while let Some(row) = rows.next(&wanted)? {
        let query = row.id(0)?;
        match row.list(1) {
            // A row per query: its documents, with their grades or none.
            Some(documents) => {
                let grades = match grade {
                    None => Some(vec![1; documents.len()]),
                    Some(_) => row.list(2).and_then(|g| g.iter().map(|g| whole(g)).collect()),
                };
                let grades = grades
                    .filter(|g: &Vec<i32>| g.len() == documents.len())
                    .ok_or_else(|| row.wrong(2, "a list with a whole number for each document"))?;
                for (document, grade) in documents.iter().zip(grades) {
                    all.add(part.name, row.number, query, document, grade)?;
                }
            }
            None => {
                let grade = match grade {
                    None => 1,
                    Some(_) => whole(row.decimal(2)?).ok_or_else(|| row.wrong(2, "a whole number"))?,
                };
                all.add(part.name, row.number, query, row.id(1)?, grade)?;
            }
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::known::Unknown;
    use super::super::store::TextStore;
    use super::super::store_writer::TextStoreWriter;
    use super::*;
    use xpipe_base::task::{FailureKind, Silent};
    use xpipe_testing::{CaveatLog, file, gzip, shared};

    fn read(text: &str, format: &str, known: &Known) -> Result<Qrels, Failure> {
        let dir = tempfile::tempdir().unwrap();
        import(&file(dir.path(), "q.txt", text), &QrelOptions::format(format), known, &Silent)
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
    fn headers_name_columns_and_grades_may_have_a_point() {
        let none = Known::default();
        let expected = read("1 0 a 2\n7 0 b 0\n", "auto", &none).unwrap();
        for text in [
            "query_id\titeration\tdoc_id\trelevance\n1\t0\ta\t2\n7\t0\tb\t0\n",
            "docno qid rel\na 1 2.0\nb 7 0.0\n",
            "q d grade\n1 a 2\n7 b 0\n",
        ] {
            assert_eq!(read(text, "auto", &none).unwrap(), expected, "{text}");
        }
        let text = "query_id,doc_id,label\n1,\"a\",2\n7,b,0\n";
        assert_eq!(read(text, "csv", &none).unwrap(), expected);
        let options = QrelOptions { blanks: Some("_".into()), ..QrelOptions::default() };
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), "q.tsv", "my query\ta b c\t1\n");
        let read = import(&path, &options, &none, &Silent).unwrap();
        assert_eq!(read.grade("my_query", "a_b_c"), Some(1));
    }

    #[test]
    fn ids_that_begin_with_a_number_sign_are_judged() {
        let (dir, told) = (tempfile::tempdir().unwrap(), CaveatLog::default());
        let text = "# judged by two people\n#1 0 a 1\n2 0 c 1\n#3 0 #4 2\n";
        let path = file(dir.path(), "q.txt", text);
        let qrels = import(&path, &QrelOptions::default(), &Known::default(), &told).unwrap();
        assert_eq!((qrels.len(), qrels.grade("#1", "a"), qrels.grade("#3", "#4")), (3, Some(1), Some(2)));
        assert_eq!(
            told.caveats(),
            [
                "1 line that begins with `#` and is no record was left out as comments; the first: q.txt, line 1: \
              `# judged by two people`"
            ]
        );
    }

    #[test]
    fn answers_of_lotte_are_judgements() {
        let none = Known::default();
        let text = "{\"qid\": 3, \"query\": \"x\", \"answer_pids\": [7, \"8\"]}\n\n{\"answer_pids\": [7], \"qid\": \"4\"}\n";
        let qrels = read(text, "auto", &none).unwrap();
        assert_eq!((qrels.judgements(), qrels.grade("3", "8"), qrels.grade("4", "7")), (3, Some(1), Some(1)));
        for (text, said) in [
            ("{\"qid\": 3}\n", "q.txt:1: found the fields `qid`, expected a query id in `qid` and a list"),
            ("{\"qid\": 3, \"answer_pids\": [1.5]}\n", "q.txt:1: found the fields `qid`, `answer_pids`"),
            ("{\"qid\": 3, \"answer_pids\": [1]}\n{\"qid\": \n", "q.txt:2: found `{\"qid\": `"),
        ] {
            let e = read(text, "auto", &none).unwrap_err();
            assert!(e.message.contains(said), "{e}");
        }
    }

    #[test]
    fn bad_lines_are_named() {
        let none = Known::default();
        let cases = [
            ("1 0 a 1\n1 0 b\n", "auto", "q.txt:2: found 3 columns in `1 0 b`, expected 4 columns"),
            ("1 0\n", "auto", "q.txt:1: found 2 columns in `1 0`, expected 4 columns: query, iteration"),
            ("1 0 a 1\n", "beir", "q.txt:1: found 4 columns in `1 0 a 1`, expected 3 columns"),
            ("1 0 a x\n", "auto", "q.txt:1: found the grade `x`, expected a whole number"),
            ("1 0 a 0.5\n", "auto", "q.txt:1: found the grade `0.5`"),
            ("1 0 a 1e10\n", "auto", "q.txt:1: found the grade `1e10`"),
            ("1 0 a NaN\n", "auto", "q.txt:1: found the grade `NaN`"),
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
        assert!(read("1 0 a 1", "tab", &none).unwrap_err().message.starts_with("format: found `tab`"));
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
        let e = import(&path, &QrelOptions::default(), &Known::default(), &Silent).unwrap_err();
        assert!(e.message.contains("truncated"), "{e}");
        let e = import(&dir.path().join("none"), &QrelOptions::default(), &Known::default(), &Silent)
            .unwrap_err();
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
            let Some(source) = shared(path) else { return };
            let qrels = import(&source, &QrelOptions::default(), &Known::default(), &Silent).unwrap();
            assert_eq!((qrels.len(), qrels.judgements()), (queries, judgements), "{path}");
        }
    }
}
