//! Bi-encoders against transformers' numbers, and the two engines against each other.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::cpu::{self, Level};
use crate::pooling::{NAMED, PoolingMode};
use crate::testing::{Expected, error, fixture, random_batch};

fn by(kinds: &[PoolingMode]) -> Pooling {
    Pooling { kinds: kinds.to_vec(), normalise: false }
}

/// Both engines of a checkpoint, the explicit one at every level.
fn engines(checkpoint: &Checkpoint, pooling: &Pooling) -> Vec<Box<dyn BiEncoder>> {
    let plain = ReferenceBiEncoder::new(checkpoint.clone(), pooling.clone(), 1, Device::Cpu).unwrap();
    let mut all: Vec<Box<dyn BiEncoder>> = vec![Box::new(plain)];
    for level in Level::all() {
        all.push(Box::new(cpu::CpuBiEncoder::new(checkpoint.clone(), pooling.clone(), 2, level).unwrap()));
    }
    all
}

#[derive(serde::Deserialize)]
struct Pooled {
    mean: Vec<Vec<f32>>,
    cls: Vec<Vec<f32>>,
}

#[test]
fn states_of_every_architecture_are_those_of_transformers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/dense/encoders.json");
    let figures: BTreeMap<String, Pooled> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(figures.len() >= 8, "{:?}", figures.keys());
    for (name, figures) in &figures {
        let batch = Expected::open(&fixture(name).join("expected.safetensors")).batch();
        let checkpoint = Checkpoint::load_encoder(&fixture(name)).unwrap();
        for (pooling, expected) in
            [(by(&[PoolingMode::Mean]), &figures.mean), (by(&[PoolingMode::First]), &figures.cls)]
        {
            for engine in &mut engines(&checkpoint, &pooling) {
                let apart = error(&engine.vectors(&batch).unwrap(), &expected.concat(), 0.0);
                assert!(apart < 1e-4, "{name} {pooling:?} {}: {apart:.1e}", engine.kernels());
            }
        }
    }
}

#[test]
fn a_vector_has_the_same_bits_in_every_batch() {
    for name in ["bert", "modernbert"] {
        let checkpoint = Checkpoint::load_encoder(&fixture(name)).unwrap();
        let words = checkpoint.model.vocabulary() as u64;
        let batch =
            random_batch(&[5, 1, 40, 33, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40, 17], words, 3);
        for kinds in [vec![PoolingMode::First], NAMED.map(|(_, kind)| kind).to_vec()] {
            for engine in &mut engines(&checkpoint, &Pooling { kinds: kinds.clone(), normalise: true }) {
                let (all, width) = (engine.vectors(&batch).unwrap(), engine.width());
                assert_eq!(width, kinds.len() * checkpoint.model.hidden());
                for (i, vector) in all.chunks_exact(width).enumerate() {
                    let alone = engine.vectors(&batch.slice(i..i + 1)).unwrap();
                    assert_eq!(vector, alone, "{name} {}: text {i}", engine.kernels());
                    let length = vector.iter().map(|x| x * x).sum::<f32>();
                    assert!((length - 1.0).abs() < 1e-5, "{length}");
                }
            }
        }
        // First tokens are the same bits whether the last layer makes the others or not.
        let both = by(&[PoolingMode::First, PoolingMode::Max]);
        let mut engines =
            engines(&checkpoint, &both).into_iter().zip(engines(&checkpoint, &by(&[PoolingMode::First])));
        for (mut both, mut first) in engines.by_ref().skip(1) {
            let width = first.width();
            let all = both.vectors(&batch).unwrap();
            let firsts: Vec<f32> = all.chunks_exact(2 * width).flat_map(|v| v[..width].to_vec()).collect();
            assert_eq!(firsts, first.vectors(&batch).unwrap());
        }
    }
}

#[test]
fn bfloat16_is_near_and_what_is_not_finite_is_an_error() {
    let mut checkpoint = Checkpoint::load_encoder(&fixture("bert")).unwrap();
    let (batch, pooling) = (random_batch(&[5, 9], 40, 3), by(&[PoolingMode::Mean]));
    let of = |level: Level| cpu::CpuBiEncoder::new(checkpoint.clone(), pooling.clone(), 1, level).unwrap();
    let exact = of(Level::detect()).vectors(&batch).unwrap();
    let near = of(Level::detect().rounding(true)).vectors(&batch).unwrap();
    assert!(near != exact && error(&near, &exact, 0.0) < 0.05);
    let norm = checkpoint.parameters.iter().find(|p| p.name == "bert.embeddings.LayerNorm.bias").unwrap();
    checkpoint.weights[norm.offset] = f32::NAN;
    for engine in &mut engines(&checkpoint, &pooling) {
        assert!(engine.vectors(&batch).unwrap_err().message.contains("NaN"), "{}", engine.kernels());
    }
}

#[test]
fn heads_are_no_obstacle_and_missing_layers_are() {
    // A re-ranker's head, and a masked language model's, are of no use to a bi-encoder.
    let bert = Checkpoint::load_encoder(&fixture("bert")).unwrap();
    assert!(bert.ignored.iter().any(|n| n == "classifier.weight"), "{:?}", bert.ignored);
    let masked = Checkpoint::load_encoder(&fixture("bert-masked")).unwrap();
    assert!(masked.ignored.iter().any(|n| n.starts_with("cls.predictions")), "{:?}", masked.ignored);
    let (wrong, weights) = (tempfile::tempdir().unwrap(), fixture("distilbert").join("model.safetensors"));
    std::fs::copy(fixture("bert").join("config.json"), wrong.path().join("config.json")).unwrap();
    std::fs::copy(weights, wrong.path().join("model.safetensors")).unwrap();
    assert!(Checkpoint::load_encoder(wrong.path()).unwrap_err().message.contains("missing"));
}
