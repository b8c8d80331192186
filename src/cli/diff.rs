//! `xpipe diff`: what two studies compute differently, cell by cell, and what came out differently where both have been
//! run. Nothing is run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::args::{Common, DiffArgs, StudyArgs};
use super::check::plural;
use super::lock::Lock;
use super::out::{self, Stop};
use super::results::Stored;
use super::runner::Local;
use super::study::Loaded;
use super::{job, study};
use xpipe_base::task::{Action, Failure};
use xpipe_base::value::{ActionId, Digest, Input, Located, Value};
use xpipe_engine::cache::{Change, Recipe, diff as compare};
use xpipe_engine::{Heavy, Job, Options, forecast};

pub(super) fn diff(args: &DiffArgs, common: &Common) -> Result<u8, Stop> {
    let (old, new) = (side(&args.old, args, common)?, side(&args.new, args, common)?);
    let mut found = differences(&old.recipes, &new.recipes);
    found.measured = measured(&old.values, &new.values);
    if common.json {
        let changed: Vec<serde_json::Value> = found
            .changed
            .iter()
            .map(|(address, changes)| serde_json::json!({ "address": address, "changes": changes }))
            .collect();
        let measured: Vec<serde_json::Value> = found
            .measured
            .iter()
            .map(|m| serde_json::json!({ "address": m.address, "name": m.name, "old": m.old, "new": m.new }))
            .collect();
        out::json(&serde_json::json!({
            "added": found.added, "removed": found.removed, "changed": changed, "follow": found.follow,
            "same": found.same, "measured": measured,
        }));
    } else {
        out::say(&found.text());
    }
    Ok(0)
}

/// The recipe of each cell by address, in the order of the study.
type Recipes = Vec<(String, Recipe)>;

/// One of the two studies.
struct Side {
    recipes: Recipes,
    values: Values,
}

/// The published numbers of each cell that has been computed, by address.
type Values = BTreeMap<String, BTreeMap<String, f64>>;

fn side(file: &Path, args: &DiffArgs, common: &Common) -> Result<Side, Stop> {
    let of = StudyArgs {
        file: file.to_path_buf(),
        set: args.set.clone(),
        profile: args.profile.clone(),
        only: Vec::new(),
        target: Vec::new(),
        max_cells: None,
    };
    let loaded = study::sound(&of, common)?;
    let job = job::job(&loaded)?;
    let (mut keys, mut all) = (Vec::with_capacity(job.actions.len()), Vec::new());
    for action in &job.actions {
        let recipe = symbolic(action, &keys)?;
        keys.push((recipe.key(), action.address.clone()));
        let addresses = action.addresses();
        all.extend(addresses.map(|a| (a.clone(), recipe.clone())));
    }
    Ok(Side { recipes: all, values: values(&loaded, &job, common)? })
}

/// What the cache holds of a study's numbers.
fn values(loaded: &Loaded, job: &Job, common: &Common) -> Result<Values, Stop> {
    let store = job::reading(common)?;
    let runner = Local::new(common, Lock::beside(&loaded.path, common.locked)?);
    let fates = forecast(job, &runner, &store, &Options::new(job::threads(common), Heavy::Thread));
    let stored = Stored::of_forecast(&store, job, &fates);
    stored.warn_of_damage();
    let mut all = Values::new();
    for (id, action) in (0..).zip(&job.actions) {
        let Some(manifest) = stored.manifest(ActionId(id)).filter(|m| !m.values.is_empty()) else { continue };
        let values: BTreeMap<String, f64> = manifest.values.iter().map(|(n, x)| (n.clone(), *x)).collect();
        let addresses = action.addresses();
        all.extend(addresses.map(|a| (a.clone(), values.clone())));
    }
    Ok(all)
}

/// The numbers that both have and that are not equal.
fn measured(old: &Values, new: &Values) -> Vec<Measured> {
    let both = new.iter().filter_map(|(address, new)| Some((address, old.get(address)?, new)));
    let each = both.flat_map(|(address, old, new)| {
        new.iter().filter_map(move |(name, new)| {
            let old = *old.get(name)?;
            let (address, name, new) = (address.clone(), name.clone(), *new);
            (old.to_bits() != new.to_bits()).then_some(Measured { address, name, old, new })
        })
    });
    each.collect()
}

/// A recipe in which other actions stand for what they compute, and inputs for their names. `keys` are the keys and
/// addresses of the actions before it.
fn symbolic(action: &Action, keys: &[(Digest, String)]) -> Result<Recipe, Stop> {
    let located = |digest: Digest, label: &str| {
        Value::Located(Arc::new(Located { path: label.into(), digest, label: label.to_owned() }))
    };
    let key = |id: u32| keys.get(id as usize).map(|(key, label)| (*key, label.as_str()));
    let told =
        Value::Record(action.args.clone()).map_leaves(&mut |value: &Value| -> Result<Value, Stop> {
            Ok(match value {
                Value::Artifact(id) => match key(id.0) {
                    Some((digest, label)) => located(digest, label),
                    None => return Err(Failure::bug("an action stands before what it reads").into()),
                },
                Value::Input(input) => Value::Str(input_text(input).into()),
                Value::Pending(p) => {
                    // What is computed later is told by its expression and by what it is computed from.
                    let mut from = Vec::new();
                    p.actions(&mut |id| from.push(id.0));
                    let mut text = format!("{p:?}");
                    for id in from {
                        let what = key(id).map(|k| k.0.hex()).unwrap_or_default();
                        text = text.replace(&format!("ActionId({id})"), &what);
                    }
                    located(Digest::of(text.as_bytes()), "a value known later")
                }
                other => other.clone(),
            })
        })?;
    let Value::Record(args) = told else {
        return Err(Failure::bug("arguments are no record").into());
    };
    Recipe::new(action.op, action.version, args).map_err(|_| {
        Failure::bug(format!("{} has an argument that cannot be compared", action.address)).into()
    })
}

fn input_text(input: &Input) -> String {
    match input {
        Input::Remote { digest: Some(d), .. } => format!("{input} ({d})"),
        other => other.to_string(),
    }
}

/// How two studies differ.
#[derive(Debug, Default, PartialEq)]
struct Found {
    added: Vec<String>,
    removed: Vec<String>,
    /// Cells whose own recipe differs, with what differs.
    changed: Vec<(String, Vec<Change>)>,
    /// Cells that differ only in what they read.
    follow: Vec<String>,
    same: usize,
    /// Numbers that came out differently.
    measured: Vec<Measured>,
}

/// A published number of a cell in both studies.
#[derive(Clone, Debug, PartialEq)]
struct Measured {
    address: String,
    name: String,
    old: f64,
    new: f64,
}

fn differences(old: &Recipes, new: &Recipes) -> Found {
    let before: BTreeMap<&str, &Recipe> = old.iter().map(|(a, r)| (a.as_str(), r)).collect();
    let after: BTreeMap<&str, &Recipe> = new.iter().map(|(a, r)| (a.as_str(), r)).collect();
    let mut found = Found {
        removed: old
            .iter()
            .filter(|(a, _)| !after.contains_key(a.as_str()))
            .map(|(a, _)| a.clone())
            .collect(),
        ..Found::default()
    };
    for (address, recipe) in new {
        let Some(earlier) = before.get(address.as_str()) else {
            found.added.push(address.clone());
            continue;
        };
        let mut changes = compare(earlier, recipe).changes;
        if changes.is_empty() {
            found.same += 1;
            continue;
        }
        changes.retain(|c| !matches!(c, Change::Content { .. }));
        if changes.is_empty() {
            found.follow.push(address.clone());
        } else {
            found.changed.push((address.clone(), changes));
        }
    }
    found
}

impl Found {
    fn text(&self) -> String {
        let mut out = String::new();
        for (what, cells) in [("removed", &self.removed), ("added", &self.added)] {
            for group in by_name(cells) {
                let _ = writeln!(out, "{what}  {group}");
            }
        }
        // Cells of one stage that differ in the same are told once.
        let mut groups: Vec<(&str, &Vec<Change>, Vec<String>)> = Vec::new();
        for (address, changes) in &self.changed {
            let name = name(address);
            match groups.iter_mut().find(|g| g.0 == name && g.1 == changes) {
                Some(group) => group.2.push(address.clone()),
                None => groups.push((name, changes, vec![address.clone()])),
            }
        }
        for (_, changes, cells) in groups {
            let _ = writeln!(out, "changed  {}", by_name(&cells).join(", "));
            let width = changes.iter().filter_map(Change::path).map(|p| p.chars().count()).max().unwrap_or(0);
            for change in changes {
                let path = change.path().unwrap_or_default();
                let _ = writeln!(out, "  {}", format!("{path:<width$}  {}", change.text()).trim());
            }
        }
        for group in by_name(&self.follow) {
            let _ = writeln!(out, "follows  {group}");
        }
        let mut last = "";
        for m in &self.measured {
            if m.address != last {
                let _ = writeln!(out, "measured  {}", m.address);
                last = &m.address;
            }
            let _ = writeln!(out, "  {}  {:.4} -> {:.4}  ({:+.4})", m.name, m.old, m.new, m.new - m.old);
        }
        let differing = self.added.len() + self.removed.len() + self.changed.len() + self.follow.len();
        let same = format!("{} cell{} the same", self.same, plural(self.same));
        let _ = match differing {
            0 => writeln!(out, "no difference: {same}"),
            n => writeln!(out, "{n} cell{} differ{}, {same}", plural(n), if n == 1 { "s" } else { "" }),
        };
        out
    }
}

fn name(address: &str) -> &str {
    address.split('[').next().unwrap_or(address)
}

/// Addresses, those of one stage together: `model[a]`, `ranked: 12 cells, ranked[a] to ranked[z]`.
fn by_name(addresses: &[String]) -> Vec<String> {
    let mut groups: Vec<Vec<&String>> = Vec::new();
    for address in addresses {
        match groups.iter_mut().find(|g| g.first().is_some_and(|a| name(a) == name(address))) {
            Some(group) => group.push(address),
            None => groups.push(vec![address]),
        }
    }
    groups
        .iter()
        .map(|group| match group.as_slice() {
            [first, .., last] if group.len() > 3 => {
                format!("{}: {} cells, {first} to {last}", name(first), group.len())
            }
            few => few.iter().map(|a| a.as_str()).collect::<Vec<_>>().join(", "),
        })
        .collect()
}
