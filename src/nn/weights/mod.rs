//! Reading and writing the weights of model folders: safetensors or torch's own files, single or in shards, as
//! `transformers` writes them.
//!
//! Weights become one flat f32 buffer in the order that the architecture declares. A tensor that is missing, unexpected, of
//! another shape or type, or not finite is an error that names it. Only a missing head is drawn. Must not know: how a model
//! computes.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use safetensors::{Dtype, tensor::TensorView};

mod adapter;
mod bytes;
mod float;
mod folder;
mod header;
mod labels;
mod loader;
mod pickle;
mod tensor;
mod torch_file;

use self::folder::{WeightFile, weight_files};
pub use self::labels::Labels;
use self::loader::{ExtraHead, WeightLoader};
use super::Parameter;
use super::arch::masked_lm::MaskedLmHead;
use super::arch::{self, Architecture, Declared};
use super::{config, files};
use xpipe_base::task::Failure;

/// A model as read from a folder: configuration, layout, weights.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The architecture with its configuration.
    pub model: Arc<dyn Architecture>,
    /// The layout of [`Checkpoint::weights`].
    pub parameters: Vec<Parameter>,
    /// The flat buffer.
    pub weights: Vec<f32>,
    /// Unused tensors of the file (masked-LM heads, buffers), sorted.
    pub ignored: Vec<String>,
    /// Parameters that the file lacks and that were drawn from the seed, in the order of the layout.
    pub drawn: Vec<String>,
}

impl Checkpoint {
    /// Reads `config.json` and the weights of a folder. A missing head is drawn from `Stream::new(seed, &["head init"])`:
    /// the sub-stream is the index of the tensor among the declared tensors of the head (pooler weight 0, its bias 1,
    /// classifier weight 2), the position is the element.
    ///
    /// # Errors
    /// As [`arch::read`]; and when the weights are absent, damaged or do not fit the configuration.
    pub fn load(folder: &Path, seed: u64) -> Result<Self, Failure> {
        Self::load_labelled(folder, seed, Labels::One)
    }

    /// The same for a checkpoint with so many labels. Heads of two labels are never drawn.
    ///
    /// # Errors
    /// As [`Checkpoint::load`], and when the classifier has another number of labels.
    pub fn load_labelled(folder: &Path, seed: u64, labels: Labels) -> Result<Self, Failure> {
        let model = arch::read(folder)?;
        let declared = model.declared();
        Self::read(model, &declared, folder, seed, labels, ExtraHead::Reranker)
    }

    /// Reads the encoder of a folder and ignores a re-ranking head.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn load_encoder(folder: &Path) -> Result<Self, Failure> {
        let model = arch::read(folder)?;
        let declared = model.declared();
        Self::read(model, &declared, folder, 0, Labels::One, ExtraHead::Nothing)
    }

    /// Reads the masked language model of a folder: the encoder, followed by the parameters of [`Architecture::masked_lm`].
    /// The layout also has the re-ranking head, which is unused.
    ///
    /// # Errors
    /// As [`Checkpoint::load`], and when this version has no such head for the architecture.
    pub fn load_masked_lm(folder: &Path) -> Result<Self, Failure> {
        let model = arch::read(folder)?;
        let masked = *masked_lm_head(&*model, folder)?;
        let mut declared = model.declared();
        masked.declare(model.hidden(), model.vocabulary(), &mut declared);
        Self::read(model, &declared, folder, 0, Labels::One, ExtraHead::MaskedLm(masked))
    }

    /// Checks that the weights of a folder are complete and fit the configuration, without reading numbers. Returns the
    /// parameters that would be drawn.
    ///
    /// # Errors
    /// As the function that would load it.
    pub fn check(folder: &Path, labels: Labels, part: CheckpointPart) -> Result<Vec<String>, Failure> {
        let model = arch::read(folder)?;
        let mut declared = model.declared();
        let head = match part {
            CheckpointPart::Reranker => ExtraHead::Reranker,
            CheckpointPart::Encoder => ExtraHead::Nothing,
            CheckpointPart::MaskedLm => {
                let masked = *masked_lm_head(&*model, folder)?;
                masked.declare(model.hidden(), model.vocabulary(), &mut declared);
                ExtraHead::MaskedLm(masked)
            }
        };
        let parameters = arch::layout(&declared);
        let mut loader = WeightLoader::new(&*model, &declared, &parameters, labels, head);
        for WeightFile { path, promised } in &weight_files(folder)? {
            // Torch's older format has no header.
            let Some(mut all) = header::read(path)? else { return Ok(Vec::new()) };
            loader.promise(path, promised.iter().find(|p| !all.iter().any(|t| t.name == **p)))?;
            all.sort_by(|a, b| a.name.cmp(&b.name));
            for tensor in all {
                loader.take(path, tensor.name, &tensor.shape, tensor.kind, None)?;
            }
        }
        if is_adapted(folder)? {
            adapter::merge(&mut loader, folder, false)?;
        }
        loader.fits(folder)?;
        let fresh = loader.fresh()?;
        Ok(fresh.into_iter().map(|(_, i)| parameters[i].name.clone()).collect())
    }

    /// The masked language model's head, and the range of its output table in the weights.
    ///
    /// # Errors
    /// [`xpipe_base::task::FailureKind::Bug`] when the checkpoint was not read by [`Checkpoint::load_masked_lm`].
    pub fn masked_lm(&self) -> Result<(MaskedLmHead, Range<usize>), Failure> {
        let found = self.model.masked_lm().and_then(|masked| {
            let table = masked.table();
            let parameter = self.parameters.iter().find(|p| p.name == table)?;
            Some((*masked, parameter.offset..parameter.offset + parameter.len()))
        });
        found.ok_or_else(|| Failure::bug("a checkpoint without a masked language model"))
    }

    fn read(
        model: Arc<dyn Architecture>,
        declared: &[Declared],
        folder: &Path,
        seed: u64,
        labels: Labels,
        head: ExtraHead,
    ) -> Result<Self, Failure> {
        let parameters = arch::layout(declared);
        let files = weight_files(folder)?;
        let mut loader = WeightLoader::new(&*model, declared, &parameters, labels, head);
        loader.weights = vec![0.0; parameters.iter().map(Parameter::len).sum()];
        for file in &files {
            loader.file(file)?;
        }
        if is_adapted(folder)? {
            adapter::merge(&mut loader, folder, true)?;
        }
        let (weights, ignored, drawn) = loader.finish(folder, seed)?;
        Ok(Self { model, parameters, weights, ignored, drawn })
    }
}

/// The head of a model's masked language model.
fn masked_lm_head<'m>(model: &'m dyn Architecture, folder: &Path) -> Result<&'m MaskedLmHead, Failure> {
    model.masked_lm().ok_or_else(|| {
        let message =
            format!("{}: no masked language model of `{}` is known", folder.display(), model.name());
        Failure::missing(message).help(format!("this version runs those of {}", arch::masked_lms()))
    })
}

/// Whether an adapter is to be merged into the weights of a folder.
fn is_adapted(folder: &Path) -> Result<bool, Failure> {
    let has = |file: &str| folder.join(file).is_file();
    if !has(files::ADAPTER) || !files::ADAPTER_WEIGHTS.iter().any(|f| has(f)) {
        return Ok(false);
    }
    if has(files::JOINED) {
        return Ok(true);
    }
    Err(Failure::wrong(format!("{}: weights of a model and of an adapter lie in one folder", folder.display())).help(
        "which of them is meant is not told: remove adapter_config.json and adapter_model.safetensors if they are merged \
         already, or give the adapter a folder of its own",
    ))
}

/// The part of a checkpoint to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckpointPart {
    /// The encoder and the re-ranking head.
    Reranker,
    /// The encoder.
    Encoder,
    /// The encoder and the head of its masked language model.
    MaskedLm,
}

/// Writes `config.json` and `model.safetensors` (f32, metadata `format = pt`) as a one-label model of `transformers`. Equal
/// weights give equal bytes.
///
/// # Errors
/// When the folder cannot be written.
pub fn save(
    model: &dyn Architecture,
    parameters: &[Parameter],
    weights: &[f32],
    folder: &Path,
) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)?;
    let config = config::saved(model.config(), model.class());
    let mut text = serde_json::to_string_pretty(&config)
        .map_err(|e| Failure::bug(format!("the configuration cannot be written: {e}")))?;
    text.push('\n');
    std::fs::write(folder.join("config.json"), text)?;
    let bytes: Vec<Vec<u8>> = parameters
        .iter()
        .map(|p| weights[p.offset..p.offset + p.len()].iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let views = parameters
        .iter()
        .zip(&bytes)
        .map(|(p, b)| Ok((p.name.as_str(), TensorView::new(Dtype::F32, p.shape.clone(), b)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|e| Failure::bug(format!("the weights cannot be written: {e}")))?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let path = folder.join("model.safetensors");
    safetensors::serialize_to_file(views, Some(metadata), &path).map_err(|e| match e {
        safetensors::SafeTensorError::IoError(e) => Failure::from(e),
        other => Failure::wrong(format!("{}: {other}", path.display())),
    })
}

#[cfg(test)]
mod tests;
