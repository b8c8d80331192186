//! The index against brute force over its own definition, and by hand.

use super::build::build_in_parts;
use super::*;
use crate::ir::top::Hit;
use crate::ir::vectors::tests::{vocabulary, write};
use xpipe_base::task::Silent;
use xpipe_base::value::rng::{Permutation, Stream};

type Texts = Vec<(String, Vec<(u32, f32)>)>;

/// An index of documents over a vocabulary of `terms`.
fn index(texts: &Texts, terms: u32, scale: f64) -> (tempfile::TempDir, Impacts) {
    let dir = tempfile::tempdir().unwrap();
    let vectors = write(&dir.path().join("vectors"), terms, texts);
    let index = build(&vectors, &dir.path().join("index"), scale, &Silent).unwrap();
    (dir, index)
}

/// Every document's score by the definition, sorted.
fn brute_force(texts: &Texts, scale: f64, query: &[(u32, f32)], depth: usize) -> Vec<(String, f32)> {
    let score = |terms: &[(u32, f32)]| {
        let mut sum = 0u128;
        for (t, w) in query {
            for (_, x) in terms.iter().filter(|(other, _)| other == t) {
                let impact = (scale * f64::from(*x)).round() as u128;
                sum += (f64::from(*w) * f64::from(1 << 24)).round() as u128 * impact;
            }
        }
        (sum as f64 / (f64::from(1 << 24) * scale)) as f32
    };
    let mut all: Vec<(String, f32)> = texts.iter().map(|(id, terms)| (id.clone(), score(terms))).collect();
    all.retain(|(_, s)| *s > 0.0);
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| b.0.as_bytes().cmp(a.0.as_bytes())));
    all.truncate(depth);
    all
}

fn named(index: &Impacts, hits: &[Hit]) -> Vec<(String, f32)> {
    hits.iter().map(|h| (index.id(h.document).to_owned(), h.score)).collect()
}

/// Random texts: ids in no order, common and rare terms, weights that often agree and are high for one document in ten,
/// which lie together.
fn random(seed: u64, documents: u64, terms: u64, values: u64) -> Texts {
    let s = Stream::new(seed, &["impacts"]);
    let ids = Permutation::new(s.sub(9), documents.max(1));
    let text = |d: u64| {
        let own = s.sub(100 + d);
        let has = |t: &u64| own.below(*t, 1 + t % 23) < 2;
        // Never above 65,535 at any scale.
        let unit =
            if values < 10 { 2.7 } else { 0.05 } * if d * 10 / documents == seed % 10 { 1.0 } else { 0.3 };
        let weight = |t: u64| (1 + own.below(1000 + t, values)) as f32 * unit;
        let row = (0..terms).filter(has).map(|t| (t as u32, weight(t)));
        (format!("d{}", ids.at(d)), row.collect())
    };
    (0..documents).map(text).collect()
}

#[test]
fn rankings_are_those_of_brute_force() {
    let (mut pruned, mut scratch) = (0, Scratch::default());
    for seed in 0..24 {
        let s = Stream::new(seed, &["queries"]);
        let documents = [1, 300, 4095, 4096, 4097, 13_000][seed as usize % 6];
        let terms = 40 + 7 * (seed % 5);
        // Few different weights: ties everywhere. Many: none.
        let texts = random(seed, documents, terms, [1, 3, 1000][seed as usize % 3]);
        let scale = [100.0, 1.0, 0.37, 1000.0][seed as usize % 4];
        let (_dir, index) = index(&texts, terms as u32, scale);
        for q in 0..4 {
            let own = s.sub(q);
            let weight = |t: u64| if q % 2 == 0 { 1.0 } else { own.normal(t).abs() as f32 + 1e-9 };
            let query: Vec<(u32, f32)> =
                (0..terms).filter(|t| own.below(500 + t, 4) == 0).map(|t| (t as u32, weight(t))).collect();
            let mut expected = brute_force(&texts, scale, &query, usize::MAX);
            for depth in [20_000, 1000, 100, 10, 2, 1, 0] {
                let found = index.search(&query, depth, &mut scratch).unwrap();
                expected.truncate(depth);
                assert_eq!(named(&index, &found.hits), expected, "seed {seed}, query {q}, depth {depth}");
                pruned += u64::from(found.scored < found.touched);
            }
        }
    }
    assert!(pruned > 20, "nothing was ever passed over: {pruned}");
}

#[test]
fn blocks_that_cannot_matter_are_passed_over() {
    // Every document has the terms; the best 300 lie together, in two blocks of ten.
    let weight = |d: u32| if (8000..8300).contains(&d) { 3.0 } else { 0.5 };
    let texts: Texts = (0..40_000).map(|d| (format!("{d:05}"), vec![(1, weight(d)), (2, 0.1)])).collect();
    let (_dir, index) = index(&texts, 5, 100.0);
    let query = [(1, 1.0), (2, 0.5)];
    let found = index.search(&query, 200, &mut Scratch::default()).unwrap();
    assert_eq!(named(&index, &found.hits), brute_force(&texts, 100.0, &query, 200));
    assert_eq!((found.touched, found.scored), (10, 2));
}

#[test]
fn scores_are_rounded_as_documented() {
    let texts: Texts = vec![
        ("a".into(), vec![(0, 0.5), (2, 1.004)]),
        ("c".into(), vec![(2, 1.0)]),
        ("b".into(), vec![(2, 1.0), (3, 0.004)]),
        ("z".into(), vec![(1, 2.0)]),
    ];
    let (_dir, index) = index(&texts, 9, 100.0);
    // Impacts 50 and 100; 0.004 is below a half and no posting.
    assert_eq!((index.documents(), index.postings(), index.terms()), (4, 5, 3));
    let found = index.search(&[(0, 0.25), (2, 2.0), (3, 9.0)], 10, &mut Scratch::default()).unwrap();
    let expected = [("a", 2.125), ("c", 2.0), ("b", 2.0)].map(|(id, s)| (id.to_owned(), s));
    assert_eq!(named(&index, &found.hits), expected);
    let none = index.search(&[(4, 1.0), (0, 1e-9)], 10, &mut Scratch::default()).unwrap();
    assert!(none.hits.is_empty());
}

#[test]
fn parts_and_repetition_give_the_same_bytes() {
    let texts = random(3, 700, 50, 1000);
    let (dir, _) = index(&texts, 50, 100.0);
    let vectors = crate::ir::vectors::Vectors::open(&dir.path().join("vectors")).unwrap();
    for part in [1, 100, 5000] {
        let again = tempfile::tempdir().unwrap();
        build_in_parts(&vectors, again.path(), 100.0, &Silent, part).unwrap();
        for entry in std::fs::read_dir(again.path()).unwrap() {
            let name = entry.unwrap().file_name();
            let read = |dir: &Path| std::fs::read(dir.join(&name)).unwrap();
            assert!(read(again.path()) == read(&dir.path().join("index")), "{part} {name:?}");
        }
    }
}

#[test]
fn what_cannot_be_indexed_is_an_error() {
    let failed = |texts: &[(&str, Vec<(u32, f32)>)], scale| {
        let dir = tempfile::tempdir().unwrap();
        let texts: Texts = texts.iter().map(|(id, t)| ((*id).to_owned(), t.clone())).collect();
        let vectors = write(&dir.path().join("v"), 5, &texts);
        build(&vectors, &dir.path().join("i"), scale, &Silent).unwrap_err().message
    };
    assert!(failed(&[("a", vec![(1, 1.0)]), ("a", vec![])], 1.0).contains("same id `a`"));
    assert!(failed(&[("a", vec![(1, 90.0)])], 1000.0).contains("above 65535"));
    assert!(failed(&[], 1.0).contains("no documents"));
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(failed(&[("a", vec![(1, 1.0)])], scale).contains("scale is"));
    }
}

#[test]
fn a_damaged_index_is_an_error_and_never_a_panic() {
    let texts = random(1, 600, 40, 5);
    let (dir, whole) = index(&texts, 40, 10.0);
    assert_eq!(whole.vocabulary(), &vocabulary(40));
    let folder = dir.path().join("index");
    assert!(Impacts::open(dir.path()).unwrap_err().message.contains("not an index of sparse vectors"));
    let query: Vec<(u32, f32)> = (0..40).map(|t| (t, 1.0)).collect();
    for file in std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()) {
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        assert!(Impacts::open(&folder).is_err(), "{file:?} cut");
        let stream = Stream::new(2, &["damage"]);
        for i in 0..60 {
            let mut spoiled = bytes.clone();
            spoiled[stream.below(i, bytes.len() as u64) as usize] ^= 1 << (i % 8);
            std::fs::write(&file, &spoiled).unwrap();
            let opened = Impacts::open(&folder);
            drop(opened.and_then(|i| i.search(&query, 10, &mut Scratch::default())));
        }
        std::fs::write(&file, &bytes).unwrap();
    }
}

#[test]
fn an_index_of_another_format_is_an_error() {
    let (dir, index) = index(&random(1, 20, 9, 3), 9, 100.0);
    drop(index);
    let header = dir.path().join("index/impacts.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&header).unwrap()).unwrap();
    for other in [FORMAT - 1, FORMAT + 1] {
        json["format"] = other.into();
        std::fs::write(&header, json.to_string()).unwrap();
        let told = Impacts::open(&dir.path().join("index")).unwrap_err().message;
        assert!(told.contains(&format!("index format {other}, expected {FORMAT}")), "{told}");
    }
}
