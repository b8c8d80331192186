//! Bundles there and back, and archives that someone has changed.

use std::path::{Path, PathBuf};

use super::super::tests::{publication, recipe};
use super::super::{Error, Manifest, Miss, Publication, Store, verify};
use super::*;
use xpipe_base::value::sealed;

/// A store with two results, and a study beside it.
struct Bench {
    dir: tempfile::TempDir,
    store: Store,
    results: Vec<Manifest>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("cache")).unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        std::fs::write(dir.path().join("home/s.xpipe"), "edition 2026\n").unwrap();
        let study = dir.path().join("home/s.xpipe").display().to_string();
        let result = |seed: i64| {
            let recipe = recipe(seed);
            let work = store.workspace(&recipe.key()).unwrap();
            std::fs::write(work.out.join("data.txt"), format!("result {seed}")).unwrap();
            std::fs::write(work.out.join("same.txt"), "shared").unwrap();
            let address = format!("model[{seed}]");
            let log = Some("/home/anna/runs/x.log".into());
            store
                .publish(work, Publication { study: &study, address: &address, log, ..publication(&recipe) })
                .unwrap()
                .manifest
        };
        let results = vec![result(1), result(2)];
        Self { dir, store, results }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A bundle of both results, the second without its files.
    fn bundle(&self, name: &str) -> PathBuf {
        let out = self.path(name);
        let home = self.path("home");
        let of = |m: &Manifest, files| BundledResult { address: m.address.clone(), key: m.key, files };
        let results = [of(&self.results[0], true), of(&self.results[1], false)];
        let inside = |name: &str| InnerPath::parse(name).unwrap();
        let attachments =
            [Attachment { name: inside("study/s.xpipe"), path: home.join("s.xpipe"), executable: true }];
        let missing = vec!["a model".to_owned()];
        bundle(&self.store, inside("s.xpipe"), &attachments, &results, missing, &out).unwrap();
        out
    }

    /// Unbundles an archive into another cache.
    fn unbundle(&self, archive: &Path) -> Result<(Store, Unbundled), Error> {
        let there = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
        let store = Store::open(&there.join("cache")).unwrap();
        let done = unbundle(&store, archive, &there.join("study"));
        if done.is_err() {
            assert!(!there.join("study").exists(), "nothing was changed");
            assert_eq!(super::super::usage(&store).unwrap().total.results, 0);
            assert_eq!(super::super::usage::blobs(&store).unwrap().len(), 0);
        }
        done.map(|done| (store, done))
    }
}

/// A bundle as a list of members that can be changed and written again.
struct Parts(Vec<(String, tar::EntryType, Vec<u8>)>);

impl Parts {
    fn of(archive: &Path) -> Self {
        let mut tar = xpipe_base::archive::Tar::new(std::fs::File::open(archive).unwrap());
        let mut parts = Vec::new();
        while let Some(member) = tar.next_member().unwrap() {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut tar, &mut bytes).unwrap();
            parts.push((String::from_utf8(member.name).unwrap(), member.kind, bytes));
        }
        Self(parts)
    }

    fn position(&self, start: &str) -> usize {
        self.0.iter().position(|(name, ..)| name.starts_with(start)).unwrap()
    }

    fn bytes(&mut self, start: &str) -> &mut Vec<u8> {
        let at = self.position(start);
        &mut self.0[at].2
    }

    /// Makes sizes and digests of the table of contents fit.
    fn relist(&mut self) {
        let mut index: serde_json::Value = serde_json::from_slice(&self.0[0].2).unwrap();
        let listed = self.0[1..].iter().map(|(name, _, bytes)| {
            serde_json::json!({ "name": name, "size": bytes.len(), "digest": Digest::of(bytes) })
        });
        index["members"] = listed.collect();
        self.0[0].2 = serde_json::to_vec(&index).unwrap();
    }

    fn edit_index(&mut self, edit: impl Fn(&mut serde_json::Value)) {
        let mut index: serde_json::Value = serde_json::from_slice(&self.0[0].2).unwrap();
        edit(&mut index);
        self.0[0].2 = serde_json::to_vec(&index).unwrap();
    }

    fn write(&self, to: &Path) {
        let mut tar = tar::Builder::new(std::fs::File::create(to).unwrap());
        for (name, kind, bytes) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_entry_type(*kind);
            // The crate refuses names that lead out of the folder.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, &bytes[..]).unwrap();
        }
        tar.finish().unwrap();
    }
}

#[test]
fn results_arrive_with_and_without_their_files() {
    let bench = Bench::new();
    let archive = bench.bundle("a.tar");
    assert_eq!(
        std::fs::read(&archive).unwrap(),
        std::fs::read(bench.bundle("b.tar")).unwrap(),
        "the same bytes"
    );
    let text = std::fs::read(&archive).unwrap();
    for place in [bench.dir.path().to_str().unwrap(), "/home/anna"] {
        assert!(!text.windows(place.len()).any(|w| w == place.as_bytes()), "{place} is in the bundle");
    }
    let (store, done) = bench.unbundle(&archive).unwrap();
    assert_eq!((done.results, done.records, done.known, done.bytes), (1, 1, 0, 14));
    assert_eq!(done.missing, ["a model"]);
    assert_eq!(std::fs::read_to_string(&done.study).unwrap(), "edition 2026\n");
    let (first, second) = (&bench.results[0], &bench.results[1]);
    let found = store.get(&first.key).unwrap();
    assert_eq!((found.digest, found.study.as_str(), &found.log), (first.digest, "s.xpipe", &None));
    let tree = store.tree(&found).unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(tree.join("data.txt")).unwrap(), "result 1");
    assert_eq!(store.recipe(&first.key), Some(recipe(1)));
    // A record is a hit until its files are needed.
    let record = store.get(&second.key).unwrap();
    assert_eq!(record.digest, second.digest);
    assert_eq!(store.tree(&record).unwrap(), Err(Miss::LeftOut));
    assert!(!Miss::LeftOut.is_damage());
    assert_eq!(verify(&store, false, &|_, _| {}).damage, []);
    store.forget_record(&second.key).unwrap();
    assert_eq!(store.get(&second.key), Err(Miss::Absent));
    // Again: what is known stays, and a study is not written over.
    let folder = done.study.parent().unwrap().to_owned();
    assert!(matches!(unbundle(&store, &archive, &folder), Err(Error::Occupied { .. })));
    let again = unbundle(&store, &archive, &bench.path("other")).unwrap();
    assert_eq!((again.results, again.records, again.known, again.bytes), (0, 1, 1, 0));
}

#[test]
fn another_content_under_a_key_is_told_and_the_first_stays() {
    let bench = Bench::new();
    let archive = bench.bundle("a.tar");
    let store = Store::open(&bench.path("second")).unwrap();
    let recipe = recipe(1);
    let work = store.workspace(&recipe.key()).unwrap();
    std::fs::write(work.out.join("data.txt"), "something else").unwrap();
    let mine = store.publish(work, publication(&recipe)).unwrap().manifest;
    let done = unbundle(&store, &archive, &bench.path("other")).unwrap();
    assert_eq!(done.different, ["model[1]"]);
    assert_eq!(store.get(&recipe.key()).unwrap(), mine);
}

#[test]
fn a_changed_bundle_changes_nothing() {
    let bench = Bench::new();
    let archive = bench.bundle("a.tar");
    let bad = bench.path("bad.tar");
    let refused = |what: &str, edit: &dyn Fn(&mut Parts)| {
        let mut parts = Parts::of(&archive);
        edit(&mut parts);
        parts.write(&bad);
        let error = match bench.unbundle(&bad) {
            Ok(_) => panic!("accepted: {what}"),
            Err(e) => e,
        };
        assert!(matches!(error, Error::BadBundle { .. }), "{what}: {error}");
        assert!(error.to_string().contains(what), "{what}: {error}");
    };
    refused("does not have its digest", &|p| p.bytes("objects/")[0] ^= 1);
    refused("does not have its digest", &|p| {
        // Another content under the digest, with a table of contents that fits.
        p.bytes("objects/")[0] ^= 1;
        p.relist();
    });
    refused("cannot be used: its checksum does not match", &|p| {
        let text = String::from_utf8(p.bytes("manifests/").clone()).unwrap();
        *p.bytes("manifests/") = text.replace("0.25", "0.75").into_bytes();
        p.relist();
    });
    refused("its recipe has another key", &|p| {
        // Another recipe under the key, with a checksum that fits.
        let mut json: serde_json::Value = serde_json::from_slice(p.bytes("manifests/")).unwrap();
        json["recipe"]["args"]["seed"] = 7.into();
        json.as_object_mut().unwrap().shift_remove("checksum");
        *p.bytes("manifests/") = sealed::seal(&serde_json::to_vec_pretty(&json).unwrap());
        p.relist();
    });
    refused("is missing", &|p| drop(p.0.remove(p.position("objects/"))));
    refused("the file", &|p| {
        p.0.remove(p.position("objects/"));
        p.relist();
    });
    refused("the record of model[", &|p| {
        p.0.remove(p.position("manifests/"));
        p.relist();
    });
    refused("does not list its member evil", &|p| {
        p.0.push(("evil".into(), tar::EntryType::Regular, vec![1]));
    });
    refused("lists", &|p| p.edit_index(|i| i["members"][0]["size"] = (1u64 << 50).into()));
    refused("bundle.json: ", &|p| p.edit_index(|i| i["members"][0]["name"] = "../evil".into()));
    refused("bundle.json: ", &|p| p.edit_index(|i| i["study"] = "/etc/passwd".into()));
    refused("its format is 9", &|p| p.edit_index(|i| i["format"] = 9.into()));
    refused("is no file of", &|p| {
        let at = p.position("study/");
        p.0[at].1 = tar::EntryType::Symlink;
    });
    refused("its first member is not bundle.json", &|p| drop(p.0.remove(0)));
}

#[test]
fn a_bundle_that_is_cut_anywhere_changes_nothing() {
    let bench = Bench::new();
    let (archive, bad) = (bench.bundle("a.tar"), bench.path("bad.tar"));
    let whole = std::fs::read(&archive).unwrap();
    for cut in (0..whole.len() - 1024).step_by(512 * 3 + 7) {
        std::fs::write(&bad, &whole[..cut]).unwrap();
        assert!(matches!(bench.unbundle(&bad), Err(Error::BadBundle { .. })), "cut at {cut}");
    }
}
