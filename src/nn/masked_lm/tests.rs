//! Masked language models against transformers' numbers, and the two engines against each other.

use super::*;
use crate::arch;
use crate::config::Fields;
use crate::cpu::{self, Level};
use crate::testing::{Expected, error, fixture, random_batch};
use xpipe_base::value::rng::Stream;

const FIXTURES: [&str; 2] = ["bert-masked", "distilbert-masked"];

/// Both engines of a checkpoint, the explicit one at every level.
fn engines(checkpoint: &Checkpoint) -> Vec<Box<dyn MaskedLm>> {
    let explicit = |level| cpu::CpuMaskedLm::new(checkpoint.clone(), 2, level).unwrap();
    vec![
        Box::new(ReferenceMaskedLm::new(checkpoint.clone(), 1, Device::Cpu).unwrap()),
        Box::new(explicit(Level::PORTABLE)),
        Box::new(explicit(Level::detect())),
    ]
}

#[test]
fn logits_and_weights_of_words_are_those_of_transformers() {
    for name in FIXTURES {
        let expected = Expected::open(&fixture(name).join("expected.safetensors"));
        let batch = expected.batch();
        for engine in &mut engines(&Checkpoint::load_masked_lm(&fixture(name)).unwrap()) {
            let logits = error(&engine.logits(&batch).unwrap(), &expected.packed("logits"), 0.0);
            let peaks = engine.peaks(&batch).unwrap();
            let weights: Vec<f32> = peaks.iter().map(|x| x.max(0.0).ln_1p()).collect();
            let weights = error(&weights, &expected.floats("weights"), 0.0);
            println!("{name} {}: logits {logits:.1e}, weights {weights:.1e}", engine.kernels());
            assert!(logits < 1e-4 && weights < 1e-4);
        }
    }
}

/// A masked language model of many words with random weights.
fn random(vocabulary: usize) -> Checkpoint {
    let config = format!(
        r#"{{"model_type": "bert", "vocab_size": {vocabulary}, "hidden_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 3, "intermediate_size": 40, "max_position_embeddings": 70}}"#
    );
    let model = arch::from_fields(&Fields::parse("config.json", config.as_bytes()).unwrap()).unwrap();
    let mut declared = model.declared();
    model.masked_lm().unwrap().declare(24, vocabulary, &mut declared);
    let parameters = arch::layout(&declared);
    let total = parameters.iter().map(crate::Parameter::len).sum::<usize>() as u64;
    let s = Stream::new(3, &["random masked model"]);
    let weights = (0..total).map(|i| 0.3 * s.normal(i) as f32).collect();
    Checkpoint { model, parameters, weights, ignored: Vec::new(), drawn: Vec::new() }
}

#[test]
fn peaks_are_the_largest_logits_and_the_same_bits_in_every_batch() {
    // More words than a block, and not a multiple of anything.
    let checkpoint = random(709);
    let batch = random_batch(&[5, 1, 70, 33, 64, 64, 64, 64, 64, 64, 64, 64, 17], 709, 3);
    let all: Vec<Vec<f32>> = engines(&checkpoint)
        .iter_mut()
        .map(|engine| {
            let (peaks, logits) = (engine.peaks(&batch).unwrap(), engine.logits(&batch).unwrap());
            assert_eq!(peaks.len(), batch.len() * 709);
            for (text, peaks) in peaks.chunks_exact(709).enumerate() {
                let mut largest = vec![f32::NEG_INFINITY; 709];
                for row in logits.chunks_exact(709).take(batch.starts[text + 1]).skip(batch.starts[text]) {
                    largest.iter_mut().zip(row).for_each(|(l, x)| *l = l.max(*x));
                }
                assert_eq!(peaks, largest, "text {text}");
                assert_eq!(engine.peaks(&batch.slice(text..text + 1)).unwrap(), peaks, "text {text} alone");
            }
            peaks
        })
        .collect();
    assert!(error(&all[1], &all[0], 0.0) < 1e-4 && error(&all[2], &all[0], 0.0) < 1e-4);
    let mut rounding = cpu::CpuMaskedLm::new(checkpoint, 1, Level::detect().rounding(true)).unwrap();
    let near = rounding.peaks(&batch).unwrap();
    assert!(near != all[2] && error(&near, &all[2], 0.0) < 0.05);
}

#[test]
fn what_is_not_finite_is_an_error() {
    let mut checkpoint = random(40);
    let bias =
        checkpoint.parameters.iter().find(|p| p.name == "cls.predictions.transform.dense.bias").unwrap();
    checkpoint.weights[bias.offset] = f32::NAN;
    let batch = random_batch(&[5, 9], 40, 3);
    for engine in &mut engines(&checkpoint) {
        assert!(engine.peaks(&batch).unwrap_err().message.contains("NaN"), "{}", engine.kernels());
    }
}

/// Copies a fixture with its tensors changed.
fn changed(name: &str, change: impl Fn(&mut Vec<(String, Vec<usize>, Vec<u8>)>)) -> tempfile::TempDir {
    use safetensors::{Dtype, SafeTensors, tensor::TensorView};
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(fixture(name).join("config.json"), dir.path().join("config.json")).unwrap();
    let bytes = std::fs::read(fixture(name).join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut all: Vec<_> =
        tensors.iter().map(|(n, t)| (n.to_owned(), t.shape().to_vec(), t.data().to_vec())).collect();
    change(&mut all);
    let views = all.iter().map(|(n, shape, b)| (n, TensorView::new(Dtype::F32, shape.clone(), b).unwrap()));
    safetensors::serialize_to_file(views, None, &dir.path().join("model.safetensors")).unwrap();
    dir
}

#[test]
fn tied_tables_second_names_and_other_heads() {
    let exact = Checkpoint::load_masked_lm(&fixture("bert-masked")).unwrap();
    let copy = |all: &mut Vec<(String, Vec<usize>, Vec<u8>)>, from: &str, to: &str| {
        let (_, shape, bytes) = all.iter().find(|t| t.0 == from).unwrap().clone();
        all.push((to.into(), shape, bytes));
    };
    let twice = changed("bert-masked", |all| {
        copy(all, "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight");
        copy(all, "cls.predictions.bias", "cls.predictions.decoder.bias");
        // A classifier of other labels is of no use here, and no obstacle.
        all.push(("classifier.weight".into(), vec![3, 16], vec![0; 192]));
        for t in all.iter_mut() {
            t.0 =
                t.0.replace("LayerNorm.weight", "LayerNorm.gamma")
                    .replace("LayerNorm.bias", "LayerNorm.beta");
        }
    });
    let c = Checkpoint::load_masked_lm(twice.path()).unwrap();
    assert_eq!((c.weights == exact.weights, c.ignored), (true, vec!["classifier.weight".to_owned()]));
    let only_decoder = changed("bert-masked", |all| {
        let words = all.iter_mut().find(|t| t.0 == "bert.embeddings.word_embeddings.weight").unwrap();
        words.0 = "cls.predictions.decoder.weight".into();
    });
    assert!(Checkpoint::load_masked_lm(only_decoder.path()).unwrap().weights == exact.weights);
    let untied = changed("bert-masked", |all| {
        all.push(("cls.predictions.decoder.weight".into(), vec![64, 16], vec![0; 64 * 16 * 4]));
    });
    let e = Checkpoint::load_masked_lm(untied.path()).unwrap_err();
    assert!(e.message.contains("the same parameter, and they differ"), "{e}");
    assert!(e.help.unwrap().contains("tie_word_embeddings"));
    let gone = changed("distilbert-masked", |all| all.retain(|t| t.0 != "vocab_projector.weight"));
    assert!(
        Checkpoint::load_masked_lm(gone.path()).unwrap_err().message.contains("`vocab_projector.weight`")
    );
    let e = Checkpoint::load_masked_lm(&fixture("bert")).unwrap_err();
    assert!(e.message.contains("missing `cls.predictions.transform.dense.weight`"), "{e}");
    for name in ["bert", "distilbert", "roberta", "electra", "deberta-v3", "modernbert"] {
        let model = arch::read(&fixture(name)).unwrap();
        assert_eq!(model.masked_lm().is_some(), arch::has_masked_lm(model.name()), "{name}");
    }
    assert!(Checkpoint::load_masked_lm(&fixture("roberta")).unwrap_err().message.contains("`roberta`"));
}
