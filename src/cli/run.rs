//! `xpipe run`: everything that a study asks for, then its tables.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::ValueEnum;

use super::console::{Console, Mode};
use super::executor::ExecutorArgs;
use super::options::{Common, NetworkArgs, RemoteArgs, StudyArgs};
use super::signals::cancel_on_signal;
use super::{driver_job, out, progress, tables, watch};
use xpipe_base::value::human;
use xpipe_engine::{CancelToken, Device, Heavy, Preview};
use xpipe_study::session::{Error, Loaded, NotifyRequest, RunOutcome, RunRequest, Session, ignore};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    study: StudyArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    remote: RemoteArgs,
    /// Stop at the first failure. Default: go on with what does not depend on it.
    #[arg(long)]
    fail_fast: bool,
    /// Run this stage or cell again although it is cached.
    #[arg(long, value_name = "STAGE[LABEL, …]")]
    force: Vec<String>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceArg::Auto)]
    device: DeviceArg,
    /// The kernels. Results are equal bit for bit on one level. `reference` computes with plain tensor operations, for
    /// comparison.
    #[arg(long, value_parser = ["auto", "reference", "portable", "avx2", "avx512", "avx512_bf16"], default_value = "auto")]
    kernels: String,
    /// The folder of tables and page. Default: `results/NAME` beside the study.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write a trace in Chrome's format.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    executor: ExecutorArgs,
    /// Start ready actions in an order drawn from this seed, to test that the order changes no result.
    #[arg(long, value_name = "SEED", hide = true)]
    shuffle: Option<u64>,
    /// Let `xpipe cache gc` remove the results N days after the run, unless something else uses them. Default: no limit.
    #[arg(long, value_name = "N")]
    keep_days: Option<u32>,
    /// Let at most N stages run at once of those with `with { pool = "NAME" }`. Default: 1.
    #[arg(long, value_name = "NAME=N", value_parser = read_pool)]
    pool: Vec<(String, usize)>,
    /// Run COMMAND at the first failure and at the end, with a JSON object on its standard input.
    #[arg(long, value_name = "COMMAND")]
    notify: Option<String>,
    /// Send that object to a web address by POST. Default: XPIPE_NOTIFY_URL, which other users of the machine do not see.
    #[arg(long, value_name = "URL", value_parser = read_url)]
    notify_url: Option<String>,
    /// Read these two from a file, and remove it: others can read the command line of a job.
    #[arg(long, value_name = "FILE", hide = true, conflicts_with_all = ["notify", "notify_url"])]
    notify_from: Option<PathBuf>,
    /// Run again whenever a file of the study, or one that it reads, changes.
    #[arg(long, conflicts_with_all = ["force", "driver_job"])]
    watch: bool,
    /// Print lines instead of progress bars.
    #[arg(long)]
    plain: bool,
}

/// Where to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DeviceArg {
    /// On the CPU; GPUs of this machine are not used yet.
    Auto,
    /// On the CPU.
    Cpu,
    /// On GPUs only, which this version does not find on its own machine.
    Cuda,
}

/// Reads `NAME=N`.
fn read_pool(text: &str) -> Result<(String, usize), String> {
    let expected = || "expected `NAME=N` with N at least 1, for instance `api=2`".to_owned();
    let (name, n) = text.split_once('=').ok_or_else(expected)?;
    match n.trim().parse() {
        Ok(n) if n > 0 && !name.trim().is_empty() => Ok((name.trim().to_owned(), n)),
        _ => Err(expected()),
    }
}

/// Reads a web address, which is not repeated in messages.
fn read_url(text: &str) -> Result<String, String> {
    match text.starts_with("https://") || text.starts_with("http://") {
        true => Ok(text.to_owned()),
        false => Err("expected an address that begins with `https://` or `http://`".to_owned()),
    }
}

/// The address for messages: the argument, else the variable. Messages of errors have no part of it.
fn notify_url(args: &Args) -> Result<Option<String>, Error> {
    if args.notify_url.is_some() {
        return Ok(args.notify_url.clone());
    }
    let Some(url) = std::env::var_os("XPIPE_NOTIFY_URL").filter(|url| !url.is_empty()) else {
        return Ok(None);
    };
    let url = url.into_string().map_err(|_| "expected an address, found what is not UTF-8".to_owned());
    let url = url.and_then(|url| read_url(&url));
    url.map(Some).map_err(|why| Error::usage(format!("XPIPE_NOTIFY_URL: {why}")))
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let cancel = cancel_on_signal();
    if !args.watch {
        return once(args, common, &cancel, &mut |_| ());
    }
    if common.json {
        return Err(Error::usage(
            "`--watch` runs many times, and `--json` prints one value; leave one of them out",
        ));
    }
    watch::watch(&cancel, |begin| {
        // Also where the study is wrong, and so has no inputs.
        let read = Loaded::read(&args.study.request(), &common.settings().model_folders());
        let mut files = BTreeSet::from([args.study.file.clone()]);
        files.extend(read.map(|loaded| loaded.files).unwrap_or_default());
        begin(files);
        once(args, common, &cancel, begin)
    })
}

/// One run. `begin` gets the files that it depends on, before it starts.
fn once(
    args: &Args,
    common: &Common,
    cancel: &CancelToken,
    begin: &mut dyn FnMut(BTreeSet<PathBuf>),
) -> Result<u8, Error> {
    let settings = common.settings();
    let load = || Loaded::correct(&args.study.request(), &settings.model_folders());
    let mut loaded = load()?;
    if args.watch {
        // The study that runs is read after the look at its files, so that no change in between is lost.
        begin(Session::of(loaded, &settings, ignore())?.watched());
        loaded = load()?;
    }
    if !common.json {
        out::print_diagnostics(&loaded.diagnostics, &loaded.sources, false);
    }
    let console = Console::new(Mode::of(common.json, args.plain));
    let mut session = Session::of(loaded, &settings, console.listener())?;
    if let Some(remote) = args.remote.open(args.network.offline, &console.listener())? {
        session.use_remote(remote);
    }
    let request = request(args)?;
    if args.executor.dry_run {
        print_preview(&session.dry_run(&request)?, common.json);
        return Ok(0);
    }
    if let Heavy::Queue(queue) = &request.heavy {
        if args.executor.driver_job {
            return driver_job::run(queue, common, &request.notify, cancel);
        }
        // Jobs go on without this process; the next run takes them over.
        xpipe_engine::process::end_when_hung_up();
    }
    let outcome = session.run(&request, &|| console.view(), cancel)?;
    match common.json {
        true => out::json(&json(&outcome)),
        false => print(&outcome),
    }
    Ok(outcome.code)
}

fn request(args: &Args) -> Result<RunRequest, Error> {
    Ok(RunRequest {
        network: args.network.network(),
        fail_fast: args.fail_fast,
        force: args.force.clone(),
        device: match args.device {
            DeviceArg::Auto => Device::Auto,
            DeviceArg::Cpu => Device::Cpu,
            DeviceArg::Cuda => Device::Cuda,
        },
        kernels: args.kernels.parse()?,
        heavy: args.executor.heavy()?,
        output: args.output.clone(),
        trace: args.trace.clone(),
        shuffle: args.shuffle,
        keep_days: args.keep_days,
        pools: args.pool.iter().cloned().collect(),
        notify: match &args.notify_from {
            Some(file) => driver_job::read_notify(file)?,
            None => NotifyRequest { command: args.notify.clone(), url: notify_url(args)? },
        },
    })
}

/// Prints what would be submitted.
fn print_preview(preview: &Preview, as_json: bool) {
    if as_json {
        let list: Vec<serde_json::Value> = preview
            .submissions
            .iter()
            .map(|(command, actions)| serde_json::json!({ "command": command, "actions": actions }))
            .collect();
        return out::json(&serde_json::json!({ "submissions": list, "later": preview.later }));
    }
    for (command, actions) in &preview.submissions {
        out::line(&format!("# {}", actions.join(", ")));
        out::line(command);
    }
    if preview.submissions.is_empty() {
        out::line("nothing to submit now");
    }
    if !preview.later.is_empty() {
        let later = human::counted(preview.later.len() as u64, "actions");
        out::line(&format!(
            "# {later} may follow, when what they read is there: {}",
            preview.later.join(", ")
        ));
    }
}

fn json(outcome: &RunOutcome) -> serde_json::Value {
    let failures: Vec<serde_json::Value> = outcome
        .failures
        .iter()
        .map(|f| {
            serde_json::json!({
                "address": f.address, "message": f.failure.message, "help": f.failure.help, "log": f.log,
            })
        })
        .collect();
    let (files, pages) = match &outcome.written {
        Ok(written) => (written.tables.as_slice(), written.pages.as_slice()),
        Err(_) => (&[] as &[PathBuf], &[] as &[PathBuf]),
    };
    serde_json::json!({
        "exit": outcome.code, "seconds": outcome.seconds, "counts": outcome.counts,
        "cancelled": outcome.cancelled, "failures": failures,
        "results": xpipe_study::report::json(&outcome.evaluated), "files": files, "pages": pages,
        "run": outcome.log_folder, "cache": outcome.cache, "damaged": outcome.damaged,
        "remote": outcome.remote.as_ref().map(|r| serde_json::json!({ "name": r.name, "outcome": r.outcome })),
        "not_written": outcome.written.as_ref().err().map(ToString::to_string),
    })
}

/// Prints tables, failures, and a line that sums up the run.
fn print(outcome: &RunOutcome) {
    tables::print(&outcome.evaluated);
    out::warn_of_damage(&outcome.damaged);
    for failed in &outcome.failures {
        out::warn(&format!("failed: {}: {}", failed.address, failed.failure.message));
        if let Some(help) = &failed.failure.help {
            out::warn(&format!("  help: {help}"));
        }
        if let Some(log) = &failed.log {
            out::warn(&format!("  log: {}", log.display()));
        }
    }
    out::line(&summary(outcome));
    if let Some(line) = outcome.remote.as_ref().and_then(|r| r.outcome.line(&r.name)) {
        out::line(&line);
    }
    if outcome.cancelled {
        out::line("interrupted; run again to go on from here");
    }
    if let Ok(written) = &outcome.written {
        if !written.tables.is_empty() && outcome.log_folder.is_some() {
            let files = human::counted(written.tables.len() as u64, "files");
            out::line(&format!("{files} in {}", outcome.output.display()));
        }
        for page in &written.pages {
            out::line(&format!("report: {}", page.display()));
        }
    }
    if let Some(folder) = &outcome.log_folder {
        out::line(&format!("events and logs: {}", folder.display()));
    }
    if let Err(error) = &outcome.written {
        out::warn_of_error(error);
    }
}

/// What the run did, in a line.
fn summary(outcome: &RunOutcome) -> String {
    let c = &outcome.counts;
    if outcome.log_folder.is_none() {
        let cache = outcome.cache.display();
        return format!("nothing to do: {} cached; the cache {cache} is read-only", c.cached);
    }
    let what = progress::words(c).join(", ");
    let time = human::duration(outcome.seconds);
    match (c.total() == c.cached, what.is_empty()) {
        (true, true) => format!("nothing to do, in {time}"),
        (true, false) => format!("nothing to do: {what}, in {time}"),
        (false, _) => format!("{what} in {time}"),
    }
}
