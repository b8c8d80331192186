//! Whether a model folder is complete and fits its use, without reading its weights: a study that would fail after hours
//! fails before its first stage.

use std::path::Path;

use super::sentence::{self, Sentence};
use super::tokenizer::Tokenizer;
use super::weights::{Checkpoint, CheckpointPart, Labels};
use super::{arch, files};
use xpipe_base::task::Failure;

/// What a model is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModelPurpose {
    /// Scoring pairs with a head of so many labels.
    Ranking(Labels),
    /// Scoring pairs with a freshly drawn head of one label.
    Untrained,
    /// Starting point of a training.
    Training(Labels),
    /// Term weights of texts.
    Weighing,
    /// Vectors of texts.
    Encoding,
}

/// Tokenizers above this size in bytes are looked at, not loaded: XLM-RoBERTa's takes a second.
const LOADED: u64 = 4 << 20;

/// Checks a folder. Returns the parameters of the head that would be drawn.
///
/// # Errors
/// When something is missing, damaged, or does not fit the use.
pub fn check(folder: &Path, of: ModelPurpose) -> Result<Vec<String>, Failure> {
    arch::read(folder)?;
    let (labels, part) = match of {
        ModelPurpose::Ranking(labels) | ModelPurpose::Training(labels) => (labels, CheckpointPart::Reranker),
        ModelPurpose::Untrained => (Labels::One, CheckpointPart::Reranker),
        ModelPurpose::Weighing => (Labels::One, CheckpointPart::MaskedLm),
        ModelPurpose::Encoding => (Labels::One, CheckpointPart::Encoder),
    };
    let drawn = Checkpoint::check(folder, labels, part)?;
    if matches!(of, ModelPurpose::Ranking(_) | ModelPurpose::Untrained) {
        ranks(drawn.first().map(String::as_str), of == ModelPurpose::Untrained)?;
    }
    match of {
        ModelPurpose::Encoding => drop(Sentence::read(folder)?),
        ModelPurpose::Ranking(_) | ModelPurpose::Untrained => sentence::check_cross_encoder(folder)?,
        ModelPurpose::Training(_) | ModelPurpose::Weighing => {}
    }
    tokenizer(folder)?;
    Ok(drawn)
}

/// Checks only that a folder has the head that it is to rank with. What cannot be checked is no error.
///
/// # Errors
/// As [`ranks`].
pub fn head(folder: &Path, of: ModelPurpose) -> Result<(), Failure> {
    let ModelPurpose::Ranking(labels) = of else { return Ok(()) };
    let Ok(drawn) = Checkpoint::check(folder, labels, CheckpointPart::Reranker) else { return Ok(()) };
    ranks(drawn.first().map(String::as_str), false)
}

/// Checks that a model may rank: with a trained head, or with one that is `declared` to be drawn. `drawn` is a parameter
/// that its weights lack.
///
/// # Errors
/// When it has no trained head and should, or has one and should not.
pub fn ranks(drawn: Option<&str>, declared: bool) -> Result<(), Failure> {
    match (drawn, declared) {
        (None, false) | (Some(_), true) => Ok(()),
        (Some(parameter), false) => Err(Failure::missing(format!(
            "the model has no trained head for ranking: its weights lack `{parameter}`"
        ))
        .help(
            "take a trained cross-encoder, or train one from this checkpoint; write `untrained(…)` around the model if a \
             head drawn at random is meant",
        )),
        (None, true) => Err(Failure::wrong("the model is declared `untrained`, and it has a trained head")
            .help("write the model without `untrained`")),
    }
}

fn tokenizer(folder: &Path) -> Result<(), Failure> {
    let path = folder.join(files::TOKENIZER);
    let size = std::fs::metadata(&path).map_or(0, |m| m.len());
    if size <= LOADED {
        return Tokenizer::load(folder).map(drop);
    }
    let file =
        std::fs::File::open(&path).map_err(|e| Failure::missing(format!("{}: {e}", path.display())))?;
    let read: Result<serde::de::IgnoredAny, _> = serde_json::from_reader(std::io::BufReader::new(file));
    read.map(drop).map_err(|e| {
        Failure::wrong(format!("{}: not a tokenizer: {e}", path.display()))
            .help("it may be cut off, or a Git LFS pointer instead of the file")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// A copy of a model with a tokenizer of letters.
    fn folder(name: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(testing::fixture(name)).unwrap() {
            let path = entry.unwrap().path();
            if !path.ends_with("expected.safetensors") {
                std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        std::fs::write(dir.path().join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb").unwrap();
        dir
    }

    const ONE: ModelPurpose = ModelPurpose::Ranking(Labels::One);

    #[test]
    fn whole_folders_pass_for_what_they_are() {
        for name in ["bert", "distilbert", "sharded", "electra-wide"] {
            assert_eq!(check(folder(name).path(), ONE).unwrap(), Vec::<String>::new(), "{name}");
        }
        check(folder("two-labels").path(), ModelPurpose::Ranking(Labels::Two)).unwrap();
        check(folder("bert-masked").path(), ModelPurpose::Weighing).unwrap();
        assert!(!check(folder("bert-masked").path(), ModelPurpose::Untrained).unwrap().is_empty());
        let e = check(folder("bert-masked").path(), ONE).unwrap_err();
        assert!(e.message.contains("no trained head") && e.help.unwrap().contains("untrained(…)"));
        assert!(
            check(folder("bert").path(), ModelPurpose::Untrained)
                .unwrap_err()
                .message
                .contains("has a trained head")
        );
        check(folder("bert").path(), ModelPurpose::Encoding).unwrap();
        assert!(
            !check(folder("bert-masked").path(), ModelPurpose::Training(Labels::One)).unwrap().is_empty()
        );
    }

    #[test]
    fn what_a_folder_lacks_is_told_as_loading_tells_it() {
        let told = |dir: &tempfile::TempDir, of| {
            let failure = check(dir.path(), of).unwrap_err();
            let loaded = Checkpoint::load(dir.path(), 0)
                .map(drop)
                .and_then(|()| Tokenizer::load(dir.path()).map(drop));
            if of == ONE {
                assert_eq!(loaded.unwrap_err().message, failure.message);
            }
            format!("{failure}; {}", failure.help.clone().unwrap_or_default())
        };
        let removed = |name: &str, file: &str| {
            let dir = folder(name);
            std::fs::remove_file(dir.path().join(file)).unwrap();
            dir
        };
        assert!(told(&removed("bert", "vocab.txt"), ONE).contains("no tokenizer.json"));
        assert!(told(&removed("bert", "config.json"), ONE).contains("no config.json"));
        assert!(told(&removed("bert", "model.safetensors"), ONE).contains("no model.safetensors"));
        assert!(told(&removed("sharded", "model-00003-of-00004.safetensors"), ONE).contains("00003"));
        assert!(told(&folder("two-labels"), ONE).contains("2 labels"));
        assert!(told(&folder("bert"), ModelPurpose::Ranking(Labels::Two)).contains("1 label"));
        assert!(told(&folder("bert"), ModelPurpose::Weighing).contains("cls.predictions"));
        // Another configuration than that of the weights.
        let dir = folder("bert");
        std::fs::copy(testing::fixture("minilm").join("config.json"), dir.path().join("config.json"))
            .unwrap();
        assert!(told(&dir, ONE).contains("has shape"));
    }

    #[test]
    fn weights_that_are_cut_off_are_noticed() {
        let dir = folder("bert");
        let path = dir.path().join("model.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        for end in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..end]).unwrap();
            let failure = check(dir.path(), ONE).unwrap_err();
            assert!(failure.message.contains("not a whole safetensors file"), "{end}: {failure}");
        }
        std::fs::write(&path, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
            .unwrap();
        assert!(check(dir.path(), ONE).is_err());
        let dir = folder("electra-wide");
        std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
        let path = dir.path().join("pytorch_model.bin");
        for file in ["zip.bin", "half.bin", "views.bin"] {
            let bytes = std::fs::read(testing::fixture("kinds").join(file)).unwrap();
            std::fs::write(&path, &bytes).unwrap();
            check(dir.path(), ONE).unwrap_or_else(|e| panic!("{file}: {e}"));
            for end in [0, 2, bytes.len() / 2, bytes.len() - 1] {
                std::fs::write(&path, &bytes[..end]).unwrap();
                assert!(check(dir.path(), ONE).is_err(), "{file} cut at {end}");
            }
        }
        std::fs::copy(testing::fixture("kinds").join("legacy.bin"), &path).unwrap();
        check(dir.path(), ONE).unwrap();
    }

    #[test]
    fn folders_of_other_things_are_told_for_what_they_are() {
        let told = |files: &[(&str, &str)]| {
            let dir = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = dir.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            check(dir.path(), ONE).unwrap_err().help.unwrap()
        };
        let config = std::fs::read_to_string(testing::fixture("bert").join("config.json")).unwrap();
        let adapter = r#"{"peft_type": "LORA", "base_model_name_or_path": "lab/base"}"#;
        let of_adapter = told(&[("adapter_config.json", adapter), ("adapter_model.safetensors", "")]);
        assert!(of_adapter.contains("LORA") && of_adapter.contains("lab/base"), "{of_adapter}");
        assert!(
            told(&[("config.json", &config), ("onnx/model.onnx", "")]).contains("ONNX (onnx/model.onnx)")
        );
        assert!(told(&[("config.json", &config), ("tf_model.h5", "")]).contains("TensorFlow"));
        assert!(told(&[("model.gguf", "")]).contains("GGUF"));
        assert!(told(&[("a.txt", "")]).contains("a model folder holds config.json"));
        // A checkpoint of a trainer beside its tokenizer.
        let run = tempfile::tempdir().unwrap();
        let checkpoint = run.path().join("checkpoint-500");
        std::fs::create_dir(&checkpoint).unwrap();
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(testing::fixture("bert").join(file), checkpoint.join(file)).unwrap();
        }
        std::fs::write(run.path().join("vocab.txt"), "[UNK]").unwrap();
        let failure = check(&checkpoint, ONE).unwrap_err();
        assert!(failure.help.unwrap().contains("the folder above it has vocab.txt"));
    }
}
