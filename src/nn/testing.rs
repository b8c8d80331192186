//! Checks for every engine: the committed fixtures, independence of scores from the batch, equality between engines.
//!
//! `XPIPE_FIXTURES` names another folder of the same layout.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;

use super::optimiser::{self, AdamW, Moments};
use super::weights::{Checkpoint, Labels};
use super::{Packed, Reranker};
use xpipe_base::value::rng::Stream;

/// Tolerance of hidden states and logits.
pub(crate) const FORWARD_TOLERANCE: f64 = 1e-4;
/// Tolerance of gradients.
pub(crate) const BACKWARD_TOLERANCE: f64 = 1e-3;

pub(crate) use xpipe_testing::{MADE, fixture, model as real};

/// The model of a fixture.
pub(crate) fn checkpoint(name: &str) -> Checkpoint {
    let labels = if name == "two-labels" { Labels::Two } else { Labels::One };
    Checkpoint::load_labelled(&fixture(name), 1, labels).unwrap()
}

/// A safetensors file of expected values.
pub(crate) struct Expected(BTreeMap<String, (Vec<usize>, Vec<u8>)>);

impl Expected {
    pub(crate) fn open(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        Self(tensors.iter().map(|(n, t)| (n.to_owned(), (t.shape().to_vec(), t.data().to_vec()))).collect())
    }

    pub(crate) fn shape(&self, name: &str) -> &[usize] {
        &self.0[name].0
    }

    pub(crate) fn floats(&self, name: &str) -> Vec<f32> {
        self.0[name].1.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    pub(crate) fn whole(&self, name: &str) -> Vec<u32> {
        let read = |b: &[u8]| u32::try_from(i64::from_le_bytes(b.try_into().unwrap())).unwrap();
        self.0[name].1.chunks_exact(8).map(read).collect()
    }

    /// The padded batch, packed.
    pub(crate) fn batch(&self) -> Packed {
        let (ids, types) =
            (self.whole("input_ids"), self.0.get("token_type_ids").map(|_| self.whole("token_type_ids")));
        let types = types.unwrap_or_else(|| vec![0; ids.len()]);
        let (width, mask) = (self.shape("input_ids")[1], self.whole("attention_mask"));
        let mut batch = Packed::new();
        for start in (0..ids.len()).step_by(width) {
            let end = start + mask[start..start + width].iter().filter(|m| **m == 1).count();
            batch.push(&ids[start..end], &types[start..end]);
        }
        batch
    }

    /// Indices of real tokens in the padded batch, row by row (padding is on the right).
    fn real_rows(&self) -> Vec<usize> {
        self.whole("attention_mask").iter().enumerate().filter(|(_, m)| **m == 1).map(|(i, _)| i).collect()
    }

    /// A padded tensor `[pairs, length, width]` without its padding.
    pub(crate) fn packed(&self, name: &str) -> Vec<f32> {
        let (numbers, width) = (self.floats(name), self.shape(name)[2]);
        self.real_rows().iter().flat_map(|i| numbers[i * width..(i + 1) * width].to_vec()).collect()
    }
}

/// One of the committed model fixtures.
pub(crate) struct Fixture {
    pub(crate) batch: Packed,
    pub(crate) labels: Vec<f32>,
    pub(crate) hidden: Vec<Vec<f32>>,
    pub(crate) logits: Vec<f32>,
    pub(crate) loss: f32,
    pub(crate) gradients: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    /// Logits after one AdamW step: lr 1e-3, betas (0.9, 0.999), eps 1e-3, weight decay 0.01 on matrices.
    pub(crate) after: Vec<f32>,
}

impl Fixture {
    pub(crate) fn open(name: &str) -> Self {
        let e = Expected::open(&fixture(name).join("expected.safetensors"));
        let layers = (0..).take_while(|l| e.0.contains_key(&format!("hidden_states.{l}"))).count();
        let gradients = e
            .0
            .keys()
            .filter_map(|k| Some((k.strip_prefix("grad.")?.to_owned(), (e.shape(k).to_vec(), e.floats(k)))))
            .collect();
        Self {
            batch: e.batch(),
            labels: e.floats("labels"),
            hidden: (0..layers).map(|l| e.packed(&format!("hidden_states.{l}"))).collect(),
            logits: e.floats("logits"),
            loss: e.floats("bce_loss")[0],
            gradients,
            after: e.floats("logits_after_adamw_step"),
        }
    }

    fn largest(&self) -> f64 {
        self.gradients.values().flat_map(|g| &g.1).fold(0.0, |m, x| f64::from(x.abs()).max(m))
    }
}

/// `max|a-b| / max(max|b|, floor)` with the reference `b`. Infinite if a number is not finite or lengths differ.
pub(crate) fn error(a: &[f32], b: &[f32], floor: f64) -> f64 {
    if a.len() != b.len() || a.iter().any(|x| !x.is_finite()) {
        return f64::INFINITY;
    }
    let scale = b.iter().fold(floor, |m, x| m.max(f64::from(x.abs())));
    a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max) / scale
}

fn within(what: &str, a: &[f32], b: &[f32], floor: f64, tolerance: f64) -> f64 {
    let e = error(a, b, floor);
    assert!(e <= tolerance, "{what}: error {e:.2e} is above {tolerance:.0e}");
    e
}

/// The largest errors on a fixture, relative to each tensor's scale.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    pub(crate) logits: f64,
    pub(crate) gradients: f64,
    pub(crate) after: f64,
}

/// Checks hidden states (`[tokens, width]` after the embeddings and after each layer) against a fixture.
pub(crate) fn check_hidden(name: &str, hidden: &[Vec<f32>]) -> f64 {
    let f = Fixture::open(name);
    assert_eq!(hidden.len(), f.hidden.len(), "{name}: number of hidden states");
    let floor = 1e-3 * f.largest();
    let each = hidden.iter().zip(&f.hidden).enumerate();
    each.map(|(l, (a, b))| within(&format!("{name}: hidden state {l}"), a, b, floor, FORWARD_TOLERANCE))
        .fold(0.0, f64::max)
}

/// Checks an engine loaded with a fixture's weights: logits by both ways, loss, the gradient of every parameter,
/// logits after one AdamW step (whose weights are then in the engine).
pub(crate) fn check_fixture(name: &str, engine: &mut dyn Reranker) -> Errors {
    let f = Fixture::open(name);
    let floor = 1e-3 * f.largest();
    let mut errors = Errors::default();
    let scores = engine.score(&f.batch).unwrap();
    errors.logits = within(&format!("{name}: scores"), &scores, &f.logits, floor, FORWARD_TOLERANCE);
    engine.clear_gradients().unwrap();
    let logits = engine.forward(&f.batch, None).unwrap();
    errors.logits =
        within(&format!("{name}: logits"), &logits, &f.logits, floor, FORWARD_TOLERANCE).max(errors.logits);
    let (loss, slope) = bce(&logits, &f.labels);
    within(&format!("{name}: loss"), &[loss], &[f.loss], 0.0, FORWARD_TOLERANCE);
    engine.backward(&slope).unwrap();
    let parameters = engine.parameters().to_vec();
    assert_eq!(parameters.len(), f.gradients.len(), "{name}: number of parameters");
    let gradients = engine.gradients().unwrap().to_vec();
    for p in &parameters {
        let (shape, expected) = &f.gradients[&p.name];
        assert_eq!(shape, &p.shape, "{name}: shape of {}", p.name);
        let got = &gradients[p.offset..p.offset + p.len()];
        let e = within(&format!("{name}: gradient of {}", p.name), got, expected, floor, BACKWARD_TOLERANCE);
        errors.gradients = errors.gradients.max(e);
    }
    let mut weights = engine.weights().to_vec();
    for p in &parameters {
        for i in p.offset..p.offset + p.len() {
            let decay = if p.decays { 0.01 } else { 0.0 };
            weights[i] -= 1e-3 * (decay * weights[i] + gradients[i] / (gradients[i].abs() + 1e-3));
        }
    }
    engine.set_weights(&weights).unwrap();
    let after = engine.score(&f.batch).unwrap();
    errors.after =
        within(&format!("{name}: logits after a step"), &after, &f.after, floor, FORWARD_TOLERANCE);
    errors
}

/// Checks the optimiser step of an engine: that of [`optimiser::step`] bit by bit, after which the engine computes with the
/// new weights, and misuse is told. `fresh` is the same engine.
pub(crate) fn check_step(engine: &mut dyn Reranker, fresh: &mut dyn Reranker, batch: &Packed) {
    let adamw = AdamW {
        learning_rate: 1e-2,
        weight_decay: 0.01,
        clip_norm: 1.0,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
    };
    let slope: Vec<f32> = (0..batch.len()).map(|i| 1.0 - 0.3 * i as f32).collect();
    let pass = |engine: &mut dyn Reranker| {
        engine.forward(batch, None).unwrap();
        engine.backward(&slope).unwrap();
    };
    let bug = Some(xpipe_base::task::FailureKind::Bug);
    let count = engine.weights().len();
    pass(engine);
    assert_eq!(engine.step(&adamw, 1e-2).err().map(|f| f.kind), bug, "a step without moments");
    assert_eq!(engine.set_weights(&[0.0]).err().map(|f| f.kind), bug, "another number of weights");
    assert_eq!(engine.set_moments(Moments::new(1)).err().map(|f| f.kind), bug, "other moments");
    engine.set_moments(Moments::new(count)).unwrap();
    engine.clear_gradients().unwrap();
    let mut moments = Moments::new(count);
    for rate in [1e-2, 5e-3] {
        pass(engine);
        let (mut gradients, mut weights) = (engine.gradients().unwrap().to_vec(), engine.weights().to_vec());
        let scores = engine.score(batch).unwrap();
        engine.forward(batch, None).unwrap();
        let norm = engine.step(&adamw, rate).unwrap();
        let buffers = (&mut gradients[..], &mut weights[..]);
        let expected = optimiser::step(&adamw, rate, engine.parameters(), &mut moments, buffers).unwrap();
        assert_eq!(norm.to_bits(), expected.to_bits());
        assert!(engine.weights() == weights && *engine.moments().unwrap() == moments);
        assert!(engine.gradients().unwrap().iter().all(|g| *g == 0.0));
        assert_eq!(
            engine.backward(&slope).err().map(|f| f.kind),
            bug,
            "the forward pass was before the step"
        );
        fresh.set_weights(&weights).unwrap();
        let after = engine.score(batch).unwrap();
        assert_eq!(after, fresh.score(batch).unwrap());
        assert_ne!(after, scores);
    }
}

/// Changes weights of an engine.
pub(crate) fn change_weights(engine: &mut dyn Reranker, change: impl FnOnce(&mut [f32])) {
    let mut weights = engine.weights().to_vec();
    change(&mut weights);
    engine.set_weights(&weights).unwrap();
}

/// Mean binary cross-entropy with logits, and its gradient.
pub(crate) fn bce(logits: &[f32], labels: &[f32]) -> (f32, Vec<f32>) {
    let n = logits.len() as f32;
    let each = logits.iter().zip(labels);
    let loss = each.clone().map(|(s, y)| s.max(0.0) - s * y + (-s.abs()).exp().ln_1p()).sum::<f32>() / n;
    (loss, each.map(|(s, y)| (1.0 / (1.0 + (-s).exp()) - y) / n).collect())
}

/// Pairs of random ids for an engine with this vocabulary.
pub(crate) fn random_batch(lengths: &[usize], vocabulary: u64, seed: u64) -> Packed {
    let mut batch = Packed::new();
    for (i, &n) in lengths.iter().enumerate() {
        let s = Stream::new(seed, &["test batch"]).sub(i as u64);
        let ids: Vec<u32> = (0..n).map(|t| s.below(t as u64, vocabulary) as u32).collect();
        let types: Vec<u32> = (0..n).map(|t| u32::from(t >= n / 3)).collect();
        batch.push(&ids, &types);
    }
    batch
}

/// Checks that a pair's score has the same bits alone and at any position of any batch.
pub(crate) fn check_batch_independence(engine: &mut dyn Reranker, vocabulary: u64, positions: usize) {
    let lengths: Vec<usize> =
        [1, 2, 3, 5, 8, 13, 16, 17, 31, 33, 40, 64, 3, 17].map(|n: usize| n.min(positions)).to_vec();
    let batch = random_batch(&lengths, vocabulary, 5);
    let together: Vec<u32> = engine.score(&batch).unwrap().iter().map(|s| s.to_bits()).collect();
    let n = batch.len();
    for (i, bits) in together.iter().enumerate() {
        assert_eq!(engine.score(&batch.slice(i..i + 1)).unwrap()[0].to_bits(), *bits, "pair {i} alone");
    }
    let mut turned = Packed::new();
    for i in (0..n).rev() {
        turned.push(&batch.ids[batch.pair(i)], &batch.types[batch.pair(i)]);
    }
    let turned = engine.score(&turned).unwrap();
    assert!((0..n).all(|i| turned[n - 1 - i].to_bits() == together[i]), "the order of pairs changed a score");
}

/// Checks that a batch computed in parts, split between blocks, the last part first, gives the same bits as the whole:
/// logits and gradients, with dropout.
pub(crate) fn check_splits(engine: &mut dyn Reranker, vocabulary: u64, positions: usize) {
    let lengths: Vec<usize> = (0..60).map(|i| 1 + i * 37 % positions).collect();
    let batch = random_batch(&lengths, vocabulary, 6);
    let blocks = batch.blocks();
    assert!(blocks.len() > 3, "a test of nothing");
    let slope: Vec<f32> = (0..batch.len()).map(|i| 0.5 - i as f32 / batch.len() as f32).collect();
    let dropout = Some(Stream::new(4, &["splits"]));
    let mut run = |together: usize| {
        engine.clear_gradients().unwrap();
        let mut logits = vec![0.0; batch.len()];
        for blocks in blocks.chunks(together).rev() {
            let pairs = blocks[0].start..blocks[blocks.len() - 1].end;
            let part = engine.forward(&batch.slice(pairs.clone()), dropout).unwrap();
            logits[pairs.clone()].copy_from_slice(&part);
            engine.backward(&slope[pairs]).unwrap();
        }
        logits.iter().chain(engine.gradients().unwrap().iter()).map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    let whole = run(usize::MAX);
    assert!(run(1) == whole && run(2) == whole && run(3) == whole);
}

/// Checks that two engines with the same weights agree in logits and gradients of a batch, with dropout or without.
pub(crate) fn check_same(
    a: &mut dyn Reranker,
    b: &mut dyn Reranker,
    batch: &Packed,
    dropout: Option<Stream>,
) {
    assert_eq!(a.parameters(), b.parameters());
    let slope: Vec<f32> = (0..batch.len()).map(|i| 0.5 - i as f32 / batch.len() as f32).collect();
    let run = |e: &mut dyn Reranker| {
        e.clear_gradients().unwrap();
        let logits = e.forward(batch, dropout).unwrap();
        e.backward(&slope).unwrap();
        (logits, e.gradients().unwrap().to_vec())
    };
    let (la, ga) = run(a);
    let (lb, gb) = run(b);
    within("logits of two engines", &la, &lb, 0.0, FORWARD_TOLERANCE);
    let floor = 1e-3 * gb.iter().fold(0.0, |m: f64, x| m.max(f64::from(x.abs())));
    for p in a.parameters() {
        let r = p.offset..p.offset + p.len();
        within(
            &format!("gradient of {} of two engines", p.name),
            &ga[r.clone()],
            &gb[r],
            floor,
            BACKWARD_TOLERANCE,
        );
    }
}
