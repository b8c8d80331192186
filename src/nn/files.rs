//! Which files of a model folder are read, by the names under which models are published. Fetching from the hub, checks for
//! missing files and hints about folders with other files all use these lists.
//!
//! Must not know: the content of the files.

use std::path::Path;

/// The file that marks a folder as a model.
pub const CONFIG: &str = "config.json";
/// The file that marks a folder as a LoRA adapter of another model.
pub const ADAPTER: &str = "adapter_config.json";
/// Formats of weights in the order of preference: safetensors before torch's own, a single file before shards.
pub const WEIGHTS: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];
/// Marks a folder that combines an adapter with its model.
pub const JOINED: &str = "xpipe_joined.json";
/// Formats of an adapter's weights.
pub const ADAPTER_WEIGHTS: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];
/// A complete tokenizer in one file.
pub const TOKENIZER: &str = "tokenizer.json";
/// Vocabularies from which a tokenizer is built if there is no `tokenizer.json`: the files of each format.
pub const VOCABULARIES: [&[&str]; 4] =
    [&["spm.model"], &["sentencepiece.bpe.model"], &["vocab.json", "merges.txt"], &["vocab.txt"]];
/// Optional files with settings that change what a model computes.
pub const SETTINGS: [&str; 6] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
    MODULES,
];
/// The list of modules of a sentence-transformers model.
pub const MODULES: &str = "modules.json";
/// Settings of a sentence-transformers model as a whole.
const SENTENCE_SETTINGS: &str = "config_sentence_transformers.json";
/// Names of the file with the settings of the Transformer module.
pub const TRANSFORMER_SETTINGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// Something that a model lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingFile {
    /// The configuration.
    Config,
    /// Weights in a supported format.
    Weights,
    /// A tokenizer in a supported format.
    Tokenizer,
}

impl MissingFile {
    /// The names expected, for messages.
    pub fn expected(self) -> &'static str {
        match self {
            Self::Config => "config.json",
            Self::Weights => "model.safetensors or pytorch_model.bin",
            Self::Tokenizer => {
                "tokenizer.json, vocab.txt, vocab.json with merges.txt, spm.model or sentencepiece.bpe.model"
            }
        }
    }
}

/// The files of a model that are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelFiles {
    /// Files that exist.
    pub files: Vec<String>,
    /// Files that would be read but do not exist.
    pub absent: Vec<&'static str>,
    /// Required parts that are missing.
    pub lacks: Vec<MissingFile>,
}

/// Chooses the files to read from a folder or repository. `has` says whether it has a file. Files named in other files
/// (shards, modules) follow later, see [`named_in`].
///
/// # Errors
/// Those of `has`.
pub fn choose<E>(mut has: impl FnMut(&str) -> Result<bool, E>) -> Result<ModelFiles, E> {
    let mut chosen = ModelFiles::default();
    let is_model = has(CONFIG)?;
    let is_adapter = has(ADAPTER)?;
    match (is_model, is_adapter) {
        (false, false) => chosen.lacks.push(MissingFile::Config),
        _ => chosen.files.extend(
            [(is_model, CONFIG), (is_adapter, ADAPTER)].iter().filter(|f| f.0).map(|f| f.1.to_owned()),
        ),
    }
    let mut forms = Vec::new();
    if is_model || !is_adapter {
        forms.push(&WEIGHTS[..]);
    }
    if is_adapter {
        forms.push(&ADAPTER_WEIGHTS[..]);
    }
    for forms in forms {
        match first(forms.iter().copied(), &mut has)? {
            Some(form) => chosen.files.push(form.to_owned()),
            None => chosen.lacks.push(MissingFile::Weights),
        }
    }
    if has(TOKENIZER)? {
        chosen.files.push(TOKENIZER.to_owned());
    } else {
        chosen.absent.push(TOKENIZER);
        let before = chosen.files.len();
        for form in VOCABULARIES {
            let mut whole = true;
            for file in form {
                whole = whole && has(file)?;
            }
            if whole {
                chosen.files.extend(form.iter().map(|f| (*f).to_owned()));
            }
        }
        // An adapter takes the tokenizer of its model.
        if chosen.files.len() == before && !is_adapter {
            chosen.lacks.push(MissingFile::Tokenizer);
        }
    }
    for file in SETTINGS {
        take(file, &mut has, &mut chosen)?;
    }
    if chosen.files.iter().any(|f| f == MODULES) {
        for file in std::iter::once(SENTENCE_SETTINGS).chain(TRANSFORMER_SETTINGS) {
            take(file, &mut has, &mut chosen)?;
        }
    }
    Ok(chosen)
}

fn take<E>(
    file: &'static str,
    has: &mut impl FnMut(&str) -> Result<bool, E>,
    chosen: &mut ModelFiles,
) -> Result<(), E> {
    match has(file)? {
        true => chosen.files.push(file.to_owned()),
        false => chosen.absent.push(file),
    }
    Ok(())
}

fn first<E>(
    names: impl Iterator<Item = &'static str>,
    has: &mut impl FnMut(&str) -> Result<bool, E>,
) -> Result<Option<&'static str>, E> {
    for name in names {
        if has(name)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// The files that one of the chosen files names, as written there: shards of weights, and settings of modules.
///
/// # Errors
/// When the file is malformed.
pub fn named_in(file: &str, text: &[u8]) -> Result<Vec<String>, String> {
    let json = || serde_json::from_slice::<serde_json::Value>(text).map_err(|e| format!("not JSON: {e}"));
    let mut names: Vec<String> = match file {
        _ if WEIGHTS.contains(&file) && file.ends_with(".index.json") => {
            let json = json()?;
            let map = json["weight_map"].as_object().ok_or("it has no `weight_map`")?;
            let each = map.values().map(|v| v.as_str().map(str::to_owned));
            each.collect::<Option<_>>().ok_or("its `weight_map` names something that is no file")?
        }
        MODULES => {
            let json = json()?;
            let list = json.as_array().ok_or("it is not a list of modules")?;
            let paths = list.iter().filter_map(|m| m["path"].as_str()).filter(|p| !p.is_empty());
            paths.map(|p| format!("{}/{CONFIG}", p.trim_end_matches('/'))).collect()
        }
        _ => Vec::new(),
    };
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// The files of a folder that are read, including those that others of them name. `None` if a required part is missing or
/// it is no model.
pub fn of_folder(folder: &Path) -> Option<Vec<String>> {
    let Ok(chosen) = choose(|file| Ok::<_, std::convert::Infallible>(folder.join(file).is_file()));
    if !chosen.lacks.is_empty() {
        return None;
    }
    let mut files = chosen.files;
    for file in files.clone().iter().filter(|file| file.ends_with(".json")) {
        // Damage is reported where the file is read.
        let named = std::fs::read(folder.join(file)).ok().and_then(|text| named_in(file, &text).ok());
        files.extend(named.unwrap_or_default().into_iter().filter(|named| folder.join(named).is_file()));
    }
    files.extend(folder.join(JOINED).is_file().then(|| JOINED.to_owned()));
    files.sort_unstable();
    files.dedup();
    Some(files)
}

/// What a folder has instead of supported files, and what to do about it. `None` if nothing is recognised.
pub fn instead(folder: &Path) -> Option<String> {
    if let Ok(text) = std::fs::read(folder.join(ADAPTER)) {
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let kind = json["peft_type"].as_str().unwrap_or("LoRA");
        let base = json["base_model_name_or_path"].as_str().unwrap_or("another model");
        return Some(format!(
            "it is an adapter ({kind}) of {base}, and no model of its own: merge it with PEFT's `merge_and_unload()`, save the \
             result with `save_pretrained`, and give that folder"
        ));
    }
    let names = names(folder);
    let others = of_others(names.iter().map(String::as_str))?;
    Some(format!(
        "its weights are for other programs: {others}. Weights are read from model.safetensors or pytorch_model.bin, which \
         `save_pretrained` of transformers writes"
    ))
}

/// The tokenizer's folder if it is not the model's: the parent of a trainer's checkpoint.
pub fn tokenizer_above(folder: &Path) -> Option<String> {
    let above = folder.parent()?;
    let files: Vec<&str> =
        std::iter::once(TOKENIZER).chain(VOCABULARIES.into_iter().flatten().copied()).collect();
    let found = files.into_iter().find(|f| above.join(f).is_file())?;
    Some(format!(
        "the folder above it has {found}: copy that and tokenizer_config.json into the folder, if the checkpoint was trained \
         with that tokenizer"
    ))
}

/// Names of files in a folder and in its folders.
fn names(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().take(1000) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let inside = std::fs::read_dir(entry.path()).into_iter().flatten().flatten().take(1000);
        found.extend(inside.map(|e| format!("{name}/{}", e.file_name().to_string_lossy())));
        found.push(name);
    }
    found.sort();
    found
}

/// Unsupported formats of weights among file names, for messages: `ONNX (onnx/model.onnx)`. `None` if there are none.
pub fn of_others<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    type Is = fn(&str) -> bool;
    let kinds: [(&str, Is); 7] = [
        ("ONNX", |n| n.ends_with(".onnx")),
        ("GGUF", |n| n.ends_with(".gguf")),
        ("TensorFlow", |n| n.ends_with(".h5") || n.ends_with(".ckpt.index") || n.ends_with("saved_model.pb")),
        ("Flax", |n| n.ends_with(".msgpack")),
        ("OpenVINO", |n| n.contains("openvino") && n.ends_with(".xml")),
        ("Core ML", |n| n.contains(".mlpackage/") || n.ends_with(".mlmodel")),
        ("torch.save of a whole module or a trainer's state", |n| {
            [".pt", ".pth", ".ckpt"].iter().any(|e| n.ends_with(e))
                && !n.ends_with("optimizer.pt")
                && !n.ends_with("scheduler.pt")
        }),
    ];
    let mut found: Vec<(&str, &str)> = Vec::new();
    for name in names {
        for (kind, is) in kinds {
            if is(name) && !found.iter().any(|(k, _)| *k == kind) {
                found.push((kind, name));
            }
        }
    }
    let told: Vec<String> = found.iter().map(|(kind, name)| format!("{kind} ({name})")).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[&str]) -> ModelFiles {
        choose(|name| Ok::<_, ()>(files.contains(&name))).unwrap()
    }

    #[test]
    fn one_form_of_weights_and_tokenizer_is_read() {
        let all = of(&[
            "README.md",
            "config.json",
            "model.safetensors",
            "pytorch_model.bin",
            "tokenizer.json",
            "vocab.txt",
            "tokenizer_config.json",
            "onnx/model.onnx",
        ]);
        assert_eq!(
            all.files,
            ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
        );
        assert!(all.lacks.is_empty() && all.absent.contains(&"modules.json"));
        let roberta = of(&["config.json", "pytorch_model.bin.index.json", "vocab.json", "merges.txt"]);
        assert_eq!(
            roberta.files,
            ["config.json", "pytorch_model.bin.index.json", "vocab.json", "merges.txt"]
        );
        assert!(of(&["config.json", "pytorch_model.bin", "vocab.json"]).lacks == [MissingFile::Tokenizer]);
        assert_eq!(of(&[]).lacks, [MissingFile::Config, MissingFile::Weights, MissingFile::Tokenizer]);
        let adapter = of(&["adapter_config.json", "adapter_model.safetensors"]);
        assert_eq!((adapter.files.len(), adapter.lacks), (2, vec![]));
        let both = of(&[
            "config.json",
            "model.safetensors",
            "adapter_config.json",
            "adapter_model.bin",
            "vocab.txt",
        ]);
        assert_eq!((both.files.len(), both.lacks), (5, vec![]));
        assert_eq!(
            of(&["config.json", "adapter_model.safetensors", "vocab.txt"]).lacks,
            [MissingFile::Weights]
        );
    }

    #[test]
    fn what_is_read_of_a_folder_is_no_other_form_and_no_card() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("config.json", "{}");
        assert_eq!(of_folder(dir.path()), None);
        put(
            "model.safetensors.index.json",
            r#"{"weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}}"#,
        );
        put("x-1.safetensors", "");
        put("tokenizer.json", "{}");
        let read = ["config.json", "model.safetensors.index.json", "tokenizer.json", "x-1.safetensors"];
        assert_eq!(of_folder(dir.path()).unwrap(), read);
        for other in [
            "README.md",
            "pytorch_model.bin",
            "onnx/model.onnx",
            "optimizer.pt",
            "training_args.bin",
            "vocab.txt",
            "runs/events.out.tfevents.1",
            "x-9.safetensors",
            "1_Pooling/config.json",
        ] {
            put(other, "");
            assert_eq!(of_folder(dir.path()).unwrap(), read, "{other}");
        }
        for more in ["x-2.safetensors", "tokenizer_config.json", "added_tokens.json"] {
            put(more, "{}");
            assert!(of_folder(dir.path()).unwrap().iter().any(|f| f == more), "{more}");
        }
        put("modules.json", r#"[{"path": "1_Pooling"}]"#);
        assert!(of_folder(dir.path()).unwrap().iter().any(|f| f == "1_Pooling/config.json"));
        put("model.safetensors", "");
        assert!(!of_folder(dir.path()).unwrap().iter().any(|f| f.starts_with("x-")));
    }

    #[test]
    fn files_that_others_name() {
        let index = br#"{"weight_map": {"a": "x-2.bin", "b": "x-1.bin", "c": "x-2.bin"}}"#;
        assert_eq!(named_in("pytorch_model.bin.index.json", index).unwrap(), ["x-1.bin", "x-2.bin"]);
        let modules = br#"[{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Normalize/"}]"#;
        assert_eq!(
            named_in("modules.json", modules).unwrap(),
            ["1_Pooling/config.json", "2_Normalize/config.json"]
        );
        assert!(named_in("config.json", b"no").unwrap().is_empty());
        for bad in [&b"{}"[..], b"[", br#"{"weight_map": {"a": 1}}"#] {
            assert!(named_in("model.safetensors.index.json", bad).is_err());
        }
    }

    #[test]
    fn weights_of_other_programs_are_told() {
        let told = of_others(["config.json", "onnx/model.onnx", "onnx/model_q.onnx", "tf_model.h5"]).unwrap();
        assert_eq!(told, "ONNX (onnx/model.onnx), TensorFlow (tf_model.h5)");
        assert_eq!(of_others(["model.safetensors", "optimizer.pt"]), None);
    }
}
