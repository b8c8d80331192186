//! The model of examples/quickstart: it loads, and is the model that it was cut from where it kept the pieces.

use std::path::Path;

use xpipe_nn::load::{Options, cross_encoder};
use xpipe_nn::tokenizer::{Limits, TokenCache};

const PAIRS: [(&str, &str); 4] = [
    ("Returns the number of elements in the map.", "pub fn len(&self) -> usize. This is constant time."),
    ("what is a cell", "a cell is the smallest unit of life"),
    ("Writes the bytes to the file, and flushes it.", "pub fn read_to_end(&mut self, buf: &mut Vec<u8>)"),
    (
        "What are the symptoms of leukemia ?",
        "Leukemia may affect red blood cells, white blood cells, and platelets.",
    ),
];

#[test]
fn the_cut_model_scores_as_the_whole_one() {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart/model");
    let (mut model, tokenizer, facts) = cross_encoder(&ours, 1, &Options::default()).unwrap();
    assert_eq!((facts.architecture, facts.layers, facts.hidden, facts.drawn.len()), ("bert", 2, 128, 4));
    assert!(facts.ignored.is_empty(), "{:?}", facts.ignored);
    let limits = Limits { query: 32, document: 61, total: facts.position_limit };
    let batch = tokenizer.pack(&PAIRS, &limits, &TokenCache::default()).unwrap();
    let scores = model.score(&batch).unwrap();
    assert!(scores.iter().all(|s| s.is_finite()));

    let Some(whole) = xpipe_testing::model("bert-tiny") else { return };
    let (mut model, tokenizer, facts) = cross_encoder(&whole, 1, &Options::default()).unwrap();
    assert_eq!(facts.drawn.len(), 4);
    let of_whole = tokenizer.pack(&PAIRS, &limits, &TokenCache::default()).unwrap();
    assert_eq!(of_whole.starts, batch.starts, "the same number of pieces in each pair");
    let expected = model.score(&of_whole).unwrap();
    let spread = expected.iter().copied().fold(f32::NEG_INFINITY, f32::max)
        - expected.iter().copied().fold(f32::INFINITY, f32::min);
    for (score, whole) in scores.iter().zip(&expected) {
        assert!((score - whole).abs() < 0.01 * spread.max(0.01), "{scores:?} {expected:?}");
    }
}
