//! LoRA adapters of PEFT, merged into the weights that they adapt: W + B · A · alpha / r. Modules that were trained whole
//! replace the model's.
//!
//! **Source:** PEFT `tuners/lora/config.py`, `tuners/lora/layer.py` (`get_delta_weight`), `utils/save_and_load.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde_json::json;

use super::header;
use super::loader::WeightLoader;
use super::tensor::TensorHeader;
use super::{bytes, float, torch_file};
use crate::arch::TensorRole;
use crate::config::Fields;
use crate::files;
use xpipe_base::task::Failure;

/// Fields without an effect on a merged adapter: how it was trained, and which modules it has (its tensors say that).
const HARMLESS: [&str; 16] = [
    "auto_mapping",
    "base_model_class",
    "base_model_name_or_path",
    "ensure_weight_tying",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "lora_dropout",
    "megatron_core",
    "modules_to_save",
    "parent_library",
    "peft_version",
    "revision",
    "target_modules",
    "task_type",
];

/// A tensor, with its numbers if those are read.
type AdapterTensor = (TensorHeader, Option<Vec<u8>>);

/// The role of an adapter's tensor, by its name.
#[derive(Debug, PartialEq)]
enum AdapterRole {
    /// Matrix A of a module.
    Down(String),
    /// Matrix B of a module.
    Up(String),
    /// Replaces a tensor of the model.
    Whole(String),
    /// Unknown.
    Other,
}

/// Merges the adapter of a folder into weights. Without `numbers` only names and shapes are checked.
///
/// # Errors
/// When the kind of adapter is not implemented, tensors do not fit the model, or a file is damaged.
pub(super) fn merge(loader: &mut WeightLoader<'_>, folder: &Path, numbers: bool) -> Result<(), Failure> {
    let scale = scale(folder)?;
    let path = path(folder)?;
    let mut down: BTreeMap<String, AdapterTensor> = BTreeMap::new();
    let mut up: BTreeMap<String, AdapterTensor> = BTreeMap::new();
    for (tensor, bytes) in tensors(&path, numbers)? {
        match kind(&tensor.name) {
            AdapterRole::Down(module) => drop(down.insert(module, (tensor, bytes))),
            AdapterRole::Up(module) => drop(up.insert(module, (tensor, bytes))),
            AdapterRole::Whole(name) => {
                if let Some(at) = loader.place(&name) {
                    loader.from[at] = None;
                }
                loader.take(&path, name, &tensor.shape, tensor.kind, bytes.as_deref())?;
            }
            AdapterRole::Other => loader.left.push(tensor.name),
        }
    }
    let alone =
        down.keys().find(|m| !up.contains_key(*m)).or_else(|| up.keys().find(|m| !down.contains_key(*m)));
    if let Some(alone) = alone {
        return Err(Failure::wrong(format!(
            "{}: `{alone}` has one of lora_A and lora_B only",
            path.display()
        )));
    }
    for ((module, a), b) in down.into_iter().zip(up.into_values()) {
        loader.adapt(&path, &module, &a, &b, scale)?;
    }
    Ok(())
}

/// The factor alpha / r of an adapter of an implemented kind.
fn scale(folder: &Path) -> Result<f32, Failure> {
    let path = folder.join(files::ADAPTER);
    let bytes = std::fs::read(&path).map_err(|e| Failure::missing(format!("{}: {e}", path.display())))?;
    let fields = Fields::parse(&path.display().to_string(), &bytes)?;
    fields.only("peft_type", &[json!("LORA")])?;
    for name in ["use_dora", "use_rslora", "use_qalora", "fan_in_fan_out", "lora_bias"] {
        fields.only(name, &[json!(false)])?;
    }
    fields.only("bias", &[json!("none")])?;
    // Other initialisations move a part of the model's weights into the adapter and change the rest.
    fields.only("init_lora_weights", &[json!(true), json!(false), json!("gaussian")])?;
    for name in ["rank_pattern", "alpha_pattern", "loftq_config", "megatron_config"] {
        fields.only(name, &[json!({})])?;
    }
    for name in [
        "layer_replication",
        "trainable_token_indices",
        "target_parameters",
        "eva_config",
        "corda_config",
        "arrow_config",
        "lora_ga_config",
        "alora_invocation_tokens",
        "use_bdlora",
        "velora_config",
        "monteclora_config",
    ] {
        fields.only(name, &[json!([])])?;
    }
    let _ = fields.value("qalora_group_size");
    let (rank, alpha) = (fields.count("r", None)?, fields.number("lora_alpha", 8.0, 0.0, 1e9)?);
    fields.finish(&HARMLESS)?;
    Ok((alpha / rank as f64) as f32)
}

fn path(folder: &Path) -> Result<PathBuf, Failure> {
    let found = files::ADAPTER_WEIGHTS.iter().map(|f| folder.join(f)).find(|f| f.is_file());
    found.ok_or_else(|| {
        Failure::missing(format!(
            "{}: no {} beside its {}",
            folder.display(),
            files::ADAPTER_WEIGHTS[0],
            files::ADAPTER
        ))
        .help("copy the whole folder of the adapter")
    })
}

/// The tensors of a file by name.
fn tensors(path: &Path, numbers: bool) -> Result<Vec<AdapterTensor>, Failure> {
    let mut all: Vec<AdapterTensor> = if !numbers {
        header::read(path)?.unwrap_or_default().into_iter().map(|t| (t, None)).collect()
    } else if path.extension().is_some_and(|e| e == "bin") {
        let described = |t: torch_file::TorchTensor| {
            (TensorHeader { name: t.name, shape: t.shape, kind: t.kind }, Some(t.bytes))
        };
        torch_file::read(path)?.into_iter().map(described).collect()
    } else {
        let bytes = bytes::whole(path)?;
        let tensors = SafeTensors::deserialize(&bytes)
            .map_err(|e| Failure::wrong(format!("{}: not a whole safetensors file: {e}", path.display())))?;
        let one = |(name, t): (String, safetensors::tensor::TensorView<'_>)| {
            (TensorHeader { name, shape: t.shape().to_vec(), kind: t.dtype() }, Some(t.data().to_vec()))
        };
        tensors.tensors().into_iter().map(one).collect()
    };
    all.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    Ok(all)
}

fn kind(name: &str) -> AdapterRole {
    let Some(inner) = name.strip_prefix("base_model.model.") else { return AdapterRole::Other };
    // AdapterTensor names may include the adapter's name: none, or `default`, if it was saved alone.
    let inner = inner.replace(".default.", ".");
    if let Some(module) = inner.strip_suffix(".lora_A.weight") {
        return AdapterRole::Down(module.to_owned());
    }
    if let Some(module) = inner.strip_suffix(".lora_B.weight") {
        return AdapterRole::Up(module.to_owned());
    }
    match inner.contains(".lora_") || inner.contains(".original_module.") {
        true => AdapterRole::Other,
        false => AdapterRole::Whole(inner.replace(".modules_to_save.", ".")),
    }
}

fn floats(path: &Path, (tensor, bytes): &AdapterTensor) -> Result<Option<Vec<f32>>, Failure> {
    let Some(bytes) = bytes else { return Ok(None) };
    let mut out = vec![0.0; tensor.shape.iter().product()];
    match tensor.kind {
        Dtype::F32 => float::from_f32(bytes, &mut out),
        Dtype::F16 => float::from_f16(bytes, &mut out),
        Dtype::BF16 => float::from_bf16(bytes, &mut out),
        other => {
            let message =
                format!("{}: tensor `{}` has numbers of kind {other:?}", path.display(), tensor.name);
            return Err(Failure::wrong(message).help("expected F32, F16 or BF16"));
        }
    }
    Ok(Some(out))
}

impl WeightLoader<'_> {
    /// Index of the parameter that a tensor name means.
    fn place(&self, name: &str) -> Option<usize> {
        match self.model.role(name) {
            TensorRole::Parameter(regular) => self.places.get(regular.as_str()).copied(),
            TensorRole::Ignored => None,
        }
    }

    /// Adds B · A · scale to the weight of a module.
    fn adapt(
        &mut self,
        path: &Path,
        module: &str,
        a: &AdapterTensor,
        b: &AdapterTensor,
        scale: f32,
    ) -> Result<(), Failure> {
        let name = path.display();
        let Some(at) = self.place(&format!("{module}.weight")) else {
            self.left.push(a.0.name.clone());
            return Ok(());
        };
        let parameter = &self.parameters[at];
        let ([rank, inputs], [outputs, other]) = (&a.0.shape[..], &b.0.shape[..]) else {
            return Err(Failure::wrong(format!("{name}: lora_A or lora_B of `{module}` is no matrix")));
        };
        if parameter.shape != [*outputs, *inputs] || rank != other {
            return Err(Failure::wrong(format!(
                "{name}: lora_A {:?} and lora_B {:?} of `{module}` do not make its weight {:?}",
                a.0.shape, b.0.shape, parameter.shape
            ))
            .help("the adapter is of another model"));
        }
        let (rank, inputs) = (*rank, *inputs);
        // Without numbers only the header is read.
        let (Some(a), Some(b)) = (floats(path, a)?, floats(path, b)?) else { return Ok(()) };
        let weight = &mut self.weights[parameter.offset..parameter.offset + parameter.len()];
        for (row, b) in weight.chunks_exact_mut(inputs).zip(b.chunks_exact(rank)) {
            for (i, w) in row.iter_mut().enumerate() {
                let sum: f32 = b.iter().enumerate().map(|(k, b)| b * a[k * inputs + i]).sum();
                *w += sum * scale;
            }
        }
        match weight.iter().find(|x| !x.is_finite()) {
            None => Ok(()),
            Some(x) => {
                Err(Failure::wrong(format!("{name}: with the adapter, a weight of `{module}` is {x}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use safetensors::tensor::TensorView;

    use super::*;
    use crate::testing;
    use crate::weights::{Checkpoint, CheckpointPart, Labels};

    #[test]
    fn names_of_tensors() {
        let module = "bert.encoder.layer.0.attention.self.query";
        for middle in ["", ".default"] {
            let name = |which: &str| format!("base_model.model.{module}.lora_{which}{middle}.weight");
            assert_eq!(
                (kind(&name("A")), kind(&name("B"))),
                (AdapterRole::Down(module.into()), AdapterRole::Up(module.into()))
            );
            let saved = format!("base_model.model.classifier.modules_to_save{middle}.bias");
            assert_eq!(kind(&saved), AdapterRole::Whole("classifier.bias".into()));
        }
        assert_eq!(
            kind("base_model.model.classifier.weight"),
            AdapterRole::Whole("classifier.weight".into())
        );
        for other in [
            "classifier.weight",
            "base_model.model.x.lora_magnitude_vector.weight",
            "base_model.model.x.lora_embedding_A",
        ] {
            assert_eq!(kind(other), AdapterRole::Other, "{other}");
        }
    }

    const QUERY: &str = "electra.encoder.layer.1.attention.self.query";
    const CONFIG: &str = r#"{"peft_type": "LORA", "base_model_name_or_path": "lab/base", "r": 2, "lora_alpha": 3, "bias": "none",
        "target_modules": ["query"], "modules_to_save": ["classifier"], "task_type": "SEQ_CLS", "use_dora": false,
        "use_rslora": false, "fan_in_fan_out": false, "init_lora_weights": true, "rank_pattern": {}, "alpha_pattern": {},
        "lora_dropout": 0.1, "inference_mode": true, "revision": null, "loftq_config": {}, "layer_replication": null @}"#;

    /// A model beside an adapter of its second layer's queries and of the classifier's bias.
    fn folder(more: &str, spare: Option<&str>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(testing::fixture("electra-wide").join(file), dir.path().join(file)).unwrap();
        }
        std::fs::write(dir.path().join(files::JOINED), "{}").unwrap();
        std::fs::write(dir.path().join(files::ADAPTER), CONFIG.replace('@', more)).unwrap();
        let bytes = |x: &[f32]| -> Vec<u8> { x.iter().flat_map(|v| v.to_le_bytes()).collect() };
        let (a, b) = (bytes(&numbers(2 * 16, 1)), bytes(&numbers(16 * 2, 2)));
        let bias = bytes(&[0.75]);
        let view = |shape: &[usize], x| TensorView::new(Dtype::F32, shape.to_vec(), x).unwrap();
        let mut tensors = HashMap::from([
            (format!("base_model.model.{QUERY}.lora_A.weight"), view(&[2, 16], &a)),
            (format!("base_model.model.{QUERY}.lora_B.weight"), view(&[16, 2], &b)),
            ("base_model.model.classifier.out_proj.bias".to_owned(), view(&[1], &bias)),
        ]);
        if let Some(name) = spare {
            tensors.insert(name.to_owned(), view(&[1], &bias));
        }
        safetensors::serialize_to_file(tensors, None, &dir.path().join("adapter_model.safetensors")).unwrap();
        dir
    }

    fn numbers(n: usize, of: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7 + of * 5) % 11) as f32 / 8.0 - 0.5).collect()
    }

    #[test]
    fn an_adapter_is_added_to_the_weights_by_its_definition() {
        let dir = folder("", None);
        let base = Checkpoint::load(&testing::fixture("electra-wide"), 0).unwrap();
        let merged = Checkpoint::load(dir.path(), 0).unwrap();
        assert!(Checkpoint::check(dir.path(), Labels::One, CheckpointPart::Reranker).unwrap().is_empty());
        let (a, b) = (numbers(2 * 16, 1), numbers(16 * 2, 2));
        for p in &base.parameters {
            let [before, after] = [&base, &merged].map(|c| &c.weights[p.offset..p.offset + p.len()]);
            match p.name.as_str() {
                "classifier.out_proj.bias" => assert_eq!(after, [0.75]),
                name if name == format!("{QUERY}.weight") => {
                    for o in 0..16 {
                        for i in 0..16 {
                            let sum = b[o * 2] * a[i] + b[o * 2 + 1] * a[16 + i];
                            let expected = before[o * 16 + i] + sum * 1.5;
                            assert!((after[o * 16 + i] - expected).abs() < 1e-6, "{o} {i}");
                        }
                    }
                    assert_ne!(before, after);
                }
                name => assert_eq!(before, after, "{name}"),
            }
        }
    }

    #[test]
    fn other_kinds_and_models_are_refused_by_name() {
        for (more, name) in [
            (r#", "use_dora": true"#, "`use_dora`"),
            (r#", "use_rslora": true"#, "`use_rslora`"),
            (r#", "bias": "all""#, "`bias`"),
            (r#", "rank_pattern": {"query": 4}"#, "`rank_pattern`"),
            (r#", "init_lora_weights": "pissa""#, "`init_lora_weights`"),
            (r#", "peft_type": "ADALORA""#, "`peft_type`"),
            (r#", "something_new": 3"#, "`something_new`"),
        ] {
            let dir = folder(more, None);
            for failure in [
                Checkpoint::load(dir.path(), 0).unwrap_err(),
                Checkpoint::check(dir.path(), Labels::One, CheckpointPart::Reranker).unwrap_err(),
            ] {
                assert!(
                    failure.message.contains(name) && failure.message.contains("adapter_config.json"),
                    "{failure}"
                );
            }
        }
        let dir = folder("", Some("base_model.model.electra.x.lora_magnitude_vector"));
        assert!(Checkpoint::load(dir.path(), 0).unwrap_err().message.contains("lora_magnitude_vector"));
        let dir = folder("", None);
        std::fs::remove_file(dir.path().join(files::JOINED)).unwrap();
        let failure = Checkpoint::load(dir.path(), 0).unwrap_err();
        assert!(failure.message.contains("weights of a model and of an adapter"), "{failure}");
        let dir = folder("", None);
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(testing::fixture("electra").join(file), dir.path().join(file)).unwrap();
        }
        let failure = Checkpoint::load(dir.path(), 0).unwrap_err();
        assert!(failure.message.contains("do not make its weight"), "{failure}");
    }
}
