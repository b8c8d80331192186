//! `cache verify --rerun`: a sample of stored actions is carried out again, and the results are compared.

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::Error;
use super::runner::LocalRunner;
use xpipe_base::value::Digest;
use xpipe_engine::cache::{Entry, Store, list};
use xpipe_engine::{CancelToken, Options, Rerun, StoredAction};

/// An action that was carried out again.
#[derive(Clone, Debug, Serialize)]
pub struct RerunOf {
    /// The study that requested it first.
    pub study: String,
    /// The cell that requested it first.
    pub address: String,
    /// Its operation.
    pub op: String,
    /// Its key.
    pub key: Digest,
    /// What came out.
    #[serde(flatten)]
    pub rerun: Rerun,
}

/// Carries `count` stored actions out again, chosen by the seed among all with intact records, in an order in which every
/// action comes after those whose results it reads. `told` gets each as it is done.
///
/// # Errors
/// The store cannot be read or written.
pub fn rerun_sample(
    store: &Store,
    runner: &LocalRunner,
    options: &Options,
    cancel: &CancelToken,
    count: usize,
    seed: u64,
    told: &mut dyn FnMut(&RerunOf),
) -> Result<Vec<RerunOf>, Error> {
    let entries: BTreeMap<Digest, Entry> = list(store)?.into_iter().map(|e| (e.key, e)).collect();
    let mut sample: Vec<Digest> = entries.keys().copied().collect();
    sample.sort_by_key(|key| Digest::of(format!("{seed} {}", key.hex()).as_bytes()));
    sample.truncate(count);
    let mut depths = BTreeMap::new();
    sample.sort_by_key(|key| (depth(store, key, &mut depths), entries[key].address.clone(), *key));
    let mut all = Vec::new();
    for key in sample {
        if cancel.stopping() {
            break;
        }
        let entry = &entries[&key];
        let done = RerunOf {
            study: entry.study.clone(),
            address: entry.address.clone(),
            op: entry.op.clone(),
            key,
            rerun: rerun(store, runner, options, cancel, &key)?,
        };
        told(&done);
        all.push(done);
    }
    Ok(all)
}

/// How many results an action's longest chain of inputs has.
fn depth(store: &Store, key: &Digest, known: &mut BTreeMap<Digest, usize>) -> usize {
    if let Some(depth) = known.get(key) {
        return *depth;
    }
    // Damaged records could name each other.
    known.insert(*key, 0);
    let inputs: Vec<Digest> =
        store.record(key).into_iter().flat_map(|m| m.inputs).filter_map(|note| note.key).collect();
    let depth = inputs.iter().map(|input| depth(store, input, known) + 1).max().unwrap_or(0);
    known.insert(*key, depth);
    depth
}

fn rerun(
    store: &Store,
    runner: &LocalRunner,
    options: &Options,
    cancel: &CancelToken,
    key: &Digest,
) -> Result<Rerun, Error> {
    let skipped = |why: String| Ok(Rerun::Skipped { why });
    let Some(manifest) = store.record(key) else { return skipped("its record is damaged".into()) };
    let Some(op) = runner.operation(&manifest.op) else {
        return skipped(format!("this build has no operation `{}`", manifest.op));
    };
    if op.version != manifest.version {
        return skipped(format!(
            "it was made by version {} of `{}`, and this build has {}",
            manifest.version, manifest.op, op.version
        ));
    }
    let args = store.recipe(key).map(|recipe| recipe.args).unwrap_or_default();
    if op.is_remote(&args) {
        return skipped("it asks a model on another machine".into());
    }
    let action = StoredAction { store, manifest: &manifest, runner, options, cancel, heavy: op.heavy };
    Ok(action.rerun()?)
}
