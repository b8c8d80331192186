//! `xpipe plan`: what a run would do, by the code that a run uses.

use super::args::{Common, StudyArgs};
use super::estimate::{Basis, Estimate, Estimator};
use super::lock::Lock;
use super::out::{self, Stop};
use super::progress::thousands;
use super::results::Stored;
use super::runner::Local;
use super::{check::plural, failed, fetching};
use super::{job, sound, study};
use xpipe_base::value::{ActionId, Value};
use xpipe_engine::cache::downloads::file_name;
use xpipe_engine::{Forecast, Forecaster, Heavy, Job, Reach, survey};

/// Counts of a row.
#[derive(Clone, Debug, Default)]
struct Line {
    name: String,
    axes: String,
    cells: usize,
    actions: usize,
    cached: usize,
    run: usize,
    depends: usize,
    unknown: usize,
    needs: String,
    estimate: Estimate,
}

pub(super) fn plan(args: &StudyArgs, common: &Common) -> Result<u8, Stop> {
    let loaded = study::sound(args, common)?;
    let job = job::job(&loaded)?;
    let store = job::reading(common)?;
    let runner = Local::new(common, Lock::beside(&loaded.path, common.locked)?);
    let options = job::options(common, Heavy::Thread);
    let (table, fates) = survey(&job, &runner, &store, &options);
    let mut estimator = Estimator::new(Forecaster::new(&job, &runner, Some(&table)), &store, &options);
    let mut total = Estimate::default();
    let mut counted = std::collections::BTreeSet::new();
    let needed = job.needed();
    let mut lines = Vec::new();
    for row in &loaded.graph.rows {
        let mut ids: Vec<ActionId> = row.cells.iter().map(|c| c.action).collect();
        let cells = ids.iter().filter(|id| needed[id.0 as usize]).count();
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| needed[id.0 as usize]);
        if ids.is_empty() {
            continue;
        }
        let mut line = Line { name: row.name.clone(), axes: row.axes.join(", "), cells, ..Line::default() };
        for id in &ids {
            line.actions += 1;
            if !matches!(fates[id.0 as usize], Forecast::Cached { .. } | Forecast::NotNeeded) {
                let estimate = estimator.of(job.action(*id));
                line.estimate.add(&estimate);
                if counted.insert(*id) {
                    total.add(&estimate);
                }
            }
            match &fates[id.0 as usize] {
                Forecast::Cached { .. } => line.cached += 1,
                Forecast::WillRun { .. } => line.run += 1,
                Forecast::Depends { .. } => line.depends += 1,
                // A recipe with a value that is known only later waits for it, whatever else it waits for.
                Forecast::Unknown { .. } if waits(&job.action(*id).args) => line.depends += 1,
                Forecast::Unknown { .. } => line.unknown += 1,
                Forecast::NotNeeded => {}
            }
        }
        let action = loaded.graph.action(ids[0]);
        line.needs = wishes(&action.policy);
        lines.push(line);
    }
    let basis = estimator.basis;
    let count = |f: &dyn Fn(&Forecast) -> bool| fates.iter().filter(|x| f(x)).count() as u64;
    let actions = count(&|f| !matches!(f, Forecast::NotNeeded));
    let cached = count(&|f| matches!(f, Forecast::Cached { .. }));
    let run = count(&|f| matches!(f, Forecast::WillRun { .. }));
    let depends = count(&|f| matches!(f, Forecast::Depends { .. } | Forecast::Unknown { .. }));
    let wanted = fetching::wanted(&loaded, &job, &fates, &runner)?;
    let (here, absent): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|w| w.is_here(&store));
    let failures = failed::last_failures(&job, &store, &fates);
    if common.json {
        let lines: Vec<_> = lines.iter().map(Line::json).collect();
        let mut all = json_of(&total);
        all["actions"] = actions.into();
        all["cached"] = cached.into();
        all["run"] = run.into();
        all["depends"] = depends.into();
        all["to_download"] = absent.iter().map(|w| &*w.want.url).collect::<Vec<_>>().into();
        all["speed"] = basis.map(Basis::word).into();
        all["threads"] = options.threads.into();
        all["memory_limit"] = options.memory.into();
        all["failed"] = failed::json(&failures);
        out::json(&serde_json::json!({ "stages": lines, "total": all }));
        return Ok(0);
    }
    out::say(&text(&lines));
    out::line(&format!(
        "{} actions: {} cached, {} to run, {} depend on what runs before them or wait for input",
        thousands(actions),
        thousands(cached),
        thousands(run),
        thousands(depends),
    ));
    for line in detectable(&loaded, &store, &job, &fates) {
        out::line(&line);
    }
    for line in estimated(&total, basis, &options) {
        out::line(&line);
    }
    failed::lines(&failures).iter().for_each(|line| out::line(line));
    let unready = job::unready(&loaded, &job, &runner, &store, &options);
    for line in &lines {
        if let Some(questions) = line.estimate.questions() {
            out::line(&format!("{}: {questions}", line.name));
        }
    }
    for failure in unready.iter().chain(&job::too_large(&loaded, &job, &runner, &store, &options)).take(8) {
        out::line(&format!("note: {}", failure.message));
    }
    let inputs = job::missing(&loaded, &job, &runner, Reach::Local);
    let mut missing: Vec<String> = inputs.iter().filter(|i| !i.is_remote).map(job::Missing::told).collect();
    for failure in sound::models(&loaded, &job, &sound::read(&fates), &runner) {
        // One that cannot be read at all is among the inputs.
        if !missing.contains(&failure.message) {
            missing.push(failure.message);
        }
    }
    for f in &fates {
        // What is no input's failure: a value that cannot be computed.
        if let Forecast::Unknown { why } = f
            && !inputs.iter().any(|i| i.failure.message == why.message)
            && !missing.contains(&why.message)
        {
            missing.push(why.message.clone());
        }
    }
    if !absent.is_empty() {
        let names: Vec<String> = absent.iter().take(3).map(|w| file_name(&w.want.url)).collect();
        let more = if absent.len() > 3 { ", …" } else { "" };
        let n = absent.len();
        out::line(&format!(
            "note: {n} file{} {} to be downloaded ({} here): {}{more}; `xpipe fetch` or `run` brings {}",
            plural(n),
            if n == 1 { "is" } else { "are" },
            here.len(),
            names.join(", "),
            if n == 1 { "it" } else { "them" },
        ));
    }
    for (what, address, _) in job::unimplemented(&loaded.graph, &job) {
        out::line(&format!("note: this version cannot run {what} yet ({address})"));
    }
    for m in missing.iter().take(8) {
        out::line(&format!("note: {m}"));
    }
    if missing.len() > 8 {
        out::line(&format!("note: and {} more inputs that are not on this machine", missing.len() - 8));
    }
    Ok(0)
}

/// What the tests of tables can find, as far as it can be told.
fn detectable(
    loaded: &study::Loaded,
    store: &xpipe_engine::cache::Store,
    job: &Job,
    fates: &[Forecast],
) -> Vec<String> {
    let stored = Stored::of_forecast(store, job, fates);
    let tables = loaded.graph.tables.iter();
    let found = tables.filter_map(|t| xpipe_study::report::detectable(t, &loaded.graph, &stored));
    found.map(|d| format!("test of {d}")).collect()
}

impl Line {
    fn json(&self) -> serde_json::Value {
        let mut json = json_of(&self.estimate);
        for (name, n) in [
            ("cells", self.cells),
            ("actions", self.actions),
            ("cached", self.cached),
            ("run", self.run),
            ("depends", self.depends),
            ("unknown", self.unknown),
        ] {
            json[name] = n.into();
        }
        json["stage"] = self.name.clone().into();
        json["for"] = self.axes.clone().into();
        json
    }
}

/// Seconds and bytes, whether they are upper bounds, and of how many actions seconds are not known, by reason.
fn json_of(estimate: &Estimate) -> serde_json::Value {
    serde_json::json!({
        "seconds": estimate.seconds.map(|s| s.amount),
        "seconds_at_most": estimate.seconds.is_some_and(|s| s.most),
        "memory": estimate.memory.map(|m| m.amount),
        "memory_at_most": estimate.memory.is_some_and(|m| m.most),
        "not_estimated": estimate.unknown,
        "requests": estimate.asked.map(|a| a.amount.requests),
        "requests_at_most": estimate.asked.is_some_and(|a| a.most),
        "prompt_tokens": estimate.asked.map(|a| a.amount.prompt_tokens),
        "completion_tokens_at_most": estimate.asked.map(|a| a.amount.completion_tokens),
        "cost": estimate.asked.map(|a| a.amount.cost).filter(|c| *c > 0.0),
    })
}

/// What is said of time and memory below the table; nothing where no model will run.
fn estimated(total: &Estimate, basis: Option<Basis>, options: &xpipe_engine::Options) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(_), Some(basis)) = (total.seconds, basis) {
        let memory = xpipe_engine::cache::text::rough_bytes(options.memory);
        lines.push(format!(
            "models: {} on {} threads, {} of {memory} memory; speed {}",
            total.time(),
            options.threads,
            total.space(),
            basis.text()
        ));
    }
    for (why, n) in &total.unknown {
        let plural = if *n == 1 { "action" } else { "actions" };
        lines.push(format!("note: how long {} {plural} will take is not known: {why}", thousands(*n as u64)));
    }
    lines
}

fn text(lines: &[Line]) -> String {
    let n = |x: usize| if x == 0 { "0".to_owned() } else { thousands(x as u64) };
    let models = lines.iter().any(|l| !l.estimate.time().is_empty());
    let titles = ["stage", "for", "cells", "actions", "cached", "run", "time", "memory", ""];
    let mut table = vec![
        titles.map(|t| if models || !["time", "memory"].contains(&t) { t.to_owned() } else { String::new() }),
    ];
    for l in lines {
        let mut notes = Vec::new();
        if l.depends > 0 {
            notes.push(format!("{} depends", n(l.depends)));
        }
        if l.unknown > 0 {
            notes.push(format!("{} wait for missing input", n(l.unknown)));
        }
        if !l.needs.is_empty() {
            notes.push(l.needs.clone());
        }
        table.push([
            l.name.clone(),
            l.axes.clone(),
            n(l.cells),
            n(l.actions),
            n(l.cached),
            n(l.run),
            l.estimate.time(),
            l.estimate.space(),
            notes.join("  "),
        ]);
    }
    let widths: Vec<usize> =
        (0..9).map(|c| table.iter().map(|r| r[c].chars().count()).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &table {
        let mut line = String::new();
        for (c, cell) in row.iter().enumerate() {
            let w = widths[c];
            if w == 0 {
                continue;
            }
            if (2..8).contains(&c) {
                line.push_str(&format!("{cell:>w$}  "));
            } else {
                line.push_str(&format!("{cell:<w$}  "));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn wishes(policy: &xpipe_base::value::Record) -> String {
    let mut out = Vec::new();
    if let Some(n) = policy.get("gpu").and_then(Value::as_int).filter(|n| *n > 0) {
        out.push(format!("gpu {n}"));
    }
    for name in ["vram", "memory"] {
        if let Some(Value::Bytes(b)) = policy.get(name) {
            out.push(xpipe_engine::cache::text::rough_bytes(*b));
        }
    }
    out.join(", ")
}

/// Whether arguments hold a value that is known only after a stage has run.
fn waits(args: &xpipe_base::value::Record) -> bool {
    let mut found = false;
    for (_, v) in args.iter() {
        v.walk(&mut |v| found |= matches!(v, Value::Pending(_)));
    }
    found
}
