//! Reading and writing the weights of model folders: safetensors or torch's own files, single or in shards, as
//! `transformers` writes them.
//!
//! Weights become one flat f32 buffer in the order that the architecture declares. A tensor that is missing, unexpected, of
//! another shape or type, or not finite is an error that names it. Only a missing head is drawn. Must not know: how a model
//! computes.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

mod adapter;
mod bytes;
mod float;
mod header;
mod pickle;
mod torch_file;

use super::Parameter;
use super::arch::masked_lm::MaskedLmHead;
use super::arch::{self, Architecture, Declared, Init, Role};
use super::{config, files};
use xpipe_base::task::{Failure, passed_over};
use xpipe_base::value::InnerPath;
use xpipe_base::value::rng::Stream;

/// Number of labels of a checkpoint's classifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Labels {
    /// One label; its logit is the score.
    #[default]
    One = 1,
    /// Two labels, the second for relevant pairs. Loading makes one of them, whose logit is the second minus the first: the
    /// difference of two linear functions is linear.
    Two = 2,
}

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
    pub fn check(folder: &Path, labels: Labels, part: Part) -> Result<Vec<String>, Failure> {
        let model = arch::read(folder)?;
        let mut declared = model.declared();
        let head = match part {
            Part::Reranker => ExtraHead::Reranker,
            Part::Encoder => ExtraHead::Nothing,
            Part::MaskedLm => {
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
pub enum Part {
    /// The encoder and the re-ranking head.
    Reranker,
    /// The encoder.
    Encoder,
    /// The encoder and the head of its masked language model.
    MaskedLm,
}

/// A weight file, and the tensors that an index of shards lists for it.
struct WeightFile {
    path: PathBuf,
    promised: Vec<String>,
}

/// The weight files of a folder: safetensors before torch's own, a single file before shards.
fn weight_files(folder: &Path) -> Result<Vec<WeightFile>, Failure> {
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
fn shards(folder: &Path, index: &Path) -> Result<Vec<WeightFile>, Failure> {
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
            let inner = InnerPath::of_input(file.as_str(), passed_over)
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

fn quote(name: &str) -> String {
    format!("`{}`", name.escape_debug())
}

/// The head to read with the encoder.
#[derive(Clone, Copy, PartialEq)]
enum ExtraHead {
    /// The re-ranking head.
    Reranker,
    /// A masked language model's head.
    MaskedLm(MaskedLmHead),
    /// None.
    Nothing,
}

/// The flat buffer while it is being filled.
struct WeightLoader<'a> {
    model: &'a dyn Architecture,
    declared: &'a [Declared],
    parameters: &'a [Parameter],
    labels: Labels,
    head: ExtraHead,
    places: BTreeMap<&'a str, usize>,
    weights: Vec<f32>,
    /// For each parameter the name of its tensor.
    from: Vec<Option<String>>,
    ignored: Vec<String>,
    left: Vec<String>,
}

impl<'a> WeightLoader<'a> {
    fn new(
        model: &'a dyn Architecture,
        declared: &'a [Declared],
        parameters: &'a [Parameter],
        labels: Labels,
        head: ExtraHead,
    ) -> Self {
        Self {
            model,
            declared,
            parameters,
            labels,
            head,
            places: parameters.iter().enumerate().map(|(i, p)| (p.name.as_str(), i)).collect(),
            weights: Vec::new(),
            from: vec![None; parameters.len()],
            ignored: Vec::new(),
            left: Vec::new(),
        }
    }

    fn file(&mut self, WeightFile { path, promised }: &WeightFile) -> Result<(), Failure> {
        if path.extension().is_some_and(|e| e == "bin") {
            let mut all = torch_file::read(path)?;
            let gone = promised.iter().find(|p| !all.iter().any(|t| t.name == **p));
            self.promise(path, gone)?;
            all.sort_by(|a, b| a.name.cmp(&b.name));
            return all
                .into_iter()
                .try_for_each(|t| self.take(path, t.name, &t.shape, t.kind, Some(&t.bytes)));
        }
        let name = path.display();
        let bytes = bytes::whole(path)?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| {
            Failure::wrong(format!("{name}: not a whole safetensors file: {e}"))
                .help("it may be cut off, or a Git LFS pointer instead of the file")
        })?;
        self.promise(path, promised.iter().find(|t| tensors.tensor(t).is_err()))?;
        let mut all = tensors.tensors();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let mut each = all.into_iter();
        each.try_for_each(|(tensor, view)| {
            self.take(path, tensor, view.shape(), view.dtype(), Some(view.data()))
        })
    }

    fn promise(&self, path: &Path, gone: Option<&String>) -> Result<(), Failure> {
        match gone {
            None => Ok(()),
            Some(gone) => Err(Failure::wrong(format!(
                "{}: the index promises tensor `{gone}`, which is not here",
                path.display()
            ))),
        }
    }

    /// Takes a tensor of a file. Without `bytes` only name, shape and type are checked.
    fn take(
        &mut self,
        path: &Path,
        tensor: String,
        shape: &[usize],
        kind: Dtype,
        bytes: Option<&[u8]>,
    ) -> Result<(), Failure> {
        let of_masked = match self.head {
            ExtraHead::MaskedLm(masked) => masked.role(&tensor),
            ExtraHead::Reranker | ExtraHead::Nothing => None,
        };
        match of_masked.unwrap_or_else(|| self.model.role(&tensor)) {
            Role::Ignored => self.ignored.push(tensor),
            Role::Parameter(regular) => match self.places.get(regular.as_str()).copied() {
                Some(at) if self.head != ExtraHead::Reranker && self.declared[at].fresh != Init::Never => {
                    self.ignored.push(tensor);
                }
                Some(at) => self.tensor(path, tensor, at, (shape, kind, bytes))?,
                None => self.left.push(tensor),
            },
        }
        Ok(())
    }

    fn tensor(
        &mut self,
        path: &Path,
        tensor: String,
        at: usize,
        (found, kind, bytes): (&[usize], Dtype, Option<&[u8]>),
    ) -> Result<(), Failure> {
        let (name, parameter) = (path.display(), &self.parameters[at]);
        let labels = self.labels_of(at, found);
        match labels {
            Some(n) if n != self.labels as usize => return Err(self.wrong_labels(&name, &tensor, n)),
            None if found != parameter.shape => {
                return Err(Failure::wrong(format!(
                    "{name}: tensor `{tensor}` has shape {found:?}; the configuration gives {:?}",
                    parameter.shape
                )));
            }
            _ => {}
        }
        let read = match kind {
            Dtype::F32 => float::from_f32,
            Dtype::F16 => float::from_f16,
            Dtype::BF16 => float::from_bf16,
            other => {
                return Err(Failure::wrong(format!(
                    "{name}: tensor `{tensor}` has numbers of kind {other:?}; expected F32, F16 or BF16"
                )));
            }
        };
        let Some(bytes) = bytes else {
            self.from[at] = Some(tensor);
            return Ok(());
        };
        let out = &mut self.weights[parameter.offset..parameter.offset + parameter.len()];
        if let Some(other) = &self.from[at] {
            let mut again = vec![0.0; out.len()];
            read(bytes, &mut again);
            // Some versions write a tied table, or a bias with two names, twice.
            return if again == out {
                Ok(())
            } else {
                let message =
                    format!("{name}: `{tensor}` and `{other}` are the same parameter, and they differ");
                Err(Failure::wrong(message).help("remove the one that is not meant; a masked model's own table needs `tie_word_embeddings` false"))
            };
        }
        if labels == Some(2) {
            let mut both = vec![0.0; 2 * out.len()];
            read(bytes, &mut both);
            let (first, second) = both.split_at(out.len());
            out.iter_mut().zip(second.iter().zip(first)).for_each(|(x, (b, a))| *x = b - a);
        } else {
            read(bytes, out);
        }
        if let Some(i) = out.iter().position(|x| !x.is_finite()) {
            return Err(Failure::wrong(format!("{name}: tensor `{tensor}` is {} at element {i}", out[i])));
        }
        self.from[at] = Some(tensor);
        Ok(())
    }

    /// The number of labels of a tensor of this shape, if it is the classifier's.
    fn labels_of(&self, at: usize, found: &[usize]) -> Option<usize> {
        let shape = &self.parameters[at].shape;
        let classifier = matches!(self.declared[at].fresh, Init::Normal(_) | Init::Zeros) && shape[0] == 1;
        let alike = found.len() == shape.len() && found[1..] == shape[1..];
        (classifier && alike).then(|| found[0])
    }

    fn wrong_labels(&self, file: &dyn std::fmt::Display, tensor: &str, found: usize) -> Failure {
        let wanted = if self.labels == Labels::Two { "two are declared" } else { "a re-ranker has one" };
        let labels = if found == 1 { "1 label".to_owned() } else { format!("{found} labels") };
        let failure = Failure::wrong(format!("{file}: the classifier `{tensor}` has {labels}, and {wanted}"));
        failure.help(match (self.labels, found) {
            (Labels::One, 2) => {
                "say how its score is made: write `two_labels(…, score = difference)` or `score = softmax` around the \
                 model; or remove the classifier's tensors to start from a fresh head"
            }
            (Labels::Two, 1) => "its logit is the score as it is: write the model without `two_labels`",
            _ => "remove the classifier's tensors to start from a fresh head",
        })
    }

    /// Checks that no tensor is missing or unexpected.
    fn fits(&self, folder: &Path) -> Result<(), Failure> {
        let name = folder.display();
        let missing: Vec<&str> = (0..self.parameters.len())
            .filter(|&i| self.from[i].is_none() && self.declared[i].fresh == Init::Never)
            .map(|i| self.parameters[i].name.as_str())
            .collect();
        let mut wrong = Vec::new();
        if !missing.is_empty() {
            wrong.push(format!("missing {}", listed(&missing)));
        }
        if !self.left.is_empty() {
            let left: Vec<&str> = self.left.iter().map(String::as_str).collect();
            wrong.push(format!("left over {}", listed(&left)));
        }
        if !wrong.is_empty() {
            return Err(Failure::wrong(format!(
                "{name}: the weights do not fit config.json of architecture `{}`: {}",
                self.model.name(),
                wrong.join("; ")
            ))
            .help("a tensor is never ignored silently: check that config.json belongs to these weights"));
        }
        Ok(())
    }

    #[expect(clippy::type_complexity, reason = "the three parts go straight into the fields of Checkpoint")]
    fn finish(mut self, folder: &Path, seed: u64) -> Result<(Vec<f32>, Vec<String>, Vec<String>), Failure> {
        self.fits(folder)?;
        let drawn = self.draw(seed)?;
        self.ignored.sort();
        Ok((self.weights, self.ignored, drawn))
    }

    /// Missing parameters of the head: indices among its parameters and in the layout. Half a layer (a weight without its
    /// bias) is damage, not a missing head.
    fn fresh(&self) -> Result<Vec<(usize, usize)>, Failure> {
        let mut fresh = Vec::new();
        let head = (0..self.declared.len()).filter(|&i| self.declared[i].fresh != Init::Never);
        for (place, i) in head.enumerate() {
            if self.from[i].is_some() {
                continue;
            }
            let p = &self.parameters[i];
            if self.labels == Labels::Two {
                return Err(Failure::wrong(format!(
                    "two labels are declared, and the weights have no `{}`",
                    p.name
                ))
                .help(
                    "take the checkpoint of a trained cross-encoder, or write the model without `two_labels`",
                ));
            }
            let pair = p
                .name
                .strip_suffix(".bias")
                .map(|stem| format!("{stem}.weight"))
                .or_else(|| p.name.strip_suffix(".weight").map(|stem| format!("{stem}.bias")));
            let other = pair.and_then(|n| self.places.get(n.as_str()).copied());
            if let Some(other) = other.filter(|&o| self.from[o].is_some()) {
                return Err(Failure::wrong(format!(
                    "the weights have `{}` but not `{}`",
                    self.parameters[other].name, p.name
                )));
            }
            fresh.push((place, i));
        }
        Ok(fresh)
    }

    /// Draws the missing parameters of the head.
    fn draw(&mut self, seed: u64) -> Result<Vec<String>, Failure> {
        let stream = Stream::new(seed, &["head init"]);
        let mut drawn = Vec::new();
        for (place, i) in self.fresh()? {
            let p = &self.parameters[i];
            let weights = &mut self.weights[p.offset..p.offset + p.len()];
            match self.declared[i].fresh {
                Init::Normal(deviation) => {
                    let numbers = stream.sub(place as u64);
                    for (element, w) in weights.iter_mut().enumerate() {
                        *w = (numbers.normal(element as u64) * deviation) as f32;
                    }
                }
                Init::Ones => weights.fill(1.0),
                Init::Zeros | Init::Never => {}
            }
            drawn.push(p.name.clone());
        }
        Ok(drawn)
    }
}

/// Up to eight names and the number of others.
fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(8).map(|n| format!("`{n}`")).collect();
    let more = if names.len() > 8 { format!(" and {} more", names.len() - 8) } else { String::new() };
    format!("{}{more}", shown.join(", "))
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
