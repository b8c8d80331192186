//! The fuzz targets of tests/fuzz, briefly: arbitrary bytes, and good input with a few bytes changed.

use proptest::prelude::*;

use crate::entries;
use crate::space::repository;

/// Good input with up to four pieces replaced.
fn spoiled(good: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let piece = (any::<prop::sample::Index>(), 0..6usize, prop::collection::vec(any::<u8>(), 0..4));
    (prop::sample::select(good), prop::collection::vec(piece, 0..4)).prop_map(|(mut bytes, pieces)| {
        for (at, len, new) in pieces {
            let at = at.index(bytes.len() + 1);
            let end = (at + len).min(bytes.len());
            bytes.splice(at..end, new);
        }
        bytes
    })
}

fn bytes(good: &[&[u8]]) -> impl Strategy<Value = Vec<u8>> {
    let good: Vec<Vec<u8>> = good.iter().map(|g| g.to_vec()).collect();
    prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..200), 3 => spoiled(good)]
}

fn study() -> Vec<u8> {
    let text = std::fs::read(repository("tests/data/studies/tune.xpipe")).unwrap();
    text[..text.len().min(1_500)].to_vec()
}

fn stored() -> Vec<u8> {
    std::fs::read(repository("src/engine/cache/testdata/manifest-v1.json")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_parser_survives_any_text(input in bytes(&[&study()])) {
        entries::parser(&input);
    }

    #[test]
    fn the_reader_of_judgements_survives_any_bytes(input in bytes(&[
        b"1 0 a 1\n1 0 b 0\n", b"query-id\tcorpus-id\tscore\n1\ta\t2\n", b"{\"qid\": 1, \"answer_pids\": [2, 3]}\n",
    ])) {
        entries::qrels(&input);
    }

    #[test]
    fn the_reader_of_runs_survives_any_bytes(input in bytes(&[
        b"1 Q0 a 1 2.5 t\n1 Q0 b 2 1.5 t\n", b"1\ta\t1\n1\tb\t2\n2\tc\t1\n", b"q d 0.5\nq e -1e-3\n",
    ])) {
        entries::run(&input);
    }

    #[test]
    fn the_readers_of_texts_survive_any_bytes(input in bytes(&[
        b"{\"_id\": \"a\", \"title\": \"t\", \"text\": \"x\"}\n{\"_id\": 2, \"text\": \"y\"}\n",
        b"1\tone\n2\ttwo\n",
        b"<DOC>\n<DOCNO> a </DOCNO>\n<TEXT>x &amp; y</TEXT>\n</DOC>\n",
        b"<top>\n<num> Number: 1\n<title> a\n</top>\n",
        b"<topics>\n<topic number=\"1\">\n<query>a</query>\n</topic>\n</topics>\n",
        &std::fs::read(repository("tests/data/nano/queries.parquet")).unwrap(),
    ])) {
        entries::texts(&input);
    }

    #[test]
    fn the_reader_of_manifests_survives_any_bytes(input in bytes(&[&stored()])) {
        entries::manifest(&input);
    }
}
