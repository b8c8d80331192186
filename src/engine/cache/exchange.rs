//! Results for other caches and from them: a manifest without paths of this machine, and the way into this store for a
//! result that another cache made. What comes from another cache is untrusted until every digest is checked.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use super::error::At;
use super::lookup::BlobState;
use super::publish::manifest_text;
use super::{Error, Manifest, Miss, Output, Recipe, Store, Workspace, json};
use xpipe_base::value::Digest;

/// The longest text of a manifest that is read, in bytes.
const LONGEST: usize = 16 << 20;

/// A manifest as it goes from one cache to another: without paths of the machine that made it.
#[derive(Clone, Debug)]
pub struct PortableManifest {
    manifest: Arc<Manifest>,
    recipe: Recipe,
    text: String,
}

impl PortableManifest {
    /// Reads the text of a manifest of a key.
    ///
    /// # Errors
    /// Why it is no manifest of that key, a lowercase fragment.
    pub fn parse(text: &str, key: &Digest) -> Result<Self, String> {
        #[derive(serde::Deserialize)]
        struct Only {
            recipe: serde_json::Value,
        }
        if text.len() > LONGEST {
            return Err(format!("the manifest has {} bytes, and at most {LONGEST} are read", text.len()));
        }
        let manifest = Manifest::parse(text.as_bytes(), key)?;
        if let Some((name, _)) = manifest.values.iter().find(|(_, v)| !v.is_finite()) {
            return Err(format!("its value `{name}` is not a finite number"));
        }
        let json: Only = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let recipe = json::read(&json.recipe).ok_or("its recipe cannot be read")?;
        if recipe.key() != *key {
            return Err("its recipe has another key".to_owned());
        }
        if (recipe.op.as_str(), recipe.version) != (manifest.op.as_str(), manifest.version) {
            return Err("its recipe is that of another operation".to_owned());
        }
        Ok(Self { manifest: Arc::new(manifest), recipe, text: text.to_owned() })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// Its text, which [`Self::parse`] reads.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Store {
    /// The manifest of a result of this store, as it goes to another cache.
    ///
    /// # Errors
    /// The store does not have the result, or it is damaged.
    pub fn portable(&self, key: &Digest) -> Result<PortableManifest, Miss> {
        let unreadable = |why: String| Miss::Unreadable { path: self.manifest_path(key), why };
        let mut manifest = self.get(key)?;
        let recipe = self.recipe(key).ok_or_else(|| unreadable("its recipe cannot be read".into()))?;
        manifest.study = file_name(&manifest.study);
        manifest.log = None;
        manifest.origin = None;
        for input in manifest.inputs.iter_mut().filter(|i| i.key.is_none() && i.label.starts_with('/')) {
            input.label = file_name(&input.label);
        }
        // Where this machine has the program that was run; what it says about itself stays.
        if let Some(program) = manifest.facts.get_mut("program").and_then(serde_json::Value::as_object_mut) {
            program.remove("path");
        }
        let text = manifest_text(&manifest, &recipe).map_err(|e| unreadable(e.to_string()))?;
        let text = String::from_utf8(text).map_err(|e| unreadable(e.to_string()))?;
        PortableManifest::parse(&text, key).map_err(unreadable)
    }

    /// Puts a file of a result into a folder when this store has its content already: a link, or where the file system
    /// has none, a copy. `false` when it does not have it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn place_known(&self, output: &Output, folder: &Path) -> Result<bool, Error> {
        let blob = self.blob(&output.digest);
        let Some(meta) = std::fs::metadata(&blob).ok().filter(|m| m.is_file() && m.len() == output.size)
        else {
            return Ok(false);
        };
        if !matches!(self.blob_state(&output.digest)?, BlobState::Intact) {
            return Ok(false);
        }
        let file = make_parent(output, folder)?;
        // The permissions of another user's file cannot be set when it is published.
        let own = meta.uid() == rustix::process::geteuid().as_raw();
        if !own || std::fs::hard_link(&blob, &file).is_err() {
            std::fs::copy(&blob, &file).at("writing", &file)?;
        }
        Ok(true)
    }

    /// Creates an empty file of a result in a folder.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn place_new(&self, output: &Output, folder: &Path) -> Result<File, Error> {
        let file = make_parent(output, folder)?;
        File::create_new(&file).at("writing", &file)
    }

    /// Opens a file of a result of this store.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open_output(&self, output: &Output) -> Result<File, Error> {
        let blob = self.blob(&output.digest);
        File::open(&blob).at("reading", &blob)
    }

    /// Publishes the result of another cache, whose files are in a workspace. `origin` says where it is from. A result that
    /// is there already stands.
    ///
    /// # Errors
    /// A file is missing, is not named by the manifest, or has other content ([`Error::NotAsRecorded`]); or something
    /// cannot be written. Nothing is recorded then.
    pub fn adopt(&self, work: Workspace, from: &PortableManifest, origin: &str) -> Result<Manifest, Error> {
        let outputs = self.publish_blobs(&work.out)?;
        if outputs != from.manifest.outputs {
            let odd = outputs.iter().find(|o| !from.manifest.outputs.contains(o));
            let odd = odd.or_else(|| from.manifest.outputs.iter().find(|o| !outputs.contains(o)));
            return Err(Error::NotAsRecorded { name: odd.map(|o| o.name.to_string()).unwrap_or_default() });
        }
        self.publish_tree(&work.out, &from.manifest.tree)?;
        drop(work);
        let manifest = Manifest { origin: Some(origin.to_owned()), ..Manifest::clone(&from.manifest) };
        Ok(self.publish_manifest(manifest, &from.recipe, false)?.manifest)
    }
}

/// The last name of a path.
fn file_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The path of a file of a result in a folder, whose own folder is created.
fn make_parent(output: &Output, folder: &Path) -> Result<std::path::PathBuf, Error> {
    let file = output.name.below(folder);
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent).at("making", parent)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::cache::tests::{publication, recipe};
    use crate::cache::{InputNote, Publication, verify};

    /// A store with a result that read `/home/anna/data/docs.jsonl`.
    fn store_with_result() -> (tempfile::TempDir, Store, Digest) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let recipe = recipe(1);
        let work = store.workspace(&recipe.key()).unwrap();
        std::fs::create_dir_all(work.out.join("sub")).unwrap();
        std::fs::write(work.out.join("a.txt"), "hello").unwrap();
        std::fs::write(work.out.join("sub/b.txt"), "world").unwrap();
        let note = InputNote {
            path: "docs".into(),
            label: "/home/anna/data/docs.jsonl".into(),
            digest: Digest::of(b"docs"),
            key: None,
        };
        let what = Publication {
            study: "/home/anna/work/study.xpipe",
            inputs: vec![note],
            log: Some("/home/anna/x.log".into()),
            facts: serde_json::json!({ "program": { "path": "/home/anna/bin/ranker", "says": "ranker 2" } })
                .as_object()
                .cloned()
                .unwrap(),
            ..publication(&recipe)
        };
        store.publish(work, what).unwrap();
        let key = recipe.key();
        (dir, store, key)
    }

    /// Copies the files of a result into the workspace of another store.
    fn carry(from: &Store, to: &Store, portable: &PortableManifest, change: impl Fn(&Path)) -> Workspace {
        let work = to.workspace(&portable.manifest().key).unwrap();
        for output in &portable.manifest().outputs {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut from.open_output(output).unwrap(), &mut bytes).unwrap();
            to.place_new(output, &work.out).unwrap().write_all(&bytes).unwrap();
        }
        change(&work.out);
        work
    }

    #[test]
    fn a_result_goes_to_another_cache_without_paths() {
        let (_a, from, key) = store_with_result();
        let portable = from.portable(&key).unwrap();
        assert!(!portable.text().contains("anna"), "{}", portable.text());
        assert_eq!(portable.manifest().facts["program"], serde_json::json!({ "says": "ranker 2" }));
        let again = PortableManifest::parse(portable.text(), &key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let to = Store::open(dir.path()).unwrap();
        let adopted = to.adopt(carry(&from, &to, &again, |_| {}), &again, "the cache `lab`").unwrap();
        let (here, there) = (to.get(&key).unwrap(), from.get(&key).unwrap());
        assert_eq!((here.digest, &here.outputs, &here.values), (there.digest, &there.outputs, &there.values));
        assert_eq!(
            (adopted.origin.as_deref(), here.study.as_str()),
            (Some("the cache `lab`"), "study.xpipe")
        );
        assert_eq!(to.recipe(&key), from.recipe(&key));
        let tree = to.tree(&here).unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(tree.join("sub/b.txt")).unwrap(), "world");
        assert!(verify(&to, false, &|_, _| {}).damage.is_empty());
        // What is here already is linked.
        let work = to.workspace(&key).unwrap();
        assert!(to.place_known(&here.outputs[0], &work.out).unwrap());
        let missing = Output { digest: Digest::of(b"other"), ..here.outputs[0].clone() };
        assert!(!to.place_known(&missing, &work.out).unwrap());
    }

    #[test]
    fn files_that_differ_from_the_manifest_are_not_recorded() {
        let (_a, from, key) = store_with_result();
        let portable = from.portable(&key).unwrap();
        let changes: [&dyn Fn(&Path); 3] = [
            &|out| std::fs::write(out.join("a.txt"), "hallo").unwrap(),
            &|out| std::fs::remove_file(out.join("sub/b.txt")).unwrap(),
            &|out| std::fs::write(out.join("more"), "x").unwrap(),
        ];
        for change in changes {
            let dir = tempfile::tempdir().unwrap();
            let to = Store::open(dir.path()).unwrap();
            let work = carry(&from, &to, &portable, change);
            assert!(matches!(to.adopt(work, &portable, "x"), Err(Error::NotAsRecorded { .. })));
            assert_eq!(to.get(&key), Err(Miss::Absent));
        }
    }

    #[test]
    fn a_changed_manifest_is_refused() {
        let (_a, from, key) = store_with_result();
        let text = from.portable(&key).unwrap().text().to_owned();
        assert!(PortableManifest::parse(&text, &Digest::of(b"other")).is_err());
        assert!(
            PortableManifest::parse(&text.replace("0.25", "0.75"), &key).unwrap_err().contains("checksum")
        );
        // With a checksum that fits: names that lead out, and the recipe of another key.
        let again = |from: &str, to: &str| {
            let changed = text.replace(from, to);
            let open = changed.rsplit_once(",\n\"checksum\"").unwrap().0;
            String::from_utf8(xpipe_base::value::sealed::seal(format!("{open}}}").as_bytes())).unwrap()
        };
        assert!(
            PortableManifest::parse(&again("0.25", "0.75"), &key).is_ok(),
            "only the recipe is in the key"
        );
        for (old, new, why) in [
            ("\"a.txt\"", "\"../a.txt\"", "../a.txt"),
            ("\"a.txt\"", "\"/a.txt\"", "/a.txt"),
            ("\"seed\": 1", "\"seed\": 2", "another key"),
        ] {
            let refused = PortableManifest::parse(&again(old, new), &key).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        let long = format!("{}{}", text, " ".repeat(LONGEST));
        assert!(PortableManifest::parse(&long, &key).unwrap_err().contains("at most"));
    }
}
