//! A model of what a power failure loses: whatever was not synced may be there, in part, or not at all.
//!
//! - The content of a file survives when the file was synced; else it may be cut or empty.
//! - A name survives when its folder was synced afterwards; else it may be missing, and with a folder all that is in it.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use xpipe_base::value::Digest;

use crate::space::Space;

/// A call of a publication that returned.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) call: String,
    path: PathBuf,
    inode: u64,
}

/// The lines about the calls of the runs in a space.
fn lines(space: &Space) -> Vec<Json> {
    let text = std::fs::read_to_string(space.path("calls")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The number of calls that were begun, whether or not they returned: a run can be killed before each of them.
pub(super) fn begun(space: &Space) -> usize {
    lines(space).iter().filter(|line| line.get("begun").is_some()).count()
}

/// The calls of the runs in a space that returned.
pub(super) fn calls(space: &Space) -> Vec<Call> {
    let call = |json: Json| {
        let text = |name: &str| json[name].as_str().unwrap().to_owned();
        Call { call: text("call"), path: text("path").into(), inode: json["inode"].as_u64().unwrap() }
    };
    lines(space).into_iter().filter(|line| line.get("begun").is_none()).map(call).collect()
}

/// Which of the things that may be lost are lost.
#[derive(Debug)]
pub(super) struct Loss {
    /// `None`: all of them.
    seed: Option<u64>,
}

/// What becomes of a thing that was not synced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Cut,
    Lost,
}

/// A number drawn by seed and name.
pub(super) fn drawn(seed: u64, of: &str) -> u64 {
    let digest = Digest::of(format!("{seed} {of}").as_bytes()).0;
    u64::from_le_bytes(digest[..8].try_into().unwrap())
}

impl Loss {
    pub(super) fn everything() -> Self {
        Self { seed: None }
    }

    pub(super) fn seeded(seed: u64) -> Self {
        Self { seed: Some(seed) }
    }

    fn fate(&self, path: &Path) -> Fate {
        match self.seed.map(|seed| drawn(seed, &path.display().to_string()) % 3) {
            Some(0) => Fate::Kept,
            Some(1) => Fate::Cut,
            _ => Fate::Lost,
        }
    }
}

/// Undoes what was not synced in the cache of a space.
pub(super) fn lose_power(space: &Space, loss: &Loss) {
    let calls = calls(space);
    let synced: BTreeSet<u64> = calls.iter().filter(|c| c.call == "sync").map(|c| c.inode).collect();
    // The latest first: a name in a folder that is lost as well.
    for (i, made) in calls.iter().enumerate().rev() {
        let names = ["folder", "link", "rename", "write", "copy"].contains(&made.call.as_str());
        let folder = made.path.parent().unwrap();
        let kept = calls[i..].iter().any(|c| c.call == "sync" && c.path == folder);
        if names && !kept && loss.fate(&made.path) != Fate::Kept {
            let _ = std::fs::remove_file(&made.path).or_else(|_| std::fs::remove_dir_all(&made.path));
        }
    }
    cut_files(&space.cache(), &synced, loss);
}

/// Cuts files whose content was not synced.
fn cut_files(folder: &Path, synced: &BTreeSet<u64>, loss: &Loss) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, meta) = (entry.path(), entry.metadata().unwrap());
        if meta.is_dir() {
            cut_files(&path, synced, loss);
        } else if !synced.contains(&meta.ino()) {
            let left = match loss.fate(&path) {
                Fate::Kept => continue,
                Fate::Cut => meta.len() / 2,
                Fate::Lost => 0,
            };
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            std::fs::File::options().write(true).open(&path).unwrap().set_len(left).unwrap();
        }
    }
}

#[test]
fn what_was_not_synced_is_lost_and_what_was_is_kept() {
    let space = Space::new("edition 2026\n");
    let at = |name: &str| space.cache().join(name);
    std::fs::create_dir_all(at("kept")).unwrap();
    std::fs::create_dir_all(at("lost")).unwrap();
    for name in ["kept/whole", "kept/cut", "kept/gone", "lost/whole"] {
        std::fs::write(at(name), "content").unwrap();
    }
    let line = |call: &str, name: &str| {
        let inode = std::fs::metadata(at(name)).unwrap().ino();
        format!("{}\n", serde_json::json!({ "call": call, "path": at(name), "inode": inode }))
    };
    let made = [
        line("folder", "kept"),
        line("folder", "lost"),
        line("sync", "kept/whole"),
        line("sync", "kept/gone"),
        line("sync", "lost/whole"),
        line("link", "kept/whole"),
        line("link", "kept/cut"),
        line("sync", "kept"),
        line("link", "kept/gone"),
    ];
    // The root's entries were synced after `kept` was made, and before `lost` was.
    let root = format!("{}\n", serde_json::json!({ "call": "sync", "path": space.cache(), "inode": 0 }));
    space.write("calls", &[&made[0], &root, &made[1..].concat()].map(String::as_str).concat());
    lose_power(&space, &Loss::everything());
    assert_eq!(std::fs::read_to_string(at("kept/whole")).unwrap(), "content");
    assert_eq!(std::fs::read_to_string(at("kept/cut")).unwrap(), "");
    assert!(!at("kept/gone").exists() && !at("lost").exists());
}
