//! Weights of a model folder in, weights out: safetensors, or torch's own files, single or in shards, as `transformers`
//! writes them.
//!
//! Everything becomes one flat f32 buffer in the order the architecture declares. A tensor that is missing, left
//! over, of another shape or kind, or not finite is an error that names it; only a missing head is drawn fresh.
//! Must not know: how a model computes.

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
use super::arch::masked::Masked;
use super::arch::{self, Architecture, Declared, Fresh, Role};
use super::{config, files};
use xpipe_base::task::{Failure, passed_over};
use xpipe_base::value::InnerPath;
use xpipe_base::value::rng::Stream;

/// How many labels the classifier of a checkpoint has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Labels {
    /// One, whose logit is the score.
    #[default]
    One = 1,
    /// Two, of which the second says that a pair is relevant. They become one at loading: the difference of two linear
    /// functions is a linear function, so its logit is the second one less the first.
    Two = 2,
}

/// A model as a folder holds it: configuration, layout, weights.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The architecture with its configuration.
    pub model: Arc<dyn Architecture>,
    /// The layout of [`Checkpoint::weights`].
    pub parameters: Vec<Parameter>,
    /// The flat buffer.
    pub weights: Vec<f32>,
    /// Tensors of the file that have no use here (masked-LM heads, buffers), sorted.
    pub ignored: Vec<String>,
    /// Parameters that the file lacks and that were drawn from the seed, in layout order.
    pub drawn: Vec<String>,
}

impl Checkpoint {
    /// Reads `config.json` and the weights of a folder. A missing head is drawn from
    /// `Stream::new(seed, &["head init"])`: sub-stream = place of the tensor among the drawn ones of the
    /// declaration (the pooler's weight is 0, its bias 1, the classifier's weight 2), index = element.
    ///
    /// # Errors
    /// As [`arch::read`]; and when the weights are absent, damaged or do not fit the configuration.
    pub fn load(folder: &Path, seed: u64) -> Result<Self, Failure> {
        Self::load_labelled(folder, seed, Labels::One)
    }

    /// The same of a checkpoint with that many labels; two of them are never drawn.
    ///
    /// # Errors
    /// As [`Checkpoint::load`], and when the classifier has another number of labels.
    pub fn load_labelled(folder: &Path, seed: u64, labels: Labels) -> Result<Self, Failure> {
        let model = arch::read(folder)?;
        let declared = model.declared();
        Self::read(model, &declared, folder, seed, labels, Beside::Reranker)
    }

    /// The encoder of a folder, for which the re-ranker's head is of no use: what the file has of it is ignored.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn load_encoder(folder: &Path) -> Result<Self, Failure> {
        let model = arch::read(folder)?;
        let declared = model.declared();
        Self::read(model, &declared, folder, 0, Labels::One, Beside::Nothing)
    }

    /// The masked language model of a folder: the encoder, and behind its parameters those of the head that
    /// [`Architecture::masked`] describes. The re-ranker's head is there too, of no use.
    ///
    /// # Errors
    /// As [`Checkpoint::load`], and when the architecture has no such head here.
    pub fn load_masked(folder: &Path) -> Result<Self, Failure> {
        let model = arch::read(folder)?;
        let masked = *no_masked(model.masked(), folder, &*model)?;
        let mut declared = model.declared();
        masked.declare(model.hidden(), model.vocabulary(), &mut declared);
        Self::read(model, &declared, folder, 0, Labels::One, Beside::Masked(masked))
    }

    /// Checks a folder without reading its numbers: whether the weights are whole and fit the configuration. The parameters
    /// that would be drawn.
    ///
    /// # Errors
    /// As of the function that would load it.
    pub fn check(folder: &Path, labels: Labels, part: Part) -> Result<Vec<String>, Failure> {
        let model = arch::read(folder)?;
        let mut declared = model.declared();
        let beside = match part {
            Part::Reranker => Beside::Reranker,
            Part::Encoder => Beside::Nothing,
            Part::Masked => {
                let masked = *no_masked(model.masked(), folder, &*model)?;
                masked.declare(model.hidden(), model.vocabulary(), &mut declared);
                Beside::Masked(masked)
            }
        };
        let parameters = arch::layout(&declared);
        let mut fill = Fill::new(&*model, &declared, &parameters, labels, beside);
        for File { path, promised } in &weight_files(folder)? {
            // The older form of torch's files says what it holds in no place that can be read alone.
            let Some(mut all) = header::read(path)? else { return Ok(Vec::new()) };
            fill.promise(path, promised.iter().find(|p| !all.iter().any(|t| t.name == **p)))?;
            all.sort_by(|a, b| a.name.cmp(&b.name));
            for tensor in all {
                fill.take(path, tensor.name, &tensor.shape, tensor.kind, None)?;
            }
        }
        if is_adapted(folder)? {
            adapter::merge(&mut fill, folder, false)?;
        }
        fill.fits(folder)?;
        let fresh = fill.fresh()?;
        Ok(fresh.into_iter().map(|(_, i)| parameters[i].name.clone()).collect())
    }

    /// The head of a masked language model, and where its words' table lies in the weights.
    ///
    /// # Errors
    /// A bug when the checkpoint was not read by [`Checkpoint::load_masked`].
    pub fn masked(&self) -> Result<(Masked, Range<usize>), Failure> {
        let found = self.model.masked().and_then(|masked| {
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
        beside: Beside,
    ) -> Result<Self, Failure> {
        let parameters = arch::layout(declared);
        let files = weight_files(folder)?;
        let mut fill = Fill::new(&*model, declared, &parameters, labels, beside);
        fill.weights = vec![0.0; parameters.iter().map(Parameter::len).sum()];
        for file in &files {
            fill.file(file)?;
        }
        if is_adapted(folder)? {
            adapter::merge(&mut fill, folder, true)?;
        }
        let (weights, ignored, drawn) = fill.finish(folder, seed)?;
        Ok(Self { model, parameters, weights, ignored, drawn })
    }
}

/// The head of a masked language model, or that there is none.
fn no_masked<'m>(
    masked: Option<&'m Masked>,
    folder: &Path,
    model: &dyn Architecture,
) -> Result<&'m Masked, Failure> {
    masked.ok_or_else(|| {
        let message =
            format!("{}: no masked language model of `{}` is known", folder.display(), model.name());
        Failure::missing(message).help(format!("this version runs those of {}", arch::MASKED.join(", ")))
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

/// What of a checkpoint is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The encoder and the re-ranker's head.
    Reranker,
    /// The encoder.
    Encoder,
    /// The encoder and the head of its masked language model.
    Masked,
}

/// A weight file, and the tensors that an index of shards promises in it.
struct File {
    path: PathBuf,
    promised: Vec<String>,
}

/// The weight files of a folder: safetensors before torch's own, a single file before shards.
fn weight_files(folder: &Path) -> Result<Vec<File>, Failure> {
    for name in ["model.safetensors", "pytorch_model.bin"] {
        let single = folder.join(name);
        if single.is_file() {
            return Ok(vec![File { path: single, promised: Vec::new() }]);
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
fn shards(folder: &Path, index: &Path) -> Result<Vec<File>, Failure> {
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
            Ok(File { path, promised })
        })
        .collect()
}

fn quote(name: &str) -> String {
    format!("`{}`", name.escape_debug())
}

/// What is read beside the encoder.
#[derive(Clone, Copy, PartialEq)]
enum Beside {
    /// The re-ranker's head.
    Reranker,
    /// A masked language model's head.
    Masked(Masked),
    /// Nothing.
    Nothing,
}

/// The buffer while it is filled.
struct Fill<'a> {
    model: &'a dyn Architecture,
    declared: &'a [Declared],
    parameters: &'a [Parameter],
    labels: Labels,
    beside: Beside,
    places: BTreeMap<&'a str, usize>,
    weights: Vec<f32>,
    /// For each parameter the tensor it came from.
    from: Vec<Option<String>>,
    ignored: Vec<String>,
    left: Vec<String>,
}

impl<'a> Fill<'a> {
    fn new(
        model: &'a dyn Architecture,
        declared: &'a [Declared],
        parameters: &'a [Parameter],
        labels: Labels,
        beside: Beside,
    ) -> Self {
        Self {
            model,
            declared,
            parameters,
            labels,
            beside,
            places: parameters.iter().enumerate().map(|(i, p)| (p.name.as_str(), i)).collect(),
            weights: Vec::new(),
            from: vec![None; parameters.len()],
            ignored: Vec::new(),
            left: Vec::new(),
        }
    }

    fn file(&mut self, File { path, promised }: &File) -> Result<(), Failure> {
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

    /// A tensor of a file, to where it belongs; without its bytes only what it is is looked at.
    fn take(
        &mut self,
        path: &Path,
        tensor: String,
        shape: &[usize],
        kind: Dtype,
        bytes: Option<&[u8]>,
    ) -> Result<(), Failure> {
        let of_masked = match self.beside {
            Beside::Masked(masked) => masked.role(&tensor),
            Beside::Reranker | Beside::Nothing => None,
        };
        match of_masked.unwrap_or_else(|| self.model.role(&tensor)) {
            Role::Ignored => self.ignored.push(tensor),
            Role::Parameter(regular) => match self.places.get(regular.as_str()).copied() {
                Some(at) if self.beside != Beside::Reranker && self.declared[at].fresh != Fresh::Never => {
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
            // A tied table and a bias of two names are written twice by some versions.
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

    /// The labels of a tensor of this shape, when the parameter is the classifier's.
    fn labels_of(&self, at: usize, found: &[usize]) -> Option<usize> {
        let shape = &self.parameters[at].shape;
        let classifier = matches!(self.declared[at].fresh, Fresh::Normal(_) | Fresh::Zeros) && shape[0] == 1;
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

    /// Checks that nothing is missing and nothing left over.
    fn fits(&self, folder: &Path) -> Result<(), Failure> {
        let name = folder.display();
        let missing: Vec<&str> = (0..self.parameters.len())
            .filter(|&i| self.from[i].is_none() && self.declared[i].fresh == Fresh::Never)
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

    /// What is missing of the head: places among its parameters and in the layout. Half a layer (a weight without its
    /// bias) is damage, not a missing head.
    fn fresh(&self) -> Result<Vec<(usize, usize)>, Failure> {
        let mut fresh = Vec::new();
        let head = (0..self.declared.len()).filter(|&i| self.declared[i].fresh != Fresh::Never);
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

    /// Draws what is missing of the head.
    fn draw(&mut self, seed: u64) -> Result<Vec<String>, Failure> {
        let stream = Stream::new(seed, &["head init"]);
        let mut drawn = Vec::new();
        for (place, i) in self.fresh()? {
            let p = &self.parameters[i];
            let weights = &mut self.weights[p.offset..p.offset + p.len()];
            match self.declared[i].fresh {
                Fresh::Normal(deviation) => {
                    let numbers = stream.sub(place as u64);
                    for (element, w) in weights.iter_mut().enumerate() {
                        *w = (numbers.normal(element as u64) * deviation) as f32;
                    }
                }
                Fresh::Ones => weights.fill(1.0),
                Fresh::Zeros | Fresh::Never => {}
            }
            drawn.push(p.name.clone());
        }
        Ok(drawn)
    }
}

/// Up to eight names, and how many more.
fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(8).map(|n| format!("`{n}`")).collect();
    let more = if names.len() > 8 { format!(" and {} more", names.len() - 8) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// Writes `config.json` and `model.safetensors` (f32, metadata `format = pt`) as a one-label model of
/// `transformers`; the same weights give the same bytes.
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
