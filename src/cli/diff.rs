//! `xpipe diff`: what two studies compute differently, cell by cell. Nothing is run.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::options::Common;
use super::out;
use xpipe_engine::cache::Change;
use xpipe_study::session::{Differences, Error, MeasuredChange, Session, StudyRequest, differences};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The old study.
    old: PathBuf,
    /// The new study.
    new: PathBuf,
    /// Set a param of both studies.
    #[arg(long, value_name = "PARAM=VALUE")]
    set: Vec<String>,
    /// Use a profile of both studies.
    #[arg(long)]
    profile: Option<String>,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let open = |file: &Path| {
        let (set, profile) = (args.set.clone(), args.profile.clone());
        let request = StudyRequest { file: file.to_owned(), set, profile, ..StudyRequest::default() };
        Session::open(&request, &common.settings(), out::listener())
    };
    let found = differences(&open(&args.old)?, &open(&args.new)?)?;
    out::warn_of_damage(&found.damaged);
    match common.json {
        true => out::json(&json(&found)),
        false => out::say(&text(&found)),
    }
    Ok(0)
}

fn json(found: &Differences) -> serde_json::Value {
    let changed = found
        .changed
        .iter()
        .map(|(address, changes)| serde_json::json!({ "address": address, "changes": changes }));
    let measured = found
        .measured
        .iter()
        .map(|m| serde_json::json!({ "address": m.address, "name": m.name, "old": m.old, "new": m.new }));
    serde_json::json!({
        "added": found.added, "removed": found.removed, "changed": changed.collect::<Vec<_>>(),
        "follow": found.follow, "same": found.same, "measured": measured.collect::<Vec<_>>(),
    })
}

fn text(found: &Differences) -> String {
    let mut out = String::new();
    for (what, cells) in [("removed", &found.removed), ("added", &found.added)] {
        for group in by_stage(cells) {
            let _ = writeln!(out, "{what}  {group}");
        }
    }
    write_changes(&mut out, &found.changed);
    for group in by_stage(&found.follow) {
        let _ = writeln!(out, "follows  {group}");
    }
    write_measured(&mut out, &found.measured);
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    let differing = found.added.len() + found.removed.len() + found.changed.len() + found.follow.len();
    let same = format!("{} cell{} the same", found.same, plural(found.same));
    let _ = match differing {
        0 => writeln!(out, "no difference: {same}"),
        n => writeln!(out, "{n} cell{} differ{}, {same}", plural(n), if n == 1 { "s" } else { "" }),
    };
    out
}

/// Cells whose recipes differ; those of one stage with the same changes are printed once.
fn write_changes(out: &mut String, changed: &[(String, Vec<Change>)]) {
    let mut groups: Vec<(&str, &Vec<Change>, Vec<String>)> = Vec::new();
    for (address, changes) in changed {
        let stage = stage(address);
        match groups.iter_mut().find(|g| g.0 == stage && g.1 == changes) {
            Some(group) => group.2.push(address.clone()),
            None => groups.push((stage, changes, vec![address.clone()])),
        }
    }
    for (_, changes, cells) in groups {
        let _ = writeln!(out, "changed  {}", by_stage(&cells).join(", "));
        let width = changes.iter().filter_map(Change::path).map(|p| p.chars().count()).max().unwrap_or(0);
        for change in changes {
            let path = change.path().unwrap_or_default();
            let _ = writeln!(out, "  {}", format!("{path:<width$}  {}", change.text()).trim());
        }
    }
}

fn write_measured(out: &mut String, measured: &[MeasuredChange]) {
    let mut last = "";
    for m in measured {
        if m.address != last {
            let _ = writeln!(out, "measured  {}", m.address);
            last = &m.address;
        }
        let _ = writeln!(out, "  {}  {:.4} -> {:.4}  ({:+.4})", m.name, m.old, m.new, m.new - m.old);
    }
}

fn stage(address: &str) -> &str {
    address.split('[').next().unwrap_or(address)
}

/// Addresses, grouped by stage: `model[a]`, `ranked: 12 cells, ranked[a] to ranked[z]`.
fn by_stage(addresses: &[String]) -> Vec<String> {
    let mut groups: Vec<Vec<&String>> = Vec::new();
    for address in addresses {
        match groups.iter_mut().find(|g| g.first().is_some_and(|a| stage(a) == stage(address))) {
            Some(group) => group.push(address),
            None => groups.push(vec![address]),
        }
    }
    groups
        .iter()
        .map(|group| match group.as_slice() {
            [first, .., last] if group.len() > 3 => {
                format!("{}: {} cells, {first} to {last}", stage(first), group.len())
            }
            few => few.iter().map(|a| a.as_str()).collect::<Vec<_>>().join(", "),
        })
        .collect()
}
