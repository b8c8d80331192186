//! Encoding against sentence-transformers' figures, and what must not change a weight.

use std::path::Path;

use super::super::texts::WINDOW;
use super::*;
use xpipe_base::task::{FailureKind, Silent};
use xpipe_data::store_writer::TextStoreWriter;
use xpipe_nn::Packed;
use xpipe_nn::load::{self, Options};

/// A logit for each word, told by a text's tokens alone.
struct Toy {
    calls: Vec<usize>,
}

impl MaskedLm for Toy {
    fn vocabulary(&self) -> usize {
        70
    }
    fn position_limit(&self) -> usize {
        50
    }
    fn peaks(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure> {
        self.calls.push(batch.len());
        let text = |i: usize| {
            let ids = &batch.ids[batch.pair(i)];
            let sum = ids.iter().map(|id| u64::from(*id) * 31).sum::<u64>() + ids.len() as u64;
            (0..70u64).map(move |word| ((sum + word * word) % 13) as f32 - 6.0)
        };
        Ok((0..batch.len()).flat_map(text).collect())
    }
    fn kernels(&self) -> &'static str {
        "toy"
    }
}

fn store(dir: &Path, texts: &[String]) -> TextStore {
    let mut writer = TextStoreWriter::create(dir).unwrap();
    for (i, text) in texts.iter().enumerate() {
        writer.push(&format!("t{i}"), text, "test", 1).unwrap();
    }
    writer.finish().unwrap();
    TextStore::open(dir).unwrap()
}

fn tokenizer() -> Tokenizer {
    let dir = tempfile::tempdir().unwrap();
    let mut words: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from).to_vec();
    words.extend((5..70).map(|i| format!("w{i}")));
    std::fs::write(dir.path().join("vocab.txt"), words.join("\n")).unwrap();
    Tokenizer::load(dir.path()).unwrap()
}

/// Text `i` has `i % 9` words.
fn text(i: usize) -> String {
    (0..i % 9).map(|w| format!("w{}", 5 + (i * 7 + w) % 65)).collect::<Vec<_>>().join(" ")
}

#[test]
fn texts_come_in_order_and_batches_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let texts = store(dir.path(), &(0..WINDOW + 300).map(text).collect::<Vec<_>>());
    let run = |pairs, tokens, terms| {
        let (mut toy, mut all) = (Toy { calls: Vec::new() }, Vec::new());
        let encoding = Encoding { input: 8, terms, batching: Batching { pairs, tokens } };
        let encoded = encode(
            &mut toy,
            &tokenizer(),
            (&texts, 0..texts.len()),
            &encoding,
            &Silent,
            &mut |i, terms: &Terms| {
                assert_eq!(i, all.len());
                all.push(terms.to_vec());
                Ok(())
            },
        );
        assert!(toy.calls.iter().all(|n| *n <= pairs));
        (all, encoded.unwrap())
    };
    let (all, encoded) = run(64, 8192, None);
    assert_eq!((all.len(), &run(1, 8192, None).0, &run(64, 20, None).0), (texts.len(), &all, &all));
    // A range gives the texts of these places.
    let (mut toy, from) = (Toy { calls: Vec::new() }, 700);
    let encoding = Encoding { input: 8, terms: None, batching: Batching::default() };
    let mut part = Vec::new();
    let mut take = |i: usize, terms: &Terms| {
        part.push((i, terms.clone()));
        Ok(())
    };
    encode(&mut toy, &tokenizer(), (&texts, from..WINDOW + 20), &encoding, &Silent, &mut take).unwrap();
    let expected: Vec<(usize, Terms)> =
        all.iter().cloned().enumerate().skip(from).take(WINDOW + 20 - from).collect();
    assert_eq!(part, expected);
    // Six words and two special tokens fit.
    let words = |i: usize| (i % 9).min(6) as u64 + 2;
    assert_eq!(encoded.tokens, (0..texts.len()).map(words).sum::<u64>());
    assert_eq!(encoded.cut, (0..texts.len()).filter(|i| i % 9 > 6).count() as u64);
    assert!(all.iter().flatten().all(|(_, w)| (1..=6).any(|x| *w == f64::from(x).ln_1p() as f32)));
    // The heaviest terms, of equals the first.
    let (few, _) = run(64, 8192, Some(9));
    for (few, all) in few.iter().zip(&all) {
        let mut sorted = all.clone();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        sorted.truncate(9);
        sorted.sort_unstable_by_key(|(term, _)| *term);
        assert_eq!((few, few.len()), (&sorted, 9));
    }
}

#[test]
fn it_stops_when_asked_and_passes_failures_on() {
    struct Stop;
    impl Progress for Stop {
        fn progress(&self, _: u64, _: u64, _: &str, _: &str) {}
        fn note(&self, _: &str) {}
        fn cancelled(&self) -> bool {
            true
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let texts = store(dir.path(), &(0..5).map(text).collect::<Vec<_>>());
    let encoding = Encoding { input: 8, terms: None, batching: Batching::default() };
    let mut toy = Toy { calls: Vec::new() };
    let mut run = |progress: &dyn Progress| {
        let full = |_: usize, _: &Terms| Err(Failure::missing("full"));
        encode(&mut toy, &tokenizer(), (&texts, 0..texts.len()), &encoding, progress, &mut { full })
            .unwrap_err()
    };
    assert_eq!(run(&Stop).kind, FailureKind::Interrupted);
    assert_eq!(run(&Silent).message, "full");
}

#[derive(serde::Deserialize)]
struct Figures {
    limit: usize,
    texts: Vec<Text>,
}

#[derive(serde::Deserialize)]
struct Text {
    text: String,
    terms: usize,
    total: f64,
    heaviest: Vec<(u32, f32)>,
}

#[test]
fn weights_of_a_real_model_are_those_of_sentence_transformers() {
    let Some(folder) = xpipe_testing::model("bert-tiny") else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/sparse/splade.json");
    let figures: Figures = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let texts = store(dir.path(), &figures.texts.iter().map(|t| t.text.clone()).collect::<Vec<_>>());
    let (mut model, tokenizer) = load::masked_lm(&folder, &Options::default()).unwrap();
    let encoding = Encoding { input: figures.limit, terms: None, batching: Batching::default() };
    encode(&mut *model, &tokenizer, (&texts, 0..texts.len()), &encoding, &Silent, &mut |i, terms: &Terms| {
        let expected = &figures.texts[i];
        // A weight of about zero may be above it or not.
        assert!(terms.len().abs_diff(expected.terms) <= 1, "{i}: {} {}", terms.len(), expected.terms);
        let total = terms.iter().map(|(_, w)| f64::from(*w)).sum::<f64>();
        assert!((total - expected.total).abs() < 1e-3, "{i}: {total} {}", expected.total);
        for (term, weight) in &expected.heaviest {
            let found = terms.iter().find(|(t, _)| t == term).map_or(0.0, |(_, w)| *w);
            assert!((found - weight).abs() < 1e-4, "{i}: term {term}: {found} {weight}");
        }
        Ok(())
    })
    .unwrap();
}
