//! `xpipe doctor`: what this machine has, and what would prevent a run.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::options::Common;
use super::out;
use xpipe_base::value::human;
use xpipe_engine::cache::{Access, access_of};
use xpipe_engine::{Heavy, Options};
use xpipe_study::session::{Error, exit};

/// With less free space, in bytes, a cache is soon full.
const LITTLE_SPACE: u64 = 5 << 30;
/// With less memory, in bytes, training of common backbones does not fit.
const LITTLE_MEMORY: u64 = 4 << 30;

/// The state of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    Note,
    Problem,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Problem => "problem",
        }
    }
}

/// A line of the output.
#[derive(Clone, Debug)]
struct Finding {
    what: &'static str,
    state: State,
    text: String,
    /// What to do.
    help: Option<String>,
}

impl Finding {
    fn ok(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, state: State::Ok, text: text.into(), help: None }
    }

    fn note(what: &'static str, text: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what, state: State::Note, text: text.into(), help: Some(help.into()) }
    }

    fn problem(what: &'static str, text: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what, state: State::Problem, text: text.into(), help: Some(help.into()) }
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Check a cluster instead of this machine: submits one small job.
    #[arg(value_parser = ["slurm"])]
    what: Option<String>,
    /// The cluster, for `doctor slurm`: a table `[cluster.NAME]` of the settings file.
    #[arg(long, value_name = "NAME", requires = "what")]
    cluster: Option<String>,
    /// Also check whether the model hub answers.
    #[arg(long)]
    network: bool,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    if args.what.is_some() {
        return super::doctor_slurm::run(args.cluster.as_deref(), common);
    }
    let mut found = vec![Finding::ok("xpipe", version()), cores(common), kernels(), gpu(), memory()];
    found.extend(cache(common));
    found.extend(common.settings().model_folders().iter().map(|folder| model_folder(folder)));
    found.push(hub());
    if args.network {
        found.push(network());
    }
    let problems = found.iter().filter(|f| f.state == State::Problem).count();
    if common.json {
        let list: Vec<serde_json::Value> = found
            .iter()
            .map(|f| {
                serde_json::json!({ "what": f.what, "state": f.state.name(), "text": f.text, "help": f.help })
            })
            .collect();
        out::json(&serde_json::json!({ "problems": problems, "findings": list }));
    } else {
        for f in &found {
            out::line(&format!("{:<8} {:<13} {}", f.state.name(), f.what, f.text));
            if let Some(help) = &f.help {
                out::line(&format!("{:<22} {help}", ""));
            }
        }
    }
    Ok(if problems > 0 { exit::MISSING } else { 0 })
}

fn version() -> String {
    let with = |on: bool, name: &'static str| on.then_some(name);
    let features: Vec<&str> = [with(cfg!(feature = "llm"), "llm"), with(cfg!(feature = "cuda"), "cuda")]
        .into_iter()
        .flatten()
        .collect();
    let features = if features.is_empty() { "no features".to_owned() } else { features.join(", ") };
    format!(
        "{} ({features}) on {} {}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}

fn cores(common: &Common) -> Finding {
    let here = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let used = common.settings().threads();
    if used > here {
        return Finding::note(
            "cores",
            format!("{here}, and {used} threads are asked for"),
            "more threads than cores make a run slower: lower `--threads`",
        );
    }
    Finding::ok("cores", format!("{here}, of which {used} are used"))
}

fn kernels() -> Finding {
    let level = xpipe_nn::cpu::Level::detect();
    if level == xpipe_nn::cpu::Level::PORTABLE {
        return Finding::note(
            "kernels",
            "portable: this processor has no AVX2",
            "everything runs, several times slower than on a processor with AVX2",
        );
    }
    Finding::ok("kernels", level.name())
}

/// GPUs, as far as the driver lists them in /proc.
fn gpu() -> Finding {
    let cards = std::fs::read_dir("/proc/driver/nvidia/gpus").map_or(0, Iterator::count);
    match (cards, cfg!(feature = "cuda")) {
        (0, true) => {
            Finding::note("gpu", "none found", "stages that ask for one with `gpu` cannot run on one here")
        }
        (0, false) => Finding::ok("gpu", "none; this build computes on the CPU"),
        (n, true) => Finding::ok("gpu", format!("{n}")),
        (n, false) => Finding::note(
            "gpu",
            format!("{n}, which this build cannot use"),
            "build with the feature `cuda` to use it",
        ),
    }
}

fn memory() -> Finding {
    let all = Options::new(1, Heavy::Thread).memory;
    let text = human::size(all);
    if all < LITTLE_MEMORY {
        return Finding::note(
            "memory",
            text,
            "train small backbones, or lower `micro_batch` in the stage's `with`",
        );
    }
    Finding::ok("memory", text)
}

fn cache(common: &Common) -> Vec<Finding> {
    let root = match common.settings().cache_root() {
        Ok(root) => root,
        Err(_) => {
            let help = "give `--cache DIR` or set XPIPE_CACHE";
            return vec![Finding::problem("cache", "it has no place", help)];
        }
    };
    let mut found = Vec::new();
    let there = existing(&root);
    match writable(&there) {
        Ok(()) if there == root => found.push(Finding::ok("cache", root.display().to_string())),
        Ok(()) => found.push(Finding::ok("cache", format!("{}, created on first use", root.display()))),
        Err(e) => found.push(Finding::problem(
            "cache",
            format!("{} cannot be written: {e}", there.display()),
            "change its permissions, or name another folder with `--cache DIR` or XPIPE_CACHE",
        )),
    }
    found.extend(sharing(&access_of(&there)));
    found.push(space("cache space", &there));
    found
}

/// Who shares the cache, and which of its folders are closed to this user.
fn sharing(access: &Access) -> Option<Finding> {
    let what = "cache users";
    if let Some(first) = access.closed.first() {
        let folders = human::counted(access.closed.len() as u64, "folders");
        let text = format!(
            "{folders} of the cache cannot be written by this user, as {} of user {}",
            first.path.display(),
            first.owner
        );
        let help =
            "their owner can open them to a group with `chgrp -R GROUP` and `chmod -R g+rwXs` on the cache";
        return Some(Finding::problem(what, text, help));
    }
    let user = rustix::process::getuid().as_raw();
    match access.group {
        Some(group) => Some(Finding::ok(what, format!("shared by the users of group {group}"))),
        None if access.owner != user => Some(Finding::note(
            what,
            format!("the cache belongs to user {}, and this is user {user}", access.owner),
            "what is written now may be closed to its owner: share it with `chmod -R g+rwXs`, or name another with `--cache DIR`",
        )),
        None => None,
    }
}

/// The nearest folder that exists.
fn existing(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/")).to_path_buf()
}

/// Whether a file can be made in a folder. It is gone afterwards.
fn writable(folder: &Path) -> std::io::Result<()> {
    use std::io::Write as _;
    tempfile::tempfile_in(folder)?.write_all(b"xpipe")
}

fn space(what: &'static str, folder: &Path) -> Finding {
    match rustix::fs::statvfs(folder) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let text = format!("{} free", human::size(free));
            if free < LITTLE_SPACE {
                return Finding::note(what, text, "models and indexes take gigabytes: free some space");
            }
            Finding::ok(what, text)
        }
        Err(e) => Finding::note(what, format!("not known: {e}"), "check that the folder can be read"),
    }
}

fn model_folder(folder: &Path) -> Finding {
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            let inside = |p: PathBuf| std::fs::read_dir(p).into_iter().flatten().flatten().map(|e| e.path());
            let is_model = |p: &Path| p.join("config.json").is_file();
            // DIR/NAME and DIR/OWNER/NAME.
            let models = entries
                .flatten()
                .map(|e| e.path())
                .map(|p| if is_model(&p) { 1 } else { inside(p).filter(|q| is_model(q)).count() })
                .sum::<usize>();
            Finding::ok("models", format!("{}: {}", folder.display(), models_text(models)))
        }
        Err(e) => Finding::problem(
            "models",
            format!("{} cannot be read: {e}", folder.display()),
            "give a folder with `--models DIR` or XPIPE_MODELS that can be read",
        ),
    }
}

/// `1 model`, `3 models`.
fn models_text(n: usize) -> String {
    format!("{n} model{}", if n == 1 { "" } else { "s" })
}

fn hub() -> Finding {
    let Some(root) = xpipe_engine::fetch::hub::cache() else {
        return Finding::note(
            "hub cache",
            "it has no place",
            "set HF_HOME, or give models with `--models DIR`",
        );
    };
    let there = existing(&root);
    if there != root {
        return match writable(&there) {
            Ok(()) => Finding::ok("hub cache", format!("{}, created on first use", root.display())),
            Err(e) => Finding::note(
                "hub cache",
                format!("{} cannot be made: {e}", root.display()),
                "set HF_HOME to a folder that can be written, or give models with `--models DIR`",
            ),
        };
    }
    let models = std::fs::read_dir(&root).map_or(0, |all| {
        all.flatten().filter(|e| e.file_name().to_string_lossy().starts_with("models--")).count()
    });
    let text = format!("{}: {}", root.display(), models_text(models));
    match writable(&root) {
        Ok(()) => Finding::ok("hub cache", text),
        Err(_) => {
            Finding::note("hub cache", format!("{text}; read only"), "new models cannot be fetched into it")
        }
    }
}

/// Whether the hub answers. A proxy is not tested.
fn network() -> Finding {
    if let Some(by) = xpipe_engine::fetch::hub::offline() {
        return Finding::note(
            "network",
            format!("{by} is set: nothing is fetched"),
            "unset it to fetch models",
        );
    }
    if ["HTTPS_PROXY", "https_proxy"].iter().any(|n| std::env::var_os(n).is_some_and(|v| !v.is_empty())) {
        return Finding::note(
            "network",
            "behind a proxy, which is not tested",
            "fetch a small model to see whether it works",
        );
    }
    let endpoint = xpipe_engine::fetch::hub::endpoint();
    let plain = endpoint.starts_with("http://");
    let host = endpoint.split("://").last().unwrap_or_default().split('/').next().unwrap_or_default();
    let address = match host.contains(':') {
        true => host.to_owned(),
        false => format!("{host}:{}", if plain { 80 } else { 443 }),
    };
    let reached = address
        .to_socket_addrs()
        .and_then(|mut all| all.next().ok_or_else(|| std::io::Error::other("the name has no address")))
        .and_then(|to| TcpStream::connect_timeout(&to, Duration::from_secs(5)));
    match reached {
        Ok(_) => Finding::ok("network", format!("{host} answers")),
        Err(e) => Finding::problem(
            "network",
            format!("{host} does not answer: {e}"),
            "without network, give models with `--models DIR` and data with `local { … }`",
        ),
    }
}
