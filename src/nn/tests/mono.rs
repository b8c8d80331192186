//! Models of Lightning IR against hidden states that transformers computed: the encoders of the fixtures without their
//! prefix, under a linear layer.

use std::collections::HashMap;
use std::path::Path;

use candle_core::Device;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value, json};

use crate::Reranker;
use crate::arch::lengths;
use crate::cpu::CpuReranker;
use crate::reference::Reference;
use crate::testing::{BACKWARD_TOLERANCE, FORWARD_TOLERANCE, Fixture, bce, error, fixture};
use crate::weights::{Checkpoint, Labels};
use xpipe_base::value::rng::Stream;

/// A head: whether the mean is pooled, a dense layer stands before it, it has a bias; rows of the linear layer.
#[derive(Clone, Copy)]
struct Form {
    mean: bool,
    pool: bool,
    bias: bool,
    labels: usize,
}

const PLAIN: Form = Form { mean: false, pool: false, bias: false, labels: 1 };

/// The head's numbers: dense weight and bias, linear weight and bias.
fn numbers(form: Form, hidden: usize) -> [Vec<f32>; 4] {
    let draw = |n: usize, of: &str| -> Vec<f32> {
        let stream = Stream::new(5, &[of]);
        (0..n).map(|i| 0.3 * stream.normal(i as u64) as f32).collect()
    };
    let labels = form.labels;
    [
        draw(hidden * hidden, "dense"),
        draw(hidden, "dense bias"),
        draw(labels * hidden, "linear"),
        draw(labels, "bias"),
    ]
}

/// Writes the encoder of a fixture as Lightning IR does; BERT's keeps its pooler, which is of no use.
fn write(name: &str, prefix: &str, form: Form, to: &Path) -> usize {
    let text = std::fs::read(fixture(name).join("config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&text).unwrap();
    let kind = config["model_type"].take();
    let hidden = config["hidden_size"].as_u64().or(config["dim"].as_u64()).unwrap() as usize;
    let map = config.as_object_mut().unwrap();
    for (field, value) in [
        ("model_type", json!("mono")),
        ("backbone_model_type", kind),
        ("architectures", json!(["MonoModel"])),
        ("query_length", json!(32)),
        ("doc_length", json!(256)),
        ("pooling_strategy", json!(if form.mean { "mean" } else { "first" })),
        ("linear_bias", json!(form.bias)),
        ("scoring_strategy", json!(if form.labels == 2 { "mono" } else { "rank" })),
        ("_bert_pool", json!(form.pool)),
        ("use_adapter", json!(false)),
    ] {
        map.insert(field.into(), value);
    }
    std::fs::write(to.join("config.json"), serde_json::to_string(&config).unwrap()).unwrap();
    let bytes = std::fs::read(fixture(name).join("model.safetensors")).unwrap();
    let all = SafeTensors::deserialize(&bytes).unwrap();
    let encoder: Vec<(String, TensorView<'_>)> = all
        .tensors()
        .into_iter()
        .filter_map(|(n, t)| Some((n.strip_prefix(prefix)?.to_owned(), t)))
        .collect();
    let head: Vec<Vec<u8>> =
        numbers(form, hidden).iter().map(|x| x.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let labels = form.labels;
    let view = |shape: &[usize], i: usize| TensorView::new(Dtype::F32, shape.to_vec(), &head[i]).unwrap();
    let mut tensors: HashMap<String, TensorView<'_>> = encoder.into_iter().collect();
    tensors.insert("linear.weight".into(), view(&[labels, hidden], 2));
    if form.bias {
        tensors.insert("linear.bias".into(), view(&[labels], 3));
    }
    if form.pool {
        tensors.insert("bert_pool.0.weight".into(), view(&[hidden, hidden], 0));
        tensors.insert("bert_pool.0.bias".into(), view(&[hidden], 1));
    }
    safetensors::serialize_to_file(tensors, None, &to.join("model.safetensors")).unwrap();
    hidden
}

/// The logits that transformers' hidden states give under the head, one or two a pair, and what was pooled.
fn expected(name: &str, form: Form, hidden: usize) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let f = Fixture::open(name);
    let last = f.hidden.last().unwrap();
    let [dense, dense_bias, linear, bias] = numbers(form, hidden);
    let dot = |w: &[f32], x: &[f64]| w.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
    let mut pooled = Vec::new();
    for i in 0..f.batch.len() {
        let rows = f.batch.pair(i);
        let count = if form.mean { rows.len() } else { 1 };
        let mut x = vec![0.0; hidden];
        for row in rows.take(count) {
            x.iter_mut().zip(&last[row * hidden..]).for_each(|(x, h)| *x += f64::from(*h) / count as f64);
        }
        if form.pool {
            let y = |o: usize| (dot(&dense[o * hidden..][..hidden], &x) + f64::from(dense_bias[o])).tanh();
            x = (0..hidden).map(y).collect();
        }
        pooled.push(x);
    }
    let logit = |x: &Vec<f64>, l: usize| {
        dot(&linear[l * hidden..][..hidden], x) + if form.bias { f64::from(bias[l]) } else { 0.0 }
    };
    let logits = pooled.iter().map(|x| (0..form.labels).map(|l| logit(x, l)).collect()).collect();
    (logits, pooled)
}

const ENCODERS: [(&str, &str); 4] =
    [("bert", "bert."), ("electra", "electra."), ("roberta", "roberta."), ("distilbert", "distilbert.")];

#[test]
fn scores_are_those_of_the_encoder_under_a_linear_layer() {
    for (name, prefix) in ENCODERS {
        for form in [
            PLAIN,
            Form { mean: true, ..PLAIN },
            Form { bias: true, ..PLAIN },
            Form { pool: true, bias: true, ..PLAIN },
            Form { labels: 2, ..PLAIN },
        ] {
            let dir = tempfile::tempdir().unwrap();
            let hidden = write(name, prefix, form, dir.path());
            let (logits, pooled) = expected(name, form, hidden);
            let labels = if form.labels == 2 { Labels::Two } else { Labels::One };
            let load = || Checkpoint::load_labelled(dir.path(), 1, labels).unwrap();
            assert!(load().drawn.is_empty());
            assert_eq!(lengths(load().model.config()), Some([32, 256]));
            // With two labels the score is the difference.
            let logits: Vec<f32> =
                logits.iter().map(|l| if l.len() == 2 { l[1] - l[0] } else { l[0] } as f32).collect();
            let f = Fixture::open(name);
            let mut explicit = CpuReranker::new(load(), 1).unwrap();
            let mut reference = Reference::new(load(), 1, Device::Cpu).unwrap();
            let mut gradients = Vec::new();
            for engine in [&mut explicit as &mut dyn Reranker, &mut reference] {
                let scores = engine.score(&f.batch).unwrap();
                assert!(
                    error(&scores, &logits, 1e-3) < FORWARD_TOLERANCE,
                    "{name}: {scores:?} for {logits:?}"
                );
                engine.clear_gradients().unwrap();
                let forward = engine.forward(&f.batch, None).unwrap();
                let (_, slope) = bce(&forward, &f.labels);
                engine.backward(&slope).unwrap();
                gradients.push(engine.gradients().unwrap().to_vec());
                // The linear layer's gradient is the sum of what was pooled, by slope.
                let linear = engine.parameters().iter().find(|p| p.name == "linear.weight").unwrap();
                let sum = |j: usize| {
                    pooled.iter().zip(&slope).map(|(x, s)| x[j] * f64::from(*s)).sum::<f64>() as f32
                };
                let by_hand: Vec<f32> = (0..hidden).map(sum).collect();
                let got = &gradients[gradients.len() - 1][linear.offset..linear.offset + hidden];
                assert!(
                    error(got, &by_hand, 1e-4) < BACKWARD_TOLERANCE,
                    "{name}: gradient of the linear layer"
                );
            }
            for p in explicit.parameters() {
                let [a, b] = [0, 1].map(|i| &gradients[i][p.offset..p.offset + p.len()]);
                assert!(error(a, b, 1e-3) < BACKWARD_TOLERANCE, "{name}: gradient of {}", p.name);
            }
        }
    }
}

#[test]
fn a_saved_model_is_one_of_lightning_ir_again() {
    let dir = tempfile::tempdir().unwrap();
    write("electra", "electra.", PLAIN, dir.path());
    let engine = CpuReranker::new(Checkpoint::load(dir.path(), 1).unwrap(), 1).unwrap();
    let to = tempfile::tempdir().unwrap();
    engine.save(to.path()).unwrap();
    let again = Checkpoint::load(to.path(), 1).unwrap();
    assert_eq!(again.weights, engine.weights());
    let config = again.model.config();
    assert_eq!((&config["model_type"], &config["architectures"]), (&json!("mono"), &json!(["MonoModel"])));
}
