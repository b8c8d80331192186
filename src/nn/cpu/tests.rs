//! The engine as a whole.

use candle_core::Device;

use super::*;
use crate::arch;
use crate::config::Fields;
use crate::reference::Reference;
use crate::testing::{
    Fixture, MADE, change_weights, check_batch_independence, check_fixture, check_hidden, check_same,
    check_splits, check_step, checkpoint, random_batch, real,
};
use crate::weights::Checkpoint;
use crate::{Packed, Reranker};
use xpipe_base::value::rng::Stream;

fn load(name: &str, threads: usize) -> CpuReranker {
    CpuReranker::new(checkpoint(name), threads).unwrap()
}

/// A model of any shape with random weights (norms near one).
pub(super) fn random(config: &str) -> Checkpoint {
    let model = arch::from_fields(&Fields::parse("config.json", config.as_bytes()).unwrap()).unwrap();
    let parameters = arch::layout(&model.declared());
    let s = Stream::new(4, &["random model"]);
    let mut weights = Vec::new();
    for p in &parameters {
        let gamma = p.shape.len() == 1 && p.name.ends_with(".weight");
        let spread = if p.decays { 0.2 } else { 0.1 };
        let each = (p.offset..p.offset + p.len()).map(|i| spread * s.normal(i as u64) as f32);
        weights.extend(each.map(|x| if gamma { 1.0 + x } else { x }));
    }
    Checkpoint { model, parameters, weights, ignored: Vec::new(), drawn: Vec::new() }
}

const ODD: &str = r#"{"model_type": "bert", "vocab_size": 50, "hidden_size": 72, "num_hidden_layers": 2,
    "num_attention_heads": 6, "intermediate_size": 104, "max_position_embeddings": 130,
    "hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.15, "classifier_dropout": 0.3}"#;

/// Every architecture in a small odd shape: the engine's widths are multiples of eight and of no more.
pub(super) fn shapes() -> Vec<String> {
    let bert = r#""vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3,
        "intermediate_size": 40, "max_position_embeddings": 133, "hidden_dropout_prob": 0.2,
        "attention_probs_dropout_prob": 0.15, "classifier_dropout": 0.3"#;
    let deberta =
        r#""relative_attention": true, "pos_att_type": "p2c|c2p", "cls_dropout": 0.1, "pooler_dropout": 0.2"#;
    let deberta = format!("{}, {deberta}", bert.replace(r#", "classifier_dropout": 0.3"#, ""));
    let modern = r#""vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 3,
        "intermediate_size": 40, "max_position_embeddings": 130, "local_attention": 12, "embedding_dropout": 0.1,
        "attention_dropout": 0.2, "mlp_dropout": 0.15, "classifier_dropout": 0.1"#;
    let biases = r#""norm_bias": true, "mlp_bias": true, "attention_bias": true, "classifier_bias": true"#;
    [
        format!(r#""model_type": "bert", {bert}"#),
        r#""model_type": "distilbert", "vocab_size": 50, "dim": 24, "n_layers": 2, "n_heads": 3, "hidden_dim": 40,
            "max_position_embeddings": 130, "dropout": 0.2, "attention_dropout": 0.1"#
            .into(),
        format!(r#""model_type": "roberta", "type_vocab_size": 1, {bert}"#),
        format!(r#""model_type": "xlm-roberta", "type_vocab_size": 2, {bert}"#),
        format!(r#""model_type": "electra", "embedding_size": 16, {bert}"#),
        format!(r#""model_type": "electra", "embedding_size": 40, {bert}"#),
        format!(
            r#""model_type": "deberta-v2", "share_att_key": true, "norm_rel_ebd": "layer_norm", "position_buckets": 16,
            "position_biased_input": false, {deberta}"#
        ),
        format!(r#""model_type": "deberta-v2", "max_relative_positions": 40, "type_vocab_size": 2, {deberta}"#),
        format!(r#""model_type": "modernbert", "classifier_pooling": "mean", {modern}"#),
        format!(r#""model_type": "modernbert", "classifier_pooling": "cls", {biases}, {modern}"#),
    ]
    .map(|fields| format!("{{{fields}}}"))
    .to_vec()
}

/// What is in the committed fixtures.
const FIXTURES: [&str; 8] =
    ["bert", "minilm", "distilbert", "roberta", "electra", "deberta-v3", "modernbert", "ettin"];

const LENGTHS: [usize; 7] = [9, 1, 130, 33, 16, 97, 60];

#[test]
fn fixtures_hold_at_every_level() {
    // A convolution is the reference's.
    for name in FIXTURES.into_iter().chain(MADE).filter(|n| *n != "deberta-v2-conv") {
        for level in [Level::PORTABLE, Level::detect()] {
            let mut engine = load(name, 2).at_level(level);
            let hidden = engine.hidden_states(&Fixture::open(name).batch).unwrap();
            let states = check_hidden(name, &hidden);
            let errors = check_fixture(name, &mut engine);
            println!("{name} {}: hidden {states:.1e} {errors:?}", level.name());
        }
    }
}

#[test]
fn every_architecture_agrees_with_the_reference_with_and_without_dropout() {
    for config in shapes() {
        println!("{config}");
        let mut reference = Reference::new(random(&config), 1, Device::Cpu).unwrap();
        let mut engine = CpuReranker::new(random(&config), 2).unwrap();
        let batch = random_batch(&LENGTHS, 50, 1);
        check_same(&mut engine, &mut reference, &batch, None);
        check_same(&mut engine, &mut reference, &batch, Some(Stream::new(3, &["dropout"])));
    }
}

#[test]
fn no_architecture_lets_batches_threads_or_splits_change_a_bit() {
    for config in shapes() {
        println!("{config}");
        let mut engine = CpuReranker::new(random(&config), 2).unwrap();
        check_batch_independence(&mut engine, 50, 64);
        check_splits(&mut engine, 50, 64);
        let lengths: Vec<usize> = (0..12).map(|i| 1 + i * 53 % 130).collect();
        let batch = random_batch(&lengths, 50, 2);
        let run = |threads: usize| {
            let mut e = CpuReranker::new(random(&config), threads).unwrap();
            let mut bits = e.forward(&batch, Some(Stream::new(1, &["d"]))).unwrap();
            e.backward(&[0.25; 12]).unwrap();
            bits.extend(e.gradients().unwrap().iter());
            bits.extend(e.score(&batch).unwrap());
            bits.iter().map(|b| b.to_bits()).collect::<Vec<_>>()
        };
        let one = run(1);
        assert!(one == run(3));
    }
}

#[test]
fn recomputation_changes_no_bit() {
    for config in shapes() {
        println!("{config}");
        let batch = random_batch(&LENGTHS, 50, 1);
        let slope: Vec<f32> = (0..batch.len()).map(|i| 1.0 - 0.3 * i as f32).collect();
        let run = |recompute: bool| {
            let mut e = CpuReranker::new(random(&config), 2).unwrap().recomputing(recompute);
            let mut bits = Vec::new();
            for step in 0..2 {
                bits.extend(e.forward(&batch, Some(Stream::new(1, &["d"]).sub(step))).unwrap());
                e.backward(&slope).unwrap();
            }
            // A larger batch than the ones before.
            let batch = random_batch(&[130; 9], 50, 5);
            bits.extend(e.forward(&batch, None).unwrap());
            e.backward(&[0.5; 9]).unwrap();
            bits.extend(e.gradients().unwrap().iter());
            bits.iter().map(|b| b.to_bits()).collect::<Vec<_>>()
        };
        assert!(run(false) == run(true));
    }
}

#[test]
fn bfloat16_products_stay_near_and_keep_every_promise() {
    for config in shapes() {
        println!("{config}");
        let mut exact = CpuReranker::new(random(&config), 2).unwrap();
        let level = Level::detect().rounding(true);
        let rounding = |threads| CpuReranker::new(random(&config), threads).unwrap().at_level(level);
        let mut engine = rounding(2);
        check_batch_independence(&mut engine, 50, 64);
        check_splits(&mut engine, 50, 64);
        let batch = random_batch(&LENGTHS, 50, 1);
        let slope: Vec<f32> = (0..batch.len()).map(|i| 1.0 - 0.3 * i as f32).collect();
        let stream = Some(Stream::new(3, &["dropout"]));
        let pass = |e: &mut dyn Reranker| {
            let logits = e.forward(&batch, stream).unwrap();
            e.backward(&slope).unwrap();
            let sums = e.gradients().unwrap().to_vec();
            e.clear_gradients().unwrap();
            (logits, sums)
        };
        let (mut three, mut recomputing) = (rounding(3), rounding(1).recomputing(true));
        let (logits, gradients) = pass(&mut exact);
        let (near, rounded) = pass(&mut rounding(2));
        assert!((&near, &rounded) == (&pass(&mut three).0, &pass(&mut rounding(1)).1));
        assert!((&near, &rounded) == (&pass(&mut recomputing).0, &pass(&mut rounding(2)).1));
        assert_ne!(near, logits);
        let apart = |a: &[f32], b: &[f32]| {
            let square = |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x * x)).sum::<f64>();
            (square(&mut a.iter().zip(b).map(|(a, b)| a - b)) / square(&mut b.iter().copied())).sqrt()
        };
        let (scores, slopes) = (apart(&near, &logits), apart(&rounded, &gradients));
        println!("scores {scores:.1e}, gradients {slopes:.1e} apart");
        assert!(scores < 0.03 && slopes < 0.06);
        // The reference rounds the same operands in forward; its derivative takes slopes as they are.
        let plain = Reference::new(random(&config), 1, Device::Cpu).unwrap();
        let (logits, gradients) = pass(&mut plain.rounding(true));
        let (scores, slopes) = (apart(&near, &logits), apart(&rounded, &gradients));
        println!("from the reference: scores {scores:.1e}, gradients {slopes:.1e} apart");
        assert!(scores < 0.01 && slopes < 0.02);
    }
}

#[test]
fn the_reference_engine_agrees_with_and_without_dropout() {
    for activation in ["gelu", "gelu_new", "relu", "tanh"] {
        let config = ODD.replace("\"vocab", &format!("\"hidden_act\": \"{activation}\", \"vocab"));
        let mut reference = Reference::new(random(&config), 1, Device::Cpu).unwrap();
        let mut engine = CpuReranker::new(random(&config), 2).unwrap();
        let batch = random_batch(&LENGTHS, 50, 1);
        check_same(&mut engine, &mut reference, &batch, None);
        check_same(&mut engine, &mut reference, &batch, Some(Stream::new(3, &["dropout"])));
    }
}

#[test]
fn a_score_does_not_depend_on_the_batch() {
    for level in [Level::PORTABLE, Level::detect()] {
        let mut engine = CpuReranker::new(random(ODD), 2).unwrap().at_level(level);
        check_batch_independence(&mut engine, 50, 130);
        let mut engine = CpuReranker::new(random(ODD), 1).unwrap().at_level(level);
        let lengths: Vec<usize> = (0..12).map(|i| 1 + i * 37 % 130).collect();
        let batch = random_batch(&lengths, 50, 2);
        let together = engine.score(&batch).unwrap();
        for (i, score) in together.iter().enumerate() {
            assert_eq!(engine.score(&batch.slice(i..i + 1)).unwrap()[0].to_bits(), score.to_bits());
        }
    }
}

#[test]
fn threads_change_no_bit_and_a_score_is_the_forward_without_dropout() {
    for (level, pairs) in [(Level::PORTABLE, 8), (Level::detect(), 40)] {
        let lengths: Vec<usize> = (0..pairs).map(|i| 1 + i * 53 % 130).collect();
        let batch = random_batch(&lengths, 50, 2);
        let slope: Vec<f32> = (0..pairs).map(|i| 0.5 - i as f32 / pairs as f32).collect();
        let run = |threads: usize| {
            let mut e = CpuReranker::new(random(ODD), threads).unwrap().at_level(level);
            let scores = e.score(&batch).unwrap();
            assert_eq!(e.forward(&batch, None).unwrap(), scores);
            let mut bits = scores;
            for step in 0..2 {
                bits.extend(e.forward(&batch, Some(Stream::new(1, &["d"]).sub(step))).unwrap());
                e.backward(&slope).unwrap();
                let g = e.gradients().unwrap().to_vec();
                change_weights(&mut e, |w| w.iter_mut().zip(g).for_each(|(w, g)| *w -= 0.01 * g));
            }
            bits.extend(e.score(&batch).unwrap());
            bits.extend(e.gradients().unwrap().iter());
            bits.iter().map(|b| b.to_bits()).collect::<Vec<_>>()
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3));
    }
}

#[test]
fn a_split_between_blocks_changes_no_bit() {
    for level in [Level::PORTABLE, Level::detect()] {
        let mut engine = CpuReranker::new(random(ODD), 2).unwrap().at_level(level);
        check_splits(&mut engine, 50, 130);
    }
}

#[test]
fn gradients_with_dropout_are_the_slopes_of_the_same_dropout() {
    let mut engine = CpuReranker::new(random(ODD), 2).unwrap();
    let batch = random_batch(&LENGTHS, 50, 3);
    let stream = Some(Stream::new(8, &["finite"]));
    let slope: Vec<f32> = (0..batch.len()).map(|i| 1.0 - 0.3 * i as f32).collect();
    engine.forward(&batch, stream).unwrap();
    engine.backward(&slope).unwrap();
    let gradients = engine.gradients().unwrap().to_vec();
    let direction = Stream::new(9, &["direction"]);
    for p in engine.parameters().to_vec() {
        // Along a random direction of each parameter, scaled to its gradient so that the change stands out.
        let along: Vec<f32> = (0..p.len()).map(|i| direction.normal((p.offset + i) as u64) as f32).collect();
        let g = &gradients[p.offset..p.offset + p.len()];
        let expected: f64 = g.iter().zip(&along).map(|(g, a)| f64::from(g * a)).sum();
        let mut at = |h: f32| {
            let before = engine.weights()[p.offset..p.offset + p.len()].to_vec();
            change_weights(&mut engine, |w| {
                w[p.offset..].iter_mut().zip(&along).for_each(|(w, a)| *w += h * a);
            });
            let logits = engine.forward(&batch, stream).unwrap();
            change_weights(&mut engine, |w| w[p.offset..p.offset + p.len()].copy_from_slice(&before));
            logits.iter().zip(&slope).map(|(l, s)| f64::from(*l) * f64::from(*s)).sum::<f64>()
        };
        let h = 1e-3f32;
        let found = (at(h) - at(-h)) / f64::from(2.0 * h);
        let size = g.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
        assert!((found - expected).abs() < 0.02 * size + 3e-3, "{}: {found} {expected} of {size}", p.name);
    }
}

#[test]
fn dropout_keeps_the_mean_of_the_input_and_changes_with_the_stream() {
    let mut engine = CpuReranker::new(random(ODD), 2).unwrap();
    let batch = random_batch(&[20; 8], 50, 3);
    let a = engine.forward(&batch, Some(Stream::new(1, &["a"]))).unwrap();
    assert_eq!(a, engine.forward(&batch, Some(Stream::new(1, &["a"]))).unwrap());
    assert_ne!(a, engine.forward(&batch, Some(Stream::new(2, &["a"]))).unwrap());
    assert_ne!(a, engine.forward(&batch, None).unwrap());
    // Equal pairs at different places are dropped differently.
    let mut twice = Packed::new();
    for _ in 0..2 {
        twice.push(&batch.ids[..20], &batch.types[..20]);
    }
    let logits = engine.forward(&twice, Some(Stream::new(1, &["a"]))).unwrap();
    assert_ne!(logits[0], logits[1]);
}

#[test]
fn a_step_is_that_of_the_optimiser_and_the_engine_goes_on_with_its_weights() {
    for config in shapes() {
        let batch = random_batch(&LENGTHS, 50, 1);
        let engine = || CpuReranker::new(random(&config), 2).unwrap();
        check_step(&mut engine(), &mut engine(), &batch);
    }
}

#[test]
fn gradients_add_up_and_backward_needs_a_forward() {
    let mut engine = load("bert", 1);
    let f = Fixture::open("bert");
    let ones = vec![1.0; f.batch.len()];
    assert_eq!(engine.backward(&ones).unwrap_err().kind, xpipe_base::task::FailureKind::Bug);
    engine.forward(&f.batch, None).unwrap();
    engine.backward(&ones).unwrap();
    let once = engine.gradients().unwrap().to_vec();
    assert!(engine.backward(&ones).is_err());
    engine.forward(&f.batch, None).unwrap();
    engine.backward(&ones).unwrap();
    let scale = once.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    for (a, b) in engine.gradients().unwrap().iter().zip(&once) {
        assert!((a - 2.0 * b).abs() < 1e-5 * scale);
    }
    engine.forward(&f.batch, None).unwrap();
    assert!(engine.backward(&[1.0]).is_err());
    assert_eq!(engine.score(&Packed::new()).unwrap(), Vec::<f32>::new());
    engine.forward(&Packed::new(), None).unwrap();
    engine.backward(&[]).unwrap();
}

#[test]
fn a_batch_that_does_not_fit_the_model_is_an_error() {
    let mut engine = CpuReranker::new(random(ODD), 1).unwrap();
    for (ids, types) in
        [(vec![50], vec![0]), (vec![0], vec![2]), (vec![0; 131], vec![0; 131]), (vec![], vec![])]
    {
        let mut batch = Packed::new();
        batch.push(&ids, &types);
        assert_eq!(engine.score(&batch).unwrap_err().kind, xpipe_base::task::FailureKind::Wrong);
        assert_eq!(engine.forward(&batch, None).unwrap_err().kind, xpipe_base::task::FailureKind::Wrong);
    }
}

#[test]
fn a_saved_model_loads_and_scores_the_same() {
    let mut engine = load("minilm", 1);
    let batch = Fixture::open("minilm").batch;
    change_weights(&mut engine, |w| w.iter_mut().for_each(|w| *w *= 1.01));
    let folder = tempfile::tempdir().unwrap();
    engine.save(folder.path()).unwrap();
    let mut again = CpuReranker::new(Checkpoint::load(folder.path(), 0).unwrap(), 2).unwrap();
    assert_eq!(again.score(&batch).unwrap(), engine.score(&batch).unwrap());
    assert_eq!(engine.kernels(), Level::detect().name());
}

#[test]
fn widths_that_are_no_multiple_of_eight_are_refused() {
    let odd = random(&ODD.replace("104", "100"));
    assert!(!supports(&*odd.model));
    assert_eq!(CpuReranker::new(odd, 1).unwrap_err().kind, xpipe_base::task::FailureKind::Missing);
    assert!(supports(&*random(ODD).model));
}

#[test]
fn a_real_model_agrees_with_the_reference() {
    for name in ["bert-tiny", "minilm-l6"] {
        let Some(folder) = real(name) else { continue };
        let mut reference = Reference::new(Checkpoint::load(&folder, 1).unwrap(), 2, Device::Cpu).unwrap();
        let mut engine = CpuReranker::new(Checkpoint::load(&folder, 1).unwrap(), 2).unwrap();
        let batch = random_batch(&[40, 7], 20_000, 1);
        check_same(&mut engine, &mut reference, &batch, Some(Stream::new(1, &["real"])));
    }
}
