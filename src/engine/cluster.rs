//! A cluster as the user's settings describe it: how its queue is reached, and what jobs ask for. Never part of a study,
//! since nothing here changes a result.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use xpipe_base::value::{Value, text};

/// Which program is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueKind {
    /// Slurm, by `sbatch`, `squeue` and `scancel`.
    #[default]
    Slurm,
    /// Another queue, by the commands in `submit`, `status` and `cancel`.
    Commands,
}

/// Where light actions are carried out, those that need no worker process on one machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Light {
    /// On the machine of `xpipe run`.
    #[default]
    Here,
    /// As jobs, like heavy ones.
    Job,
}

/// The settings of a cluster: the table `[cluster.NAME]` of the user's settings file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// Which program is asked. Default: Slurm.
    pub kind: QueueKind,
    /// `--partition`.
    pub partition: Option<String>,
    /// `--account`.
    pub account: Option<String>,
    /// `--qos`.
    pub qos: Option<String>,
    /// `--constraint`.
    pub constraint: Option<String>,
    /// Further arguments of `sbatch`, as they are.
    pub extra: Vec<String>,
    /// The type in `--gres=gpu:TYPE:N`.
    pub gpu_type: Option<String>,
    /// Threads of an action without `with { cpus }` (≥ 1). Default: 1.
    pub cpus: usize,
    /// Memory of an action for which nothing is declared or estimated, in bytes. Default: what the cluster gives.
    #[serde(deserialize_with = "bytes")]
    pub memory: Option<u64>,
    /// Time limit of an action without `with { time }`, in seconds. Default: what the cluster gives.
    #[serde(deserialize_with = "seconds")]
    pub time: Option<f64>,
    /// Memory of a run that is itself a job, in bytes. Default: `memory`.
    #[serde(deserialize_with = "bytes")]
    pub driver_memory: Option<u64>,
    /// Time limit of a run that is itself a job, in seconds. Default: `time`.
    #[serde(deserialize_with = "seconds")]
    pub driver_time: Option<f64>,
    /// Longest time between two questions to the queue, in seconds. Default: 30 s.
    #[serde(deserialize_with = "duration")]
    pub poll: Duration,
    /// How long files of a job that has ended may take to appear, in seconds. Default: 60 s.
    #[serde(deserialize_with = "duration")]
    pub grace: Duration,
    /// Maximum number of jobs of a run in the queue at one time (≥ 1); a task of an array is a job. Default: 200.
    pub max_jobs: usize,
    /// Maximum number of tasks of an array (≥ 1). Default: 1000, since Slurm's own default for the highest index is 1000.
    pub max_array: usize,
    /// How often an action is submitted again after its job was lost (a node failed, a job was killed). Default: 3.
    pub retries: u32,
    /// By what the memory is multiplied after a job ran out of it; 1 to give up at once. Default: 2.
    pub memory_factor: f64,
    /// How often more memory is asked for. Default: 2.
    pub memory_retries: u32,
    /// The program that jobs run, as nodes see it. Default: the file of this program.
    pub program: Option<PathBuf>,
    /// Lines of the job's script before xpipe starts, such as `module load cuda`. Secrets belong into a file that such a
    /// line reads, not into this one.
    pub environment: Vec<String>,
    /// Where light actions are carried out. Default: here.
    pub light: Light,
    /// The command that submits a job, for `kind = "commands"`. It prints the id of the job.
    pub submit: Option<String>,
    /// The command that prints a line `ID STATE` for each job of this user.
    pub status: Option<String>,
    /// The command that cancels jobs.
    pub cancel: Option<String>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            kind: QueueKind::Slurm,
            partition: None,
            account: None,
            qos: None,
            constraint: None,
            extra: Vec::new(),
            gpu_type: None,
            cpus: 1,
            memory: None,
            time: None,
            driver_memory: None,
            driver_time: None,
            poll: Duration::from_secs(30),
            grace: Duration::from_secs(60),
            max_jobs: 200,
            max_array: 1000,
            retries: 3,
            memory_factor: 2.0,
            memory_retries: 2,
            program: None,
            environment: Vec::new(),
            light: Light::Here,
            submit: None,
            status: None,
            cancel: None,
        }
    }
}

impl Cluster {
    /// The names of the settings.
    pub const FIELDS: [&str; 25] = [
        "kind",
        "partition",
        "account",
        "qos",
        "constraint",
        "extra",
        "gpu_type",
        "cpus",
        "memory",
        "time",
        "driver_memory",
        "driver_time",
        "poll",
        "grace",
        "max_jobs",
        "max_array",
        "retries",
        "memory_factor",
        "memory_retries",
        "program",
        "environment",
        "light",
        "submit",
        "status",
        "cancel",
    ];

    /// Why the settings cannot be used, a lowercase fragment.
    ///
    /// # Errors
    /// A number is out of its range, or a command is missing or has no effect.
    pub fn check(&self) -> Result<(), String> {
        for (name, n) in [("cpus", self.cpus), ("max_jobs", self.max_jobs), ("max_array", self.max_array)] {
            if n == 0 {
                return Err(format!("`{name}` is 0, expected at least 1"));
            }
        }
        if self.poll < Duration::from_millis(100) {
            return Err("`poll` is under 0.1 s, expected at least that".into());
        }
        if !(1.0..=100.0).contains(&self.memory_factor) {
            return Err(format!(
                "`memory_factor` is {}, expected a number from 1 to 100",
                self.memory_factor
            ));
        }
        let commands = [("submit", &self.submit), ("status", &self.status), ("cancel", &self.cancel)];
        for (name, command) in commands {
            match (self.kind, command) {
                (QueueKind::Commands, None) => {
                    return Err(format!("`{name}` is missing, which `kind = \"commands\"` needs"));
                }
                (QueueKind::Slurm, Some(_)) => {
                    return Err(format!("`{name}` has no effect with `kind = \"slurm\"`"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A size as studies write it, `32GiB`.
fn bytes<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    let written = String::deserialize(d)?;
    text::read_bytes(&written).map(Some).map_err(serde::de::Error::custom)
}

/// A duration as studies write it, `2h`, in seconds.
fn seconds<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    let written = String::deserialize(d)?;
    match text::read(&written) {
        Some(Value::Seconds(s)) if s > 0.0 && s < 1e9 => Ok(Some(s)),
        _ => Err(serde::de::Error::custom(format!(
            "found `{written}`, expected a duration such as `90s` or `20h`"
        ))),
    }
}

fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    Ok(Duration::from_secs_f64(seconds(d)?.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Cluster, String> {
        serde_json::from_str::<Cluster>(json).map_err(|e| e.to_string())
    }

    #[test]
    fn amounts_are_written_as_in_studies() {
        let cluster = read(r#"{"memory": "32GiB", "time": "2h", "poll": "0.5s", "light": "job"}"#).unwrap();
        assert_eq!((cluster.memory, cluster.time), (Some(32 << 30), Some(7200.0)));
        assert_eq!((cluster.poll, cluster.light), (Duration::from_millis(500), Light::Job));
        assert!(read(r#"{"time": "soon"}"#).unwrap_err().contains("found `soon`"));
        assert!(read(r#"{"partion": "gpu"}"#).unwrap_err().contains("partion"));
    }

    #[test]
    fn the_list_of_names_is_that_of_the_fields() {
        let told = read(r#"{"no_such_setting": 1}"#).unwrap_err();
        let names: Vec<&str> = told.split('`').skip(3).step_by(2).collect();
        assert_eq!(names, Cluster::FIELDS);
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let check = |json: &str| read(json).unwrap().check();
        assert_eq!(check("{}"), Ok(()));
        assert!(check(r#"{"max_jobs": 0}"#).unwrap_err().contains("`max_jobs` is 0"));
        assert!(check(r#"{"memory_factor": 0.5}"#).is_err());
        assert!(check(r#"{"submit": "qsub"}"#).unwrap_err().contains("no effect"));
        assert!(
            check(r#"{"kind": "commands", "submit": "qsub"}"#).unwrap_err().contains("`status` is missing")
        );
    }
}
