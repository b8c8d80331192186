//! Stored actions once more, with what happens to them meanwhile.

use std::os::unix::ffi::OsStrExt;

use super::*;
use crate::cache::Manifest;
use crate::{Reason, Rerun, StoredAction};

/// As `make`, and does what a file outside of its key says.
pub(super) fn moody(job: &Task<'_>) -> Result<Outcome, Failure> {
    let mood = std::fs::read_to_string(job.arg("mark").as_str().unwrap())?;
    let first = job.arg("from").as_list().unwrap_or_default().first();
    let read = first.and_then(|from| if let Value::Located(l) = from { Some(l.path.clone()) } else { None });
    let read = read.ok_or_else(|| Failure::bug("reads nothing"))?;
    let mut outcome = Outcome::default();
    let out = &job.spec.out;
    std::fs::write(out.join("value"), "calm")?;
    match mood.as_str() {
        "fails" => return Err(Failure::wrong("in a bad mood")),
        "an odd name" => std::fs::write(out.join(std::ffi::OsStr::from_bytes(b"\xff")), "")?,
        "not a number" => drop(outcome.values.insert("n".into(), f64::NAN)),
        "changes its input" => std::fs::write(&read, "other")?,
        "removes its input" => std::fs::remove_file(read.join("value"))?,
        "changed code" => {
            std::fs::write(out.join("value"), "other")?;
            outcome.facts.insert("kernels".into(), "portable".into());
        }
        "kernels" => {
            std::fs::write(out.join("value"), "fast")?;
            outcome.facts.insert("kernels".into(), "avx2".into());
        }
        _ => drop(outcome.facts.insert("kernels".into(), "portable".into())),
    }
    Ok(outcome)
}

/// An action of changing moods that was stored once, after what it reads.
struct Stored {
    bench: Bench,
    mood: PathBuf,
    manifest: Arc<Manifest>,
}

impl Stored {
    fn reading(from: impl FnOnce(&Bench) -> (Vec<Action>, Value)) -> Self {
        let bench = Bench::new();
        let mood = bench.dir.path().join("mood");
        std::fs::write(&mood, "calm").unwrap();
        let (mut actions, from) = from(&bench);
        let mark = Value::str(&mood.display().to_string());
        actions.push(action("moody", "m", Record::of([("from", Value::list(vec![from])), ("mark", mark)])));
        let report = bench.run(&job(actions));
        let manifest = report.actions.last().unwrap().manifest.clone().unwrap();
        Self { bench, mood, manifest }
    }

    fn result() -> Self {
        Self::reading(|_| (vec![made("data", "d", &[])], Value::Artifact(ActionId(0))))
    }

    fn again(&self, mood: &str) -> Rerun {
        self.again_as_of(&self.manifest, mood)
    }

    /// As if its result had another manifest.
    fn again_as_of(&self, manifest: &Manifest, mood: &str) -> Rerun {
        std::fs::write(&self.mood, mood).unwrap();
        let store = Store::open(&self.bench.root()).unwrap().durable(false);
        let action = StoredAction {
            store: &store,
            manifest,
            runner: &self.bench.runner,
            options: &self.bench.options,
            cancel: &CancelToken::new(),
            heavy: false,
        };
        action.rerun().unwrap()
    }
}

#[track_caller]
fn skipped(rerun: &Rerun, because: &str) {
    assert!(matches!(rerun, Rerun::Skipped { why } if why.contains(because)), "{rerun:?}");
}

#[track_caller]
fn failed(rerun: &Rerun, because: &str) {
    assert!(matches!(rerun, Rerun::Failed { why } if why.contains(because)), "{rerun:?}");
}

#[test]
fn an_action_that_fails_or_makes_what_cannot_be_stored_has_failed() {
    let stored = Stored::result();
    assert_eq!(stored.again("calm"), Rerun::Same);
    failed(&stored.again("fails"), "in a bad mood");
    failed(&stored.again("an odd name"), "only files and folders with UTF-8 names can be kept");
    failed(&stored.again("not a number"), "not a finite number");
    assert_eq!(stored.again("calm"), Rerun::Same);
}

#[test]
fn other_kernels_are_named_as_the_reason() {
    let (portable, avx2) = ("portable".to_owned(), "avx2".to_owned());
    let reasons = vec![Reason::Kernels { stored: portable, here: avx2 }];
    assert_eq!(Stored::result().again("kernels"), Rerun::Different { reasons });
}

#[test]
fn another_version_and_another_device_are_named_as_the_reasons() {
    let stored = Stored::result();
    let here = concat!("xpipe ", env!("CARGO_PKG_VERSION")).to_owned();
    let version = Reason::Version { stored: "xpipe 0.0.1".into(), here };
    let device = Reason::Device { stored: "cuda:0".into(), here: "cpu".into() };
    let older = Manifest { tool: "xpipe 0.0.1".into(), ..Manifest::clone(&stored.manifest) };
    let elsewhere = Manifest { device: "cuda:0".into(), ..Manifest::clone(&stored.manifest) };
    let both = Manifest { device: "cuda:0".into(), ..older.clone() };
    for (manifest, reasons) in [
        (&*stored.manifest, vec![Reason::Unknown]),
        (&older, vec![version.clone()]),
        (&elsewhere, vec![device.clone()]),
        (&both, vec![version, device]),
    ] {
        assert_eq!(stored.again_as_of(manifest, "calm"), Rerun::Same, "no reason to ask");
        let differs = stored.again_as_of(manifest, "changed code");
        assert_eq!(differs, Rerun::Different { reasons });
    }
}

#[test]
fn what_read_changing_inputs_is_not_compared() {
    let stored = Stored::result();
    skipped(&stored.again("removes its input"), "result of data was removed while it was in use");
    assert_eq!(stored.again("calm"), Rerun::Same, "the folder is made again");
    let file = |bench: &Bench| {
        let path = bench.dir.path().join("input.txt");
        std::fs::write(&path, "one").unwrap();
        (vec![], Value::Input(Arc::new(Input::File(path))))
    };
    let stored = Stored::reading(file);
    assert_eq!(stored.again("calm"), Rerun::Same);
    skipped(&stored.again("changes its input"), "input.txt was changed while it was in use");
    skipped(&stored.again("calm"), "is not here, or has changed");
}

#[test]
fn damage_is_told_and_not_set_aside() {
    let stored = Stored::result();
    let objects = stored.bench.root().join("v1/objects");
    let damage = |manifest: &Manifest| {
        let hex = manifest.outputs[0].digest.hex();
        let blob = objects.join(&hex[..2]).join(&hex[2..]);
        let mut permissions = std::fs::metadata(&blob).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
        std::fs::set_permissions(&blob, permissions).unwrap();
        let size = std::fs::metadata(&blob).unwrap().len() as usize;
        std::fs::write(&blob, vec![b'x'; size]).unwrap();
        blob
    };
    let own = damage(&stored.manifest);
    for _ in 0..2 {
        let rerun = stored.again("calm");
        assert!(
            matches!(&rerun, Rerun::Different { reasons } if matches!(reasons[..], [Reason::Damage { .. }])),
            "{rerun:?}"
        );
    }
    let key = stored.manifest.inputs[0].key.unwrap();
    let read = damage(&Store::reading(&stored.bench.root()).unwrap().record(&key).unwrap());
    skipped(&stored.again("calm"), "data is not here, or has changed");
    assert!(own.exists() && read.exists() && !stored.bench.root().join("v1/damaged").exists());
}
