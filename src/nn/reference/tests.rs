//! The reference engine against reference numbers, an independent forward, and its own derivative.

use candle_core::DType;

use super::*;
use crate::testing::{self, Expected, Fixture};

/// Fixtures of the architectures that have an implementation.
const FIXTURES: &[&str] =
    &["bert", "minilm", "distilbert", "roberta", "electra", "deberta-v3", "modernbert", "ettin"];

fn open(folder: &Path) -> Reference {
    Reference::new(Checkpoint::load(folder, 1).unwrap(), 2, Device::Cpu).unwrap()
}

fn engine(name: &str) -> Reference {
    Reference::new(testing::checkpoint(name), 2, Device::Cpu).unwrap()
}

#[test]
fn every_fixture_is_met() {
    for name in FIXTURES.iter().chain(&testing::MADE) {
        let mut engine = engine(name);
        let batch = Fixture::open(name).batch;
        let hidden = testing::check_hidden(name, &engine.hidden(&batch).unwrap());
        let errors = testing::check_fixture(name, &mut engine);
        println!("{name}: hidden {hidden:.1e}, {errors:?}");
    }
}

#[test]
fn a_score_does_not_depend_on_its_batch() {
    for name in FIXTURES {
        testing::check_batch_independence(&mut engine(name), 128, 64);
    }
}

#[test]
fn threads_change_no_bit() {
    let checkpoint = Checkpoint::load(&testing::fixture("minilm"), 1).unwrap();
    let batch = testing::random_batch(&[64; 30], 128, 3);
    assert!(batch.blocks().len() > 3);
    let run = |threads: usize| {
        let mut e = Reference::new(checkpoint.clone(), threads, Device::Cpu).unwrap();
        let dropout = Some(Stream::new(1, &["dropout"]));
        let logits = e.forward(&batch, dropout).unwrap();
        e.backward(&[0.1; 30]).unwrap();
        let all = logits.iter().chain(e.gradients.iter()).map(|x| x.to_bits()).collect::<Vec<_>>();
        (all, e.score(&batch).unwrap())
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

#[test]
fn blocks_made_again_change_no_bit() {
    for name in FIXTURES {
        let checkpoint = testing::checkpoint(name);
        let batch = testing::random_batch(&[60; 20], 128, 3);
        assert!(batch.blocks().len() > 1);
        let run = |recompute: bool| {
            let engine = Reference::new(checkpoint.clone(), 2, Device::Cpu).unwrap();
            let mut e = engine.recomputing(recompute);
            let logits = e.forward(&batch, Some(Stream::new(1, &["dropout"]))).unwrap();
            e.backward(&[0.1; 20]).unwrap();
            assert!(e.backward(&[0.1; 20]).is_err(), "backward without a forward");
            logits.iter().chain(e.gradients.iter()).map(|x| x.to_bits()).collect::<Vec<_>>()
        };
        assert!(run(false) == run(true), "{name}");
    }
}

#[test]
fn a_split_between_blocks_changes_no_bit() {
    testing::check_splits(&mut engine("bert"), 128, 64);
}

#[test]
fn dropout_is_real_and_repeats() {
    let mut e = engine("bert");
    let batch = Fixture::open("bert").batch;
    let stream = |i| Some(Stream::new(4, &["dropout"]).sub(i));
    let a = e.forward(&batch, stream(0)).unwrap();
    assert_eq!(a, e.forward(&batch, stream(0)).unwrap());
    assert_ne!(a, e.forward(&batch, stream(1)).unwrap());
    assert_ne!(a, e.forward(&batch, None).unwrap());
    // The fixture's logits vary little, so the mean over many streams must come near those without dropout.
    let exact = e.score(&batch).unwrap();
    let n = 300;
    let mut mean = vec![0.0; exact.len()];
    let mut square = vec![0.0; exact.len()];
    for i in 0..n {
        for (k, x) in e.forward(&batch, stream(i)).unwrap().iter().enumerate() {
            mean[k] += f64::from(*x) / n as f64;
            square[k] += f64::from(*x).powi(2) / n as f64;
        }
    }
    for k in 0..exact.len() {
        let deviation = (square[k] - mean[k].powi(2)).sqrt();
        assert!(deviation > 1e-3, "dropout does nothing");
        assert!((mean[k] - f64::from(exact[k])).abs() < deviation, "{} {} {deviation}", mean[k], exact[k]);
    }
}

/// The sum of slope · logit in f64, for weights given in f64: the same layers, another number type.
fn exact(e: &Reference, weights: &[f64], batch: &Packed, slope: &[f32], dropout: Option<Stream>) -> f64 {
    let mut tensors = BTreeMap::new();
    for p in &e.parameters {
        let numbers = weights[p.offset..p.offset + p.len()].to_vec();
        tensors.insert(p.name.clone(), Tensor::from_vec(numbers, p.shape.as_slice(), &Device::Cpu).unwrap());
    }
    let embedded = e
        .model
        .lookups(batch)
        .iter()
        .map(|l| {
            let rows = Tensor::from_slice(&l.rows, l.rows.len(), &Device::Cpu).unwrap();
            tensors[l.parameter].index_select(&rows, 0).unwrap()
        })
        .reduce(|a, b| (a + b).unwrap())
        .unwrap();
    let graph = ForwardGraph { tensors: &tensors, batch, dropout, bf16: false, kept: None };
    let logits = e.model.logits(&graph, embedded).unwrap();
    assert_eq!(logits.dtype(), DType::F64);
    logits.to_vec1::<f64>().unwrap().iter().zip(slope).map(|(x, s)| x * f64::from(*s)).sum()
}

#[test]
fn gradients_are_the_derivative() {
    // Central differences in f64 with step 1e-5 are exact to about 1e-9; what is left is f32 in the gradient.
    for name in FIXTURES.iter().chain(&testing::MADE) {
        for dropout in [None, Some(Stream::new(2, &["dropout"]))] {
            let mut e = engine(name);
            let batch = Fixture::open(name).batch;
            let slope = [0.7, -1.0, 0.4];
            e.forward(&batch, dropout).unwrap();
            e.backward(&slope).unwrap();
            let weights: Vec<f64> = e.weights.iter().map(|w| f64::from(*w)).collect();
            let largest = e.gradients.iter().fold(0.0f64, |m, g| m.max(f64::from(g.abs())));
            let draw = Stream::new(3, &["elements"]);
            for (t, p) in e.parameters.iter().enumerate() {
                let own = &e.gradients[p.offset..p.offset + p.len()];
                let scale = own.iter().fold(1e-3 * largest, |m, g| m.max(f64::from(g.abs())));
                // The largest element and a random one of each tensor.
                let top = (0..p.len()).max_by(|a, b| own[*a].abs().total_cmp(&own[*b].abs())).unwrap();
                for i in [top, draw.below(t as u64, p.len() as u64) as usize] {
                    let at = |delta: f64| {
                        let mut w = weights.clone();
                        w[p.offset + i] += delta;
                        exact(&e, &w, &batch, &slope, dropout)
                    };
                    let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
                    let error = (slope - f64::from(own[i])).abs() / scale;
                    assert!(
                        error < testing::BACKWARD_TOLERANCE,
                        "{name}: {}[{i}]: {} against {slope}",
                        p.name,
                        own[i]
                    );
                }
            }
        }
    }
}

#[test]
fn a_step_is_that_of_the_optimiser_and_the_engine_goes_on_with_its_weights() {
    testing::check_step(&mut engine("bert"), &mut engine("bert"), &Fixture::open("bert").batch);
}

#[test]
fn a_saved_model_is_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let mut e = engine("minilm");
    testing::change_weights(&mut e, |w| w[7] += 0.25);
    e.save(folder.path()).unwrap();
    let mut again = open(folder.path());
    let batch = testing::random_batch(&[5, 60, 31], 128, 2);
    assert_eq!(e.score(&batch).unwrap(), again.score(&batch).unwrap());
    testing::check_same(&mut again, &mut e, &batch, Some(Stream::new(8, &["dropout"])));
}

#[test]
fn gradients_add_up_until_they_are_cleared() {
    let mut e = engine("bert");
    let batch = Fixture::open("bert").batch;
    assert!(e.backward(&[0.0; 3]).is_err(), "backward without a forward");
    e.forward(&batch, None).unwrap();
    e.clear_gradients().unwrap();
    e.backward(&[1.0, 0.5, -2.0]).unwrap();
    let once = e.gradients.clone();
    e.forward(&batch, None).unwrap();
    e.backward(&[1.0, 0.5, -2.0]).unwrap();
    assert!(
        e.gradients.iter().zip(&once).all(|(two, one)| (two - 2.0 * one).abs() <= 1e-5 * one.abs().max(1e-3))
    );
    e.forward(&batch, None).unwrap();
    assert!(e.backward(&[1.0]).is_err(), "another number of logits");
}

#[test]
fn batches_that_do_not_fit_are_refused() {
    let mut e = engine("bert");
    let mut refuse = |ids: &[u32], types: &[u32], what: &str| {
        let mut batch = Packed::new();
        batch.push(&[1, 2], &[0, 0]);
        batch.push(ids, types);
        let failure = e.score(&batch).unwrap_err();
        assert!(failure.message.contains(what) && failure.message.contains("pair 1"), "{failure}");
    };
    refuse(&[128], &[0], "token id 128");
    refuse(&[1], &[2], "token type 2");
    refuse(&[1; 65], &[0; 65], "65 tokens");
    refuse(&[], &[], "0 tokens");
    assert!(e.score(&Packed::new()).unwrap().is_empty());
}

#[test]
fn an_independent_forward_agrees() {
    use candle_nn::VarBuilder;
    use candle_transformers::models::bert::{BertModel, Config};
    let folder = testing::fixture("minilm");
    let config: Config = serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    let vb = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu).unwrap();
    let model = BertModel::load(vb.pp("bert"), &config).unwrap();
    let batch = testing::random_batch(&[7, 64, 1, 30], 128, 11);
    let ours = engine("minilm").hidden(&batch).unwrap();
    let mut theirs = Vec::new();
    for i in 0..batch.len() {
        let n = batch.pair(i).len();
        let row = |x: &[u32]| Tensor::from_slice(x, (1, n), &Device::Cpu).unwrap();
        let (ids, types) = (row(&batch.ids[batch.pair(i)]), row(&batch.types[batch.pair(i)]));
        theirs.extend(numbers(&model.forward(&ids, &types, None).unwrap()).unwrap());
    }
    let error = testing::error(ours.last().unwrap(), &theirs, 0.0);
    assert!(error < 1e-4, "{error:.1e}");
}

#[test]
fn real_models_have_the_expected_hidden_states() {
    for (model, expected) in [("minilm-l6", "all-minilm-l6-v2"), ("bert-tiny", "bert-tiny-splade")] {
        let Some(folder) = testing::real(model) else { continue };
        let file = testing::fixture("real").join(format!("{expected}.expected.safetensors"));
        let expected = Expected::open(&file);
        let batch = expected.batch();
        let mut engine = open(&folder);
        let hidden = engine.hidden(&batch).unwrap();
        let width = engine.model().hidden();
        let (first, last) = (&hidden[0], &hidden[engine.model().layers()]);
        let cls: Vec<f32> = batch.starts[..batch.len()]
            .iter()
            .flat_map(|s| last[s * width..(s + 1) * width].to_vec())
            .collect();
        let rows =
            |x: &[f32], pair: usize| x[batch.starts[pair] * width..batch.starts[pair + 1] * width].to_vec();
        let cut = |name: &str, pair: usize| expected.floats(name)[..batch.pair(pair).len() * width].to_vec();
        for (what, ours, theirs) in [
            ("cls_last_hidden", cls, expected.floats("cls_last_hidden")),
            ("embedding_output_row0", rows(first, 0), cut("embedding_output_row0", 0)),
            ("last_hidden_row3", rows(last, 3), cut("last_hidden_row3", 3)),
        ] {
            let error = testing::error(&ours, &theirs, 0.0);
            println!("{model} {what}: {error:.1e}");
            assert!(error < testing::FORWARD_TOLERANCE, "{model} {what}: {error:.1e}");
        }
    }
}
