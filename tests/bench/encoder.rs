//! Speed and memory of the explicit CPU engine: `cargo bench --bench encoder -- [shape] [threads] [runs] [work]
//! [fp32|bf16] [kernels]`, where shape is
//! minilm-l6, minilm-l12, bert-base, deberta-v3-base, modernbert-base, ettin-32m or distilbert, and work `score`, `128`
//! or `256` (a training step of such lengths), or `all`.
//!
//! Scoring: 384 pairs of mean 83 tokens (those of `$PEER_DATA/p256.ids` when set, so that a peer gets the same).
//! Training: a step of 16 pairs of 128 tokens with dropout 0.1: forward, backward, clip by global norm, AdamW.
//! Weights are random; speed does not depend on them. `encoder_peer.py` beside this file measures PyTorch on the same
//! shapes and lengths.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::Instant;

use xpipe_base::task::Failure;
use xpipe_base::value::rng::Stream;
use xpipe_nn::arch;
use xpipe_nn::config::Fields;
use xpipe_nn::cpu::{CpuReranker, Level};
use xpipe_nn::optimiser::{AdamW, Moments};
use xpipe_nn::weights::Checkpoint;
use xpipe_nn::{Packed, Reranker};

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let shape = args.first().map_or("minilm-l12", String::as_str);
    let number = |i: usize, default: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (threads, runs) = (number(1, 2), number(2, 5));
    let text = |i: usize, default: &'static str| args.get(i).map_or(default, String::as_str).to_owned();
    let (precision, kernels) = (text(4, "fp32"), text(5, "auto"));
    let level = Level::of(kernels.parse()?)?.rounding(precision == "bf16");
    let mut engine = CpuReranker::new(random(shape)?, threads)?.at_level(level);
    println!("{shape}, {threads} threads, {precision}, {}", engine.kernels());
    let wanted = |work: &str| args.get(3).is_none_or(|a| a == work || a == "all");
    if wanted("score") {
        score(&mut engine, runs)?;
    }
    for length in [128, 256].into_iter().filter(|l| wanted(&l.to_string())) {
        train(&mut engine, threads, length, runs)?;
    }
    Ok(())
}

/// Random weights of a shape.
fn random(shape: &str) -> Result<Checkpoint, Failure> {
    let bert = |layers, hidden, heads| {
        let inner = 4 * hidden;
        format!(
            r#""vocab_size": 30522, "hidden_size": {hidden}, "num_hidden_layers": {layers},
            "num_attention_heads": {heads}, "intermediate_size": {inner}"#
        )
    };
    // Dropout 0.1 wherever the architecture has it, as BERT's configuration says.
    let modern = |layers, hidden, heads, inner| {
        format!(
            r#""model_type": "modernbert", "vocab_size": 50368, "hidden_size": {hidden}, "num_hidden_layers": {layers},
            "num_attention_heads": {heads}, "intermediate_size": {inner}, "embedding_dropout": 0.1,
            "attention_dropout": 0.1, "mlp_dropout": 0.1, "classifier_dropout": 0.1"#
        )
    };
    let config = match shape {
        "minilm-l6" => format!(r#""model_type": "bert", {}"#, bert(6, 384, 12)),
        "minilm-l12" => format!(r#""model_type": "bert", {}"#, bert(12, 384, 12)),
        "bert-base" => format!(r#""model_type": "bert", {}"#, bert(12, 768, 12)),
        "distilbert" => {
            r#""model_type": "distilbert", "vocab_size": 30522, "dim": 768, "n_layers": 6, "n_heads": 12,
            "hidden_dim": 3072"#
                .to_owned()
        }
        // The word table is cut: its 128,100 rows are looked up, not computed.
        "deberta-v3-base" => format!(
            r#""model_type": "deberta-v2", "relative_attention": true, "pos_att_type": "p2c|c2p", "position_buckets": 256,
            "norm_rel_ebd": "layer_norm", "share_att_key": true, "position_biased_input": false, {}"#,
            bert(12, 768, 12)
        ),
        "modernbert-base" => modern(22, 768, 12, 1152),
        "ettin-32m" => modern(10, 384, 6, 576),
        _ => return Err(Failure::wrong(format!("unknown shape `{shape}`"))),
    };
    let config = format!("{{{config}}}");
    let model = arch::from_fields(&Fields::parse("config.json", config.as_bytes())?)?;
    let parameters = arch::layout(&model.declared());
    let s = Stream::new(1, &["benchmark weights"]);
    let mut weights = Vec::new();
    for p in &parameters {
        let base = if p.shape.len() == 1 && p.name.ends_with(".weight") { 1.0 } else { 0.0 };
        weights.extend((0..p.len()).map(|i| base + 0.05 * (s.unit((p.offset + i) as u64) as f32 - 0.5)));
    }
    Ok(Checkpoint { model, parameters, weights, ignored: Vec::new(), drawn: Vec::new() })
}

/// The pairs to score.
fn pairs() -> Packed {
    let mut batch = Packed::new();
    if let Some(folder) = std::env::var_os("PEER_DATA")
        && let Ok(text) = std::fs::read_to_string(std::path::Path::new(&folder).join("p256.ids"))
    {
        for line in text.lines() {
            let mut numbers = line.split(' ').filter_map(|n| n.parse::<u32>().ok());
            let query = numbers.next().unwrap_or(0) as usize;
            let ids: Vec<u32> = numbers.collect();
            let types: Vec<u32> = (0..ids.len()).map(|i| u32::from(i >= query)).collect();
            batch.push(&ids, &types);
        }
        return batch;
    }
    let s = Stream::new(2, &["benchmark pairs"]);
    for i in 0..384 {
        let length = (4.4 + 0.38 * s.normal(i)).exp().clamp(16.0, 256.0) as usize;
        push(&mut batch, length, s.sub(i));
    }
    batch
}

fn push(batch: &mut Packed, length: usize, s: Stream) {
    let ids: Vec<u32> = (0..length).map(|t| 1000 + s.below(t as u64, 29_000) as u32).collect();
    let types: Vec<u32> = (0..length).map(|t| u32::from(t >= 10)).collect();
    batch.push(&ids, &types);
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn score(engine: &mut CpuReranker, runs: usize) -> Result<(), Failure> {
    let batch = pairs();
    let mut times = Vec::new();
    for run in 0..=runs {
        let start = Instant::now();
        let scores = engine.score(&batch)?;
        if run > 0 {
            times.push(start.elapsed().as_secs_f64());
        }
        if scores.iter().any(|s| !s.is_finite()) {
            return Err(Failure::bug("a score is not finite"));
        }
    }
    let (n, tokens, m) = (batch.len() as f64, batch.tokens() as f64, median(times.clone()));
    let best = times.iter().copied().fold(f64::MAX, f64::min);
    println!(
        "score: {:.1} pairs/s, {:.0} tokens/s (best {:.1} pairs/s), peak {} MB",
        n / m,
        tokens / m,
        n / best,
        peak()
    );
    Ok(())
}

fn train(engine: &mut CpuReranker, threads: usize, length: usize, runs: usize) -> Result<(), Failure> {
    let mut batch = Packed::new();
    for i in 0..16 {
        push(&mut batch, length, Stream::new(3, &["benchmark training"]).sub(i));
    }
    engine.set_moments(Moments::new(engine.weights().len()))?;
    let (learning_rate, weight_decay, clip_norm) = (2e-5, 0.01, 1.0);
    let adamw = AdamW { learning_rate, weight_decay, clip_norm, beta1: 0.9, beta2: 0.999, eps: 1e-8 };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Failure::missing(format!("threads: {e}")))?;
    let mut times = [const { Vec::new() }; 4];
    for run in 0..=runs {
        let t0 = Instant::now();
        let logits = engine.forward(&batch, Some(Stream::new(4, &["benchmark dropout"]).sub(run as u64)))?;
        let t1 = Instant::now();
        let slope: Vec<f32> = logits.iter().map(|l| l.tanh() + 0.1).collect();
        engine.backward(&slope)?;
        let t2 = Instant::now();
        pool.install(|| engine.step(&adamw, 2e-5))?;
        let t3 = Instant::now();
        if run > 0 {
            for (list, d) in times.iter_mut().zip([t3 - t0, t1 - t0, t2 - t1, t3 - t2]) {
                list.push(d.as_secs_f64() * 1e3);
            }
        }
    }
    let best = times[0].iter().copied().fold(f64::MAX, f64::min);
    let [all, forward, backward, optimiser] = times.map(median);
    println!(
        "train 16 x {length}: step {all:.0} ms (best {best:.0}): forward {forward:.0}, backward {backward:.0}, \
         clip and AdamW {optimiser:.0}; peak {} MB",
        peak()
    );
    Ok(())
}

/// Peak resident memory in MB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}
