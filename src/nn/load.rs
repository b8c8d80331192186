//! Loading a model folder: the choice of an engine, a tokenizer, and facts for the report.

use std::path::Path;

use candle_core::Device;

use super::Reranker;
use super::arch::Architecture;
use super::bi_encoder::{BiEncoder, ReferenceBiEncoder};
use super::cpu;
use super::masked_lm::{MaskedLm, ReferenceMaskedLm};
use super::pooling::Pooling;
use super::reference::Reference;
use super::tokenizer::Tokenizer;
use super::weights::{Checkpoint, Labels};
use xpipe_base::task::{Failure, Kernels};

/// How a model is read and run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of threads; 0 for all cores.
    pub threads: usize,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Engine and kernel level. Models that the explicit engine does not run, and other devices than the CPU, use the
    /// reference engine.
    pub kernels: Kernels,
    /// Whether the operands of matrix products are rounded to bfloat16. (Changes the result.)
    pub bf16: bool,
    /// Whether backward computes activations again instead of saving them, which takes less memory.
    pub recompute: bool,
    /// The labels of the checkpoint. (Changes the result.)
    pub labels: Labels,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threads: 0,
            device: "cpu".into(),
            kernels: Kernels::Auto,
            bf16: false,
            recompute: false,
            labels: Labels::default(),
        }
    }
}

/// What a report says about a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFacts {
    /// `model_type`, for instance `bert`.
    pub architecture: &'static str,
    /// Maximum tokens of a pair, special tokens included.
    pub position_limit: usize,
    /// Width of the hidden states.
    pub hidden: usize,
    /// Number of layers.
    pub layers: usize,
    /// Number of weights.
    pub parameters: usize,
    /// Parameters that the folder lacks and that were drawn from the seed.
    pub drawn: Vec<String>,
    /// Tensors of the folder that a re-ranker does not use.
    pub ignored: Vec<String>,
    /// Tokens of query and document that the model was made for, if the folder says so.
    pub lengths: Option<[usize; 2]>,
}

/// Which engine runs a model.
enum Engine {
    /// The explicit CPU engine, at a kernel level.
    Cpu(cpu::Level),
    /// Tensor operations on a device.
    Reference(Device),
}

impl Engine {
    /// The engine that options choose for a model.
    fn choose(model: &dyn Architecture, options: &Options, device: Device) -> Result<Self, Failure> {
        if options.kernels == Kernels::Reference || !device.is_cpu() || !cpu::supports(model) {
            return Ok(Self::Reference(device));
        }
        Ok(Self::Cpu(cpu::Level::of(options.kernels)?.rounding(options.bf16)))
    }
}

/// Loads a cross-encoder. A missing head is drawn from `seed`.
///
/// # Errors
/// When files are missing or do not fit together, the architecture is not implemented, or the device is absent.
pub fn cross_encoder(
    folder: &Path,
    seed: u64,
    options: &Options,
) -> Result<(Box<dyn Reranker>, Tokenizer, ModelFacts), Failure> {
    let device = device(&options.device)?;
    super::sentence::check_cross_encoder(folder)?;
    let checkpoint = Checkpoint::load_labelled(folder, seed, options.labels)?;
    let tokenizer = Tokenizer::load(folder)?;
    let model = &*checkpoint.model;
    let facts = ModelFacts {
        architecture: model.name(),
        position_limit: model.position_limit(),
        hidden: model.hidden(),
        layers: model.layers(),
        parameters: checkpoint.weights.len(),
        drawn: checkpoint.drawn.clone(),
        ignored: checkpoint.ignored.clone(),
        lengths: super::arch::lengths(model.config()),
    };
    let model: Box<dyn Reranker> = match Engine::choose(model, options, device)? {
        Engine::Cpu(level) => {
            let encoder = cpu::CpuReranker::new(checkpoint, options.threads)?;
            Box::new(encoder.at_level(level).recomputing(options.recompute))
        }
        Engine::Reference(device) => {
            let reference = Reference::new(checkpoint, options.threads, device)?;
            Box::new(reference.rounding(options.bf16).recomputing(options.recompute))
        }
    };
    Ok((model, tokenizer, facts))
}

/// Loads a bi-encoder.
///
/// # Errors
/// As [`cross_encoder`].
pub fn bi_encoder(
    folder: &Path,
    pooling: Pooling,
    options: &Options,
) -> Result<(Box<dyn BiEncoder>, Tokenizer), Failure> {
    let device = device(&options.device)?;
    let checkpoint = Checkpoint::load_encoder(folder)?;
    let tokenizer = Tokenizer::load(folder)?;
    let model: Box<dyn BiEncoder> = match Engine::choose(&*checkpoint.model, options, device)? {
        Engine::Cpu(level) => Box::new(cpu::CpuBiEncoder::new(checkpoint, pooling, options.threads, level)?),
        Engine::Reference(device) => {
            let reference = ReferenceBiEncoder::new(checkpoint, pooling, options.threads, device)?;
            Box::new(reference.rounding(options.bf16))
        }
    };
    Ok((model, tokenizer))
}

/// Loads a masked language model.
///
/// # Errors
/// As [`cross_encoder`], and when this version has no such head for the architecture.
pub fn masked_lm(folder: &Path, options: &Options) -> Result<(Box<dyn MaskedLm>, Tokenizer), Failure> {
    let device = device(&options.device)?;
    let checkpoint = Checkpoint::load_masked_lm(folder)?;
    let tokenizer = Tokenizer::load(folder)?;
    let model: Box<dyn MaskedLm> = match Engine::choose(&*checkpoint.model, options, device)? {
        Engine::Cpu(level) => Box::new(cpu::CpuMaskedLm::new(checkpoint, options.threads, level)?),
        Engine::Reference(device) => {
            let reference = ReferenceMaskedLm::new(checkpoint, options.threads, device)?;
            Box::new(reference.rounding(options.bf16))
        }
    };
    Ok((model, tokenizer))
}

/// The candle device of a name.
fn device(name: &str) -> Result<Device, Failure> {
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let number = name.strip_prefix("cuda:").and_then(|n| n.parse::<usize>().ok());
    let Some(number) = number else {
        return Err(Failure::wrong(format!("the device `{name}` is unknown")).help("write cpu, or cuda:0"));
    };
    if !cfg!(feature = "cuda") {
        return Err(Failure::missing(format!("this build has no support for `{name}`"))
            .help("build with the feature `cuda`, or use the device cpu"));
    }
    Device::new_cuda(number).map_err(|e| Failure::missing(format!("the device `{name}` cannot be used: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use crate::tokenizer::{Limits, TokenCache};
    use xpipe_base::task::FailureKind;

    #[test]
    fn devices_are_told_by_name() {
        assert!(matches!(device("cpu"), Ok(Device::Cpu)));
        assert_eq!(device("gpu").unwrap_err().kind, FailureKind::Wrong);
        if !cfg!(feature = "cuda") {
            assert_eq!(device("cuda:0").unwrap_err().kind, FailureKind::Missing);
        }
    }

    #[test]
    fn the_engine_is_the_explicit_one_unless_said_otherwise() {
        let Some(folder) = testing::real("bert-tiny") else { return };
        let kernels = |options: Options| cross_encoder(&folder, 1, &options).map(|(e, ..)| e.kernels());
        let best = cpu::Level::detect().name();
        assert_eq!(kernels(Options::default()).unwrap(), best);
        assert_eq!(
            kernels(Options { kernels: Kernels::Portable, ..Options::default() }).unwrap(),
            "portable"
        );
        assert_eq!(
            kernels(Options { kernels: Kernels::Reference, ..Options::default() }).unwrap(),
            "reference"
        );
    }

    #[test]
    fn a_real_model_loads_scores_and_saves() {
        let Some(folder) = testing::real("bert-tiny") else { return };
        let (mut model, tokenizer, facts) = cross_encoder(&folder, 1, &Options::default()).unwrap();
        assert_eq!(
            (facts.architecture, facts.position_limit, facts.hidden, facts.layers),
            ("bert", 512, 128, 2)
        );
        assert_eq!(facts.parameters, model.weights().len());
        assert_eq!(facts.drawn.len(), 4);
        assert!(facts.ignored.iter().all(|n| n.starts_with("cls.")) && facts.ignored.len() == 5);
        let pairs =
            [("what is a cell", "a cell is the smallest unit of life"), ("", ""), ("q", "long text ")];
        let limits = Limits { query: 32, document: 256, total: facts.position_limit };
        let batch = tokenizer.pack(&pairs, &limits, &TokenCache::default()).unwrap();
        let scores = model.score(&batch).unwrap();
        let out = tempfile::tempdir().unwrap();
        model.save(out.path()).unwrap();
        tokenizer.save(out.path(), facts.position_limit).unwrap();
        let (mut again, _, facts) = cross_encoder(out.path(), 2, &Options::default()).unwrap();
        assert!(facts.drawn.is_empty() && facts.ignored.is_empty());
        assert_eq!(again.score(&batch).unwrap(), scores);
    }
}
