//! `xpipe run --driver-job`: the run itself is a job, and what it prints is shown here.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use super::options::Common;
use super::out;
use xpipe_engine::{CancelToken, QueueOptions, submit_driver};
use xpipe_study::session::{Error, exit};

/// The option that this file carries out.
const OPTION: &str = "--driver-job";

/// Variables that the job gets: places and settings, no secrets. A queue keeps what it is given.
const PASSED: [&str; 13] = [
    "XPIPE_SETTINGS",
    "XPIPE_MODELS",
    "XPIPE_MIRROR",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SLURM_CONF",
    "PATH",
    "HOME",
];

/// Submits this command line without the option, and follows it to its end.
pub(super) fn run(queue: &QueueOptions, common: &Common, stop: &CancelToken) -> Result<u8, Error> {
    let store = common.settings().open_to_write()?;
    let folder = store.new_run()?.path;
    let directory = std::env::current_dir()
        .map_err(|e| Error::missing(format!("the working directory is not known: {e}")))?;
    let mut words = vec![queue.program.display().to_string()];
    words.extend(std::env::args().skip(1).filter(|word| word != OPTION));
    if !words.iter().any(|w| w == "--plain" || w == "--json") {
        words.push("--plain".into());
    }
    if common.cache.is_none() {
        // The job has another environment.
        words.extend(["--cache".into(), store.root().display().to_string()]);
    }
    let variable = |name: &&str| Some(((*name).to_owned(), std::env::var(name).ok()?));
    let variables: Vec<(String, String)> = PASSED.iter().filter_map(variable).collect();
    let job = submit_driver(queue, &folder, &directory, &variables, &words)?;
    out::warn(&format!("the run is job {}; Ctrl-C leaves it running, `scancel {}` ends it", job.id, job.id));
    let mut at = 0;
    loop {
        let ended = std::fs::read_to_string(&job.exit).ok();
        let mut bytes = Vec::new();
        if let Ok(mut file) = std::fs::File::open(&job.log) {
            let _ = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_to_end(&mut bytes));
        }
        at += bytes.len() as u64;
        out::raw(&String::from_utf8_lossy(&bytes));
        if let Some(code) = ended {
            return Ok(code.trim().parse().unwrap_or(exit::BUG));
        }
        if stop.stopping() {
            out::warn(&format!("the run goes on as job {}; its output is in {}", job.id, job.log.display()));
            return Ok(exit::INTERRUPTED);
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}
