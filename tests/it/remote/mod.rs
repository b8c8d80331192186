//! A cache that machines share, through the whole program: each machine is a folder with a study, a cache and settings
//! of its own.

mod dav;
mod servers;

use std::path::PathBuf;

use serde_json::Value as Json;

use crate::space::{Ended, RETRIEVAL, Space, contents};

/// A machine with settings for the remote cache `lab`.
struct Machine {
    space: Space,
    variables: Vec<(String, String)>,
}

impl Machine {
    /// A machine whose settings have this table `[remote.lab]`.
    fn new(table: &str) -> Self {
        let space = Space::new(RETRIEVAL);
        std::fs::create_dir_all(space.path("config/xpipe")).unwrap();
        space.write("config/xpipe/settings.toml", &format!("[remote.lab]\n{table}\n"));
        Self { space, variables: Vec::new() }
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.space.command(args);
        for name in [
            "XPIPE_REMOTE",
            "XPIPE_SETTINGS",
            "XPIPE_SIGNING_KEY",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
        ] {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", self.space.path("config"));
        command.envs(self.variables.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        command
    }

    fn xpipe(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().unwrap())
    }

    /// A machine that sends, with a new key; and its public key.
    fn sender(table: &str) -> (Self, String) {
        let machine = Self::new(&format!("{table}\nmode = \"readwrite\""));
        let made = machine.xpipe(&["cache", "keygen", "--json"]);
        let key = made.json()["key"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned();
        (machine, key)
    }

    /// A machine that takes, and trusts a key.
    fn reader(table: &str, key: &str) -> Self {
        let machine = Self::new(table);
        machine.xpipe(&["cache", "trust", key, "--remote", "lab", "--note", "Anna"]).says(0, &[]);
        machine
    }

    /// `run --remote lab --json`: (actions run, actions cached, exit code), and what the remote cache did.
    #[track_caller]
    fn run(&self) -> ((u64, u64, i32), Json, Ended) {
        let ended = self.xpipe(&["run", "study.xpipe", "--remote", "lab", "--json"]);
        (ended.counts(), ended.json()["remote"]["outcome"].clone(), ended)
    }

    fn contents(&self) -> std::collections::BTreeMap<String, String> {
        contents(&self.space.cache())
    }
}

/// A folder as remote cache, and its table.
fn folder() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("shared")).unwrap();
    let table = format!("url = \"file://{}\"\nnamespace = \"lab\"", dir.path().join("shared").display());
    (dir, table)
}

/// One machine runs and sends, another plans and takes: the same results, and nothing is computed again.
#[track_caller]
fn shared(sender: &Machine, reader: &Machine) {
    let ((ran, cached, code), did, ended) = sender.run();
    assert_eq!((cached, code, did["sent"].as_u64()), (0, 0, Some(ran)), "{ended:#?}");
    let plan = reader.xpipe(&["plan", "study.xpipe", "--remote", "lab", "--json"]);
    let total = plan.json()["total"].clone();
    assert_eq!((total["remote"].as_u64(), total["run"].as_u64()), (Some(ran), Some(0)), "{plan:#?}");
    let text = reader.xpipe(&["plan", "study.xpipe", "--remote", "lab"]);
    assert!(text.out.contains(&format!("{ran} in remote cache `lab`, 0 to run")), "{}", text.out);
    let ((again, taken, code), did, ended) = reader.run();
    assert_eq!((again, taken, code, did["taken"].as_u64()), (0, ran, 0, Some(ran)), "{ended:#?}");
    assert_eq!(reader.contents(), sender.contents());
    reader.space.is_whole();
    assert_eq!(reader.space.run(), (0, ran, 0), "without the remote cache everything is here now");
}

#[test]
fn what_one_machine_computed_another_takes() {
    let (_dir, table) = folder();
    let (sender, key) = Machine::sender(&table);
    let reader = Machine::reader(&table, &key);
    shared(&sender, &reader);
    let listed = reader.xpipe(&["cache", "trust", "--list"]);
    assert_eq!(listed.out.trim(), format!("lab  {key}  Anna"));
    let results = reader.xpipe(&["cache", "ls"]);
    assert!(
        results.out.contains(&format!("scores[high]  from remote cache `lab`, signed by {key}")),
        "{}",
        results.out
    );
    // Nothing of the sender's folder is in the remote cache or at the reader's.
    let home = sender.space.folder.path().display().to_string();
    let manifest = std::fs::read_dir(reader.space.cache().join("v1/actions")).unwrap();
    for file in manifest.flat_map(|e| std::fs::read_dir(e.unwrap().path()).unwrap()) {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(
            !text.contains(&home) && text.contains("\"origin\": \"remote cache `lab`, signed by ed25519:"),
            "{text}"
        );
    }
}

#[test]
fn only_what_is_missing_is_computed() {
    let (_dir, table) = folder();
    let (sender, key) = Machine::sender(&table);
    let ((ran, _, _), ..) = sender.run();
    let reader = Machine::reader(&table, &key);
    reader.space.edit("study.xpipe", "high = 1.2", "high = 1.3");
    let ((again, taken, code), did, ended) = reader.run();
    // The search and the scores of the other k1.
    assert_eq!((again, taken, code), (2, ran - 2, 0), "{ended:#?}");
    assert_eq!((did["taken"].as_u64(), did["sent"].as_u64()), (Some(ran - 2), Some(0)));
}

#[test]
fn nobody_is_trusted_without_being_told() {
    let (_dir, table) = folder();
    let (sender, _) = Machine::sender(&table);
    let ((ran, ..), ..) = sender.run();
    let careless = Machine::new(&table);
    careless
        .xpipe(&["run", "study.xpipe", "--remote", "lab"])
        .says(2, &["no key is trusted", "xpipe cache trust KEY"]);
    // Someone else is trusted: the results are refused, told, and computed here.
    let (_, other) = Machine::sender(&table);
    let wary = Machine::reader(&table, &other);
    let ((again, cached, code), did, ended) = wary.run();
    assert_eq!((again, cached, code, did["taken"].as_u64()), (ran, 0, 0, Some(0)));
    assert!(did["refused"].as_u64() > Some(0) && ended.err.contains("which is not trusted"), "{ended:#?}");
    wary.xpipe(&["cache", "trust", &other, "--remote", "lab", "--remove"]).says(0, &[]);
    wary.xpipe(&["run", "study.xpipe", "--remote", "lab"]).says(2, &["no key is trusted"]);
}

/// Changes every blob of a remote cache in a folder.
fn spoil(dir: &tempfile::TempDir) {
    let shards = std::fs::read_dir(dir.path().join("shared/v1/objects")).unwrap();
    for file in shards.flat_map(|s| std::fs::read_dir(s.unwrap().path()).unwrap()) {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.iter_mut().take(1).for_each(|b| *b ^= 1);
        std::fs::write(path, bytes).unwrap();
    }
}

#[test]
fn damage_in_the_remote_cache_is_told_and_never_served() {
    let (dir, table) = folder();
    let (sender, key) = Machine::sender(&table);
    let ((ran, ..), ..) = sender.run();
    spoil(&dir);
    let reader = Machine::reader(&table, &key);
    let ((again, cached, code), did, ended) = reader.run();
    assert_eq!((again, cached, code, did["taken"].as_u64()), (ran, 0, 0, Some(0)), "{ended:#?}");
    assert!(ended.err.contains("has other content than its digest"), "{}", ended.err);
    assert_eq!(reader.contents(), sender.contents());
    reader.space.is_whole();
    let pulled = Machine::reader(&table, &key).xpipe(&["cache", "pull", "study.xpipe", "--remote", "lab"]);
    pulled.says(7, &["has other content than its digest"]);
}

#[test]
fn a_remote_cache_that_is_gone_never_fails_a_run() {
    let (dir, table) = folder();
    let (sender, _) = Machine::sender(&table);
    // A file in the place of the folder of records.
    std::fs::create_dir_all(dir.path().join("shared/v1")).unwrap();
    std::fs::write(dir.path().join("shared/v1/actions"), "").unwrap();
    std::fs::write(dir.path().join("shared/v1/probe"), "").unwrap();
    let ((ran, cached, code), did, ended) = sender.run();
    assert!(ran > 0 && cached == 0 && code == 0, "{ended:#?}");
    assert_eq!((did["sent"].as_u64(), did["unsent"].as_u64()), (Some(0), Some(ran)));
    assert!(ended.err.contains("not asked for 2 minutes"), "{}", ended.err);
    // Online again: `cache push` sends what was not sent.
    std::fs::remove_file(dir.path().join("shared/v1/actions")).unwrap();
    std::fs::remove_file(dir.path().join("shared/v1/probe")).unwrap();
    let pushed = sender.xpipe(&["cache", "push", "study.xpipe", "--remote", "lab", "--json"]);
    assert_eq!((pushed.code, pushed.json()["sent"].as_u64()), (Some(0), Some(ran)), "{pushed:#?}");
}

#[test]
fn a_folder_that_is_not_there_is_told_and_never_made() {
    let (dir, table) = folder();
    let (sender, _) = Machine::sender(&table);
    std::fs::remove_dir(dir.path().join("shared")).unwrap();
    let ((ran, cached, code), did, ended) = sender.run();
    assert!(ran > 0 && cached == 0 && code == 0 && did["failed"].as_u64() > Some(0), "{ended:#?}");
    assert!(ended.err.contains("does not exist") && ended.err.contains("mkdir -p"), "{}", ended.err);
    assert!(!dir.path().join("shared").exists());
    sender.xpipe(&["cache", "push", "study.xpipe", "--remote", "lab"]).says(7, &["mkdir -p"]);
}

#[test]
fn a_pull_says_what_is_still_missing() {
    let (_dir, table) = folder();
    let (sender, key) = Machine::sender(&table);
    let (ran, ..) = sender.space.run();
    sender.xpipe(&["cache", "push", "study.xpipe", "first", "--remote", "lab"]).says(0, &[]);
    let reader = Machine::reader(&table, &key);
    let pull =
        |args: &[&str]| reader.xpipe(&[&["cache", "pull", "study.xpipe", "--remote", "lab"], args].concat());
    let pulled = pull(&["--json"]);
    let did = pulled.json();
    let taken = did["taken"].as_u64().unwrap();
    let missing = ran - taken;
    assert!(taken > 0 && missing >= 2, "the scores at least: {did}");
    assert_eq!((pulled.code, did["exit"].as_u64()), (Some(7), Some(7)));
    assert_eq!(did["missing"].as_u64(), Some(missing), "{did}");
    assert!(pull(&[]).out.contains(&format!("missing: {missing} results that the study needs")));
    sender.xpipe(&["cache", "push", "study.xpipe", "--remote", "lab"]).says(0, &[]);
    let pulled = pull(&["--json"]);
    assert_eq!((pulled.code, pulled.json()["missing"].as_u64()), (Some(0), Some(0)), "{pulled:#?}");
}

#[test]
fn a_record_that_is_refused_is_replaced_when_asked() {
    let (dir, table) = folder();
    let (sender, key) = Machine::sender(&table);
    let (ran, ..) = sender.space.run();
    let push =
        |args: &[&str]| sender.xpipe(&[&["cache", "push", "--remote", "lab", "--json"], args].concat());
    assert_eq!(push(&[]).code, Some(0));
    for record in files(dir.path().join("shared/v1/actions")) {
        std::fs::write(record, "{}").unwrap();
    }
    let refused = push(&["scores[low]"]);
    refused.says(7, &["`xpipe cache push ", " --replace` replaces it"]);
    let advice = refused.err.split("`xpipe cache push ").nth(1).unwrap().split('`').next().unwrap();
    let (of, option) = advice.split_once(' ').unwrap();
    let replaced = push(&[of, option]);
    assert_eq!((replaced.code, replaced.json()["replaced"].as_u64()), (Some(0), Some(1)), "{replaced:#?}");
    sender.xpipe(&["cache", "push", "--remote", "lab", "--replace"]).says(2, &["<STUDY|ADDRESS|KEY>"]);
    let all = push(&["study.xpipe", "--replace"]);
    assert_eq!((all.code, all.json()["replaced"].as_u64()), (Some(0), Some(ran)), "{all:#?}");
    let ((again, taken, code), ..) = Machine::reader(&table, &key).run();
    assert_eq!((again, taken, code), (0, ran, 0));
}

#[test]
fn results_are_pushed_and_pulled_by_name() {
    let (_dir, table) = folder();
    let (sender, key) = Machine::sender(&table);
    let (ran, ..) = sender.space.run();
    let push = |args: &[&str]| {
        let pushed = sender.xpipe(&[&["cache", "push", "--remote", "lab", "--json"], args].concat());
        (pushed.json()["sent"].as_u64().unwrap_or(999), pushed.json()["known"].as_u64().unwrap_or(999))
    };
    assert_eq!(push(&["scores[low]"]), (1, 0));
    assert_eq!(push(&["scores"]), (1, 1));
    assert_eq!(push(&["study.xpipe", "first"]).0, 2 + imports(&sender), "what the stage needs goes with it");
    let (sent, known) = push(&[]);
    assert_eq!((sent + known, push(&[])), (ran, (0, ran)), "everything else");
    sender.xpipe(&["cache", "push", "none", "--remote", "lab"]).says(4, &["has no result of `none`"]);
    let reader = Machine::reader(&table, &key);
    let pulled = reader.xpipe(&["cache", "pull", "study.xpipe", "--remote", "lab", "--json"]);
    let did = pulled.json();
    assert_eq!((pulled.code, did["taken"].as_u64(), did["missing"].as_u64()), (Some(0), Some(ran), Some(0)));
    assert_eq!(reader.space.run(), (0, ran, 0));
    reader.xpipe(&["cache", "push", "--remote", "lab"]).says(2, &["remote cache `lab` is read-only"]);
}

/// How many results of the cache are neither searches nor scores.
fn imports(machine: &Machine) -> u64 {
    let listed = machine.xpipe(&["cache", "ls", "--json"]).json();
    let others = listed.as_array().unwrap().iter().map(|e| e["address"].as_str().unwrap().to_owned());
    others.filter(|a| !a.starts_with("first") && !a.starts_with("scores")).count() as u64
}

#[test]
fn wrong_settings_are_told_before_anything_starts() {
    let (_dir, table) = folder();
    let run =
        |table: &str, remote: &str| Machine::new(table).xpipe(&["run", "study.xpipe", "--remote", remote]);
    run("", "my lab").says(2, &["the name `my lab` of a remote cache"]);
    run(&table, "home").says(2, &["there is no `[remote.home]`", "it has `lab`"]);
    run(&format!("{table}\nkey = 1"), "lab").says(2, &["unknown field `key`"]);
    run("url = \"s3://anna:pw@bucket\"\nnamespace = \"lab\"", "lab").says(2, &["without user, password"]);
    run(&format!("{table}\nmode = \"readwrite\""), "lab")
        .says(2, &["signing-key cannot be read", "xpipe cache keygen"]);
    run(&table, "off").says(0, &[]);
    let (sender, _) = Machine::sender(&table);
    sender.xpipe(&["cache", "keygen"]).says(2, &["there is a key already"]);
    sender.xpipe(&["cache", "trust", "x", "--remote", "lab"]).says(2, &["not a public key"]);
    sender.xpipe(&["cache", "pull", "study.xpipe"]).says(2, &["no remote cache is named"]);
    let key = sender.space.path("config/xpipe/signing-key");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&key, mode).unwrap();
    sender
        .xpipe(&["run", "study.xpipe", "--remote", "lab"])
        .says(2, &["may be read by other users", "chmod 600"]);
}

#[test]
fn without_the_network_a_remote_cache_on_it_is_not_asked() {
    let key = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let machine = Machine::reader("url = \"https://cache.invalid/x\"\nnamespace = \"lab\"", key);
    let ended = machine.xpipe(&["run", "study.xpipe", "--remote", "lab", "--offline"]);
    ended.says(0, &["remote cache `lab` is not used without the network"]);
}

/// Every file below a folder.
fn files(folder: PathBuf) -> Vec<PathBuf> {
    let (mut found, mut next) = (Vec::new(), vec![folder]);
    while let Some(folder) = next.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { next.push(path) } else { found.push(path) }
        }
    }
    found
}

/// No secret is in any file of a machine or in what it printed.
#[track_caller]
fn keeps_secrets(machine: &Machine, ended: &[&Ended], secrets: &[&str]) {
    for file in files(machine.space.folder.path().to_owned()) {
        let bytes = std::fs::read(&file).unwrap();
        for secret in secrets {
            assert!(
                !bytes.windows(secret.len()).any(|w| w == secret.as_bytes()),
                "{secret} is in {}",
                file.display()
            );
        }
    }
    for ended in ended {
        assert!(!secrets.iter().any(|s| ended.out.contains(s) || ended.err.contains(s)), "{ended:#?}");
    }
}
