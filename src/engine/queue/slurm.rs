//! Slurm, by its programs `sbatch`, `squeue` and `scancel` (and `sacct`: `accounting.rs`), in their text formats: the JSON of
//! `squeue` ignores its filters and changes between versions.

use std::path::PathBuf;

use super::accounting::Accounting;
use super::command::{Silent, call, shell_word};
use super::scheduler::{Names, Resources, Row, Rows, Scheduler, Seen, Submission, Submitted};
use super::slurm_states;
use crate::cluster::Cluster;

/// Slurm with the settings of a cluster.
#[derive(Debug)]
pub(crate) struct Slurm {
    pub(crate) cluster: Cluster,
    /// The program that jobs run.
    pub(crate) program: PathBuf,
    accounting: Accounting,
}

/// Seconds between the signal that a job's time is nearly over and its end.
const WARNING: u64 = 60;

/// Parts of a refusal that would be repeated for ever.
const PERMANENT: [&str; 14] = [
    "invalid partition",
    "invalid account",
    "invalid qos",
    "node configuration is not available",
    "memory specification can not be satisfied",
    "invalid feature",
    "invalid generic resource",
    "invalid gres",
    "unrecognized option",
    "invalid option",
    "invalid wckey",
    "user's group not permitted",
    "invalid constraint",
    "requested time limit is invalid",
];

impl Slurm {
    /// With the settings of a cluster, for jobs that run a program.
    pub(crate) fn new(cluster: Cluster, program: PathBuf) -> Self {
        Self { cluster, program, accounting: Accounting::default() }
    }

    /// The arguments of `sbatch`.
    fn arguments(&self, submission: &Submission<'_>) -> Vec<String> {
        let (name, cluster) = (submission.name, &self.cluster);
        let task = if submission.tasks.is_some() { "%a" } else { "0" };
        let mut args = vec![
            "--parsable".to_owned(),
            format!("--job-name={name}"),
            format!("--output={}/{name}-{task}.log", submission.logs.display()),
            "--open-mode=append".to_owned(),
            "--no-requeue".to_owned(),
            "--export=NONE".to_owned(),
            format!("--signal=B:TERM@{WARNING}"),
            format!("--chdir={}", submission.folder.display()),
        ];
        if let Some(tasks) = submission.tasks {
            args.push(format!("--array={}", ranges(tasks)));
        }
        args.extend(wishes(submission.resources, cluster));
        let named = [
            ("partition", &cluster.partition),
            ("account", &cluster.account),
            ("qos", &cluster.qos),
            ("constraint", &cluster.constraint),
        ];
        args.extend(named.iter().filter_map(|(flag, value)| Some(format!("--{flag}={}", value.as_ref()?))));
        args.extend(cluster.extra.iter().cloned());
        args
    }

    /// The script of a job. It becomes xpipe, so that signals reach it.
    fn script(&self, submission: &Submission<'_>) -> String {
        let cpus = submission.resources.cpus;
        let mut lines = vec!["#!/bin/sh".to_owned(), "unset SLURM_EXPORT_ENV".to_owned()];
        lines.push(format!("export RAYON_NUM_THREADS={cpus} CANDLE_NUM_THREADS=1"));
        lines.extend(self.cluster.environment.iter().cloned());
        lines.push(format!(
            "exec {} worker --attempt {}/\"${{SLURM_ARRAY_TASK_ID:-0}}\"",
            shell_word(&self.program.display().to_string()),
            shell_word(&submission.folder.display().to_string()),
        ));
        lines.push(String::new());
        lines.join("\n")
    }
}

/// The arguments for resources.
fn wishes(resources: &Resources, cluster: &Cluster) -> Vec<String> {
    let mut args = vec![format!("--cpus-per-task={}", resources.cpus)];
    // Whole MiB, as Slurm counts; never less than was asked for.
    args.extend(resources.memory.map(|bytes| format!("--mem={}M", bytes.div_ceil(1 << 20).max(1))));
    if resources.gpus > 0 {
        let kind = cluster.gpu_type.as_ref().map(|t| format!("{t}:")).unwrap_or_default();
        args.push(format!("--gres=gpu:{kind}{}", resources.gpus));
    }
    // Slurm counts minutes. xpipe ends an action itself, so that it can keep a checkpoint.
    args.extend(resources.seconds.map(|s| format!("--time={}", (s + 2 * WARNING).div_ceil(60))));
    args.extend(resources.exclude.as_ref().map(|node| format!("--exclude={node}")));
    args
}

/// Numbers as Slurm lists them: `0-3,7`.
fn ranges(tasks: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for &task in tasks {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == task => *last = task,
            _ => parts.push((task, task)),
        }
    }
    let shown = parts.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") });
    shown.collect::<Vec<_>>().join(",")
}

impl Scheduler for Slurm {
    fn submit(&self, submission: &Submission<'_>) -> Submitted {
        match call("sbatch", &self.arguments(submission), &self.script(submission)) {
            Ok(said) if said.ok => match said.out.lines().next().and_then(|l| l.split(';').next()) {
                Some(id) if !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) => {
                    Submitted::Accepted(id.to_owned())
                }
                _ => Submitted::Unknown(format!("sbatch printed no id: {}", said.out.trim())),
            },
            Ok(said) => {
                let low = said.err.to_lowercase();
                match PERMANENT.iter().any(|p| low.contains(p)) {
                    true => Submitted::Refused(said.err),
                    false => Submitted::Unknown(said.err),
                }
            }
            Err(Silent::Absent(text)) => Submitted::Refused(text),
            Err(Silent::Other(text)) => Submitted::Unknown(text),
        }
    }

    fn poll(&self, asked: &Names) -> Result<Rows, String> {
        let mut all = Rows::new();
        for args in questions(asked) {
            let said = call("squeue", &args, "").map_err(|e| e.to_string())?;
            if !said.ok {
                return Err(said.err);
            }
            all.extend(rows(&said.out));
        }
        self.accounting.add_forgotten(asked, &mut all);
        Ok(all)
    }

    fn cancel(&self, ids: &[String]) -> Result<(), String> {
        for some in ids.chunks(500) {
            let said = call("scancel", some, "").map_err(|e| e.to_string())?;
            // Ids that it no longer knows have ended.
            if !said.ok && !said.err.contains("Invalid job id") {
                return Err(said.err);
            }
        }
        Ok(())
    }

    fn finds_names(&self) -> bool {
        true
    }

    fn max_array(&self) -> usize {
        self.cluster.max_array
    }

    fn shown(&self, submission: &Submission<'_>) -> String {
        let words: Vec<String> = self.arguments(submission).iter().map(|a| shell_word(a)).collect();
        format!("sbatch {} <<'END'\n{}END", words.join(" "), self.script(submission))
    }
}

/// The most names in one call of `squeue`: the system bounds the length of an argument.
const NAMES: usize = 500;

/// The arguments of `squeue` that ask for jobs by their names, of all users: those of a shared cache take over each
/// other's jobs.
fn questions(asked: &Names) -> Vec<Vec<String>> {
    let names: Vec<&str> = asked.keys().map(String::as_str).collect();
    let question = |names: &[&str]| {
        let format = "--format=%j|%K|%i|%T|%N|%r";
        let mut args = ["--noheader", "--array", "--states=all", format].map(str::to_owned).to_vec();
        args.push(format!("--name={}", names.join(",")));
        args
    };
    names.chunks(NAMES).map(question).collect()
}

/// The jobs in the answer of `squeue`.
fn rows(text: &str) -> Rows {
    let mut rows = Rows::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.splitn(6, '|').collect();
        let &[name, task, id, word, node, reason] = fields.as_slice() else { continue };
        let row = Row {
            id: id.to_owned(),
            seen: slurm_states::seen(word, reason),
            word: word.to_owned(),
            node: slurm_states::node(node),
        };
        let at = (name.to_owned(), task.parse().unwrap_or(0));
        // Of two jobs with one name, the one that has not ended counts.
        let ended = |row: &Row| matches!(row.seen, Seen::Ended(_));
        match rows.get(&at) {
            Some(other) if !ended(other) || ended(&row) => {}
            _ => _ = rows.insert(at, row),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::scheduler::Ending;

    fn slurm(settings: &str) -> Slurm {
        Slurm::new(serde_json::from_str(settings).unwrap(), "/opt/x pipe".into())
    }

    #[test]
    fn the_command_line_is_what_was_asked_for() {
        let slurm = slurm(
            r#"{"partition": "gpu", "gpu_type": "a100", "extra": ["--nice"], "environment": ["module load x"]}"#,
        );
        let resources = Resources {
            cpus: 8,
            memory: Some((32 << 30) + 1),
            gpus: 2,
            seconds: Some(3600),
            exclude: Some("n2".to_owned()),
        };
        let (folder, logs) = (std::path::Path::new("/c/jobs/j"), std::path::Path::new("/c/logs"));
        let of = |tasks| Submission { name: "j", tasks, resources: &resources, folder, logs };
        let args = slurm.arguments(&of(Some(&[0, 1, 2, 5])));
        let line = args.join(" ");
        assert!(line.ends_with(
            "--array=0-2,5 --cpus-per-task=8 --mem=32769M --gres=gpu:a100:2 --time=62 --exclude=n2 --partition=gpu --nice"
        ), "{line}");
        assert!(
            line.contains("--output=/c/logs/j-%a.log --open-mode=append --no-requeue --export=NONE"),
            "{line}"
        );
        assert!(slurm.arguments(&of(None)).contains(&"--output=/c/logs/j-0.log".to_owned()));
        let script = slurm.script(&of(None));
        assert!(
            script.contains("module load x\nexec '/opt/x pipe' worker --attempt /c/jobs/j/\"$"),
            "{script}"
        );
    }

    #[test]
    fn what_is_not_said_is_left_to_the_cluster() {
        let args = wishes(&Resources { cpus: 1, ..Resources::default() }, &Cluster::default());
        assert_eq!(args, ["--cpus-per-task=1"]);
    }

    #[test]
    fn jobs_are_asked_for_by_name_whoever_submitted_them() {
        assert!(questions(&Names::new()).is_empty());
        let asked: Names = (0..NAMES + 1).map(|i| (format!("j{i:03}"), None)).collect();
        let calls = questions(&asked);
        assert_eq!(calls.len(), 2);
        assert!(calls.iter().flatten().all(|word| *word != "--me"), "{calls:?}");
        assert!(calls[0].last().unwrap().starts_with("--name=j000,j001,"), "{calls:?}");
        assert_eq!(calls[1].last().unwrap(), "--name=j500");
    }

    #[test]
    fn states_are_read_by_their_first_word() {
        let text =
            "a|N/A|7|RUNNING|n1|None\na|3|8_3|CANCELLED by 1001||None\nb|0|9_0|PENDING||(Res|x)\nnonsense\n";
        let rows = rows(text);
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[&("a".into(), 0)].seen, Seen::Alive);
        assert_eq!(rows[&("a".into(), 0)].node.as_deref(), Some("n1"));
        assert_eq!(rows[&("a".into(), 3)].seen, Seen::Ended(Ending::Cancelled));
        assert_eq!(rows[&("b".into(), 0)].seen, Seen::Pending("(Res|x)".into()));
        for word in ["COMPLETING", "SUSPENDED", "REQUEUED", "A_WORD_OF_TOMORROW"] {
            assert_eq!(slurm_states::seen(word, ""), Seen::Alive, "{word}");
        }
    }

    #[test]
    fn of_two_jobs_with_one_name_the_living_one_counts() {
        for text in ["a|N/A|7|FAILED||\na|N/A|8|RUNNING|n1|\n", "a|N/A|8|RUNNING|n1|\na|N/A|7|FAILED||\n"] {
            assert_eq!(rows(text)[&("a".into(), 0)].id, "8");
        }
    }
}
