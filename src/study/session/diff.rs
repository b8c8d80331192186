//! `diff`: what two studies compute differently, cell by cell, and which published numbers differ where both have been run.
//! Nothing is run.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::Error;
use super::{CacheView, Session};
use xpipe_base::task::{Action, Failure};
use xpipe_base::value::{ActionId, Digest, Input, Located, Value};
use xpipe_engine::Job;
use xpipe_engine::cache::{Change, Recipe, diff as compare};

/// The recipe of each cell by address, in the order of the study.
type Recipes = Vec<(String, Recipe)>;

/// The published numbers of each cell that has been computed, by address.
type Numbers = BTreeMap<String, BTreeMap<String, f64>>;

/// How two studies differ.
///
/// # Errors
/// The cache cannot be read, or an argument cannot be compared.
pub fn differences(old: &Session, new: &Session) -> Result<Differences, Error> {
    let mut found = compared(&recipes(&old.job)?, &recipes(&new.job)?);
    let (old_store, new_store) = (old.open_cache()?, new.open_cache()?);
    let (old, new) = (old.cached(&old_store), new.cached(&new_store));
    found.damaged = [&old, &new].iter().flat_map(|view| view.results.damage()).collect();
    found.measured = measured(&old.numbers(), &new.numbers());
    Ok(found)
}

/// The symbolic recipe of every cell.
fn recipes(job: &Job) -> Result<Recipes, Error> {
    let (mut keys, mut all) = (Vec::with_capacity(job.actions.len()), Vec::new());
    for action in &job.actions {
        let recipe = symbolic(action, &keys)?;
        keys.push((recipe.key(), action.address.clone()));
        all.extend(action.addresses().map(|a| (a.clone(), recipe.clone())));
    }
    Ok(all)
}

impl CacheView<'_> {
    /// The published numbers of every cell that has a result.
    fn numbers(&self) -> Numbers {
        let mut all = Numbers::new();
        for (id, action) in (0..).zip(&self.session.job.actions) {
            let Some(manifest) = self.results.manifest(ActionId(id)).filter(|m| !m.values.is_empty()) else {
                continue;
            };
            let values: BTreeMap<String, f64> =
                manifest.values.iter().map(|(n, x)| (n.clone(), *x)).collect();
            all.extend(action.addresses().map(|a| (a.clone(), values.clone())));
        }
        all
    }
}

/// The numbers that both have and that are not equal.
fn measured(old: &Numbers, new: &Numbers) -> Vec<MeasuredChange> {
    let both = new.iter().filter_map(|(address, new)| Some((address, old.get(address)?, new)));
    let each = both.flat_map(|(address, old, new)| {
        new.iter().filter_map(move |(name, new)| {
            let old = *old.get(name)?;
            let (address, name, new) = (address.clone(), name.clone(), *new);
            (old.to_bits() != new.to_bits()).then_some(MeasuredChange { address, name, old, new })
        })
    });
    each.collect()
}

/// A recipe in which other actions stand for what they compute, and inputs for their names. `keys` are the keys and
/// addresses of the actions before it.
fn symbolic(action: &Action, keys: &[(Digest, String)]) -> Result<Recipe, Error> {
    let located = |digest: Digest, label: &str| {
        Value::Located(Arc::new(Located { path: label.into(), digest, label: label.to_owned() }))
    };
    let key = |id: u32| keys.get(id as usize).map(|(key, label)| (*key, label.as_str()));
    let resolved =
        Value::Record(action.args.clone()).map_leaves(&mut |value: &Value| -> Result<Value, Error> {
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
    let Value::Record(args) = resolved else {
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
pub struct Differences {
    /// Addresses of cells that only the new study has.
    pub added: Vec<String>,
    /// Addresses of cells that only the old study has.
    pub removed: Vec<String>,
    /// Cells whose own recipe differs, with the changes.
    pub changed: Vec<(String, Vec<Change>)>,
    /// Cells that differ only in what they read.
    pub follow: Vec<String>,
    /// How many cells are equal.
    pub same: usize,
    /// Published numbers that differ.
    pub measured: Vec<MeasuredChange>,
    /// Damaged results of either study: address, and what is wrong.
    pub damaged: Vec<String>,
}

/// A published number of a cell in both studies.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasuredChange {
    /// The cell's address.
    pub address: String,
    /// The number's name, for instance `ndcg_10`.
    pub name: String,
    /// Its value in the old study.
    pub old: f64,
    /// Its value in the new study.
    pub new: f64,
}

fn compared(old: &Recipes, new: &Recipes) -> Differences {
    let before: BTreeMap<&str, &Recipe> = old.iter().map(|(a, r)| (a.as_str(), r)).collect();
    let after: BTreeMap<&str, &Recipe> = new.iter().map(|(a, r)| (a.as_str(), r)).collect();
    let mut found = Differences {
        removed: old
            .iter()
            .filter(|(a, _)| !after.contains_key(a.as_str()))
            .map(|(a, _)| a.clone())
            .collect(),
        ..Differences::default()
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
