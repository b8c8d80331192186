use std::path::{Path, PathBuf};

use super::super::store::TextStore;
use super::super::testing::{file, gzip, shared};
use super::*;
use crate::task::{FailureKind, Silent};

type Pairs = Vec<(String, String)>;

fn read(source: &Path, what: What, format: &str, fields: &[&str]) -> Result<Pairs, Failure> {
    let fields: Vec<String> = fields.iter().map(|f| (*f).to_owned()).collect();
    read_with(source, what, &TextOptions { format: format.into(), fields, ..TextOptions::default() })
}

fn read_with(source: &Path, what: What, options: &TextOptions) -> Result<Pairs, Failure> {
    let out = tempfile::tempdir().unwrap();
    let imported = import(source, what, options, out.path(), &Silent)?;
    let store = TextStore::open(out.path())?;
    assert_eq!(imported.texts, store.len() as u64);
    Ok(store.iter().map(|(id, text)| (id.to_owned(), text.to_owned())).collect())
}

fn pairs(expected: &[(&str, &str)]) -> Pairs {
    expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

fn one(name: &str, bytes: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), name, bytes);
    (dir, path)
}

#[test]
fn documents_are_read_in_every_format() {
    let beir = "{\"_id\": \"d1\", \"title\": \"A\", \"text\": \"b c\"}\n\n{\"_id\": 2, \"title\": \"\", \"text\": \"x\", \
                \"metadata\": {\"title\": \"no\"}}\n{\"_id\": \"d3\", \"text\": \"\"}\n";
    let expected = pairs(&[("d1", "A b c"), ("2", "x"), ("d3", "")]);
    for (name, bytes) in [
        ("corpus.jsonl", beir.as_bytes().to_vec()),
        ("corpus.jsonl.gz", gzip(beir.as_bytes())),
        ("docs", beir.as_bytes().to_vec()),
    ] {
        let (_dir, path) = one(name, bytes);
        assert_eq!(read(&path, What::Corpus, "auto", &[]).unwrap(), expected, "{name}");
    }
    let (_dir, path) = one("corpus.jsonl", beir);
    assert_eq!(read(&path, What::Corpus, "jsonl", &["text", "title"]).unwrap()[0].1, "b c A");

    let (_dir, path) = one("collection.tsv", "7\tone two\r\n8\t\n9\tlast");
    let expected = pairs(&[("7", "one two"), ("8", ""), ("9", "last")]);
    assert_eq!(read(&path, What::Corpus, "auto", &[]).unwrap(), expected);

    let trec = "<DOC>\n<DOCNO> a-1 </DOCNO>\n<TITLE>T</TITLE>\n<TEXT>\nx &amp;\ny</TEXT>\n</DOC>\n<DOC>\n\
                <DOCNO>a-2</DOCNO>bare\n</DOC>\n";
    let expected = pairs(&[("a-1", "T x & y"), ("a-2", "bare")]);
    let (dir, path) = one("sub/FT_1", trec);
    assert_eq!(read(&path, What::Corpus, "auto", &[]).unwrap(), expected);
    file(dir.path(), "sub/FT_2.gz", gzip(b"<DOC><DOCNO>a-3</DOCNO><TEXT>z</TEXT></DOC>"));
    let all = read(dir.path(), What::Corpus, "auto", &["text"]).unwrap();
    assert_eq!(all, pairs(&[("a-1", "x & y"), ("a-2", ""), ("a-3", "z")]));

    let dir = tempfile::tempdir().unwrap();
    file(dir.path(), "B-2.html", "<html><body>two</body></html>");
    file(dir.path(), "A-1.html", "just <b>te</b>xt<script>x</script>");
    let all = read(dir.path(), What::Corpus, "auto", &[]).unwrap();
    assert_eq!(all, pairs(&[("A-1", "just text"), ("B-2", "two")]));
}

#[test]
fn queries_are_read_in_every_format() {
    let (_dir, path) =
        one("queries.jsonl", "{\"_id\": \"q1\", \"text\": \"a\"}\n{\"id\": \"q2\", \"query\": \"b\"}\n");
    assert_eq!(read(&path, What::Queries, "auto", &[]).unwrap(), pairs(&[("q1", "a"), ("q2", "b")]));
    let (_dir, path) = one("queries.tsv", "1\twhat is x\n");
    assert_eq!(read(&path, What::Queries, "auto", &[]).unwrap(), pairs(&[("1", "what is x")]));
    let topics = "<top>\n<num> Number: 301\n<title> Crime\n<desc> Description:\nIdentify.\n</top>\n\n<top>\n\
                  <num> Number: 302\n<title> Polio\n<desc> Description:\nIs it\nunder control?\n</top>\n";
    let (_dir, path) = one("topics.txt", topics);
    assert_eq!(
        read(&path, What::Queries, "auto", &[]).unwrap(),
        pairs(&[("301", "Crime"), ("302", "Polio")])
    );
    let both = read(&path, What::Queries, "topics", &["title", "desc"]).unwrap();
    assert_eq!(both[1], ("302".into(), "Polio Is it under control?".into()));
    let e = read(&path, What::Queries, "auto", &["narr"]).unwrap_err();
    assert!(
        e.message.contains(":1: found a topic with `<num>`, `<title>`, `<desc>`, expected `<narr>` too"),
        "{e}"
    );
    let (_dir, path) = one("topics.txt", "<DOC>\n<DOCNO> 4 </DOCNO>\n\n how do\n birds fly\n</DOC>\n");
    assert_eq!(read(&path, What::Queries, "auto", &[]).unwrap(), pairs(&[("4", "how do birds fly")]));
}

#[test]
fn bad_input_names_file_line_found_and_expected() {
    use What::{Corpus, Queries};
    let cases: &[(&str, What, &str, &str)] = &[
        ("c.tsv", Corpus, "1\ta\n2\n", "c.tsv:2: found 1 column in `2`, expected 2 columns"),
        ("c.tsv", Corpus, "1\ta\tb\n", "c.tsv:1: found 3 columns in `1\\ta\\tb`, expected 2"),
        ("c.tsv", Corpus, "\ta\n", "c.tsv:1: found an empty id"),
        ("c.tsv", Corpus, "1\ta\n1\tb\n", "c.tsv:2: found the id `1` again, first used at"),
        (
            "c.jsonl",
            Corpus,
            "{\"_id\": \"1\"}\n",
            "c.jsonl:1: found the fields `_id`, expected a text in `text`",
        ),
        (
            "c.jsonl",
            Corpus,
            "{\"text\": \"x\"}\n",
            "c.jsonl:1: found the fields `text`, expected an id in `_id`",
        ),
        (
            "c.jsonl",
            Corpus,
            "{\"_id\": \"1\", \"text\": []}\n",
            "c.jsonl:1: found a list in `text`, expected a string",
        ),
        (
            "c.jsonl",
            Corpus,
            "{\"_id\": \"1\", \"text\": \"\"}\n{\"_id\":\n",
            "c.jsonl:2: found `{\"_id\":` (EOF",
        ),
        (
            "c.jsonl",
            Corpus,
            "<DOC>\n",
            "c.jsonl:1: found what looks like TREC documents (`<DOC>`), expected JSON",
        ),
        ("c.txt", Corpus, "words only\n", "c.txt:1: found `words only`, which is no known format"),
        ("c.txt", Corpus, "", "c.txt: found no documents"),
        ("c.trec", Corpus, "<DOC>\nx\n</DOC>", "c.trec:1: found `<DOC>` without an id"),
        (
            "t.txt",
            Corpus,
            "<top>\n</top>",
            "t.txt:1: found TREC topics (`<top>` or `<topic number=…>`), expected `jsonl`",
        ),
        (
            "t.txt",
            Queries,
            "<top>\n<title> x\n</top>",
            "t.txt:1: found a topic with `<title>`, expected `<num>` too",
        ),
        (
            "q.tsv",
            Queries,
            "1\ta\n2\t  \n",
            "q.tsv:2: found the query `2` with an empty text, expected a text",
        ),
        (
            "q.jsonl",
            Queries,
            "{\"_id\": \"1\", \"text\": null}",
            "q.jsonl:1: found the query `1` with an empty text",
        ),
        ("q.txt", Queries, "<DOC><DOCNO>1</DOCNO> </DOC>", "q.txt:1: found the query `1` with an empty text"),
    ];
    for (name, what, bytes, message) in cases {
        let (_dir, path) = one(name, bytes);
        let e = read(&path, *what, "auto", &[]).unwrap_err();
        assert!(e.message.contains(message), "{name} {bytes:?}: {e}");
        assert_eq!(e.kind, FailureKind::Wrong);
    }
    let (_dir, path) = one("c.tsv", "1\ta\n");
    let e = read(&path, Corpus, "jsonl", &[]).unwrap_err();
    assert!(e.message.contains("found what looks like columns separated by tabs, expected JSON"), "{e}");
    assert!(e.help.unwrap().contains("format = \"tsv\""));
    let e = read(&path, Corpus, "auto", &["title"]).unwrap_err();
    assert!(e.message.contains("found fields title, expected none"), "{e}");
    let e = read(Path::new("/none/such.tsv"), Corpus, "auto", &[]).unwrap_err();
    assert_eq!(
        (e.kind, e.message.as_str()),
        (FailureKind::Missing, "/none/such.tsv: there is no such file or folder")
    );
}

#[test]
fn a_truncated_gzip_says_where_it_ends() {
    let text: String = (0..2000).map(|i| format!("{i}\tsome text {}\n", i * 7919 % 1013)).collect();
    let packed = gzip(text.as_bytes());
    let (_dir, path) = one("c.tsv.gz", &packed[..packed.len() * 2 / 3]);
    let e = read(&path, What::Corpus, "auto", &[]).unwrap_err();
    assert!(e.message.contains("c.tsv.gz: the file is truncated") && e.message.contains("after line"), "{e}");
    assert!(e.help.unwrap().contains("download"));
}

#[test]
fn mixed_formats_in_a_folder_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    file(dir.path(), "a.tsv", "1\tx\n");
    file(dir.path(), "b.jsonl", "{\"_id\": \"2\", \"text\": \"y\"}\n");
    let e = read(dir.path(), What::Corpus, "auto", &[]).unwrap_err();
    assert!(e.message.contains("b.jsonl:1: found format `jsonl`, expected `tsv` as in"), "{e}");
}

/// Counts by `zcat | wc -l`, `grep -c '<DOC>'`, `tar t | wc -l`.
#[test]
fn real_collections_have_their_counts() {
    let cases = [
        ("medquad/corpus.jsonl.gz", What::Corpus, 15809, "d853131b57e44"),
        ("medquad/queries.jsonl.gz", What::Queries, 16365, "1-0000001_1-1"),
        ("cranfield/corpus.jsonl.gz", What::Corpus, 1400, "1"),
        ("cranfield/queries.jsonl.gz", What::Queries, 225, "1"),
        ("pubmedqa/corpus.jsonl.gz", What::Corpus, 1000, "21645374"),
        ("pubmedqa/queries.jsonl.gz", What::Queries, 1000, "21645374"),
        ("msmarco-dl21/collection.tsv.gz", What::Corpus, 9030, "msmarco_passage_08_24643970"),
        ("msmarco-dl21/queries.tsv", What::Queries, 53, "646091"),
        ("vaswani/doc-text.trec", What::Corpus, 11429, "1"),
        ("vaswani/query-text.trec", What::Queries, 93, "1"),
        ("cacm/cacm.tar.gz", What::Corpus, 3204, "CACM-0001"),
        ("cacm/topics.cacm.txt", What::Queries, 64, "1"),
    ];
    for (path, what, count, first) in cases {
        let Some(source) = shared("real_collections_have_their_counts", path) else { return };
        // MedQuAD's queries: 16,407 lines, 16,373 ids, 8 of them used more than once for different questions.
        let options = TextOptions { duplicates: Duplicates::Drop, ..TextOptions::default() };
        let all = read_with(&source, what, &options).unwrap();
        assert_eq!((all.len(), all[0].0.as_str()), (count, first), "{path}");
    }
}

#[test]
fn real_texts_are_what_the_files_say() {
    let Some(source) = shared("real_texts_are_what_the_files_say", "cacm/cacm.tar.gz") else { return };
    let all = read(&source, What::Corpus, "auto", &[]).unwrap();
    // Pinned by words and shape, not by text: the collection is not ours to copy.
    let first = &all[0].1;
    let words: Vec<&str> = first.split(' ').collect();
    assert_eq!((words[0], words[words.len() - 1], words.len()), ("Preliminary", "1", 120));
    let Some(source) = shared("real_texts_are_what_the_files_say", "vaswani/query-text.trec") else { return };
    let all = read(&source, What::Queries, "auto", &[]).unwrap();
    assert_eq!(all[0].1.split(' ').count(), 12);
    assert!(all[0].1.starts_with("MEASUREMENT OF DIELECTRIC"));
    let Some(source) = shared("real_texts_are_what_the_files_say", "cacm/topics.cacm.txt") else { return };
    let all = read(&source, What::Queries, "auto", &[]).unwrap();
    assert!(all[1].1.ends_with("Prieve, B. Pooch, U."), "{}", all[1].1);
}
