//! Dense vectors on disk, and the search against a full sort.

use super::*;
use crate::ir::top::Hit;
use xpipe_base::task::Silent;
use xpipe_base::value::rng::Stream;

fn write(dir: &Path, vectors: &[(String, Vec<f32>)]) -> Embeddings {
    let mut writer = EmbeddingWriter::create(dir, vectors.first().map_or(3, |v| v.1.len())).unwrap();
    vectors.iter().for_each(|(id, vector)| writer.push(id, vector).unwrap());
    writer.finish().unwrap();
    Embeddings::open(dir).unwrap()
}

/// Vectors of few different numbers, so that scores are often equal.
fn coarse(n: usize, width: usize, of: u64) -> Vec<(String, Vec<f32>)> {
    let s = Stream::new(of, &["dense"]);
    let number = |i: usize| s.below(i as u64, 5) as f32 / 2.0 - 1.0;
    let id = |i: usize| format!("t{}", (i * 7919) % 10_007);
    (0..n).map(|i| (id(i), (0..width).map(|j| number(i * width + j)).collect())).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum, (x, y)| x.mul_add(*y, sum))
}

/// Products by plain loops.
fn plain(queries: &Embeddings, block: &[u8], out: &mut [f32]) {
    let (numbers, _) = block.as_chunks::<2>();
    let numbers: Vec<f32> = numbers.iter().map(|b| widen(u16::from_le_bytes(*b))).collect();
    for (i, out) in out.iter_mut().enumerate() {
        let (d, q) = (i / queries.len(), i % queries.len());
        *out = dot(&numbers[d * queries.width()..(d + 1) * queries.width()], &queries.get(q));
    }
}

fn found(documents: &Embeddings, queries: &Embeddings, depth: usize, threads: usize) -> Vec<Vec<Hit>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let multiply = |block: &[u8], _: &mut Vec<f32>, out: &mut [f32]| plain(queries, block, out);
    pool.install(|| search(documents, queries.len(), depth, &multiply, &Silent)).unwrap()
}

#[test]
fn vectors_come_back_as_binary16() {
    let dir = tempfile::tempdir().unwrap();
    let texts = [("a".to_owned(), vec![0.5, -1.25, 0.1]), ("ü".to_owned(), vec![0.0, 65504.0, 3e-6])];
    let vectors = write(dir.path(), &texts);
    assert_eq!((vectors.len(), vectors.width(), vectors.ids().get(1)), (2, 3, "ü"));
    assert_eq!(vectors.get(0), [0.5, -1.25, 0.099_975_586]);
    assert_eq!(vectors.get(1), [0.0, 65504.0, 2.980_232_2e-6]);
    let again = tempfile::tempdir().unwrap();
    write(again.path(), &texts);
    for file in ["dense.json", "vectors.f16", "order.u32", "ids.bin", "ids.u64"] {
        let bytes = |dir: &Path| std::fs::read(dir.join(file)).unwrap();
        assert_eq!(bytes(dir.path()), bytes(again.path()), "{file}");
    }
    let none = tempfile::tempdir().unwrap();
    let none = write(none.path(), &[]);
    assert!(none.is_empty());
    assert_eq!(found(&none, &vectors, 3, 2), vec![vec![], vec![]]);
    assert!(found(&vectors, &none, 3, 2).is_empty());
}

#[test]
fn a_search_is_a_full_sort() {
    let (dir, asked) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let documents = write(dir.path(), &coarse(1500, 8, 1));
    let queries = write(asked.path(), &coarse(37, 8, 2));
    for depth in [1, 10, 99, 5000] {
        let all = found(&documents, &queries, depth, 1);
        for (q, hits) in all.iter().enumerate() {
            let query = queries.get(q);
            let mut sorted: Vec<(f32, &str)> =
                (0..1500).map(|d| (dot(&documents.get(d), &query), documents.ids().get(d as u32))).collect();
            sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(a.1)));
            sorted.truncate(depth);
            let hits: Vec<(f32, &str)> =
                hits.iter().map(|h| (h.score, documents.ids().get(h.document))).collect();
            assert_eq!(hits, sorted, "query {q}, depth {depth}");
        }
        for threads in [2, 3, 7] {
            assert_eq!(found(&documents, &queries, depth, threads), all, "{threads} threads");
        }
    }
}

#[test]
fn it_stops_when_asked() {
    struct Stop;
    impl xpipe_base::task::Progress for Stop {
        fn progress(&self, _: u64, _: u64, _: &str, _: &str) {}
        fn note(&self, _: &str) {}
        fn cancelled(&self) -> bool {
            true
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let documents = write(dir.path(), &coarse(5, 8, 1));
    let nothing = |_: &[u8], _: &mut Vec<f32>, _: &mut [f32]| {};
    let stopped = search(&documents, 1, 1, &nothing, &Stop).unwrap_err();
    assert_eq!(stopped.kind, xpipe_base::task::FailureKind::Interrupted);
}

#[test]
fn what_is_out_of_range_or_damaged_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Embeddings::open(dir.path()).unwrap_err().message.contains("no dense vectors"));
    for width in [0, 65_537] {
        assert!(EmbeddingWriter::create(dir.path(), width).is_err());
    }
    let mut writer = EmbeddingWriter::create(dir.path(), 2).unwrap();
    assert!(writer.push("a", &[1.0]).is_err());
    for x in [65520.0, f32::NAN, f32::INFINITY] {
        let e = writer.push("a", &[0.0, x]).unwrap_err();
        assert!(e.message.contains("`a`") && e.help.is_some(), "{e}");
    }
    let dir = tempfile::tempdir().unwrap();
    let twice = [("a".to_owned(), vec![1.0]), ("a".to_owned(), vec![2.0])];
    let mut writer = EmbeddingWriter::create(dir.path(), 1).unwrap();
    twice.iter().for_each(|(id, v)| writer.push(id, v).unwrap());
    assert!(writer.finish().unwrap_err().message.contains("the same id `a`"));

    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &coarse(4, 3, 1));
    for (file, bytes) in [
        ("vectors.f16", &[0u8; 23][..]),
        ("vectors.f16", &[]),
        ("order.u32", &[0xff; 16]),
        ("order.u32", &[0; 12]),
        ("ids.bin", b"t"),
        ("dense.json", b"{}"),
        ("dense.json", br#"{"format": 1, "width": 0, "texts": 4}"#),
    ] {
        let path = dir.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let e = Embeddings::open(dir.path()).unwrap_err();
        std::fs::write(&path, whole).unwrap();
        assert!(e.message.contains("damaged"), "{file}: {e}");
    }
    std::fs::write(dir.path().join("dense.json"), r#"{"format": 9, "width": 3, "texts": 4}"#).unwrap();
    assert!(Embeddings::open(dir.path()).unwrap_err().message.contains("format 9, expected 1"));
}
