//! Memory: how much this machine lets a process have, and which actions cannot have what they need.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::board::Board;
use super::forecast::{Forecast, survey};
use super::plan::{Action, Device, Job, Options, Reach, Runner};
use crate::cache::{Store, text};
use xpipe_base::task::{Ask, Asked, Failure, Known, Memory, Told, Work};
use xpipe_base::value::{ActionId, Input, Value};

/// The memory that processes started here may have together, in bytes: that of the machine, or less where a control
/// group says so.
pub fn limit() -> u64 {
    let info = rustix::system::sysinfo();
    #[expect(clippy::useless_conversion, reason = "the field is 32 bits wide on some systems")]
    let physical = u64::from(info.totalram).saturating_mul(u64::from(info.mem_unit));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    group_limit(&groups, Path::new("/sys/fs/cgroup")).map_or(physical, |n| n.min(physical))
}

/// The least limit of the groups that a process is in, and of those around them; `groups` is `/proc/self/cgroup`.
fn group_limit(groups: &str, root: &Path) -> Option<u64> {
    let of = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            c if c.split(',').any(|c| c == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        // A container sees its own group as the root, whatever the path says.
        let path = Path::new(path.trim_start_matches('/'));
        let limits = path.ancestors().filter_map(|p| {
            let text = std::fs::read_to_string(root.join(p).join(file)).ok()?;
            text.trim().parse::<u64>().ok()
        });
        limits.min()
    };
    groups.lines().filter_map(of).min()
}

/// What is known of an action's arguments: where inputs lie, and which results are there.
pub struct Sight<'a> {
    job: &'a Job,
    runner: &'a dyn Runner,
    board: Option<&'a Board<'a>>,
    inputs: RefCell<BTreeMap<Arc<Input>, Option<PathBuf>>>,
}

impl<'a> Sight<'a> {
    /// With what a board knows; without one nothing is known of results.
    pub fn new(job: &'a Job, runner: &'a dyn Runner, board: Option<&'a Board<'a>>) -> Self {
        Self { job, runner, board, inputs: RefCell::default() }
    }

    /// The most memory that an action will need: what its `with` says, else what its operation tells.
    pub fn memory(&self, action: &Action, options: &Options) -> Option<Told<Memory>> {
        if let Some(Value::Bytes(bytes)) = action.policy.get("memory") {
            return Some(Told { amount: Memory { bytes: *bytes, less: Vec::new() }, most: false });
        }
        // What an operation tells is of the explicit engine's buffers.
        if options.kernels == "reference" {
            return None;
        }
        let demands = self.runner.demands(&action.op)?;
        let memory = (demands.memory)(&self.ask(action, options, false)).ok()?;
        if memory.most && memory.amount.bytes > options.memory {
            return (demands.memory)(&self.ask(action, options, true)).ok();
        }
        Some(memory)
    }

    /// The question that an action's operation is asked.
    fn ask<'b>(&'b self, action: &'b Action, options: &Options, sample: bool) -> Ask<'b> {
        let threads = self.threads(action, options);
        Ask { args: &action.args, policy: &action.policy, threads, sample, known: self }
    }

    /// Threads that a heavy action gets.
    pub fn threads(&self, action: &Action, options: &Options) -> usize {
        let cpus = action.policy.get("cpus").and_then(Value::as_int).and_then(|n| usize::try_from(n).ok());
        cpus.unwrap_or(options.threads).clamp(1, options.threads)
    }

    /// The work of an action, or why it is not known; `None` when its operation runs no model.
    pub fn work(&self, action: &Action, options: &Options) -> Option<Result<Told<Vec<Work>>, String>> {
        let demands = self.runner.demands(&action.op)?;
        if on_gpu(action, options) {
            return Some(Err("it runs on a GPU, whose speed is not measured".to_owned()));
        }
        Some((demands.work)(&self.ask(action, options, true)))
    }

    /// What an action will ask a language model, or why that is not known; `None` when it asks none.
    pub fn asked(&self, action: &Action, options: &Options) -> Option<Result<Told<Asked>, String>> {
        let asked = self.runner.demands(&action.op)?.asked?;
        Some(asked(&self.ask(action, options, true)))
    }

    fn manifest(&self, value: &Value) -> Option<&crate::cache::Manifest> {
        let Value::Artifact(id) = value else { return None };
        self.board?.results.get(id.0 as usize)?.as_deref()
    }
}

impl Known for Sight<'_> {
    fn path(&self, value: &Value) -> Option<PathBuf> {
        match value {
            Value::Located(l) => Some(l.path.clone()),
            Value::Artifact(_) => Some(self.board?.store.tree_path(self.manifest(value)?)),
            Value::Input(input) => {
                if let Some(Ok(found)) = self.board.and_then(|b| b.inputs.get(input)) {
                    return Some(found.located.path.clone());
                }
                let find = || Some(self.runner.find_input(input, Reach::Local).ok()?.path);
                self.inputs.borrow_mut().entry(input.clone()).or_insert_with(find).clone()
            }
            _ => None,
        }
    }

    fn argument(&self, value: &Value, name: &str) -> Option<Value> {
        match value {
            Value::Artifact(id) => self.job.action(*id).args.get(name).cloned(),
            Value::Call(call) => call.args.get(name).cloned(),
            Value::Record(record) => record.get(name).cloned(),
            _ => None,
        }
    }

    fn op(&self, value: &Value) -> Option<String> {
        if let Value::Artifact(id) = value { Some(self.job.action(*id).op.clone()) } else { None }
    }

    fn fact(&self, value: &Value, name: &str) -> Option<f64> {
        self.manifest(value)?.facts.get(name)?.as_f64()
    }
}

/// The failure of an action that needs more memory than there is; `None` when it may fit. What a stage's
/// `with { memory }` says is believed.
pub(crate) fn lack(action: &Action, memory: &Told<Memory>, options: &Options) -> Option<Failure> {
    let (needed, there) = (memory.amount.bytes, options.memory);
    if needed <= there || action.policy.get("memory").is_some() {
        return None;
    }
    let message = format!(
        "{} needs {}{} of memory, and {} are there",
        action.address,
        if memory.most { "up to " } else { "about " },
        text::rough_bytes(needed),
        text::rough_bytes(there)
    );
    let fits: Vec<String> = memory
        .amount
        .less
        .iter()
        .filter(|(_, bytes)| *bytes <= there)
        .map(|(what, bytes)| format!("`with {{ {what} }}` ({})", text::rough_bytes(*bytes)))
        .take(2)
        .collect();
    let help = if fits.is_empty() {
        "no setting of `with` makes it fit: take a smaller model, shorter inputs, or a machine with more memory".into()
    } else {
        format!("write {}; the results are the same bits", fits.join(" or "))
    };
    Some(Failure::missing(message).help(format!("{help}. `--memory` says how much may be used")))
}

/// What cannot start on this machine among what a run would carry out: its failures, each action's once. Only looks.
pub fn unready(job: &Job, runner: &dyn Runner, store: &Store, options: &Options) -> Vec<(ActionId, Failure)> {
    let find = |(id, needed): (ActionId, bool)| {
        let action = job.action(id);
        let ready = runner.ready(&action.op).filter(|_| needed)?;
        Some((id, ready(&action.args, &action.policy).err()?))
    };
    let mut found: Vec<(ActionId, Failure)> =
        (0u32..).map(ActionId).zip(job.needed()).filter_map(find).collect();
    if !found.is_empty() {
        let (_, fates) = survey(job, runner, store, options);
        found
            .retain(|(id, _)| !matches!(fates[id.0 as usize], Forecast::Cached { .. } | Forecast::NotNeeded));
    }
    found
}

/// Whether a GPU computes it, if one can be had: then it is the card's memory that counts, which nobody tells.
fn on_gpu(action: &Action, options: &Options) -> bool {
    match options.device {
        Device::Cpu => false,
        Device::Auto => {
            !options.gpus.is_empty() && ["gpu", "vram"].iter().any(|n| action.policy.get(n).is_some())
        }
        Device::Cuda => true,
    }
}

/// What cannot run for want of memory among what a run would carry out: its failures, each action's once. Only looks.
pub fn lacking(job: &Job, runner: &dyn Runner, store: &Store, options: &Options) -> Vec<(ActionId, Failure)> {
    let find = |sight: &Sight<'_>, ids: &mut dyn Iterator<Item = ActionId>| -> Vec<(ActionId, Failure)> {
        ids.filter_map(|id| {
            let action = job.action(id);
            let memory = sight.memory(action, options)?;
            Some((id, lack(action, &memory, options)?))
        })
        .collect()
    };
    let needed = job.needed();
    let heavy = (0u32..).map(ActionId).zip(&needed).filter(|(_, needed)| **needed).map(|(id, _)| id);
    let mut heavy = heavy.filter(|id| job.action(*id).heavy && !on_gpu(job.action(*id), options));
    let first = find(&Sight::new(job, runner, None), &mut heavy);
    if first.is_empty() {
        return first;
    }
    // Some may be cached, and of others more is known with what they read at hand.
    let (board, fates) = survey(job, runner, store, options);
    let open = |id: &ActionId| !matches!(fates[id.0 as usize], Forecast::Cached { .. } | Forecast::NotNeeded);
    find(&Sight::new(job, runner, Some(&board)), &mut first.into_iter().map(|(id, _)| id).filter(open))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_around_a_process_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let limit = |groups: &str| group_limit(groups, root.path());
        assert_eq!(limit("0::/user/job\n"), None);
        write("user/memory.max", "4000\n");
        write("user/job/memory.max", "max\n");
        assert_eq!(limit("0::/user/job\n"), Some(4000));
        assert_eq!(limit("0::/other\n"), None);
        // Version 1, whose root says a number near 2⁶³.
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/job/memory.limit_in_bytes", "3000\n");
        let old = "3:cpuset:/\n4:memory:/job\n0::/\n";
        assert_eq!(limit(old), Some(3000));
        assert_eq!(limit("4:cpu,memory:/gone/job\n"), Some(9_223_372_036_854_771_712));
        // Inside a container the path is another's, and the root is its own.
        write("memory.max", "2000");
        assert_eq!(limit("0::/far/away\n"), Some(2000));
        assert!(super::limit() > 1 << 20);
    }
}
