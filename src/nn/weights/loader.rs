//! Filling the flat buffer with the tensors of files, and drawing a missing head.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use xpipe_base::task::Failure;
use xpipe_base::value::rng::Stream;

use super::folder::WeightFile;
use super::labels::Labels;
use super::{bytes, float, torch_file};
use crate::Parameter;
use crate::arch::masked_lm::MaskedLmHead;
use crate::arch::{Architecture, Declared, Init, TensorRole};

/// The head to read with the encoder.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum ExtraHead {
    /// The re-ranking head.
    Reranker,
    /// A masked language model's head.
    MaskedLm(MaskedLmHead),
    /// None.
    Nothing,
}

/// The flat buffer while it is being filled.
pub(super) struct WeightLoader<'a> {
    pub(super) model: &'a dyn Architecture,
    pub(super) declared: &'a [Declared],
    pub(super) parameters: &'a [Parameter],
    pub(super) labels: Labels,
    pub(super) head: ExtraHead,
    pub(super) places: BTreeMap<&'a str, usize>,
    pub(super) weights: Vec<f32>,
    /// For each parameter the name of its tensor.
    pub(super) from: Vec<Option<String>>,
    pub(super) ignored: Vec<String>,
    pub(super) left: Vec<String>,
}

impl<'a> WeightLoader<'a> {
    pub(super) fn new(
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

    pub(super) fn file(&mut self, WeightFile { path, promised }: &WeightFile) -> Result<(), Failure> {
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

    pub(super) fn promise(&self, path: &Path, gone: Option<&String>) -> Result<(), Failure> {
        match gone {
            None => Ok(()),
            Some(gone) => Err(Failure::wrong(format!(
                "{}: the index promises tensor `{gone}`, which is not here",
                path.display()
            ))),
        }
    }

    /// Takes a tensor of a file. Without `bytes` only name, shape and type are checked.
    pub(super) fn take(
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
            TensorRole::Ignored => self.ignored.push(tensor),
            TensorRole::Parameter(regular) => match self.places.get(regular.as_str()).copied() {
                Some(at) if self.head != ExtraHead::Reranker && self.declared[at].fresh != Init::Never => {
                    self.ignored.push(tensor);
                }
                Some(at) => self.tensor(path, tensor, at, (shape, kind, bytes))?,
                None => self.left.push(tensor),
            },
        }
        Ok(())
    }

    pub(super) fn tensor(
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
    pub(super) fn labels_of(&self, at: usize, found: &[usize]) -> Option<usize> {
        let shape = &self.parameters[at].shape;
        let classifier = matches!(self.declared[at].fresh, Init::Normal(_) | Init::Zeros) && shape[0] == 1;
        let alike = found.len() == shape.len() && found[1..] == shape[1..];
        (classifier && alike).then(|| found[0])
    }

    pub(super) fn wrong_labels(&self, file: &dyn std::fmt::Display, tensor: &str, found: usize) -> Failure {
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
    pub(super) fn fits(&self, folder: &Path) -> Result<(), Failure> {
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
    pub(super) fn finish(
        mut self,
        folder: &Path,
        seed: u64,
    ) -> Result<(Vec<f32>, Vec<String>, Vec<String>), Failure> {
        self.fits(folder)?;
        let drawn = self.draw(seed)?;
        self.ignored.sort();
        Ok((self.weights, self.ignored, drawn))
    }

    /// Missing parameters of the head: indices among its parameters and in the layout. Half a layer (a weight without its
    /// bias) is damage, not a missing head.
    pub(super) fn fresh(&self) -> Result<Vec<(usize, usize)>, Failure> {
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
    pub(super) fn draw(&mut self, seed: u64) -> Result<Vec<String>, Failure> {
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
pub(super) fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(8).map(|n| format!("`{n}`")).collect();
    let more = if names.len() > 8 { format!(" and {} more", names.len() - 8) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
