//! The forward pass: candle's models behind one call, tokens in, logits of the last of them out.

use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Content;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{
    llama, mistral, quantized_llama, quantized_qwen2, quantized_qwen3, qwen2, qwen3,
};
use serde_json::Value as Json;

use xpipe_base::task::{Failure, passed_over};
use xpipe_base::value::InnerPath;

/// A model with its memory of the conversation.
pub(super) enum Engine {
    Llama { model: llama::Llama, config: llama::Config, cache: llama::Cache },
    Mistral(mistral::Model),
    Qwen2(qwen2::ModelForCausalLM),
    Qwen3(qwen3::ModelForCausalLM),
    QuantisedLlama(quantized_llama::ModelWeights),
    QuantisedQwen2(quantized_qwen2::ModelWeights),
    QuantisedQwen3(quantized_qwen3::ModelWeights),
}

/// The architectures that are known, by `model_type` of config.json.
const KNOWN: [&str; 4] = ["llama", "mistral", "qwen2", "qwen3"];

/// The architecture of a configuration.
pub(super) fn known(config: &Json) -> Result<&'static str, Failure> {
    let name = config["model_type"].as_str().unwrap_or("none");
    KNOWN.into_iter().find(|k| *k == name).ok_or_else(|| {
        Failure::missing(format!("this version does not run language models of the architecture `{name}`"))
            .help(format!("take one of {}, or a server with `llm.endpoint`", KNOWN.join(", ")))
    })
}

/// Where weights are.
pub(super) enum Weights {
    /// Files of safetensors.
    Whole(Vec<PathBuf>),
    /// One file of quantised weights.
    Quantised(PathBuf),
}

/// The weights in a folder.
pub(super) fn weights(folder: &Path) -> Result<Weights, Failure> {
    let single = folder.join("model.safetensors");
    if single.is_file() {
        return Ok(Weights::Whole(vec![single]));
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
            let path = InnerPath::of_input(file, passed_over).map_err(|why| {
                Failure::wrong(format!("{}: `{}` {why}", index.display(), file.escape_debug()))
            })?;
            Ok::<PathBuf, Failure>(path.below(folder))
        };
        return Ok(Weights::Whole(files.into_iter().map(place).collect::<Result<_, Failure>>()?));
    }
    let entries =
        std::fs::read_dir(folder).map_err(|e| Failure::missing(format!("{}: {e}", folder.display())))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "gguf"));
    match files.as_slice() {
        [one] => Ok(Weights::Quantised(one.clone())),
        [] => Err(Failure::missing(format!("{} has no model.safetensors and no .gguf", folder.display()))),
        _ => Err(Failure::wrong(format!("{} has several .gguf files, and one is wanted", folder.display()))),
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
        let name = known(config)?;
        match weights(folder)? {
            Weights::Whole(files) => Self::whole(name, folder, config, &files),
            Weights::Quantised(file) => Self::quantised(&file),
        }
    }

    fn whole(name: &str, folder: &Path, config: &Json, files: &[PathBuf]) -> Result<Self, Failure> {
        let (device, dtype) = (Device::Cpu, DType::F32);
        let mut tensors = std::collections::HashMap::new();
        for file in files {
            tensors.extend(candle_core::safetensors::load(file, &device).map_err(failed(file))?);
        }
        let vb = VarBuilder::from_tensors(tensors, dtype, &device);
        let odd = |e: serde_json::Error| Failure::wrong(format!("{}/config.json: {e}", folder.display()));
        let bad = failed(folder);
        Ok(match name {
            "llama" => {
                let config: llama::LlamaConfig = serde_json::from_value(config.clone()).map_err(odd)?;
                let config = config.into_config(false);
                complete(&vb, folder, config.num_hidden_layers)?;
                let cache = llama::Cache::new(true, dtype, &config, &device).map_err(&bad)?;
                Self::Llama { model: llama::Llama::load(vb, &config).map_err(&bad)?, config, cache }
            }
            "mistral" => {
                let config = serde_json::from_value(config.clone()).map_err(odd)?;
                Self::Mistral(mistral::Model::new(&config, vb).map_err(&bad)?)
            }
            "qwen2" => {
                // Some configurations leave out what does not apply.
                let mut config = config.clone();
                for (field, value) in [("sliding_window", 4096), ("max_window_layers", 0)] {
                    if config[field].is_null() {
                        config[field] = value.into();
                    }
                }
                let config = serde_json::from_value(config).map_err(odd)?;
                Self::Qwen2(qwen2::ModelForCausalLM::new(&config, vb).map_err(&bad)?)
            }
            _ => {
                let config = serde_json::from_value(config.clone()).map_err(odd)?;
                Self::Qwen3(qwen3::ModelForCausalLM::new(&config, vb).map_err(&bad)?)
            }
        })
    }

    fn quantised(path: &Path) -> Result<Self, Failure> {
        let bad = failed(path);
        let file =
            std::fs::File::open(path).map_err(|e| Failure::missing(format!("{}: {e}", path.display())))?;
        let mut file = std::io::BufReader::new(file);
        let content = Content::read(&mut file).map_err(&bad)?;
        let name = content.metadata.get("general.architecture").and_then(|v| v.to_string().ok()).cloned();
        let device = Device::Cpu;
        Ok(match name.as_deref() {
            // Mistral's files say llama.
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
                    "{}: this version does not run quantised models of the architecture `{other}`",
                    path.display()
                ))
                .help("take one of llama (also Mistral), qwen2, qwen3"));
            }
        })
    }

    /// Forgets what was said, reads a question, and gives the logits after it.
    pub(super) fn start(&mut self, question: &[u32]) -> Result<Vec<f32>, Failure> {
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
        self.forward(question, 0)
    }

    /// Reads one more token behind so many others, and gives the logits after it.
    pub(super) fn go_on(&mut self, token: u32, behind: usize) -> Result<Vec<f32>, Failure> {
        self.forward(&[token], behind)
    }

    fn forward(&mut self, tokens: &[u32], behind: usize) -> Result<Vec<f32>, Failure> {
        let mut pass = || -> candle_core::Result<Vec<f32>> {
            let x = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
            let logits = match self {
                Self::Llama { model, cache, .. } => model.forward(&x, behind, cache)?,
                Self::Mistral(model) => model.forward(&x, behind)?,
                Self::Qwen2(model) => model.forward(&x, behind)?,
                Self::Qwen3(model) => model.forward(&x, behind)?,
                Self::QuantisedLlama(model) => model.forward(&x, behind)?,
                Self::QuantisedQwen2(model) => model.forward(&x, behind)?,
                Self::QuantisedQwen3(model) => model.forward(&x, behind)?,
            };
            logits.flatten_all()?.to_dtype(DType::F32)?.to_vec1()
        };
        let logits = pass().map_err(|e| running(&e))?;
        match logits.iter().find(|x| x.is_nan()) {
            Some(_) => Err(Failure::wrong("the language model gives no numbers (NaN)")),
            None => Ok(logits),
        }
    }
}

/// Whether every layer is there: candle's Llama ends the program when one is not.
fn complete(vb: &VarBuilder<'_>, folder: &Path, layers: usize) -> Result<(), Failure> {
    const OF_LAYER: [&str; 9] = [
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
    let names = (0..layers).flat_map(|i| OF_LAYER.map(|of| format!("model.layers.{i}.{of}.weight")));
    match names.into_iter().find(|n| !vb.contains_tensor(n)) {
        Some(name) => Err(Failure::wrong(format!("{}: the weights have no `{name}`", folder.display()))),
        None => Ok(()),
    }
}
