//! BM25 against a direct computation, and against Anserini on CACM.

use std::collections::BTreeMap;

use super::*;
use crate::ir::analysis::Analysis;
use crate::ir::index::tests::small;
use xpipe_base::value::rng::Stream;
use xpipe_testing::cacm::cacm;

/// BM25 over analysed texts, document by document, in double precision; documents without a term of it left out.
fn direct(texts: &[Vec<String>], query: &str, bm25: Bm25) -> BTreeMap<usize, f64> {
    let n = texts.iter().filter(|t| !t.is_empty()).count() as f64;
    let average = texts.iter().map(Vec::len).sum::<usize>() as f64 / n;
    let (k1, b) = (f64::from(bm25.k1), f64::from(bm25.b));
    let mut out = BTreeMap::new();
    for term in Analysis::English.list(query) {
        let df = texts.iter().filter(|t| t.contains(&term)).count() as f64;
        for (i, text) in texts.iter().enumerate().filter(|(_, t)| t.contains(&term)) {
            let f = text.iter().filter(|t| **t == term).count() as f64;
            let length = f64::from(bm25.lengths.of(text.len() as u32));
            *out.entry(i).or_default() +=
                (1.0 + (n - df + 0.5) / (df + 0.5)).ln() * f / (f + k1 * (1.0 - b + b * length / average));
        }
    }
    out
}

#[test]
fn equals_a_direct_computation() {
    let stream = Stream::new(5, &["bm25"]);
    let word = |i: u64| format!("w{}", (60.0 * stream.unit(i).powi(3)) as u32);
    // More documents than a window, so that cursors cross one.
    let documents: Vec<(String, String)> = (0..5000u64)
        .map(|d| {
            let length = stream.below(900_000 + d, 60);
            let words: Vec<String> = (0..length).map(|i| word(d * 100 + i)).collect();
            (format!("doc{}", d.wrapping_mul(7919) % 5003), words.join(" "))
        })
        .collect();
    let borrowed: Vec<(&str, &str)> = documents.iter().map(|(i, t)| (i.as_str(), t.as_str())).collect();
    let texts: Vec<Vec<String>> = documents.iter().map(|(_, t)| Analysis::English.list(t)).collect();
    let dir = tempfile::tempdir().unwrap();
    let index = small(dir.path(), &borrowed, usize::MAX).unwrap();
    let mut scratch = Scratch::default();
    for bm25 in [
        Bm25::default(),
        Bm25 { k1: 1.2, b: 0.75, lengths: Lengths::Exact },
        Bm25 { k1: 0.0, b: 0.0, lengths: Lengths::Exact },
    ] {
        let searcher = Searcher::new(&index, bm25).unwrap();
        for query in ["w59", "w0 w0 w40 nothing", "w3 w17 w58 w3 w3", "unheard of", "", "the"] {
            let expected = direct(&texts, query, bm25);
            let all = searcher.search(query, 10_000, &mut scratch).unwrap();
            assert_eq!(all.len(), expected.len(), "{query}");
            for hit in &all {
                let want = expected[&(hit.document as usize)];
                assert!((f64::from(hit.score) - want).abs() < 2e-6 * want.max(1.0), "{query} {hit:?} {want}");
            }
            let key = |h: &Hit| (h.score, index.id(h.document));
            assert!(all.windows(2).all(|w| key(&w[0]) > key(&w[1])), "order of {query}");
            let ten = searcher.search(query, 10, &mut scratch).unwrap();
            assert_eq!(ten, all[..all.len().min(10)], "{query}");
        }
    }
}

#[test]
fn what_is_passed_over_changes_no_bit() {
    let stream = Stream::new(6, &["pruning"]);
    // Six windows; some words are nearly everywhere, others in few documents or only at one end.
    let documents: Vec<(String, String)> = (0..6 * WINDOW as u64)
        .map(|d| {
            let mut words: Vec<String> = (0..stream.below(d, 25))
                .map(|i| format!("w{}", (400.0 * stream.unit(d * 100 + i + 1_000_000).powi(4)) as u32))
                .collect();
            if stream.below(3_000_000 + d, 50) > 0 {
                words.push("common".into());
            }
            if !(9000..20_000).contains(&d) && d % 7 == 0 {
                words.push("margin".into());
            }
            (format!("d{}", d.wrapping_mul(7919) % 24_593), words.join(" "))
        })
        .collect();
    let borrowed: Vec<(&str, &str)> = documents.iter().map(|(i, t)| (i.as_str(), t.as_str())).collect();
    let dir = tempfile::tempdir().unwrap();
    let index = small(dir.path(), &borrowed, usize::MAX).unwrap();
    let mut scratch = Scratch::default();
    for bm25 in [Bm25::default(), Bm25 { k1: 1.2, b: 0.75, lengths: Lengths::Exact }] {
        let searcher = Searcher::new(&index, bm25).unwrap();
        for query in [
            "common w0 w1 w390",
            "margin common",
            "w399 w350 w300 w20 w3 w0 common",
            "common",
            "margin w2 w2 w250 unheard",
            "w397 w398 w399",
        ] {
            let terms: Vec<(String, f32)> =
                query.split(' ').enumerate().map(|(i, t)| (t.into(), 0.3 + i as f32)).collect();
            assert!(searcher.order_is_free(&searcher.cursors(&terms).unwrap()), "{query}");
            for depth in [1, 3, 20, 1000, 50_000] {
                let found = searcher.search_weighted(&terms, depth, &mut scratch).unwrap();
                let mut top = Top::new(depth, index.order());
                Searcher::in_full(
                    searcher.cursors(&terms).unwrap(),
                    &searcher.inverse,
                    &mut top,
                    &mut scratch,
                );
                assert_eq!(found, top.finish(), "{query}, depth {depth}");
            }
        }
    }
    // Where sums may round, the order of terms is kept.
    let flat = Searcher::new(&index, Bm25 { k1: 0.0, b: 0.0, lengths: Lengths::Exact }).unwrap();
    assert!(!flat.order_is_free(&flat.cursors(&[("common".into(), 1.0)]).unwrap()));
    let searcher = Searcher::new(&index, Bm25::default()).unwrap();
    let uneven = [("common".to_owned(), 1e-9), ("margin".to_owned(), 10.0)];
    assert!(!searcher.order_is_free(&searcher.cursors(&uneven).unwrap()));
}

#[test]
fn parameters_out_of_range_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let index = small(dir.path(), &[("a", "x")], usize::MAX).unwrap();
    for (k1, b) in
        [(-0.1, 0.4), (f32::NAN, 0.4), (f32::INFINITY, 0.4), (0.9, 1.1), (0.9, -0.1), (0.9, f32::NAN)]
    {
        assert!(Searcher::new(&index, Bm25 { k1, b, lengths: Lengths::Exact }).is_err(), "{k1} {b}");
    }
}

#[test]
fn cacm_scores_are_anserinis() {
    let Some(cacm) = cacm() else { return };
    let borrowed: Vec<(&str, &str)> = cacm.documents.iter().map(|(i, t)| (i.as_str(), t.as_str())).collect();
    let at = tempfile::tempdir().unwrap();
    let index = small(at.path(), &borrowed, usize::MAX).unwrap();
    let mut theirs: BTreeMap<&str, Vec<(&str, f32)>> = BTreeMap::new();
    for (query, document, score) in &cacm.run {
        theirs.entry(query).or_default().push((document, *score));
    }
    assert_eq!((theirs.len(), cacm.run.len()), (64, 1920));

    // The largest difference in score of the same document, and at the same rank.
    let worst = |lengths: Lengths| {
        let searcher = Searcher::new(&index, Bm25 { lengths, ..Bm25::default() }).unwrap();
        let (mut scratch, mut by_document, mut by_rank) = (Scratch::default(), 0f32, 0f32);
        for (id, text) in &cacm.topics {
            let hits = searcher.search(text, 5000, &mut scratch).unwrap();
            for (rank, (document, score)) in theirs[id.as_str()].iter().enumerate() {
                let ours = hits.iter().find(|h| index.id(h.document) == *document).map_or(0.0, |h| h.score);
                by_document = by_document.max((score - ours).abs());
                by_rank = by_rank.max((score - hits[rank].score).abs());
            }
        }
        (by_document, by_rank)
    };
    // The file's scores are rounded to four digits; equal ones are lowered a little, one after the other.
    let (by_document, by_rank) = worst(Lengths::Lucene);
    assert!(by_document < 1e-4 && by_rank < 1e-4, "{by_document} {by_rank}");
    // What the default was chosen by.
    assert!(worst(Lengths::Exact).0 > 0.5);
}
