//! The weight files of a model folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xpipe_base::task::{Failure, is_ignored};
use xpipe_base::value::InnerPath;

use crate::files;

/// A weight file, and the tensors that an index of shards lists for it.
pub(super) struct WeightFile {
    pub(super) path: PathBuf,
    pub(super) promised: Vec<String>,
}

/// The weight files of a folder: safetensors before torch's own, a single file before shards.
pub(super) fn weight_files(folder: &Path) -> Result<Vec<WeightFile>, Failure> {
    for name in ["model.safetensors", "pytorch_model.bin"] {
        let single = folder.join(name);
        if single.is_file() {
            return Ok(vec![WeightFile { path: single, promised: Vec::new() }]);
        }
        let index = folder.join(format!("{name}.index.json"));
        if index.is_file() {
            return shards(folder, &index);
        }
    }
    let failure = Failure::missing(format!("{}: no model.safetensors in this folder", folder.display()));
    Err(failure.help(files::instead(folder).unwrap_or_else(|| {
        "weights are read from model.safetensors or pytorch_model.bin, or from shards and their index"
            .to_owned()
    })))
}

/// The files that an index names.
pub(super) fn shards(folder: &Path, index: &Path) -> Result<Vec<WeightFile>, Failure> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let name = index.display();
    let text = std::fs::read(index)?;
    let Index { weight_map } = serde_json::from_slice(&text)
        .map_err(|e| Failure::wrong(format!("{name}: not an index of shards: {e}")))?;
    let mut shards: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (tensor, file) in weight_map {
        shards.entry(file).or_default().push(tensor);
    }
    shards
        .into_iter()
        .map(|(file, promised)| {
            let inner = InnerPath::of_input(file.as_str(), is_ignored)
                .map_err(|why| Failure::wrong(format!("{name}: the shard {} {why}", quote(&file))))?;
            let path = inner.below(folder);
            if !path.is_file() {
                return Err(Failure::missing(format!(
                    "{name}: the shard {} is not in the folder",
                    quote(&file)
                )));
            }
            Ok(WeightFile { path, promised })
        })
        .collect()
}

pub(super) fn quote(name: &str) -> String {
    format!("`{}`", name.escape_debug())
}
