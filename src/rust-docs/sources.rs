//! Where the sources of this package's dependencies lie on this machine, told by `cargo metadata`.
//!
//! Only dependencies that are built on every platform are taken (no `cfg` on any edge of the path to them), so that
//! one lock file gives one collection everywhere. This package's own sources are left out: its lock file does not
//! fix them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use xpipe_base::task::Failure;

/// A crate and where its sources lie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Crate {
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
    /// The folder of its manifest.
    pub(super) folder: PathBuf,
}

/// The manifest of the package `xpipe`, in the source folder.
const MANIFEST: &str = "src/cli/Cargo.toml";

const HELP: &str =
    "run it on the machine that xpipe was built on, in xpipe's source folder, with cargo in PATH";

/// The source folder of xpipe: where it was built, or the current folder.
///
/// # Errors
/// Neither has a manifest of the package `xpipe` and a lock file.
pub(super) fn folder() -> Result<PathBuf, Failure> {
    let built = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let here = std::env::current_dir()?;
    first_package(&[built, here])
}

fn first_package(folders: &[PathBuf]) -> Result<PathBuf, Failure> {
    let is_ours = |folder: &Path| {
        let manifest = std::fs::read_to_string(folder.join(MANIFEST)).unwrap_or_default();
        folder.join("Cargo.lock").is_file() && manifest.lines().any(|l| l.trim() == "name = \"xpipe\"")
    };
    folders.iter().find(|f| is_ours(f)).cloned().ok_or_else(|| {
        let looked: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
        Failure::missing(format!(
            "self:rust-docs: found no {MANIFEST} and Cargo.lock of xpipe in {}",
            looked.join(" nor ")
        ))
        .help(HELP)
    })
}

/// The crates that this package is built from, sorted by name, one version of each.
///
/// # Errors
/// There is no cargo, it does not answer, or the sources are not on this machine.
pub(super) fn crates() -> Result<Vec<Crate>, Failure> {
    let folder = folder()?;
    let about = cargo(&folder, &["-vV"])?.map_err(|e| failed(&e))?;
    let host = about.lines().find_map(|l| l.strip_prefix("host: ")).map(str::trim);
    let host = host.ok_or_else(|| failed("`cargo -vV` names no host"))?.to_owned();
    let ask = ["metadata", "--format-version", "1", "--locked", "--filter-platform", &host];
    let offline = [ask.as_slice(), &["--offline"]].concat();
    // Development dependencies, which metadata also wants, are not on a machine that has only built the program.
    let text = match cargo(&folder, &offline)? {
        Ok(text) => text,
        Err(_) => cargo(&folder, &ask)?.map_err(|e| failed(&e))?,
    };
    let json: Json =
        serde_json::from_str(&text).map_err(|e| failed(&format!("its answer is not JSON: {e}")))?;
    let crates = everywhere(&json).ok_or_else(|| failed("its answer has no resolved dependencies"))?;
    match crates.iter().find(|c| !c.folder.is_dir()) {
        Some(gone) => Err(Failure::missing(format!(
            "self:rust-docs: the sources of {} {} are not in {}",
            gone.name,
            gone.version,
            gone.folder.display()
        ))
        .help("run `cargo fetch` in xpipe's source folder")),
        None => Ok(crates),
    }
}

/// What cargo says on standard output, or its last line of complaint.
fn cargo(folder: &Path, args: &[&str]) -> Result<Result<String, String>, Failure> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(&program).args(args).current_dir(folder).output().map_err(|e| {
        Failure::missing(format!("self:rust-docs: {} cannot be run: {e}", Path::new(&program).display()))
            .help(HELP)
    })?;
    if done.status.success() {
        return Ok(Ok(String::from_utf8_lossy(&done.stdout).into_owned()));
    }
    let complaint = String::from_utf8_lossy(&done.stderr);
    Ok(Err(complaint.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")))
}

fn failed(why: &str) -> Failure {
    Failure::missing(format!("self:rust-docs: `cargo metadata` failed: {why}")).help(HELP)
}

/// Packages reached from the root by ordinary dependencies without a condition on the platform.
fn everywhere(metadata: &Json) -> Option<Vec<Crate>> {
    let resolve = metadata.get("resolve")?;
    let is_root = |p: &&Json| p["name"] == "xpipe" && p["source"].is_null();
    let root = metadata.get("packages")?.as_array()?.iter().find(is_root)?["id"].as_str()?;
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in resolve.get("nodes")?.as_array()? {
        let unconditional = |dep: &&Json| {
            let kinds = dep["dep_kinds"].as_array().map_or(&[][..], Vec::as_slice);
            kinds.iter().any(|k| k["kind"].is_null() && k["target"].is_null())
        };
        let deps = node["deps"].as_array()?.iter().filter(unconditional);
        next.insert(node["id"].as_str()?, deps.filter_map(|d| d["pkg"].as_str()).collect());
    }
    let (mut reached, mut waiting) = (BTreeSet::new(), vec![root]);
    while let Some(id) = waiting.pop() {
        if reached.insert(id) {
            waiting.extend(next.get(id).into_iter().flatten());
        }
    }
    let mut crates = Vec::new();
    for package in metadata.get("packages")?.as_array()? {
        let id = package["id"].as_str()?;
        // Sources that the lock file fixes by checksum: those of a registry.
        let fixed = package["source"].as_str().is_some_and(|s| s.starts_with("registry+"));
        if id != root && fixed && reached.contains(id) {
            let folder = Path::new(package["manifest_path"].as_str()?).parent()?.to_owned();
            let text = |field: &str| package[field].as_str().map(str::to_owned);
            crates.push(Crate { name: text("name")?, version: text("version")?, folder });
        }
    }
    crates.sort();
    // Of a crate in several versions the last one: their documentation is nearly the same.
    crates.reverse();
    crates.dedup_by(|a, b| a.name == b.name);
    crates.reverse();
    Some(crates)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_built_everywhere_is_taken() {
        let edge = |to: &str, kind: Json, target: Json| json!({"pkg": to, "dep_kinds": [{"kind": kind, "target": target}]});
        let package = |id: &str| {
            json!({"id": id, "name": if id == "root" { "xpipe" } else { id }, "version": "1.0.0", "source": (id != "root").then_some("registry+x"),
                   "manifest_path": format!("/src/{id}/Cargo.toml")})
        };
        let packages = ["a", "b", "c", "d", "e", "root"].map(package).to_vec();
        let metadata = json!({
            "packages": packages,
            "resolve": {"root": null, "nodes": [
                {"id": "root", "deps": [
                    edge("b", Json::Null, Json::Null),
                    edge("c", "dev".into(), Json::Null),
                    edge("d", Json::Null, "cfg(windows)".into()),
                ]},
                {"id": "b", "deps": [edge("a", Json::Null, Json::Null), edge("e", "build".into(), Json::Null)]},
                {"id": "d", "deps": [edge("e", Json::Null, Json::Null)]},
                {"id": "a", "deps": [edge("b", Json::Null, Json::Null)]},
            ]},
        });
        let names: Vec<String> = everywhere(&metadata).unwrap().into_iter().map(|c| c.name).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(everywhere(&json!({"packages": []})), None);
    }

    #[test]
    fn without_sources_the_message_says_where_it_looked() {
        let dir = tempfile::tempdir().unwrap();
        let failure = first_package(&[dir.path().to_owned()]).unwrap_err();
        assert_eq!(failure.kind, xpipe_base::task::FailureKind::Missing);
        assert!(failure.message.contains(&dir.path().display().to_string()), "{failure}");
        let manifest = dir.path().join(MANIFEST);
        std::fs::create_dir_all(manifest.parent().unwrap()).unwrap();
        std::fs::write(manifest, "[package]\nname = \"xpipe\"\n").unwrap();
        assert!(first_package(&[dir.path().to_owned()]).is_err());
        std::fs::write(dir.path().join("Cargo.lock"), "").unwrap();
        assert_eq!(first_package(&[dir.path().to_owned()]).unwrap(), dir.path());
    }
}
