use std::path::Path;

use super::*;
use xpipe_testing::{CaveatLog, file, shared};

fn read_all(source: &Path, format: &str) -> Result<(Vec<QueryPairs>, ImportedPairs), Failure> {
    let groups = std::cell::RefCell::new(Vec::new());
    let imported = import(
        source,
        &PairOptions::format(format),
        ThirdColumn::ScoreOrRank,
        &Known::default(),
        &Silent,
        &mut || {
            groups.borrow_mut().clear();
            Ok(())
        },
        &mut |group| {
            groups.borrow_mut().push(group);
            Ok(())
        },
    )?;
    Ok((groups.into_inner(), imported))
}

fn read_text(text: &str, format: &str) -> Result<Vec<QueryPairs>, Failure> {
    let dir = tempfile::tempdir().unwrap();
    read_all(&file(dir.path(), "r.txt", text), format).map(|(groups, _)| groups)
}

fn shape(groups: &[QueryPairs]) -> Vec<(String, Vec<(String, f32)>)> {
    groups
        .iter()
        .map(|g| (g.query.clone(), g.hits.iter().map(|h| (h.document.clone(), h.score)).collect()))
        .collect()
}

#[test]
fn runs_and_scores_are_read() {
    let run = "q1 Q0 a 1 2.5 tag\nq1 Q0 b 2 2.5 a tag with blanks\nq0\tQ0\tc\t0\t-1e1\tt\n";
    let expected = vec![
        ("q1".to_owned(), vec![("a".to_owned(), 2.5), ("b".to_owned(), 2.5)]),
        ("q0".to_owned(), vec![("c".to_owned(), -10.0)]),
    ];
    assert_eq!(shape(&read_text(run, "auto").unwrap()), expected);
    let scores = "query\tdocument\tscore\nq1\ta\t2.5\nq1\tb\t2.5\nq0\tc\t-10\n";
    assert_eq!(shape(&read_text(scores, "auto").unwrap()), expected);
    let ranked = read_text(run, "trec").unwrap().remove(0).ranked().unwrap();
    assert_eq!(ranked.hits[0].document, "b");
}

#[test]
fn scattered_queries_are_gathered_in_order_of_first_use() {
    let text = "b x 1.5\na x 2\nb y 3\nc x 4\na y 5\n";
    let groups = read_text(text, "auto").unwrap();
    assert_eq!(groups.iter().map(|g| g.query.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
    assert_eq!(groups[0].hits.len() + groups[1].hits.len(), 4);
}

#[test]
fn ranks_of_msmarco_are_told_from_scores() {
    let ranked = "q1\tb\t1\nq1\ta\t2\nq2\tc\t1\n";
    let groups = read_text(ranked, "auto").unwrap();
    let q1 = groups[0].clone().ranked().unwrap();
    assert_eq!(q1.hits.iter().map(|h| h.document.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(q1.hits[1].score, 0.5);
    // Said to be scores, they are.
    let scored = read_text(ranked, "tsv").unwrap().remove(0).ranked().unwrap();
    assert_eq!(scored.hits[0].document, "a");
    for text in ["q1 a 1\nq2 b 1\n", "q1 a 1.5\nq1 b 2.0\n", "q1 a 2\nq1 b 1\n", "q1 a 4\nq1 b 4\nq2 c 7\n"] {
        let groups = read_text(text, "auto").unwrap();
        let scores: Vec<f32> = groups.iter().flat_map(|g| &g.hits).map(|h| h.score).collect();
        assert!(scores.iter().any(|s| *s >= 1.0) && !scores.contains(&0.5), "{text}: {scores:?}");
    }
    let long: String = (1..=900).map(|r| format!("q1 d{r:05} {r}\n")).collect();
    assert_eq!(read_text(&long, "auto").unwrap()[0].hits[899].score, 1.0 / 900.0);
}

/// The documents of each query, best first.
fn order(groups: Vec<QueryPairs>) -> Vec<String> {
    let ranked = groups.into_iter().map(|g| g.ranked().unwrap());
    let line = |q: RunQuery| {
        let documents: Vec<String> = q.hits.into_iter().map(|h| h.document).collect();
        format!("{}: {}", q.id, documents.join(" "))
    };
    ranked.map(line).collect()
}

#[test]
fn every_query_tells_whether_a_file_holds_ranks() {
    // The first query has one document, as in runs of dev sets that were cut.
    let read = |text: &str| read_text(text, "auto").map(order);
    assert_eq!(read("7\tx\t1\n9\ta\t1\n9\tb\t2\n9\tc\t3\n").unwrap(), ["7: x", "9: a b c"]);
    // The query with several documents comes last and in another file of a folder.
    let dir = tempfile::tempdir().unwrap();
    file(dir.path(), "run/a", "1 x 1\n2 x 1\n");
    file(dir.path(), "run/b", "3 d 1\n3 c 2\n");
    let (groups, _) = read_all(&dir.path().join("run"), "auto").unwrap();
    assert_eq!(order(groups), ["1: x", "2: x", "3: d c"]);
    // Named columns need no telling, in whatever order they are.
    assert_eq!(read("docid\tqid\trank\na\t1\t2\nb\t1\t5\n").unwrap(), ["1: a b"]);
    assert_eq!(read("qid docid score\n1 a 1\n1 b 2\n").unwrap(), ["1: b a"]);
    for text in ["1 a 1\n1 b 3\n", "1 a 1\n1 b 2\n2 a 0.5\n2 b 3\n", "1 a 0\n1 b 1\n"] {
        let e = read(text).unwrap_err();
        assert!(e.help.unwrap().contains("format = \"msmarco\""), "{text}");
    }
    // What is told from elsewhere is not asked.
    assert_eq!(order(read_text("1 a 1\n1 b 3\n", "msmarco").unwrap()), ["1: a b"]);
    assert_eq!(order(read_text("1 a 1\n1 b 3\n", "tsv").unwrap()), ["1: b a"]);
}

#[test]
fn ranks_are_no_scores_of_a_teacher() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "s.tsv", "1 a 1\n1 b 2\n");
    let read = |format: &str| {
        let mut all = Vec::new();
        let options = PairOptions::format(format);
        import(&path, &options, ThirdColumn::Score, &Known::default(), &Silent, &mut || Ok(()), &mut |g| {
            all.extend(g.hits.into_iter().map(|h| h.score));
            Ok(())
        })
        .map(|_| all)
    };
    let e = read("auto").unwrap_err();
    assert!(e.message.contains("which are ranks, expected scores"), "{e}");
    assert_eq!((read("msmarco").unwrap(), read("tsv").unwrap()), (vec![1.0, 0.5], vec![1.0, 2.0]));
}

fn told(text: &str, options: &PairOptions) -> (Vec<String>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let (path, told) = (file(dir.path(), "r.txt", text), CaveatLog::default());
    let mut groups = Vec::new();
    let known = Known::default();
    import(&path, options, ThirdColumn::ScoreOrRank, &known, &told, &mut || Ok(()), &mut |g| {
        groups.push(g);
        Ok(())
    })
    .unwrap();
    (order(groups), told.caveats())
}

#[test]
fn ranks_against_scores_are_told() {
    let auto = PairOptions::default();
    let distances = "1 Q0 b 1 0.25 t\n1 Q0 x 2 0.5 t\n2 Q0 c 1 4 t\n2 Q0 d 2 7 t\n3 Q0 e 1 9 t\n";
    let (order, caveats) = told(distances, &auto);
    assert_eq!(order, ["1: x b", "2: d c", "3: e"]);
    assert_eq!(
        caveats,
        [
            "2 queries have ranks that contradict their scores; the highest score counts as the best, as for trec_eval; \
          the first: query `1`: document `b` has rank 1 and score 0.25, document `x` has rank 2 and score 0.5"
        ]
    );
    // Ranks from 0, equal scores, and ranks that are all the same say nothing against the scores.
    for text in [
        "1 Q0 a 0 2 t\n1 Q0 b 1 1 t\n",
        "1 Q0 a 1 2 t\n1 Q0 b 2 2 t\n",
        "1 Q0 a 0 1 t\n1 Q0 b 0 2 t\n",
        "1 Q0 b 2 1 t\n1 Q0 a 1 2 t\n",
    ] {
        assert_eq!(told(text, &auto).1, [""; 0], "{text}");
    }
    // Without ranks, the order of the lines tells of distances.
    let (_, caveats) = told("1 a 0.5\n1 b 0.75\n2 a 0.1\n2 c 0.2\n2 d 0.2\n", &auto);
    assert_eq!(caveats.len(), 1);
    assert!(caveats[0].starts_with("2 queries list their documents from the lowest score to the highest"));
    assert_eq!(told("1 a 0.5\n1 b 0.75\n2 a 0.2\n2 c 0.1\n", &auto).1, [""; 0]);
}

#[test]
fn documents_that_are_there_again_are_kept_once_by_declaration() {
    let passages = "1 Q0 d1 1 2.0 t\n1 Q0 d2 2 1.5 t\n1 Q0 d1 3 3.5 t\n1 Q0 d1 4 0.5 t\n2 Q0 d1 1 1.0 t\n";
    let with = |repeated| PairOptions { repeated, ..PairOptions::default() };
    let (order, caveats) = told(passages, &with(Repeated::Max));
    assert_eq!(order, ["1: d1 d2", "2: d1"]);
    let dropped = caveats.iter().find(|c| c.contains("rank a document again")).unwrap();
    assert!(
        dropped.starts_with(
            "2 lines rank a document again for the same query; the one with the highest score was"
        )
    );
    assert!(dropped.ends_with("r.txt, line 3: document `d1`"), "{dropped}");
    let low = "1 Q0 d1 1 1.0 t\n1 Q0 d2 2 0.5 t\n1 Q0 d1 3 0.25 t\n";
    assert_eq!(told(low, &with(Repeated::First)).0, ["1: d1 d2"]);
    assert!(read_text(low, "auto").unwrap_err().help.unwrap().contains("duplicates = max"));
}

#[test]
fn lines_with_a_number_sign_are_ids_where_they_are_pairs() {
    let auto = PairOptions::default();
    let (order, caveats) = told("# my run\n#1 Q0 a 1 2.0 t\n2 Q0 c 1 1.0 t\n", &auto);
    assert_eq!(order, ["#1: a", "2: c"]);
    assert_eq!(
        caveats,
        [
            "1 line that begins with `#` and is no record was left out as comments; the first: r.txt, line 1: `# my run`"
        ]
    );
    assert_eq!(told("#7\tb\t0.5\n#8\tb\t0.5\n", &auto).0, ["#7: b", "#8: b"]);
}

#[test]
fn ids_with_blanks_are_read_by_declaration() {
    let options = PairOptions { blanks: Some("_".into()), ..PairOptions::default() };
    let (order, caveats) = told("q 1\tthe red fox\t2.5\nq 1\tcat\t1.5\n", &options);
    assert_eq!(order, ["q_1: the_red_fox cat"]);
    assert!(caveats[0].starts_with("3 ids with blanks were changed as `blanks` says"), "{caveats:?}");
}

#[test]
fn bad_lines_are_named() {
    let cases = [
        ("q a 1\nq b nan\n", "r.txt:2: found the score `nan`, expected a finite number"),
        ("q a inf\n", "r.txt:1: found the score `inf`"),
        ("q Q0 a 1 NaN t\n", "r.txt:1: found the score `NaN`"),
        ("q a x\n", "r.txt:1: found the score `x`"),
        ("q a\n", "r.txt:1: found 2 columns in `q a`, expected 6 columns"),
        ("q a 1\nq a\n", "r.txt:2: found 2 columns in `q a`, expected 3 columns: query, document, score"),
        ("q Q0 a 1 2 t\nq Q0 b 2 1\n", "r.txt:2: found 5 columns in `q Q0 b 2 1`, expected 6 columns"),
        ("q a 1\nq b 2\nq a 3\n", "r.txt:3: found document `a` again for query `q`, first at"),
        ("q a 1.5\np a 1\nq a 3\n", "r.txt:3: found document `a` again for query `q`, first at"),
        ("\n", "r.txt: found no scores"),
    ];
    for (text, message) in cases {
        let e = read_text(text, "auto").unwrap_err();
        assert!(e.message.contains(message), "{e}");
    }
}

/// Counts by `wc -l` and `cut | sort -u | wc -l`.
#[test]
fn real_runs_have_their_counts() {
    let cases = [
        ("cacm/anserini.cacm-bm25.run.txt", 0, 1920),
        ("msmarco-dl21/BM25.run.gz", 53, 5300),
        ("msmarco-dl21/SPLADE_P_P_ENSEMBLE_DISTIL.run.gz", 53, 5300),
        ("trec_eval/test/results.test", 3, 1500),
        ("trec_eval/test/results-302.test", 1, 500),
        ("trec_eval/test/results.trunc", 2, 584),
        ("trec_eval/test/results.comment.test", 301, 30100),
    ];
    for (path, queries, pairs) in cases {
        let Some(source) = shared(path) else { return };
        let (_, imported) = read_all(&source, "auto").unwrap();
        assert_eq!(imported.pairs, pairs, "{path}");
        assert!(queries == 0 || imported.queries == queries, "{path}");
    }
}
