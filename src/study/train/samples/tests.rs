//! Streams over small pools: order, draws, skips.

use std::collections::BTreeSet;

use super::*;

/// Query q (0..n) has documents 100q..100q+20; its positives are at places 3 and 5.
fn lists(n: u32, teacher: bool) -> Lists {
    lists_from(n, teacher, 0)
}

fn lists_from(n: u32, teacher: bool, from: u32) -> Lists {
    let mut lists = Lists::new();
    for q in 0..n {
        let documents: Vec<u32> = (100 * q..100 * q + 20).collect();
        let scores: Vec<f32> = (0..20).map(|i| ((i * 7) % 20) as f32).collect();
        lists.push(q, &documents, &[3, 5], from, teacher.then_some(&scores));
    }
    lists
}

const GROUP: Shape = Shape::Group { positives: 1, negatives: 7 };

#[test]
fn groups_have_one_positive_and_different_negatives() {
    let samples = Samples::new(Pool::Lists(lists(50, true)), GROUP, 1).unwrap();
    assert_eq!(samples.epoch(), 50);
    for position in 0..200 {
        let s = samples.at(position);
        let place = |d: &u32| d - 100 * s.query;
        assert_eq!((s.documents.len(), s.positives), (8, 1));
        assert!([3, 5].contains(&place(&s.documents[0])));
        let negatives: BTreeSet<u32> = s.documents[1..].iter().map(place).collect();
        assert_eq!(negatives.len(), 7);
        assert!(negatives.iter().all(|p| *p < 20 && *p != 3 && *p != 5), "{negatives:?}");
        let teacher: Vec<f64> = s.documents.iter().map(|d| f64::from((place(d) * 7) % 20)).collect();
        assert_eq!(s.teacher, Some(teacher));
        assert_eq!(s, samples.at(position), "a sample is a function of its position");
    }
}

#[test]
fn each_epoch_has_every_query_once_in_another_order_with_other_negatives() {
    let samples = Samples::new(Pool::Lists(lists(50, false)), GROUP, 1).unwrap();
    let epoch = |e: u64| (50 * e..50 * e + 50).map(|p| samples.at(p)).collect::<Vec<_>>();
    let (first, second) = (epoch(0), epoch(1));
    let queries = |e: &[Sample]| e.iter().map(|s| s.query).collect::<Vec<_>>();
    assert_eq!(queries(&first).into_iter().collect::<BTreeSet<_>>().len(), 50);
    assert_ne!(queries(&first), queries(&second));
    let of = |e: &[Sample], q| e.iter().find(|s| s.query == q).unwrap().documents.clone();
    let changed = (0..50).filter(|q| of(&first, *q) != of(&second, *q)).count();
    assert!(changed > 45, "{changed}");
    let other = Samples::new(Pool::Lists(lists(50, false)), GROUP, 2).unwrap();
    assert_ne!(queries(&first), (0..50).map(|p| other.at(p).query).collect::<Vec<_>>());
}

#[test]
fn negatives_come_from_the_window() {
    let samples = Samples::new(Pool::Lists(lists_from(5, false, 10)), GROUP, 1).unwrap();
    for position in 0..50 {
        let s = samples.at(position);
        assert!(s.documents[1..].iter().all(|d| d - 100 * s.query >= 10));
    }
}

#[test]
fn lists_that_cannot_give_a_sample_are_counted() {
    let mut pool = lists(2, false);
    pool.push(2, &[200, 201, 202], &[], 0, None);
    pool.push(3, &[300, 301, 302], &[0], 0, None);
    pool.push(4, &[400], &[0], 0, None);
    let samples = Samples::new(Pool::Lists(pool.clone()), GROUP, 1).unwrap();
    assert_eq!(samples.epoch(), 2);
    let skipped: Vec<(&str, u64)> = samples.skipped().iter().map(|(w, n)| (*w, *n)).collect();
    assert_eq!(
        skipped,
        [
            ("queries with too few negatives in the run", 2),
            ("queries without a judged positive in the run", 1)
        ]
    );
    let ranked = Samples::new(Pool::Lists(pool), Shape::RankedList { depth: 50 }, 1).unwrap();
    assert_eq!(ranked.epoch(), 4);
    let mut none = Lists::new();
    none.push(0, &[1, 2], &[], 0, None);
    let failure = Samples::new(Pool::Lists(none), GROUP, 1).unwrap_err();
    assert!(failure.message.contains("1 query without a judged positive"), "{failure}");
}

#[test]
fn ranked_lists_follow_the_scores_or_the_run() {
    let shape = Shape::RankedList { depth: 10 };
    let by_run = Samples::new(Pool::Lists(lists(3, false)), shape, 1).unwrap().at(0);
    let first = 100 * by_run.query;
    assert_eq!(by_run.documents, (first..first + 10).collect::<Vec<_>>());
    assert_eq!(by_run.teacher, Some((1..=10).rev().map(f64::from).collect()));
    let by_score = Samples::new(Pool::Lists(lists(3, true)), shape, 1).unwrap().at(0);
    assert_eq!(by_score.teacher, Some((10..20).rev().map(f64::from).collect()));
    let scores: Vec<u32> = by_score.documents.iter().map(|d| ((d - 100 * by_score.query) * 7) % 20).collect();
    assert_eq!(scores, (10..20).rev().collect::<Vec<_>>());
    assert_eq!(by_score.positives, 0);
}

#[test]
fn triples_give_pairs_only() {
    let triples: Vec<Triple> = (0..10)
        .map(|i| Triple { query: i, positive: 10 + i, negative: 20 + i, scores: Some((2.0, 0.5)) })
        .collect();
    let samples = Samples::new(Pool::Triples(triples.clone()), Shape::Pairs, 1).unwrap();
    let seen: BTreeSet<u32> = (0..10).map(|p| samples.at(p).query).collect();
    assert_eq!(seen.len(), 10);
    let s = samples.at(3);
    assert_eq!(s.documents, [s.query + 10, s.query + 20]);
    assert_eq!((s.teacher.as_deref(), s.positives), (Some(&[2.0, 0.5][..]), 1));
    assert!(Samples::new(Pool::Triples(triples), GROUP, 1).unwrap_err().message.contains("`pairs`"));
    assert!(Samples::new(Pool::Triples(vec![]), Shape::Pairs, 1).unwrap_err().message.contains("empty"));
}
