//! Small models with random weights, made on the fly: candle's implementations against themselves.

use std::collections::HashMap;

use candle_core::quantized::gguf_file::{self, Value as Meta};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use serde_json::json;

use super::*;
use crate::llm::prompts::{Listwise, pairwise};
use xpipe_base::task::Silent;
use xpipe_base::value::rng::Stream;

const WIDTH: usize = 32;
const INNER: usize = 64;
const LAYERS: usize = 2;
const HEADS: usize = 4;
const FEW: usize = 2;

const CHAT: &str = "{% for m in messages %}{{ m.role }} : {{ m.content }} . {% endfor %}assistant :";

fn write(folder: &Path, name: &str, json: &Json) {
    std::fs::write(folder.join(name), json.to_string()).unwrap();
}

/// The tensors of a small model of an architecture.
fn tensors(kind: &str, words: usize) -> HashMap<String, Tensor> {
    let mut all = HashMap::new();
    let stream = Stream::new(3, &["tiny", kind]);
    let mut drawn = 0u64;
    let mut add = |name: String, shape: &[usize], around: f32| {
        let n: usize = shape.iter().product();
        let numbers: Vec<f32> =
            (0..n as u64).map(|i| around + 0.2 * stream.normal(drawn + i) as f32).collect();
        drawn += n as u64;
        all.insert(name, Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap());
    };
    let (head, few) = (WIDTH / HEADS, WIDTH / HEADS * FEW);
    add("model.embed_tokens.weight".into(), &[words, WIDTH], 0.0);
    add("lm_head.weight".into(), &[words, WIDTH], 0.0);
    add("model.norm.weight".into(), &[WIDTH], 1.0);
    for i in 0..LAYERS {
        let at = |n: &str| format!("model.layers.{i}.{n}");
        for (name, rows) in [("q_proj", WIDTH), ("k_proj", few), ("v_proj", few)] {
            add(at(&format!("self_attn.{name}.weight")), &[rows, WIDTH], 0.0);
            if kind == "qwen2" {
                add(at(&format!("self_attn.{name}.bias")), &[rows], 0.0);
            }
        }
        add(at("self_attn.o_proj.weight"), &[WIDTH, WIDTH], 0.0);
        if kind == "qwen3" {
            add(at("self_attn.q_norm.weight"), &[head], 1.0);
            add(at("self_attn.k_norm.weight"), &[head], 1.0);
        }
        add(at("mlp.gate_proj.weight"), &[INNER, WIDTH], 0.0);
        add(at("mlp.up_proj.weight"), &[INNER, WIDTH], 0.0);
        add(at("mlp.down_proj.weight"), &[WIDTH, INNER], 0.0);
        add(at("input_layernorm.weight"), &[WIDTH], 1.0);
        add(at("post_attention_layernorm.weight"), &[WIDTH], 1.0);
    }
    all
}

/// A folder with a small model of an architecture; the number of words of its vocabulary.
fn model(kind: &str, folder: &Path) -> usize {
    let tokenizer = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/quickstart/model/tokenizer.json");
    std::fs::copy(tokenizer, folder.join("tokenizer.json")).unwrap();
    let words = Tokenizer::from_file(tokenizer).unwrap().get_vocab_size(true);
    let mut config = json!({
        "model_type": kind, "vocab_size": words, "hidden_size": WIDTH, "intermediate_size": INNER,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": FEW, "hidden_act": "silu",
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 512, "tie_word_embeddings": false,
        "eos_token_id": 2,
    });
    if kind == "qwen2" || kind == "qwen3" {
        config["use_sliding_window"] = false.into();
        config["max_window_layers"] = LAYERS.into();
    }
    if kind == "qwen3" {
        config["head_dim"] = (WIDTH / HEADS).into();
        config["attention_bias"] = false.into();
        config["sliding_window"] = Json::Null;
    }
    write(folder, "config.json", &config);
    write(
        folder,
        "tokenizer_config.json",
        &json!({ "chat_template": CHAT, "eos_token": { "content": "[SEP]" } }),
    );
    candle_core::safetensors::save(&tensors(kind, words), folder.join("model.safetensors")).unwrap();
    words
}

fn request(logprobs: bool) -> Request {
    Request { prompt: pairwise("a query", "one passage", "two"), max_tokens: 12, logprobs, seed: 0 }
}

fn near(a: &[f32], b: &[f32], within: f32) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| (x - y).abs() <= within)
}

#[test]
fn each_architecture_answers_the_same_again_and_goes_on_as_if_read_at_once() {
    for kind in ["llama", "mistral", "qwen2", "qwen3"] {
        let dir = tempfile::tempdir().unwrap();
        let words = model(kind, dir.path());
        let local = LocalModel::open(dir.path(), "d1").unwrap();
        let answer = local.answer(&request(true), &Silent).unwrap();
        assert!(answer.completion_tokens > 0 && answer.prompt_tokens > 10, "{kind}: {answer:?}");
        let other = Request { prompt: Listwise::RankGpt.ask("q", &["x", "y"]), ..request(false) };
        assert_ne!(local.answer(&other, &Silent).unwrap().text, answer.text, "{kind}");
        assert_eq!(local.answer(&request(true), &Silent).unwrap(), answer, "{kind}");
        // The first token of the answer is the likeliest, and probabilities are at most 1 together.
        let total: f64 = answer.first.iter().map(|(_, p)| p.exp()).sum();
        assert!(answer.first.len() == LIKELIEST && total <= 1.0 + 1e-9, "{kind}: {total}");
        assert!(answer.first.windows(2).all(|w| w[0].1 >= w[1].1), "{kind}");
        // A token read behind others gives what all of them give at once.
        let mut engine = local.engine.lock().unwrap();
        let ids: Vec<u32> = (0..20).map(|i| (i * 37 + 5) % words as u32).collect();
        let at_once = engine.start(&ids).unwrap();
        engine.start(&ids[..18]).unwrap();
        engine.step(ids[18], 18).unwrap();
        let step_by_step = engine.step(ids[19], 19).unwrap();
        assert!(near(&at_once, &step_by_step, 2e-3), "{kind}");
        assert!(at_once.len() == words && at_once.iter().any(|x| (x - at_once[0]).abs() > 0.1), "{kind}");
    }
}

/// The same weights as a GGUF file of full precision, read by candle's other implementation.
#[test]
fn a_quantised_model_is_read_and_says_what_the_whole_one_says() {
    let (whole, quantised) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let words = model("qwen2", whole.path());
    model("qwen2", quantised.path());
    std::fs::remove_file(quantised.path().join("model.safetensors")).unwrap();
    let named: Vec<(String, QTensor)> = tensors("qwen2", words)
        .iter()
        .map(|(name, t)| (gguf_name(name), QTensor::quantize(t, GgmlDType::F32).unwrap()))
        .collect();
    let number = |n: usize| Meta::U32(n as u32);
    let meta = [
        ("general.architecture", Meta::String("qwen2".into())),
        ("qwen2.attention.head_count", number(HEADS)),
        ("qwen2.attention.head_count_kv", number(FEW)),
        ("qwen2.embedding_length", number(WIDTH)),
        ("qwen2.context_length", number(512)),
        ("qwen2.block_count", number(LAYERS)),
        ("qwen2.attention.layer_norm_rms_epsilon", Meta::F32(1e-6)),
        ("qwen2.rope.freq_base", Meta::F32(10000.0)),
    ];
    let meta: Vec<(&str, &Meta)> = meta.iter().map(|(n, v)| (*n, v)).collect();
    let of: Vec<(&str, &QTensor)> = named.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let mut file = std::fs::File::create(quantised.path().join("tiny.gguf")).unwrap();
    gguf_file::write(&mut file, &meta, &of).unwrap();
    drop(file);
    let [a, b] = [&whole, &quantised].map(|d| LocalModel::open(d.path(), "d").unwrap());
    let ids: Vec<u32> = (0..20).map(|i| i * 31 + 7).collect();
    let [x, y] = [&a, &b].map(|m| m.engine.lock().unwrap().start(&ids).unwrap());
    assert!(near(&x, &y, 5e-3), "{:?} {:?}", &x[..4], &y[..4]);
    assert_eq!(a.answer(&request(false), &Silent).unwrap(), b.answer(&request(false), &Silent).unwrap());
}

/// What llama.cpp calls a tensor.
fn gguf_name(name: &str) -> String {
    let name = name.replace("model.layers.", "blk.").replace("model.embed_tokens", "token_embd");
    [
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
    ]
    .iter()
    .fold(name, |name, (from, to)| name.replace(from, to))
}

#[test]
fn what_cannot_be_run_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let told = |what: &str| {
        let failure = LocalModel::open(dir.path(), "d").unwrap_err();
        assert!(failure.message.contains(what), "{what}: {failure}");
    };
    told("config.json");
    write(dir.path(), "config.json", &json!({ "model_type": "gpt2" }));
    told("architecture `gpt2`");
    model("llama", dir.path());
    let local = LocalModel::open(dir.path(), "d").unwrap();
    let long = Request { prompt: pairwise(&"word ".repeat(600), "a", "b"), ..request(false) };
    let failure = local.answer(&long, &Silent).unwrap_err();
    assert!(failure.message.contains("does not fit 512 positions"), "{failure}");
    write(dir.path(), "tokenizer_config.json", &json!({}));
    told("no chat template");
    model("llama", dir.path());
    let mut all = tensors("llama", 100);
    all.remove("model.layers.1.mlp.up_proj.weight");
    candle_core::safetensors::save(&all, dir.path().join("model.safetensors")).unwrap();
    told("no `model.layers.1.mlp.up_proj.weight`");
    std::fs::write(dir.path().join("model.safetensors"), b"spoiled").unwrap();
    told("model.safetensors");
    std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    told("no model.safetensors and no .gguf");
}
