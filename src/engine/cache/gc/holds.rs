//! Which results stay, and why: what runs now, pins, kept runs, the latest results of studies, everything that these were
//! made from, and what is young.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use super::GcRequest;
use super::census::{Census, Run};
use xpipe_base::value::Digest;

/// What keeps a result; a greater one is stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Nothing.
    None,
    /// It was written or used so recently that something may still want it.
    Young,
    /// A study or a kept run uses it, or it was made from it.
    Used,
    /// A pin.
    Pinned,
    /// A process that is alive uses it or may have made it.
    Running,
}

/// What is decided about results and runs.
pub(super) struct Decision {
    pub(super) holds: BTreeMap<Digest, Hold>,
    /// When a result was last used, as far as runs tell.
    pub(super) last_used: BTreeMap<Digest, SystemTime>,
    /// Runs whose events and logs may go, by their place in the census.
    pub(super) old_runs: BTreeSet<usize>,
    /// Histories of studies that are gone, by their place in the census.
    pub(super) gone_studies: BTreeSet<usize>,
}

/// Decides for every result.
pub(super) fn decide(census: &Census, request: &GcRequest) -> Decision {
    let gone_studies = gone(census, request);
    let over = over(census);
    let old_runs = old_runs(census, request);
    let mut last_used: BTreeMap<Digest, SystemTime> =
        census.results.iter().map(|(key, r)| (*key, r.written)).collect();
    for run in &census.runs {
        for key in &run.keys {
            last_used.entry(*key).and_modify(|t| *t = run.last.max(*t));
        }
    }
    let mut holds = Holds { census, holds: BTreeMap::new() };
    holds.add(Hold::Running, running(census));
    holds.add(Hold::Pinned, census.pins.iter().flat_map(|p| p.keys.iter().copied()).collect());
    let of_studies = (0..).zip(&census.studies).filter(|(i, _)| !gone_studies.contains(i));
    let of_studies = of_studies.flat_map(|(_, s)| s.held().copied());
    let of_runs = (0..).zip(&census.runs).filter(|(i, _)| !old_runs.contains(i));
    let of_runs = of_runs.flat_map(|(_, run)| run.keys.iter().copied());
    holds.add(Hold::Used, of_studies.chain(of_runs).collect());
    let young = |(key, time): (&Digest, &SystemTime)| {
        (!over.contains(key) && !census.is_older(*time, request.older)).then_some(*key)
    };
    holds.add(Hold::Young, last_used.iter().filter_map(young).collect());
    Decision { holds: holds.holds, last_used, old_runs, gone_studies }
}

struct Holds<'a> {
    census: &'a Census,
    holds: BTreeMap<Digest, Hold>,
}

impl Holds<'_> {
    /// Holds results and what they were made from. The strongest hold is added first.
    fn add(&mut self, hold: Hold, roots: Vec<Digest>) {
        let mut stack = roots;
        while let Some(key) = stack.pop() {
            let Some(result) = self.census.results.get(&key) else { continue };
            if self.holds.contains_key(&key) {
                continue;
            }
            self.holds.insert(key, hold);
            stack.extend(&result.made_from);
        }
    }
}

/// Results that a living process made, found, or may look up as the latest of its study.
fn running(census: &Census) -> Vec<Digest> {
    let mut keys: Vec<Digest> =
        census.results.iter().filter(|(_, r)| census.in_use_since(r.written)).map(|(key, _)| *key).collect();
    let live = |run: &&Run| census.in_use_since(run.last);
    let mut studies = BTreeSet::new();
    for run in census.runs.iter().filter(live) {
        keys.extend(&run.keys);
        studies.insert(run.study.as_str());
    }
    let of_live = census.studies.iter().filter(|s| s.study().is_some_and(|path| studies.contains(path)));
    keys.extend(of_live.flat_map(|s| s.iter().map(|(_, key)| *key)));
    keys
}

/// Results that need not stay because they are young: among the runs that are left, only those with `--keep-days` used
/// them, all of which are over. That a run without a limit used them is in the history of its study, which holds them.
fn over(census: &Census) -> BTreeSet<Digest> {
    let mut until: BTreeMap<Digest, Option<SystemTime>> = BTreeMap::new();
    for run in &census.runs {
        for key in &run.keys {
            let known = until.entry(*key).or_insert(run.until);
            // No limit goes before every limit.
            *known = known.zip(run.until).map(|(a, b)| a.max(b));
        }
    }
    let over = |(key, until): (Digest, Option<SystemTime>)| (until? <= census.now).then_some(key);
    until.into_iter().filter_map(over).collect()
}

/// Runs whose folders may go: those whose days are over, and those older than what was asked for.
fn old_runs(census: &Census, request: &GcRequest) -> BTreeSet<usize> {
    let may_go = |run: &Run| match run.until {
        _ if run.has_jobs || census.in_use_since(run.last) => false,
        Some(until) => until <= census.now,
        None => census.is_older(run.last, request.older),
    };
    (0..).zip(&census.runs).filter(|(_, run)| may_go(run)).map(|(i, _)| i).collect()
}

/// Studies whose file is no longer there and that do not run, where it was asked to forget these.
fn gone(census: &Census, request: &GcRequest) -> BTreeSet<usize> {
    if !request.forget_gone {
        return BTreeSet::new();
    }
    let live = census.runs.iter().filter(|r| census.in_use_since(r.last));
    let running: BTreeSet<&str> = live.map(|r| r.study.as_str()).collect();
    let is_gone = |s: &str| !Path::new(s).exists() && !running.contains(s);
    (0..).zip(&census.studies).filter(|(_, s)| s.study().is_some_and(is_gone)).map(|(i, _)| i).collect()
}
