//! What a cluster can do, for `doctor slurm`: its programs, its partitions, and whether a node sees the cache.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use super::command::call;
use super::scheduler::{Resources, Submission, Submitted};
use crate::cache::Store;
use crate::cluster::QueueKind;
use crate::options::QueueOptions;
use xpipe_base::value::human;

/// How long a job of the probe may take.
const WITHIN: Duration = Duration::from_secs(60);
/// A difference of clocks that confuses the times of files.
const SKEW: f64 = 2.0;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    Fine,
    /// Worth knowing.
    Note,
    /// Runs on this cluster would fail.
    Problem,
}

/// A check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was checked.
    pub what: &'static str,
    /// How it came out.
    pub health: Health,
    /// What was found.
    pub text: String,
    /// What to do.
    pub help: Option<String>,
}

fn check(what: &'static str, health: Health, text: impl Into<String>, help: &str) -> Check {
    let help = (!help.is_empty()).then(|| help.to_owned());
    Check { what, health, text: text.into(), help }
}

/// Checks a cluster. Submits one small job.
pub fn probe(queue: &QueueOptions, store: &Store) -> Vec<Check> {
    let mut checks = Vec::new();
    if queue.cluster.kind == QueueKind::Slurm {
        checks.extend(programs());
        if checks.iter().any(|c| c.health == Health::Problem) {
            return checks;
        }
        checks.push(partitions());
        checks.push(accounting());
    }
    checks.extend(node(queue, store));
    checks
}

fn ask(program: &str, args: &[&str]) -> Result<String, String> {
    let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
    let said = call(program, &args, "").map_err(|e| e.to_string())?;
    if said.ok { Ok(said.out.trim().to_owned()) } else { Err(said.err) }
}

fn programs() -> Vec<Check> {
    let each = ["sbatch", "squeue", "scancel"].map(|program| match ask(program, &["--version"]) {
        Ok(version) => check(program, Health::Fine, version, ""),
        Err(why) => check(
            program,
            Health::Problem,
            why,
            "load the module of Slurm, or run on a login node of the cluster",
        ),
    });
    let mut checks = each.to_vec();
    if checks.iter().all(|c| c.health == Health::Fine) {
        checks.push(match ask("squeue", &["--me", "--noheader"]) {
            Ok(jobs) => check(
                "controller",
                Health::Fine,
                format!("answers; {}", human::counted(jobs.lines().count() as u64, "jobs")),
                "",
            ),
            Err(why) => check(
                "controller",
                Health::Problem,
                format!("does not answer: {why}"),
                "ask the operators of the cluster",
            ),
        });
    }
    checks
}

fn partitions() -> Check {
    match ask("sinfo", &["--noheader", "--format=%P %l %D nodes %c CPUs %m MB %G"]) {
        Ok(lines) => {
            check("partitions", Health::Fine, lines.lines().map(str::trim).collect::<Vec<_>>().join("; "), "")
        }
        Err(why) => check("partitions", Health::Note, why, "limits are not known"),
    }
}

fn accounting() -> Check {
    match ask("sacct", &["--noheader", "--allocations", "--starttime=now"]) {
        Ok(_) => check(
            "accounting",
            Health::Fine,
            "sacct answers; it tells how jobs ended that squeue has forgotten",
            "",
        ),
        Err(why) => check(
            "accounting",
            Health::Fine,
            format!("none ({}); xpipe does not need it", why.lines().next().unwrap_or_default()),
            "",
        ),
    }
}

/// Submits a job that writes what its node sees of the cache.
fn node(queue: &QueueOptions, store: &Store) -> Vec<Check> {
    let run = match store.new_run() {
        Ok(run) => run,
        Err(e) => return vec![check("node", Health::Problem, e.to_string(), "make the cache writable")],
    };
    let checks = on_node(queue, &run.path);
    let _ = std::fs::remove_dir_all(&run.path);
    checks
}

fn on_node(queue: &QueueOptions, run: &Path) -> Vec<Check> {
    let name = format!("xpipe-doctor-{}", run.file_name().unwrap_or_default().to_string_lossy());
    let folder = run.join("jobs").join(&name);
    let (task, logs) = (folder.join("0"), run.join("logs"));
    let answer = task.join("answer");
    if let Err(e) = std::fs::create_dir_all(&task).and_then(|()| std::fs::create_dir_all(&logs)) {
        return vec![check("node", Health::Problem, e.to_string(), "make the cache writable")];
    }
    let mut asking = queue.clone();
    // Before the program is started, which would find nothing to do.
    let word = |path: &Path| super::command::shell_word(&path.display().to_string());
    let program = word(&queue.program);
    asking.cluster.environment.push(format!(
        "{{ hostname; date +%s; {program} --version 2>&1 || echo no; }} > {0}.new; mv {0}.new {0}; exit 0",
        word(&answer)
    ));
    let scheduler = super::scheduler(&asking);
    let resources = Resources { cpus: 1, seconds: Some(60), ..Resources::default() };
    let submission =
        Submission { name: &name, tasks: None, resources: &resources, folder: &folder, logs: &logs };
    let id = match scheduler.submit(&submission) {
        Submitted::Accepted(id) => id,
        Submitted::Refused(why) | Submitted::Failed(why) | Submitted::Unknown(why) => {
            return vec![check(
                "node",
                Health::Problem,
                format!("no job can be submitted: {}", why.trim()),
                "correct the cluster's settings",
            )];
        }
    };
    let begun = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(&answer) {
            return answers(&text);
        }
        if begun.elapsed() > WITHIN {
            break;
        }
        // Listing the folder lets a network file system look again.
        let _ = std::fs::read_dir(&task).map(Iterator::count);
        std::thread::sleep(Duration::from_millis(200));
    }
    let state = scheduler.poll(&[(name.clone(), Some(id.clone()))].into()).ok();
    let state = state.and_then(|rows| rows.get(&(name, 0)).map(|row| row.word.to_lowercase()));
    let _ = scheduler.cancel(&[id]);
    let state = state.unwrap_or_else(|| "gone".into());
    let text = format!("a job wrote nothing into {} within a minute (it is {state})", task.display());
    let help =
        "wait until the cluster has room; if the job has run, use a cache that nodes see under the same path";
    let health = if state.starts_with("pend") { Health::Note } else { Health::Problem };
    vec![check("node", health, text, help)]
}

/// What a node wrote: its name, its clock, the version of xpipe.
fn answers(text: &str) -> Vec<Check> {
    let mut lines = text.lines();
    let host = lines.next().unwrap_or_default();
    let mut checks = vec![check("node", Health::Fine, format!("{host} sees the cache"), "")];
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
    let skew = lines.next().and_then(|s| s.parse::<f64>().ok()).map(|there| now - there);
    checks.push(match skew {
        // The file was written a moment ago.
        Some(skew) if (-SKEW..WITHIN.as_secs_f64()).contains(&skew) => {
            check("clock", Health::Fine, "like the node's", "")
        }
        Some(skew) => check(
            "clock",
            Health::Note,
            format!("{skew:.0} s from the node's"),
            "let all machines keep their clocks with NTP",
        ),
        None => check("clock", Health::Note, "not known", "the node has no `date`"),
    });
    let version = lines.next().unwrap_or_default();
    checks.push(match version == super::spec::TOOL {
        true => check("program", Health::Fine, format!("{version} on the node"), ""),
        false => check(
            "program",
            Health::Problem,
            format!("the node has `{version}`, and this is {}", super::spec::TOOL),
            "put this program where nodes see it, and name it as `program` in the cluster's settings",
        ),
    });
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_is_judged() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let health = |text: &str| answers(text).iter().map(|c| c.health).collect::<Vec<_>>();
        let tool = crate::queue::spec::TOOL;
        assert_eq!(health(&format!("n1\n{now}\n{tool}\n")), [Health::Fine; 3]);
        assert_eq!(
            health(&format!("n1\n{}\n{tool}\n", now + 60)),
            [Health::Fine, Health::Note, Health::Fine]
        );
        assert_eq!(
            health(&format!("n1\n{now}\nxpipe 0.0.1\n")),
            [Health::Fine, Health::Fine, Health::Problem]
        );
        assert_eq!(health("n1\n"), [Health::Fine, Health::Note, Health::Problem]);
    }
}
