//! `bundle`: a study with its results in one archive; and what of them fits into the appendix of a paper.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::Session;
use super::cached::CacheView;
use super::error::{Error, exit};
use super::inputs;
use super::load::cells;
use crate::report;
use xpipe_base::place;
use xpipe_base::task::is_ignored;
use xpipe_base::value::{ActionId, Digest, InnerPath, Input, Value, dependencies, inputs_of};
use xpipe_engine::cache::{self, Attachment, BundledResult, Store};
use xpipe_engine::{Forecast, Reach, Runner as _};
use xpipe_lang::graph::Graph;

/// What to put into a bundle.
#[derive(Clone, Debug)]
pub struct BundleRequest {
    /// Stages and cells whose files are included, besides those that tables and claims read.
    pub with: Vec<String>,
    /// Whether the files of every result are included.
    pub all: bool,
    /// Maximum size of a local file or folder that is included because the study reads it, in bytes.
    pub max_input: u64,
}

/// What a bundle has.
#[derive(Clone, Debug)]
pub struct Bundled {
    /// Number of results with their files.
    pub with_files: usize,
    /// Number of all results.
    pub results: usize,
    /// Size of the archive in bytes.
    pub bytes: u64,
    /// What the study needs and the bundle does not have.
    pub missing: Vec<String>,
}

impl Session {
    /// Writes a study with its results to an archive. The same results give the same bytes.
    ///
    /// # Errors
    /// Something that the study asks for has no intact result, or the archive cannot be written.
    pub fn bundle(&self, request: &BundleRequest, out: &Path) -> Result<Bundled, Error> {
        let store = self.open_cache()?;
        let view = self.cached(&store);
        let keys = self.keys(&view)?;
        let wanted = self.with_files(request)?;
        let results: Vec<BundledResult> = keys
            .iter()
            .map(|(id, key)| BundledResult {
                address: self.job.action(*id).address.clone(),
                key: *key,
                files: request.all || wanted.contains(id),
            })
            .collect();
        let home = self.home()?;
        let evaluated = view.evaluate()?;
        refuse_damage(&view)?;
        let (mut attachments, missing) = self.attachments(&home, request.max_input)?;
        let tables = tempfile::tempdir()?;
        report::write_all(tables.path(), &evaluated)?;
        std::fs::write(tables.path().join("results.json"), pretty(&report::json(&evaluated))?)?;
        add_folder(tables.path(), tables.path(), "results", &mut attachments)?;
        attachments.sort_by(|a, b| a.name.cmp(&b.name));
        attachments.dedup_by(|a, b| a.name == b.name);
        let study = inner("", &home, &self.loaded.path)?;
        cache::bundle(&store, study, &attachments, &results, missing.clone(), out)?;
        Ok(Bundled {
            with_files: results.iter().filter(|r| r.files).count(),
            results: results.len(),
            bytes: std::fs::metadata(out)?.len(),
            missing,
        })
    }

    /// Recipes, digests, measures and versions as JSON: everything of a bundle but the files.
    ///
    /// # Errors
    /// Something that the study asks for has no intact result.
    pub fn metadata(&self) -> Result<Json, Error> {
        let store = self.open_cache()?;
        let view = self.cached(&store);
        let home = self.home()?;
        let mut results = Vec::new();
        for (id, key) in self.keys(&view)? {
            let address = &self.job.action(id).address;
            let portable = store.portable(&key).map_err(|miss| damaged(&format!("{address}: {miss}")))?;
            let mut result: Json = serde_json::from_str(portable.text()).map_err(std::io::Error::from)?;
            result["address"] = address.clone().into();
            if let Some(fields) = result.as_object_mut() {
                // The checksum is of the text in the cache.
                fields.retain(|name, _| name != "checksum" && name != "log");
            }
            results.push(result);
        }
        let evaluated = view.evaluate()?;
        refuse_damage(&view)?;
        let mut files = Vec::new();
        for path in self.study_files() {
            let digest = Digest::of(&std::fs::read(&path)?);
            files.push(json!({ "name": inner("", &home, &path)?, "digest": digest }));
        }
        let lock = std::fs::read(self.loaded.path.with_extension("lock")).ok();
        let lock: Json = lock.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Ok(json!({
            "format": 1,
            "tool": concat!("xpipe ", env!("CARGO_PKG_VERSION")),
            "study": { "name": self.loaded.name(), "files": files, "lock": lock },
            "results": results,
            "report": report::json(&evaluated),
        }))
    }

    /// The keys of everything that is asked for, in the order of the actions.
    fn keys(&self, view: &CacheView<'_>) -> Result<Vec<(ActionId, Digest)>, Error> {
        let (mut keys, mut open) = (Vec::new(), Vec::new());
        for id in inputs::needed(&self.job) {
            match &view.forecasts[id.0 as usize] {
                Forecast::Cached { key } => keys.push((id, *key)),
                _ => open.push(self.job.action(id).address.as_str()),
            }
        }
        let which = match open.as_slice() {
            [] => return Ok(keys),
            [one] => format!("{one} has no result"),
            [first, others @ ..] => format!("{first} and {} more have no result", others.len()),
        };
        let file = self.loaded.request.file.display();
        Err(Error::missing(format!("{which} yet"))
            .help(format!("run it first (`xpipe run {file}`), or take a part with `--target`")))
    }

    /// The actions whose files are included: those that tables and claims read, and those that are asked for.
    fn with_files(&self, request: &BundleRequest) -> Result<BTreeSet<ActionId>, Error> {
        let mut wanted: BTreeSet<ActionId> = read_by_output(&self.loaded.graph).into_iter().collect();
        wanted.extend(cells(&self.loaded.graph, &request.with)?);
        Ok(wanted)
    }

    /// The files of the study itself: its texts, tables of numbers, and the lock file.
    fn study_files(&self) -> Vec<PathBuf> {
        let mut files = self.loaded.files.clone();
        files.extend(Some(self.loaded.path.with_extension("lock")).filter(|lock| lock.is_file()));
        files
    }

    /// The folder of the study: the lowest that all its texts are in.
    ///
    /// # Errors
    /// They have no folder in common but the root of the file system.
    fn home(&self) -> Result<PathBuf, Error> {
        common_folder(&self.loaded.path, &self.loaded.files)
    }

    /// The files of the study, and the local files and models below its folder that it reads; and what is left out.
    fn attachments(&self, home: &Path, max_input: u64) -> Result<(Vec<Attachment>, Vec<String>), Error> {
        let (mut attachments, mut missing) = (Vec::new(), BTreeMap::new());
        for path in self.study_files() {
            attachments.push(attachment("study", home, &path)?);
        }
        let mut seen = BTreeSet::new();
        for id in inputs::needed(&self.job) {
            inputs_of(&self.job.action(id).args, &mut |input| {
                seen.insert(input.clone());
            });
        }
        for input in seen {
            // What is downloaded is known by its digest, and needed only where it must be read.
            if matches!(*input, Input::Remote { .. }) {
                continue;
            }
            let found = self.runner.find_input(&input, Reach::Local)?;
            let path = xpipe_lang::resolve::modules::normal(&found.path);
            let bytes = size(&path)?;
            if !path.starts_with(home) {
                missing.insert(input.to_string(), "outside of the study's folder");
            } else if bytes > max_input {
                missing.insert(input.to_string(), "larger than `--max-input`");
            } else if path.is_dir() {
                add_folder(home, &path, "study", &mut attachments)?;
            } else {
                attachments.push(attachment("study", home, &path)?);
            }
        }
        let missing = missing.into_iter().map(|(input, why)| {
            let input =
                Path::new(&input).strip_prefix(home).map_or(input.clone(), |p| p.display().to_string());
            format!("{input} ({why})")
        });
        Ok((attachments, missing.collect()))
    }
}

/// The actions whose numbers or files tables, claims and choices read.
fn read_by_output(graph: &Graph) -> Vec<ActionId> {
    let mut values: Vec<&Value> = Vec::new();
    for table in &graph.tables {
        values.push(&table.title);
        values.extend(table.values.iter().flatten().flatten());
        values.extend(table.spread.iter().flatten().flatten().flatten());
        values.extend(table.published.iter().flat_map(|p| &p.values).flatten().flatten());
    }
    for claim in &graph.claims {
        values.push(&claim.text);
        values.extend(claim.expect.as_ref().ok());
    }
    values.extend(graph.choices.iter().map(|c| &c.value));
    dependencies(values)
}

fn refuse_damage(view: &CacheView<'_>) -> Result<(), Error> {
    match view.results.damage().into_iter().next() {
        None => Ok(()),
        Some(message) => Err(damaged(&message)),
    }
}

fn damaged(message: &str) -> Error {
    Error::Other {
        code: exit::DAMAGED,
        message: message.to_owned(),
        help: Some("`xpipe run` makes damaged results again".into()),
    }
}

fn pretty(json: &Json) -> Result<Vec<u8>, Error> {
    let mut text = serde_json::to_vec_pretty(json).map_err(std::io::Error::from)?;
    text.push(b'\n');
    Ok(text)
}

/// The lowest folder that a study and its files are in; `/` is an error.
fn common_folder(study: &Path, files: &[PathBuf]) -> Result<PathBuf, Error> {
    let mut home = study.parent().unwrap_or(Path::new("/")).to_owned();
    for file in files {
        while !file.starts_with(&home) && home.pop() {}
    }
    if home.parent().is_some() {
        return Ok(home);
    }
    let found = "the files of the study have no folder in common but `/`, so a bundle would name everything by its \
                 place on this machine";
    Err(Error::usage(found).help("put the study and the files that it uses into one folder"))
}

/// The name of a file in the bundle.
fn inner(under: &str, home: &Path, path: &Path) -> Result<InnerPath, Error> {
    let inside = path.strip_prefix(home).unwrap_or(path);
    let Some(inside) = inside.to_str() else {
        return Err(Error::missing(format!(
            "{} cannot be put into a bundle: its name is not UTF-8, so another file could have the same name there",
            place::quote(&path.display().to_string())
        ))
        .help("rename it"));
    };
    let name = if under.is_empty() { inside.to_string() } else { format!("{under}/{inside}") };
    InnerPath::parse(name)
        .map_err(|why| Error::missing(format!("{} cannot be put into a bundle: {why}", path.display())))
}

fn attachment(under: &str, home: &Path, path: &Path) -> Result<Attachment, Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let executable =
        std::fs::metadata(path).map_err(|e| unreadable(path, &e))?.permissions().mode() & 0o111 != 0;
    Ok(Attachment { name: inner(under, home, path)?, path: path.to_owned(), executable })
}

fn unreadable(path: &Path, e: &std::io::Error) -> Error {
    Error::missing(format!("cannot read {}: {e}", path.display()))
}

/// What is in a folder, that left out which no reader sees.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| unreadable(folder, &e))? {
        let path = entry.map_err(|e| unreadable(folder, &e))?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if !is_ignored(&name) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Adds the files of a folder.
fn add_folder(home: &Path, folder: &Path, under: &str, all: &mut Vec<Attachment>) -> Result<(), Error> {
    for path in entries(folder)? {
        if path.is_dir() {
            add_folder(home, &path, under, all)?;
        } else {
            all.push(attachment(under, home, &path)?);
        }
    }
    Ok(())
}

/// The size in bytes of a file, or of what a bundle takes of a folder.
fn size(path: &Path) -> Result<u64, Error> {
    let meta = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    if !meta.is_dir() {
        return Ok(meta.len());
    }
    let mut sum = 0;
    for path in entries(path)? {
        sum += size(&path)?;
    }
    Ok(sum)
}

/// Puts a bundle's results into a cache and its study into a folder.
///
/// # Errors
/// The archive is damaged or the folder is taken; nothing was changed then. Or something cannot be written.
pub fn unbundle(store: &Store, archive: &Path, folder: &Path) -> Result<cache::Unbundled, Error> {
    Ok(cache::unbundle(store, archive, folder)?)
}

#[cfg(test)]
mod tests;
