//! `xpipe run --driver-job`: the run itself is a job, and what it prints is shown here.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::options::Common;
use super::out;
use super::pieces::Pieces;
use xpipe_engine::{CancelToken, DriverJob, QueueOptions, submit_driver};
use xpipe_study::session::{Error, NotifyRequest, exit};

/// The option that this file carries out.
const OPTION: &str = "--driver-job";
/// Options whose value may hold a password. Others can read the script of a job, and the arguments of its processes.
const SECRET: [&str; 2] = ["--notify", "--notify-url"];
/// The option that names a file with these values instead.
const NOTIFY_FROM: &str = "--notify-from";

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
pub(super) fn run(
    queue: &QueueOptions,
    common: &Common,
    notify: &NotifyRequest,
    stop: &CancelToken,
) -> Result<u8, Error> {
    let given = std::env::args_os().skip(1).map(|word| text(word, "an argument"));
    let given = given.collect::<Result<Vec<String>, Error>>()?;
    let directory = std::env::current_dir()
        .map_err(|e| Error::missing(format!("the working directory is not known: {e}")))?;
    let directory = text(directory.into_os_string(), "the working directory")?;
    let variable = |name: &&str| Some(text(std::env::var_os(name)?, name).map(|v| ((*name).to_owned(), v)));
    let variables = PASSED.iter().filter_map(variable).collect::<Result<Vec<_>, Error>>()?;
    let store = common.settings().open_to_write()?;
    let folder = store.new_run()?.path;
    let mut more = Vec::new();
    if !given.iter().any(|w| w == "--plain" || w == "--json") {
        more.push("--plain".to_owned());
    }
    if common.cache.is_none() {
        // The job has another environment.
        more.extend(["--cache".into(), store.root().display().to_string()]);
    }
    let file = folder.join("notify.json");
    if notify.command.is_some() || notify.url.is_some() {
        write_notify(&file, notify)?;
        more.extend([NOTIFY_FROM.into(), file.display().to_string()]);
    }
    let mut words = vec![queue.program.display().to_string()];
    words.extend(rewritten(given, more));
    let job = submit_driver(queue, &folder, &directory, &variables, &words).inspect_err(|_| {
        let _ = std::fs::remove_file(&file);
    })?;
    out::warn(&format!(
        "the run is job {}; Ctrl-C here leaves it running, and cancelling that job ends it",
        job.id
    ));
    follow(queue, &job, stop)
}

/// A word as text, which a script needs.
fn text(word: OsString, what: &str) -> Result<String, Error> {
    word.into_string().map_err(|word| {
        let shown = word.to_string_lossy().into_owned();
        Error::usage(format!("{what} is not UTF-8: `{shown}`"))
            .help(format!("rename it; the script of `{OPTION}` can hold UTF-8 only"))
    })
}

/// The arguments of the job: those that were given, without the option and without secrets, and more options, which end
/// before `--`.
fn rewritten(given: Vec<String>, more: Vec<String>) -> Vec<String> {
    let (mut words, mut more) = (Vec::new(), Some(more));
    let mut given = given.into_iter();
    while let Some(word) = given.next() {
        if word == "--" {
            words.extend(more.take().into_iter().flatten());
            words.push(word);
            words.extend(given);
            break;
        }
        let (option, value) = word.split_once('=').map_or((word.as_str(), None), |(o, v)| (o, Some(v)));
        match SECRET.contains(&option) {
            true if value.is_none() => _ = given.next(),
            true => {}
            false if word == OPTION => {}
            false => words.push(word),
        }
    }
    words.extend(more.into_iter().flatten());
    words
}

/// Writes whom to tell of the run into a file that nobody else can read.
fn write_notify(path: &Path, notify: &NotifyRequest) -> Result<(), Error> {
    let failed = |e: std::io::Error| Error::missing(format!("{} cannot be written: {e}", path.display()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    serde_json::to_writer(&file, notify).map_err(|e| failed(e.into()))?;
    file.sync_all().map_err(failed)
}

/// Reads whom to tell of the run, and removes the file.
pub(super) fn read_notify(path: &Path) -> Result<NotifyRequest, Error> {
    let wrong = |e: std::io::Error| {
        Error::missing(format!("{} cannot be read: {e}", path.display()))
            .help(format!("`run {OPTION}` writes this file, and the job removes it: run again"))
    };
    let bytes = std::fs::read(path).map_err(wrong)?;
    std::fs::remove_file(path).map_err(wrong)?;
    serde_json::from_slice(&bytes).map_err(|e| wrong(e.into()))
}

/// Prints what the job prints, until it has ended.
fn follow(queue: &QueueOptions, job: &DriverJob, stop: &CancelToken) -> Result<u8, Error> {
    let (mut at, mut asked, mut pieces) = (0, Instant::now(), Pieces::default());
    let mut ended_since: Option<Instant> = None;
    loop {
        let code = exit_code(&job.exit);
        at += show(&job.log, at, &mut pieces);
        if let Some(code) = code {
            out::raw(&pieces.end());
            return Ok(code.trim().parse().unwrap_or(exit::BUG));
        }
        if stop.stopping() {
            out::warn(&format!("the run goes on as job {}; its output is in {}", job.id, job.log.display()));
            return Ok(exit::INTERRUPTED);
        }
        if asked.elapsed() >= queue.cluster.poll {
            asked = Instant::now();
            // No answer says nothing.
            let state = job.state(queue).ok().filter(|(_, ended)| *ended);
            ended_since = state.as_ref().map(|_| ended_since.unwrap_or(asked));
            if let Some((word, _)) = state
                && ended_since.is_some_and(|at| at.elapsed() > queue.cluster.grace)
            {
                return Err(Error::missing(format!(
                    "the run's job {} has ended without an exit code ({})",
                    job.id,
                    word.to_lowercase()
                ))
                .help(format!(
                    "its jobs go on, and the next run takes them over; see {}; `driver_time` and `driver_memory` in the \
                     cluster's settings give it more",
                    job.log.display()
                )));
            }
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// The exit code of the run, when it is there. The folder is listed, since a network file system may answer for a while
/// that a file is absent which it was asked for before.
fn exit_code(path: &PathBuf) -> Option<String> {
    let entries = std::fs::read_dir(path.parent()?).ok()?;
    entries.flatten().find(|entry| entry.path() == *path)?;
    std::fs::read_to_string(path).ok()
}

/// Prints what a log has from a place on; gives how many bytes. A character whose end is not there yet waits in `pieces`.
fn show(log: &Path, at: u64, pieces: &mut Pieces) -> u64 {
    let mut bytes = Vec::new();
    if let Ok(mut file) = std::fs::File::open(log) {
        let _ = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_to_end(&mut bytes));
    }
    out::raw(&pieces.take(&bytes));
    bytes.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_the_job_hold_no_secret() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let given = "run study.xpipe --driver-job --notify S --threads 2 --notify-url=S --notify-url S";
        assert_eq!(rewritten(words(given), words("--plain")), words("run study.xpipe --threads 2 --plain"));
        let given = "run --notify=S --driver-job -- --notify";
        assert_eq!(rewritten(words(given), words("--plain")), words("run --plain -- --notify"));
    }

    #[test]
    fn whom_to_tell_is_in_a_private_file_that_is_read_once() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify.json");
        let asked = NotifyRequest { command: Some("mail me".into()), url: Some("https://h/s3cr3t".into()) };
        write_notify(&path, &asked).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = read_notify(&path).unwrap();
        assert_eq!((read.command, read.url), (asked.command, asked.url));
        assert!(read_notify(&path).is_err_and(|e| e.to_string().contains("cannot be read")));
    }

    #[test]
    fn words_that_are_no_text_are_named() {
        use std::os::unix::ffi::OsStringExt as _;
        let told = text(OsString::from_vec(b"caf\xe9".to_vec()), "an argument").unwrap_err().to_string();
        assert!(told.contains("an argument is not UTF-8: `caf"), "{told}");
    }
}
