//! The forward pass: candle's models behind one interface, from tokens to the logits after the last one.

use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Content;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{
    llama, mistral, quantized_llama, quantized_qwen2, quantized_qwen3, qwen2, qwen3,
};
use serde_json::Value as Json;

use xpipe_base::task::{Failure, is_ignored};
use xpipe_base::value::InnerPath;

/// A model with its key-value cache.
pub(super) enum Engine {
    Llama { model: llama::Llama, config: llama::Config, cache: llama::Cache },
    Mistral(mistral::Model),
    Qwen2(qwen2::ModelForCausalLM),
    Qwen3(qwen3::ModelForCausalLM),
    QuantisedLlama(quantized_llama::ModelWeights),
    QuantisedQwen2(quantized_qwen2::ModelWeights),
    QuantisedQwen3(quantized_qwen3::ModelWeights),
}

/// Supported architectures, by `model_type` of config.json.
const SUPPORTED: [&str; 4] = ["llama", "mistral", "qwen2", "qwen3"];

/// The architecture of a configuration.
pub(super) fn architecture(config: &Json) -> Result<&'static str, Failure> {
    let name = config["model_type"].as_str().unwrap_or("none");
    SUPPORTED.into_iter().find(|k| *k == name).ok_or_else(|| {
        Failure::missing(format!("language models of the architecture `{name}` are not supported"))
            .help(format!("use one of {}, or a server with `llm.endpoint`", SUPPORTED.join(", ")))
    })
}

/// The weight files of a model.
pub(super) enum Weights {
    /// Safetensors files.
    Safetensors(Vec<PathBuf>),
    /// One file of quantised weights.
    Gguf(PathBuf),
}

/// The weights in a folder.
pub(super) fn weights(folder: &Path) -> Result<Weights, Failure> {
    let single = folder.join("model.safetensors");
    if single.is_file() {
        return Ok(Weights::Safetensors(vec![single]));
    }
    let index = folder.join("model.safetensors.index.json");
    if index.is_file() {
        let json = super::read_json(folder, "model.safetensors.index.json")?;
        let map = json["weight_map"].as_object();
        let mut files: Vec<&str> = map.into_iter().flatten().filter_map(|(_, f)| f.as_str()).collect();
        files.sort_unstable();
        files.dedup();
        if files.is_empty() {
            return Err(Failure::wrong(format!("{} names no files", index.display())));
        }
        let place = |file: &str| {
            let path = InnerPath::of_input(file, is_ignored).map_err(|why| {
                Failure::wrong(format!("{}: `{}` {why}", index.display(), file.escape_debug()))
            })?;
            Ok::<PathBuf, Failure>(path.below(folder))
        };
        return Ok(Weights::Safetensors(files.into_iter().map(place).collect::<Result<_, Failure>>()?));
    }
    let entries =
        std::fs::read_dir(folder).map_err(|e| Failure::missing(format!("{}: {e}", folder.display())))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "gguf"));
    match files.as_slice() {
        [one] => Ok(Weights::Gguf(one.clone())),
        [] => Err(Failure::missing(format!("{} has no model.safetensors and no .gguf", folder.display()))),
        _ => Err(Failure::wrong(format!("{} has several .gguf files, expected one", folder.display()))),
    }
}

fn failed(what: &Path) -> impl Fn(candle_core::Error) -> Failure {
    let name = what.display().to_string();
    move |e| Failure::wrong(format!("{name}: {}", first_line(&e.to_string())))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn running(e: &candle_core::Error) -> Failure {
    Failure::wrong(format!("the language model: {}", first_line(&e.to_string())))
}

impl Engine {
    /// Loads the weights of a folder.
    pub(super) fn load(folder: &Path, config: &Json) -> Result<Self, Failure> {
        let name = architecture(config)?;
        match weights(folder)? {
            Weights::Safetensors(files) => Self::from_safetensors(name, folder, config, &files),
            Weights::Gguf(file) => Self::from_gguf(&file),
        }
    }

    fn from_safetensors(
        name: &str,
        folder: &Path,
        config: &Json,
        files: &[PathBuf],
    ) -> Result<Self, Failure> {
        let (device, dtype) = (Device::Cpu, DType::F32);
        let mut tensors = std::collections::HashMap::new();
        for file in files {
            tensors.extend(candle_core::safetensors::load(file, &device).map_err(failed(file))?);
        }
        let vb = VarBuilder::from_tensors(tensors, dtype, &device);
        let invalid = |e: serde_json::Error| Failure::wrong(format!("{}/config.json: {e}", folder.display()));
        let bad = failed(folder);
        Ok(match name {
            "llama" => {
                let config: llama::LlamaConfig = serde_json::from_value(config.clone()).map_err(invalid)?;
                let config = config.into_config(false);
                check_layers(&vb, folder, config.num_hidden_layers)?;
                let cache = llama::Cache::new(true, dtype, &config, &device).map_err(&bad)?;
                Self::Llama { model: llama::Llama::load(vb, &config).map_err(&bad)?, config, cache }
            }
            "mistral" => {
                let config = serde_json::from_value(config.clone()).map_err(invalid)?;
                Self::Mistral(mistral::Model::new(&config, vb).map_err(&bad)?)
            }
            "qwen2" => {
                // Some configurations omit fields that do not apply.
                let mut config = config.clone();
                for (field, value) in [("sliding_window", 4096), ("max_window_layers", 0)] {
                    if config[field].is_null() {
                        config[field] = value.into();
                    }
                }
                let config = serde_json::from_value(config).map_err(invalid)?;
                Self::Qwen2(qwen2::ModelForCausalLM::new(&config, vb).map_err(&bad)?)
            }
            _ => {
                let config = serde_json::from_value(config.clone()).map_err(invalid)?;
                Self::Qwen3(qwen3::ModelForCausalLM::new(&config, vb).map_err(&bad)?)
            }
        })
    }

    fn from_gguf(path: &Path) -> Result<Self, Failure> {
        let bad = failed(path);
        let file =
            std::fs::File::open(path).map_err(|e| Failure::missing(format!("{}: {e}", path.display())))?;
        let mut file = std::io::BufReader::new(file);
        let content = Content::read(&mut file).map_err(&bad)?;
        let name = content.metadata.get("general.architecture").and_then(|v| v.to_string().ok()).cloned();
        let device = Device::Cpu;
        Ok(match name.as_deref() {
            // GGUF files of Mistral say llama.
            Some("llama") => Self::QuantisedLlama(
                quantized_llama::ModelWeights::from_gguf(content, &mut file, &device).map_err(&bad)?,
            ),
            Some("qwen2") => Self::QuantisedQwen2(
                quantized_qwen2::ModelWeights::from_gguf(content, &mut file, &device).map_err(&bad)?,
            ),
            Some("qwen3") => Self::QuantisedQwen3(
                quantized_qwen3::ModelWeights::from_gguf(content, &mut file, &device).map_err(&bad)?,
            ),
            other => {
                let other = other.unwrap_or("none");
                return Err(Failure::missing(format!(
                    "{}: quantised models of the architecture `{other}` are not supported",
                    path.display()
                ))
                .help("use one of llama (also Mistral), qwen2, qwen3"));
            }
        })
    }

    /// Clears the cache and reads a prompt; the logits after it.
    pub(super) fn start(&mut self, prompt: &[u32]) -> Result<Vec<f32>, Failure> {
        match self {
            Self::Llama { config, cache, .. } => {
                *cache =
                    llama::Cache::new(true, DType::F32, config, &Device::Cpu).map_err(|e| running(&e))?;
            }
            Self::Mistral(model) => model.clear_kv_cache(),
            Self::Qwen2(model) => model.clear_kv_cache(),
            Self::Qwen3(model) => model.clear_kv_cache(),
            Self::QuantisedLlama(model) => model.clear_kv_cache(),
            Self::QuantisedQwen2(model) => model.clear_kv_cache(),
            Self::QuantisedQwen3(model) => model.clear_kv_cache(),
        }
        self.forward(prompt, 0)
    }

    /// Reads the token at `position`; the logits after it.
    pub(super) fn step(&mut self, token: u32, position: usize) -> Result<Vec<f32>, Failure> {
        self.forward(&[token], position)
    }

    fn forward(&mut self, tokens: &[u32], position: usize) -> Result<Vec<f32>, Failure> {
        let mut pass = || -> candle_core::Result<Vec<f32>> {
            let x = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
            let logits = match self {
                Self::Llama { model, cache, .. } => model.forward(&x, position, cache)?,
                Self::Mistral(model) => model.forward(&x, position)?,
                Self::Qwen2(model) => model.forward(&x, position)?,
                Self::Qwen3(model) => model.forward(&x, position)?,
                Self::QuantisedLlama(model) => model.forward(&x, position)?,
                Self::QuantisedQwen2(model) => model.forward(&x, position)?,
                Self::QuantisedQwen3(model) => model.forward(&x, position)?,
            };
            logits.flatten_all()?.to_dtype(DType::F32)?.to_vec1()
        };
        let logits = pass().map_err(|e| running(&e))?;
        match logits.iter().find(|x| x.is_nan()) {
            Some(_) => Err(Failure::wrong("the language model's logits are NaN")),
            None => Ok(logits),
        }
    }
}

/// Checks that every layer has its weights: candle's Llama panics if one is missing.
fn check_layers(vb: &VarBuilder<'_>, folder: &Path, layers: usize) -> Result<(), Failure> {
    const LAYER_WEIGHTS: [&str; 9] = [
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
        "input_layernorm",
        "post_attention_layernorm",
    ];
    let names = (0..layers).flat_map(|i| LAYER_WEIGHTS.map(|of| format!("model.layers.{i}.{of}.weight")));
    match names.into_iter().find(|n| !vb.contains_tensor(n)) {
        Some(name) => Err(Failure::wrong(format!("{}: the weights have no `{name}`", folder.display()))),
        None => Ok(()),
    }
}
