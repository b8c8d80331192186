//! How long stages will take and how much memory they need, before they run; and the speeds that later estimates take from
//! the stages of a run.

use std::collections::BTreeMap;
use xpipe_base::value::human;

use xpipe_base::task::{Action, Estimate, Kernels, LlmRequests, Work};
use xpipe_engine::cache::{RateKey, Rates, Store};
use xpipe_engine::{Final, Forecaster, Options, RunReport};

/// What an action will need, or several together.
#[derive(Clone, Debug, Default)]
pub struct ResourceEstimate {
    /// Seconds, where any are known.
    pub seconds: Option<Estimate<f64>>,
    /// Bytes of memory at the peak, where they are known.
    pub memory: Option<Estimate<u64>>,
    /// For how many actions the time is unknown, by reason.
    pub unknown: BTreeMap<String, usize>,
    /// Requests to language models, with their tokens and cost, where they are known.
    pub asked: Option<Estimate<LlmRequests>>,
}

impl ResourceEstimate {
    /// Adds the estimate of an action that runs after this one.
    pub(super) fn add(&mut self, other: &Self) {
        if let Some(seconds) = other.seconds {
            let sum = self.seconds.map_or(0.0, |s| s.amount) + seconds.amount;
            let most = seconds.upper_bound || self.seconds.is_some_and(|s| s.upper_bound);
            self.seconds = Some(Estimate { amount: sum, upper_bound: most });
        }
        if let Some(memory) = other.memory
            && self.memory.is_none_or(|m| m.amount < memory.amount)
        {
            self.memory = Some(memory);
        }
        if let Some(asked) = other.asked {
            let sum =
                self.asked.get_or_insert(Estimate { amount: LlmRequests::default(), upper_bound: false });
            sum.upper_bound |= asked.upper_bound;
            sum.amount.requests += asked.amount.requests;
            sum.amount.prompt_tokens += asked.amount.prompt_tokens;
            sum.amount.completion_tokens += asked.amount.completion_tokens;
            sum.amount.cost += asked.amount.cost;
        }
        for (why, n) in &other.unknown {
            *self.unknown.entry(why.clone()).or_default() += n;
        }
    }

    /// The time for people: `≤ 12 min 04 s`, with `?` where some of it is unknown; empty where no model runs.
    pub fn time(&self) -> String {
        let known = self
            .seconds
            .map(|s| format!("{}{}", if s.upper_bound { "≤ " } else { "" }, human::duration(s.amount)));
        match (known, self.unknown.is_empty()) {
            (Some(known), true) => known,
            (Some(known), false) => format!("{known} + ?"),
            (None, false) => "?".to_owned(),
            (None, true) => String::new(),
        }
    }

    /// Requests to language models, for people; `None` where there are none.
    pub fn questions(&self) -> Option<String> {
        let Estimate { amount: a, upper_bound: most } = self.asked?;
        let n = |x: f64| human::thousands(x.round() as u64);
        let cost = if a.cost > 0.0 { format!(", a cost of about {:.2}", a.cost) } else { String::new() };
        Some(format!(
            "{}{} to a language model: about {} asked, at most {} answered{cost}",
            if most { "≤ " } else { "" },
            human::counted(a.requests.round() as u64, "questions"),
            human::counted(a.prompt_tokens.round() as u64, "tokens"),
            n(a.completion_tokens)
        ))
    }

    /// The memory for people: `≤ 1.2 GiB`.
    pub fn space(&self) -> String {
        self.memory.map_or_else(String::new, |m| {
            format!("{}{}", if m.upper_bound { "≤ " } else { "" }, human::size(m.amount))
        })
    }
}

/// Where the speed of an estimate comes from, the most reliable first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// The same kind of model was measured on this machine.
    Measured,
    /// Other models were.
    Scaled,
    /// None was: a short probe of matrix products.
    Probed,
}

impl Basis {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Measured => "measured on this machine",
            Self::Scaled => "scaled from other models measured on this machine",
            Self::Probed => {
                "estimated from a probe of matrix products: no model was measured on this machine yet"
            }
        }
    }

    /// For programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Scaled => "scaled",
            Self::Probed => "probed",
        }
    }
}

/// Estimates what actions will need.
pub(super) struct Estimator<'a> {
    forecaster: Forecaster<'a>,
    rates: Rates,
    options: &'a Options,
    machine: String,
    /// Floating-point operations per second of matrix products, by number of threads.
    probes: BTreeMap<usize, Option<f64>>,
    /// The least reliable basis used so far.
    pub(super) basis: Option<Basis>,
}

impl<'a> Estimator<'a> {
    pub(super) fn new(forecaster: Forecaster<'a>, store: &Store, options: &'a Options) -> Self {
        let (rates, machine) = (Rates::read(store), machine());
        Self { forecaster, rates, options, machine, probes: BTreeMap::new(), basis: None }
    }

    /// What an action will need; empty when it runs no model.
    pub(super) fn of(&mut self, action: &Action) -> ResourceEstimate {
        let mut estimate = ResourceEstimate::default();
        let Some(work) = self.forecaster.work(action, self.options) else { return estimate };
        match self.forecaster.asked(action, self.options) {
            Some(Ok(asked)) => estimate.asked = Some(asked),
            Some(Err(why)) => drop(estimate.unknown.insert(why, 1)),
            None => {}
        }
        estimate.memory = self
            .forecaster
            .memory(action, self.options)
            .map(|m| Estimate { amount: m.amount.bytes, upper_bound: m.upper_bound });
        match work.and_then(|work| {
            let seconds = work.amount.iter().map(|w| self.seconds(w, action)).sum::<Result<f64, String>>()?;
            Ok(Estimate { amount: seconds, upper_bound: work.upper_bound })
        }) {
            Ok(seconds) => estimate.seconds = Some(seconds),
            Err(why) => drop(estimate.unknown.insert(why, 1)),
        }
        estimate
    }

    fn seconds(&mut self, work: &Work, action: &Action) -> Result<f64, String> {
        let threads = self.forecaster.threads(action, self.options);
        let kernels = kernels(work, self.options.kernels)?;
        let of = rate_of(work, &self.machine, threads, &kernels);
        let (rate, basis) = match self.rates.estimate(&of) {
            Some(found) => (found.flops, if found.same { Basis::Measured } else { Basis::Scaled }),
            None => {
                let probe = || probe(self.options.kernels, threads);
                let probe = (*self.probes.entry(threads).or_insert_with(probe))
                    .filter(|_| !work.reference)
                    .ok_or("the speed of this engine was not measured on this machine yet")?;
                (probe * if work.training { MODEL_SHARE[1] } else { MODEL_SHARE[0] }, Basis::Probed)
            }
        };
        self.basis = self.basis.max(Some(basis));
        // Several that take a part of the threads run side by side.
        Ok(work.flops / rate * threads as f64 / self.options.threads as f64)
    }
}

/// The share of the speed of matrix products that a model reaches: scoring, training.
const MODEL_SHARE: [f64; 2] = [0.8, 0.6];

/// The processor and the number of its threads.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':'));
    let name = name.map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    format!("{name}, {threads} threads")
}

fn rate_of(work: &Work, machine: &str, threads: usize, kernels: &str) -> RateKey {
    RateKey {
        machine: machine.to_owned(),
        threads,
        kernels: kernels.to_owned(),
        precision: work.precision.clone(),
        training: work.training,
        shape: work.shape.clone(),
        width: work.width,
    }
}

/// The name of the kernels that will compute a work.
fn kernels(work: &Work, requested: Kernels) -> Result<String, String> {
    if work.reference || requested == Kernels::Reference {
        return Ok(Kernels::Reference.to_string());
    }
    let level = xpipe_nn::cpu::Level::of(requested).map_err(|e| e.message)?;
    Ok(level.rounding(work.precision == "bf16").name().to_owned())
}

fn probe(kernels: Kernels, threads: usize) -> Option<f64> {
    if kernels == Kernels::Reference {
        return None;
    }
    xpipe_nn::cpu::probe(xpipe_nn::cpu::Level::of(kernels).ok()?, threads).ok()
}

/// Records how fast the models of a run were. A record that cannot be written is no failure: it only helps estimates.
pub(super) fn learn(store: &Store, report: &RunReport) {
    let machine = machine();
    let (mut rates, mut learnt) = (Rates::read(store), false);
    for manifest in
        report.actions.iter().filter(|a| a.state == Final::Ran).filter_map(|a| a.manifest.as_ref())
    {
        let facts = &manifest.facts;
        let work = facts.get("work").and_then(|w| serde_json::from_value::<Vec<Work>>(w.clone()).ok());
        let kernels = facts.get("kernels").and_then(serde_json::Value::as_str);
        let (Some(work), Some(kernels), "cpu") = (work, kernels, &*manifest.device) else { continue };
        for w in work {
            learnt |= rates.record(&rate_of(&w, &machine, manifest.threads, kernels), w.flops, w.seconds);
        }
    }
    if learnt {
        let _ = rates.write(store);
    }
}
