//! `xpipe plan`: what a run would do.

use super::options::{Common, RemoteArgs, StudyArgs};
use super::{advice, out};
use xpipe_base::value::human;
use xpipe_engine::cache::downloads::file_name;
use xpipe_study::session::{Basis, Error, Plan, PlannedStage, ResourceEstimate};

/// The most notes of one kind that are printed.
const SHOWN: usize = 8;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    study: StudyArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let mut session = args.study.open(common)?;
    if let Some(remote) = args.remote.open(false, &out::listener())? {
        session.use_remote(remote);
    }
    let plan = session.plan()?;
    if common.json {
        out::json(&json(&plan));
        return Ok(0);
    }
    out::say(&table(&plan.stages));
    out::line(&format!(
        "{} {}: {} cached,{} {} to run, {} waiting for upstream results or missing inputs",
        human::thousands(plan.actions),
        human::agreeing(plan.actions, "actions"),
        human::thousands(plan.cached),
        remotely(&plan),
        human::thousands(plan.run),
        human::thousands(plan.depends),
    ));
    plan.detectable.iter().for_each(|d| out::line(&format!("test of {d}")));
    estimate_lines(&plan).iter().for_each(|line| out::line(line));
    advice::failure_lines(&plan.failed).iter().for_each(|line| out::line(line));
    for stage in &plan.stages {
        if let Some(questions) = stage.estimate.questions() {
            out::line(&format!("{}: {questions}", stage.name));
        }
    }
    notes(&plan).iter().for_each(|note| out::line(&format!("note: {note}")));
    Ok(0)
}

/// How much the remote cache has; empty where none is used.
fn remotely(plan: &Plan) -> String {
    let name = plan.remote_name.as_ref();
    name.map_or_else(String::new, |name| {
        format!(" {} in remote cache `{name}`,", human::thousands(plan.remote))
    })
}

/// What a reader of the plan has to know.
fn notes(plan: &Plan) -> Vec<String> {
    let mut notes: Vec<String> = plan.blocked.iter().take(SHOWN).cloned().collect();
    notes.extend(downloads(plan));
    let lacks = plan.unimplemented.iter();
    notes.extend(lacks.map(|u| format!("this version cannot run {} yet ({})", u.what, u.address)));
    notes.extend(plan.missing.iter().take(SHOWN).cloned());
    if plan.missing.len() > SHOWN {
        notes.push(format!("and {} more inputs that are not on this machine", plan.missing.len() - SHOWN));
    }
    notes
}

/// What is to be downloaded.
fn downloads(plan: &Plan) -> Option<String> {
    const NAMED: usize = 3;
    let absent = &plan.downloads_absent;
    if absent.is_empty() {
        return None;
    }
    let names: Vec<String> = absent.iter().take(NAMED).map(|url| file_name(url)).collect();
    let n = absent.len();
    Some(format!(
        "{n} {} to be downloaded ({} here): {}{}; `xpipe fetch` or `run` downloads {}",
        human::agreeing(n as u64, "files are"),
        plan.downloads_here,
        names.join(", "),
        if n > NAMED { ", …" } else { "" },
        if n == 1 { "it" } else { "them" },
    ))
}

/// Time and memory of the run; empty where no model will run.
fn estimate_lines(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(_), Some(basis)) = (plan.total.seconds, plan.basis) {
        lines.push(format!(
            "models: {} on {}, {} of {} memory; speed {}",
            plan.total.time(),
            human::counted(plan.threads, "threads"),
            plan.total.space(),
            human::size(plan.memory),
            basis.text()
        ));
    }
    for (why, n) in &plan.total.unknown {
        let n = *n as u64;
        lines.push(format!(
            "note: the time of {} {} is unknown: {why}",
            human::thousands(n),
            human::agreeing(n, "actions")
        ));
    }
    lines
}

fn json(plan: &Plan) -> serde_json::Value {
    let mut total = estimate_json(&plan.total);
    total["actions"] = plan.actions.into();
    total["cached"] = plan.cached.into();
    total["remote"] = plan.remote.into();
    total["run"] = plan.run.into();
    total["depends"] = plan.depends.into();
    total["to_download"] = plan.downloads_absent.clone().into();
    total["speed"] = plan.basis.map(Basis::word).into();
    total["threads"] = plan.threads.into();
    total["memory_limit"] = plan.memory.into();
    total["failed"] = advice::failures_json(&plan.failed);
    let stages: Vec<_> = plan.stages.iter().map(stage_json).collect();
    serde_json::json!({ "stages": stages, "total": total })
}

fn stage_json(stage: &PlannedStage) -> serde_json::Value {
    let mut json = estimate_json(&stage.estimate);
    for (name, n) in [
        ("cells", stage.cells),
        ("actions", stage.actions),
        ("cached", stage.cached),
        ("run", stage.run),
        ("depends", stage.depends),
        ("unknown", stage.unknown),
        ("remote", stage.remote),
    ] {
        json[name] = n.into();
    }
    json["stage"] = stage.name.clone().into();
    json["for"] = stage.axes.clone().into();
    json
}

/// Seconds and bytes, whether they are upper bounds, and for how many actions the time is unknown, by reason.
fn estimate_json(estimate: &ResourceEstimate) -> serde_json::Value {
    serde_json::json!({
        "seconds": estimate.seconds.map(|s| s.amount),
        "seconds_at_most": estimate.seconds.is_some_and(|s| s.upper_bound),
        "memory": estimate.memory.map(|m| m.amount),
        "memory_at_most": estimate.memory.is_some_and(|m| m.upper_bound),
        "not_estimated": estimate.unknown,
        "requests": estimate.asked.map(|a| a.amount.requests),
        "requests_at_most": estimate.asked.is_some_and(|a| a.upper_bound),
        "prompt_tokens": estimate.asked.map(|a| a.amount.prompt_tokens),
        "completion_tokens_at_most": estimate.asked.map(|a| a.amount.completion_tokens),
        "cost": estimate.asked.map(|a| a.amount.cost).filter(|c| *c > 0.0),
    })
}

/// The columns of the table; those between the axes and the notes are numbers.
const COLUMNS: [&str; 9] = ["stage", "for", "cells", "actions", "cached", "run", "time", "memory", ""];

/// A line for each stage.
fn table(stages: &[PlannedStage]) -> String {
    let models = stages.iter().any(|s| !s.estimate.time().is_empty());
    let title =
        |t: &str| if models || !["time", "memory"].contains(&t) { t.to_owned() } else { String::new() };
    let mut rows = vec![COLUMNS.map(title)];
    rows.extend(stages.iter().map(row));
    let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS.len()] = std::array::from_fn(width);
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (c, (cell, w)) in row.iter().zip(widths).enumerate().filter(|(_, (_, w))| *w > 0) {
            match c {
                2..8 => line.push_str(&format!("{cell:>w$}  ")),
                _ => line.push_str(&format!("{cell:<w$}  ")),
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn row(stage: &PlannedStage) -> [String; COLUMNS.len()] {
    let n = |x: usize| human::thousands(x as u64);
    let mut notes = Vec::new();
    if stage.remote > 0 {
        notes.push(format!("{} remote", n(stage.remote)));
    }
    if stage.depends > 0 {
        notes.push(format!("{} depends", n(stage.depends)));
    }
    if stage.unknown > 0 {
        notes.push(format!("{} wait for missing input", n(stage.unknown)));
    }
    if !stage.resources.is_empty() {
        notes.push(stage.resources.clone());
    }
    [
        stage.name.clone(),
        stage.axes.clone(),
        n(stage.cells),
        n(stage.actions),
        n(stage.cached),
        n(stage.run),
        stage.estimate.time(),
        stage.estimate.space(),
        notes.join("  "),
    ]
}
