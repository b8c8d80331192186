//! Clusters by name: the tables `[cluster.NAME]` of the user's settings file.

use super::error::Error;
use super::user_settings::UserSettings;
use xpipe_base::task::Failure;
use xpipe_engine::{Cluster, QueueOptions};

const KIND: &str = "cluster";
/// The cluster without a name.
pub(super) const DEFAULT: &str = "default";

/// The settings of a cluster. Where the file has no table `[cluster.default]`, that name stands for Slurm as it is.
///
/// # Errors
/// There is no such cluster, or its settings are wrong.
fn cluster(settings: &UserSettings, name: Option<&str>) -> Result<Cluster, Error> {
    let name = name.unwrap_or(DEFAULT);
    if name == DEFAULT && !settings.has(KIND, name) {
        return Ok(Cluster::default());
    }
    settings.require_known(KIND, name, &Cluster::FIELDS)?;
    let cluster: Cluster = settings.table(KIND, name)?;
    cluster.check().map_err(|why| Error::usage(format!("in the settings file, [{KIND}.{name}]: {why}")))?;
    Ok(cluster)
}

/// How actions run on a cluster: its settings, and the program that its jobs run.
///
/// # Errors
/// As [`cluster`], or the file of this program cannot be found.
pub fn queue_options(settings: &UserSettings, name: Option<&str>) -> Result<QueueOptions, Error> {
    let cluster = cluster(settings, name)?;
    let program = match &cluster.program {
        Some(program) => program.clone(),
        None => std::env::current_exe()
            .map_err(|e| Failure::missing(format!("cannot find the file of this program: {e}")))?,
    };
    Ok(QueueOptions { name: name.unwrap_or(DEFAULT).to_owned(), cluster, program })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, name: &str) -> Result<Cluster, String> {
        let settings =
            UserSettings::parse(std::path::Path::new("s.toml"), text).map_err(|e| format!("{e:?}"))?;
        cluster(&settings, Some(name)).map_err(|e| format!("{e:?}"))
    }

    #[test]
    fn a_cluster_is_read_by_its_name() {
        let lab = read("[cluster.lab]\npartition = \"gpu\"\ntime = \"4h\"\n", "lab").unwrap();
        assert_eq!((lab.partition.as_deref(), lab.time), (Some("gpu"), Some(14400.0)));
        assert_eq!(read("", "default").unwrap(), Cluster::default());
        assert_eq!(read("[cluster.default]\ncpus = 4\n", "default").unwrap().cpus, 4);
        assert!(read("[cluster.lab]\n", "lap").unwrap_err().contains("[cluster.lap]"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let e = read("[cluster.a]\npartion = \"x\"\n", "a").unwrap_err();
        assert!(e.contains("unknown setting `partion`") && e.contains("did you mean `partition`"), "{e}");
        assert!(read("[cluster.a]\ntime = \"soon\"\n", "a").unwrap_err().contains("found `soon`"));
        assert!(read("[cluster.a]\nmax_jobs = 0\n", "a").unwrap_err().contains("`max_jobs` is 0"));
    }
}
