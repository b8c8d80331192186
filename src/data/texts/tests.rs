use std::path::{Path, PathBuf};

use super::super::store::TextStore;
use super::*;
use xpipe_base::task::{FailureKind, Silent};
use xpipe_testing::{CaveatLog, file, gzip, shared};

type Pairs = Vec<(String, String)>;

fn read(source: &Path, what: TextKind, format: &str, fields: &[&str]) -> Result<Pairs, Failure> {
    let fields: Vec<String> = fields.iter().map(|f| (*f).to_owned()).collect();
    read_with(source, what, &TextOptions { format: format.into(), fields, ..TextOptions::default() })
}

fn read_with(source: &Path, what: TextKind, options: &TextOptions) -> Result<Pairs, Failure> {
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
        assert_eq!(read(&path, TextKind::Corpus, "auto", &[]).unwrap(), expected, "{name}");
    }
    let (_dir, path) = one("corpus.jsonl", beir);
    assert_eq!(read(&path, TextKind::Corpus, "jsonl", &["text", "title"]).unwrap()[0].1, "b c A");

    let (_dir, path) = one("collection.tsv", "7\tone two\r\n8\t\n9\tlast");
    let expected = pairs(&[("7", "one two"), ("8", ""), ("9", "last")]);
    assert_eq!(read(&path, TextKind::Corpus, "auto", &[]).unwrap(), expected);

    let trec = "<DOC>\n<DOCNO> a-1 </DOCNO>\n<TITLE>T</TITLE>\n<TEXT>\nx &amp;\ny</TEXT>\n</DOC>\n<DOC>\n\
                <DOCNO>a-2</DOCNO>bare\n</DOC>\n";
    let expected = pairs(&[("a-1", "T x & y"), ("a-2", "bare")]);
    let (dir, path) = one("sub/FT_1", trec);
    assert_eq!(read(&path, TextKind::Corpus, "auto", &[]).unwrap(), expected);
    file(dir.path(), "sub/FT_2.gz", gzip(b"<DOC><DOCNO>a-3</DOCNO><TEXT>z</TEXT></DOC>"));
    let all = read(dir.path(), TextKind::Corpus, "auto", &["text"]).unwrap();
    assert_eq!(all, pairs(&[("a-1", "x & y"), ("a-2", ""), ("a-3", "z")]));

    let dir = tempfile::tempdir().unwrap();
    file(dir.path(), "B-2.html", "<html><body>two</body></html>");
    file(dir.path(), "A-1.html", "just <b>te</b>xt<script>x</script>");
    let all = read(dir.path(), TextKind::Corpus, "auto", &[]).unwrap();
    assert_eq!(all, pairs(&[("A-1", "just text"), ("B-2", "two")]));
}

#[test]
fn queries_are_read_in_every_format() {
    let (_dir, path) =
        one("queries.jsonl", "{\"_id\": \"q1\", \"text\": \"a\"}\n{\"id\": \"q2\", \"query\": \"b\"}\n");
    assert_eq!(read(&path, TextKind::Queries, "auto", &[]).unwrap(), pairs(&[("q1", "a"), ("q2", "b")]));
    let (_dir, path) = one("queries.tsv", "1\twhat is x\n");
    assert_eq!(read(&path, TextKind::Queries, "auto", &[]).unwrap(), pairs(&[("1", "what is x")]));
    let topics = "<top>\n<num> Number: 301\n<title> Crime\n<desc> Description:\nIdentify.\n</top>\n\n<top>\n\
                  <num> Number: 302\n<title> Polio\n<desc> Description:\nIs it\nunder control?\n</top>\n";
    let (_dir, path) = one("topics.txt", topics);
    assert_eq!(
        read(&path, TextKind::Queries, "auto", &[]).unwrap(),
        pairs(&[("301", "Crime"), ("302", "Polio")])
    );
    let both = read(&path, TextKind::Queries, "topics", &["title", "desc"]).unwrap();
    assert_eq!(both[1], ("302".into(), "Polio Is it under control?".into()));
    let e = read(&path, TextKind::Queries, "auto", &["narr"]).unwrap_err();
    assert!(
        e.message.contains(":1: found a topic with `<num>`, `<title>`, `<desc>`, expected `<narr>` too"),
        "{e}"
    );
    let (_dir, path) = one("topics.txt", "<DOC>\n<DOCNO> 4 </DOCNO>\n\n how do\n birds fly\n</DOC>\n");
    assert_eq!(read(&path, TextKind::Queries, "auto", &[]).unwrap(), pairs(&[("4", "how do birds fly")]));
}

#[test]
fn bad_input_names_file_line_found_and_expected() {
    // long: a table of cases
    use TextKind::{Corpus, Queries};
    let cases: &[(&str, TextKind, &str, &str)] = &[
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
            "{\"_id\": \"1\", \"text\": {}}\n",
            "c.jsonl:1: found an object in `text`, expected a string",
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
    assert!(
        e.message.contains("found the columns `1`, `a`, expected a first line that names a column `title`"),
        "{e}"
    );
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
    let e = read(&path, TextKind::Corpus, "auto", &[]).unwrap_err();
    assert!(e.message.contains("c.tsv.gz: the file is truncated") && e.message.contains("after line"), "{e}");
    assert!(e.help.unwrap().contains("download"));
}

#[test]
fn mixed_formats_in_a_folder_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    file(dir.path(), "a.tsv", "1\tx\n");
    file(dir.path(), "b.jsonl", "{\"_id\": \"2\", \"text\": \"y\"}\n");
    let e = read(dir.path(), TextKind::Corpus, "auto", &[]).unwrap_err();
    assert!(e.message.contains("b.jsonl:1: found format `jsonl`, expected `tsv` as in"), "{e}");
}

/// Counts by `zcat | wc -l`, `grep -c '<DOC>'`, `tar t | wc -l`.
#[test]
fn real_collections_have_their_counts() {
    let cases = [
        ("medquad/corpus.jsonl.gz", TextKind::Corpus, 15809, "d853131b57e44"),
        ("medquad/queries.jsonl.gz", TextKind::Queries, 16365, "1-0000001_1-1"),
        ("cranfield/corpus.jsonl.gz", TextKind::Corpus, 1400, "1"),
        ("cranfield/queries.jsonl.gz", TextKind::Queries, 225, "1"),
        ("pubmedqa/corpus.jsonl.gz", TextKind::Corpus, 1000, "21645374"),
        ("pubmedqa/queries.jsonl.gz", TextKind::Queries, 1000, "21645374"),
        ("msmarco-dl21/collection.tsv.gz", TextKind::Corpus, 9030, "msmarco_passage_08_24643970"),
        ("msmarco-dl21/queries.tsv", TextKind::Queries, 53, "646091"),
        ("vaswani/doc-text.trec", TextKind::Corpus, 11429, "1"),
        ("vaswani/query-text.trec", TextKind::Queries, 93, "1"),
        ("cacm/cacm.tar.gz", TextKind::Corpus, 3204, "CACM-0001"),
        ("cacm/topics.cacm.txt", TextKind::Queries, 64, "1"),
    ];
    for (path, what, count, first) in cases {
        let Some(source) = shared(path) else { return };
        // MedQuAD's queries: 16,407 lines, 16,373 ids, 8 of them used more than once for different questions.
        let options = TextOptions { duplicates: Duplicates::Drop, ..TextOptions::default() };
        let all = read_with(&source, what, &options).unwrap();
        assert_eq!((all.len(), all[0].0.as_str()), (count, first), "{path}");
    }
}

#[test]
fn real_texts_are_what_the_files_say() {
    let Some(source) = shared("cacm/cacm.tar.gz") else { return };
    let all = read(&source, TextKind::Corpus, "auto", &[]).unwrap();
    // Pinned by words and shape, not by text: the collection is not ours to copy.
    let first = &all[0].1;
    let words: Vec<&str> = first.split(' ').collect();
    assert_eq!((words[0], words[words.len() - 1], words.len()), ("Preliminary", "1", 120));
    let Some(source) = shared("vaswani/query-text.trec") else { return };
    let all = read(&source, TextKind::Queries, "auto", &[]).unwrap();
    assert_eq!(all[0].1.split(' ').count(), 12);
    assert!(all[0].1.starts_with("MEASUREMENT OF DIELECTRIC"));
    let Some(source) = shared("cacm/topics.cacm.txt") else { return };
    let all = read(&source, TextKind::Queries, "auto", &[]).unwrap();
    assert!(all[1].1.ends_with("Prieve, B. Pooch, U."), "{}", all[1].1);
}

/// What is read, and the caveats that go with it.
fn told(name: &str, what: TextKind, bytes: impl AsRef<[u8]>, options: &TextOptions) -> (Pairs, Vec<String>) {
    let (_dir, path) = one(name, bytes);
    let (out, told) = (tempfile::tempdir().unwrap(), CaveatLog::default());
    import(&path, what, options, out.path(), &told).unwrap();
    let store = TextStore::open(out.path()).unwrap();
    (store.iter().map(|(id, text)| (id.to_owned(), text.to_owned())).collect(), told.caveats())
}

fn failure(name: &str, what: TextKind, bytes: &str, options: &TextOptions) -> String {
    let (_dir, path) = one(name, bytes);
    let e = read_with(&path, what, options).unwrap_err();
    let at = e.message.find(name).unwrap();
    format!("{} / {}", &e.message[at..], e.help.unwrap_or_default())
}

#[test]
fn documents_of_trec_may_have_attributes() {
    let auto = TextOptions::default();
    let text = "<DOC>\n<DOCNO>a</DOCNO>\n<TEXT>fox</TEXT>\n</DOC>\n<doc id=\"b\" type=\"story\">\n<docno \
                lang=\"en\">b1</docno>\n<TEXT>dog</TEXT>\n</doc>\n<DOC docid='c'>\n<HEADLINE>cat</HEADLINE>\n</DOC>\n<DOC>\
                <DOCID>d</DOCID>cow</DOC>\n";
    let (all, caveats) = told("d.trec", TextKind::Corpus, text, &auto);
    assert_eq!(all, pairs(&[("a", "fox"), ("b1", "dog"), ("c", "cat"), ("d", "cow")]));
    assert!(caveats.is_empty(), "{caveats:?}");
    let id = TextOptions { id: Some("UID".into()), ..TextOptions::default() };
    let (all, _) = told("d.trec", TextKind::Corpus, "<DOC><DOCNO>1</DOCNO><UID>x</UID>t</DOC>", &id);
    assert_eq!(all, pairs(&[("x", "1 t")]));
    // A document between two others is no markup around them.
    for lost in ["<P>dog</P>", "<DOCNO>b</DOCNO>", "</DOC>"] {
        let text = format!("<DOC><DOCNO>a</DOCNO></DOC>\n{lost}\n<DOC><DOCNO>c</DOCNO></DOC>\n");
        assert!(failure("d.trec", TextKind::Corpus, &text, &auto).contains("outside `<DOC>`"), "{lost}");
    }
    let (all, caveats) = told("d.trec", TextKind::Corpus, b"<DOC><DOCNO>a</DOCNO>na\xEFve</DOC>", &auto);
    assert_eq!(all, pairs(&[("a", "naïve")]));
    assert_eq!(caveats, ["1 record that is not UTF-8 was read as Windows-1252; the first: d.trec, line 1"]);
}

#[test]
fn topics_may_have_attributes() {
    let auto = TextOptions::default();
    let text = "<topics>\n<top lang='en'>\n<num> 1\n<title> a\n</top>\n<top>\n<num>2</num><title>b</title>\n</top>\n<TOP \
                num=\"3\">\n<title lang=\"en\">c</title>\n<title lang=\"fr\">d</title>\n</TOP>\n</topics>\n";
    let (all, caveats) = told("t.txt", TextKind::Queries, text, &auto);
    assert_eq!(all, pairs(&[("1", "a"), ("2", "b"), ("3", "c")]));
    assert_eq!(caveats.len(), 1);
    assert!(caveats[0].starts_with("1 topic has the same field again; the first one was taken"));
}

#[test]
fn the_first_line_of_a_table_may_name_its_columns() {
    let auto = TextOptions::default();
    let expected = pairs(&[("a", "fox"), ("b", "dog")]);
    for (name, what, text) in [
        ("c.tsv", TextKind::Corpus, "id\ttext\na\tfox\nb\tdog\n"),
        ("c.tsv", TextKind::Corpus, "passage\tPID\nfox\ta\ndog\tb\n"),
        ("c.tsv", TextKind::Corpus, "docno\turl\tbody\na\tu\tfox\nb\tu\tdog\n"),
        ("q.tsv", TextKind::Queries, "query_id\tquery\na\tfox\nb\tdog\n"),
        ("q.csv", TextKind::Queries, "qid,query\na,fox\nb,dog\n"),
    ] {
        let (all, caveats) = told(name, what, text, &auto);
        assert_eq!(all, expected, "{text}");
        assert_eq!(caveats.len(), 1, "{text}");
        assert!(caveats[0].starts_with("1 first line was read as the names of columns"), "{caveats:?}");
    }
    let titled = told("c.tsv", TextKind::Corpus, "pid\ttext\ttitle\n0\tfox\tred\n", &auto).0;
    assert_eq!(titled, pairs(&[("0", "red fox")]));
    // A record is a record by declaration, and what may be either is asked.
    let header = |header| TextOptions { header: Some(header), ..TextOptions::default() };
    let all = told("c.tsv", TextKind::Corpus, "id\ttext\na\tfox\n", &header(false));
    assert_eq!(all, (pairs(&[("id", "text"), ("a", "fox")]), vec![]));
    let all = told("c.tsv", TextKind::Corpus, "key\twords\na\tfox\n", &header(true)).0;
    assert_eq!(all, pairs(&[("a", "fox")]));
    for text in ["id\tfox\nb\tdog\n", "pid\tabstracts\n", "key\ttext\na\tb\n"] {
        let said = failure("c.tsv", TextKind::Corpus, text, &auto);
        assert!(said.contains("names the columns") && said.contains("`header = false`"), "{said}");
    }
    assert_eq!(told("q.tsv", TextKind::Queries, "q1\tbody\nq2\ttext\n", &auto).0.len(), 2);
}

#[test]
fn columns_of_a_table_are_chosen_by_name_or_number() {
    let chosen = |id: Option<&str>, fields: &[&str]| TextOptions {
        id: id.map(str::to_owned),
        fields: fields.iter().map(|f| (*f).to_owned()).collect(),
        ..TextOptions::default()
    };
    let documents = "D1\thttp://x\tTitle\tbody fox\nD2\thttp://y\t\tcat\n";
    let expected = pairs(&[("D1", "Title body fox"), ("D2", "cat")]);
    assert_eq!(told("docs.tsv", TextKind::Corpus, documents, &chosen(None, &["3", "4"])).0, expected);
    let said = failure("docs.tsv", TextKind::Corpus, documents, &TextOptions::default());
    assert!(said.contains("found 4 columns") && said.contains("fields = [\"3\", \"4\"]"), "{said}");
    let swapped = told("d.tsv", TextKind::Corpus, "fox\ta\n", &chosen(Some("2"), &[])).0;
    assert_eq!(swapped, pairs(&[("a", "fox")]));
    let named = "key\tlang\twords\n7\ten\tred fox\n";
    let all = told("c.tsv", TextKind::Corpus, named, &chosen(Some("key"), &["words"]));
    assert_eq!(all, (pairs(&[("7", "red fox")]), vec![]));
    let said = failure("c.tsv", TextKind::Corpus, named, &chosen(Some("pid"), &["words"]));
    assert!(said.contains("expected a first line that names a column `pid`"), "{said}");
    // Tabs at the end of a line, and tabs that belong to the text.
    assert_eq!(told("c.tsv", TextKind::Corpus, "a\tfox\t\t\nb\tdog\n", &chosen(None, &[])).0.len(), 2);
    let tabs = TextOptions { tabs_in_text: true, ..TextOptions::default() };
    let all = told("c.tsv", TextKind::Corpus, "a\tTop players\tclub\nb\tdog\n", &tabs).0;
    assert_eq!(all, pairs(&[("a", "Top players\tclub"), ("b", "dog")]));
    let said = failure("c.tsv", TextKind::Corpus, "a\tTop\tclub\n", &chosen(None, &[]));
    assert!(said.contains("tabs = text"), "{said}");
}

#[test]
fn tables_with_commas_have_quotes() {
    let text = "\u{FEFF}doc_id,title,text\r\na,\"red, \"\"old\"\"\",\"fox\njumps\"\r\nb,,dog\r\n";
    let all = told("c.csv", TextKind::Corpus, text, &TextOptions::default()).0;
    assert_eq!(all, pairs(&[("a", "red, \"old\" fox\njumps"), ("b", "dog")]));
    let csv = TextOptions { format: "csv".into(), ..TextOptions::default() };
    assert_eq!(told("c.txt", TextKind::Corpus, "a,fox\nb,\"x\ty\"\n", &csv).0.len(), 2);
    let said = failure("c.csv", TextKind::Corpus, "doc_id,text\na,fox\nb,dog,cow\n", &TextOptions::default());
    assert!(said.starts_with("c.csv:3: found 3 columns"), "{said}");
}

#[test]
fn passages_and_documents_of_msmarco_v2_are_read() {
    let auto = TextOptions::default();
    let passages = "{\"pid\": \"p_0\", \"passage\": \"0 to 60 fox\", \"spans\": \"(0,26)\", \"docid\": \"d_0\"}\n\
                    {\"pid\": \"p_17\", \"passage\": \"dog\", \"spans\": \"(0,3)\", \"docid\": \"d_0\"}\n";
    let all = told("c.jsonl", TextKind::Corpus, passages, &auto);
    assert_eq!(all, (pairs(&[("p_0", "0 to 60 fox"), ("p_17", "dog")]), vec![]));
    let documents =
        "{\"url\": \"u\", \"title\": \"T\", \"headings\": \"H\", \"body\": \"B\", \"docid\": \"d_1\"}\n";
    assert_eq!(told("c.jsonl", TextKind::Corpus, documents, &auto).0, pairs(&[("d_1", "T B")]));
    let chosen = TextOptions { fields: vec!["headings".into(), "body".into()], ..TextOptions::default() };
    assert_eq!(told("c.jsonl", TextKind::Corpus, documents, &chosen).0, pairs(&[("d_1", "H B")]));
}

#[test]
fn fields_have_the_names_of_the_field_or_are_named() {
    let auto = TextOptions::default();
    let id = |id: &str| TextOptions { id: Some(id.into()), ..TextOptions::default() };
    let cases = [
        (TextKind::Corpus, r#"{"doc_id": "a", "text": "fox"}"#, &auto, ("a", "fox")),
        (TextKind::Corpus, r#"{"passage_id": 3, "passage": "fox"}"#, &auto, ("3", "fox")),
        (TextKind::Corpus, r#"{"id": 3, "docid": 4, "contents": "fox"}"#, &auto, ("3", "fox")),
        (TextKind::Corpus, r#"{"docno": "x", "doc_id": "x", "text": "", "body": "b"}"#, &auto, ("x", "b")),
        (TextKind::Queries, r#"{"query_id": "1", "text": "fox"}"#, &auto, ("1", "fox")),
        (TextKind::Queries, r#"{"qid": 7, "query": "fox", "answer_pids": [1]}"#, &auto, ("7", "fox")),
        (TextKind::Corpus, r#"{"id": 3, "uid": "u", "text": "fox"}"#, &id("uid"), ("u", "fox")),
    ];
    for (what, line, options, expected) in cases {
        assert_eq!(told("c.jsonl", what, line, options).0, pairs(&[expected]), "{line}");
    }
    let said = failure("c.jsonl", TextKind::Corpus, r#"{"docid": "a", "docno": "b", "text": "x"}"#, &auto);
    assert!(said.contains("different values") && said.contains("id = "), "{said}");
    let said = failure("c.jsonl", TextKind::Corpus, r#"{"id": "a", "text": "x", "body": "y"}"#, &auto);
    assert!(said.contains("`text` and `body` with different values") && said.contains("fields = "), "{said}");
    let said = failure("c.jsonl", TextKind::Corpus, r#"{"key": "a", "text": "x"}"#, &auto);
    assert!(said.contains("the fields `key`, `text`, expected an id in") && said.contains("id = "), "{said}");
}

#[test]
fn values_that_are_no_strings_are_read_as_they_are_written_and_told() {
    let auto = TextOptions::default();
    let lines = "{\"_id\": \"a\", \"title\": 2020, \"text\": \"dog\"}\n{\"_id\": \"b\", \"title\": null, \"text\": [\"x\", \
                 \"y\"]}\n{\"_id\": \"c\", \"text\": 1.5}\n{\"_id\": \"d\", \"text\": true}\n{\"_id\": \"e\", \"text\": NaN, \
                 \"title\": NaN, \"m\": -Infinity}\n{\"_id\": \"f\", \"text\": \"\\ud83d z\"}\n";
    let (all, caveats) = told("c.jsonl", TextKind::Corpus, lines, &auto);
    let expected =
        [("a", "2020 dog"), ("b", "x y"), ("c", "1.5"), ("d", "true"), ("e", ""), ("f", "\u{FFFD} z")];
    assert_eq!(all, pairs(&expected));
    assert_eq!(
        caveats,
        [
            "4 titles or texts that are numbers, true or false, or lists were read as text; the first: c.jsonl, line 1: \
             `2020` in `title`",
            "1 text that is null or NaN was read as empty; the first: c.jsonl, line 5: `text`",
            "1 line holds half a surrogate pair, which was read as U+FFFD; the first: c.jsonl, line 6",
        ]
    );
    let said = failure("c.jsonl", TextKind::Corpus, r#"{"_id": "a", "text": [{"s": 1}]}"#, &auto);
    assert!(said.contains("a list of other values than strings and numbers in `text`"), "{said}");
}

#[test]
fn empty_queries_and_ids_with_blanks_are_read_by_declaration() {
    let text = "1\tfox\nthe second\t \n";
    let with =
        |empty, blanks: &str| TextOptions { empty, blanks: Some(blanks.into()), ..TextOptions::default() };
    let (all, caveats) = told("q.tsv", TextKind::Queries, text, &with(Empty::Drop, "_"));
    assert_eq!(all, pairs(&[("1", "fox")]));
    assert!(caveats[0].starts_with("1 query has an empty text and was left out"), "{caveats:?}");
    let (all, caveats) = told("q.tsv", TextKind::Queries, text, &with(Empty::Keep, "-"));
    assert_eq!(all, pairs(&[("1", "fox"), ("the-second", " ")]));
    assert_eq!(caveats.len(), 2);
    let said = failure("q.tsv", TextKind::Queries, text, &TextOptions::default());
    assert!(said.contains("empty = drop"), "{said}");
}
