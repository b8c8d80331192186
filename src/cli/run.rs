//! `xpipe run`: everything a study asks for, then its tables.

use std::path::PathBuf;

use super::args::{Common, DeviceArg, RunArgs};
use super::lock::Lock;
use super::out::{self, Stop};
use super::progress::{self, words};
use super::results::{self, DAMAGED, Stored};
use super::runner::Local;
use super::study::{self, Loaded};
use super::{check::plural, estimate, fetch, fetching, job, page, read_only, sound};
use xpipe_base::diag::render::Sources as _;
use xpipe_engine::{self, CancelToken, Device, Event, EventSink, Final, Heavy, Reach, WorkerCommand};

/// A view that shows nothing, for `--json`.
pub(super) struct Quiet;

impl EventSink for Quiet {
    fn event(&mut self, _: f64, _: &Event) {}
}

pub(super) fn run(args: &RunArgs, common: &Common) -> Result<u8, Stop> {
    let loaded = study::sound(&args.study, common)?;
    if !common.json {
        out::show_diagnostics(&loaded.diagnostics, &loaded.sources, false);
    }
    let job = job::job(&loaded)?;
    let lacking = job::unimplemented(&loaded.graph, &job);
    if !lacking.is_empty() {
        return Err(not_implemented(&loaded, &lacking));
    }
    let sources = fetching::sources(&args.network)?;
    let folder = args.output.clone().unwrap_or_else(|| page::results_folder(&loaded, &args.study));
    let cancel = cancel_on_signal();
    let runner = Local::new(common, Lock::beside(&loaded.path, common.locked)?)
        .offline(sources.offline)
        .stopping_by(&cancel);
    let program = std::env::current_exe()
        .map_err(|e| Stop::missing(format!("this program's own file is not known: {e}"), None))?;
    let heavy = Heavy::Process(WorkerCommand { program, args: vec!["worker".into()] });
    let mut options = job::options(common, heavy);
    options.fail_fast = args.fail_fast;
    options.kernels =
        args.kernels.parse().map_err(|e: xpipe_base::task::Failure| Stop::missing(e.message, e.help))?;
    options.trace.clone_from(&args.trace);
    options.device = match args.device {
        DeviceArg::Auto => Device::Auto,
        DeviceArg::Cpu => Device::Cpu,
        DeviceArg::Cuda => Device::Cuda,
    };
    options.force = study::cells(&loaded.graph, &args.force)?.into_iter().collect();
    let before = job::reading(common)?;
    let problems = sound::problems(&loaded, &job, &runner, &before, &options);
    if problems.of_models {
        // An older page would go on showing what such a model scored.
        page::refused(&loaded, &args.study, &job, &runner, &before, &folder, &problems.all);
    }
    unable(&problems.all)?;
    let store = match job::writing(common) {
        Ok(store) => store,
        Err(why) => return read_only::run(args, common, &loaded, &job, &runner, why),
    };
    let graph = &loaded.graph;
    if !(graph.tables.is_empty() && graph.claims.is_empty() && graph.reports.is_empty())
        && let Err(stop) = read_only::writable(&folder)
        && read_only::open(&xpipe_engine::forecast(&job, &runner, &store, &options)) > 0
    {
        return Err(stop.because("nothing was started"));
    }
    // Only what reads downloads has to be looked at twice.
    let wanted = match fetching::any(&job) {
        true => {
            let fates = xpipe_engine::forecast(&job, &runner, &store, &options);
            fetching::wanted(&loaded, &job, &fates, &runner)?
        }
        false => Vec::new(),
    };
    if !wanted.is_empty() {
        let mut view: Box<dyn EventSink> =
            if common.json { Box::new(Quiet) } else { progress::view(args.plain) };
        let brought = fetching::bring_all(wanted, &store, &sources, &runner, &mut *view, &cancel)?;
        drop(view);
        fetch::told_pins(&brought, &runner)?;
        if let Some(stop) = fetching::failed(&brought) {
            return Err(stop);
        }
    }
    missing_inputs(&loaded, &job, &runner)?;
    if sound::any_model(&job) {
        let fates = xpipe_engine::forecast(&job, &runner, &store, &options);
        unable(&sound::models(&loaded, &job, &sound::read(&fates), &runner))?;
    }
    runner.save_lock()?;
    unable(&job::too_large(&loaded, &job, &runner, &store, &options))?;
    let mut view: Box<dyn EventSink> = if common.json { Box::new(Quiet) } else { progress::view(args.plain) };
    let report = xpipe_engine::run(&job, &runner, &store, &options, &mut *view, &cancel)?;
    drop(view);
    runner.save_lock()?;
    estimate::learn(&store, &report);
    let stored = Stored::of_run(&store, &job, &report);
    let outcome = results::evaluate(&loaded.graph, &stored)?;
    let story = page::Story::of_run(&loaded, &args.study, &job, &report, &stored);
    // Tables are printed whether or not they can be written.
    let written = outcome
        .write(&folder, &loaded.graph)
        .and_then(|files| Ok((files, story.write(&folder, &outcome, &stored)?)));
    let claims_failed = outcome.failed_claims() > 0 && !loaded.graph.advisory_claims;
    let claims_open = outcome.open_claims() > 0 && !loaded.graph.advisory_claims;
    let code = match report.exit_code(claims_failed) {
        // As some of what was asked for is missing, though every action is done.
        0 | 1 if claims_open && report.exit_code(false) == 0 => 7,
        0 if !stored.damage().is_empty() => DAMAGED,
        code => code,
    };
    let code = match &written {
        Err(_) if code == 0 => 4,
        _ => code,
    };
    if common.json {
        let failures: Vec<serde_json::Value> = failures(&job, &report)
            .into_iter()
            .map(|(address, failure, log)| {
                serde_json::json!({ "address": address, "message": failure.message, "help": failure.help, "log": log })
            })
            .collect();
        let (files, pages) = written.as_ref().map(Clone::clone).unwrap_or_default();
        out::json(&serde_json::json!({
            "exit": code, "seconds": report.seconds, "counts": report.counts, "cancelled": report.cancelled,
            "failures": failures, "results": outcome.json(), "files": files, "pages": pages, "run": report.dir,
            "cache": store.root(), "damaged": stored.damage(),
            "not_written": written.as_ref().err().map(Stop::text),
        }));
        return Ok(code);
    }
    outcome.print();
    stored.warn_of_damage();
    for (address, failure, log) in failures(&job, &report) {
        out::warn(&format!("failed: {address}: {}", failure.message));
        if let Some(h) = &failure.help {
            out::warn(&format!("  help: {h}"));
        }
        if let Some(l) = log {
            out::warn(&format!("  log: {}", l.display()));
        }
    }
    let c = report.counts;
    let idle = c.total() == c.cached;
    let what = words(&c).join(", ");
    let time = xpipe_engine::cache::text::rough_seconds(report.seconds);
    out::line(&match (idle, what.is_empty()) {
        (true, true) => format!("nothing to do, in {time}"),
        (true, false) => format!("nothing to do: {what}, in {time}"),
        (false, _) => format!("{what} in {time}"),
    });
    if report.cancelled {
        out::line("interrupted; run again to go on from here");
    }
    let (files, pages) = match written {
        Ok(written) => written,
        Err(stop) => {
            out::line(&format!("events and logs: {}", report.dir.display()));
            stop.print(false);
            return Ok(code);
        }
    };
    if !files.is_empty() {
        let n = files.len();
        out::line(&format!("{n} file{} in {}", plural(n), folder.display()));
    }
    for page in &pages {
        out::line(&format!("report: {}", page.display()));
    }
    out::line(&format!("events and logs: {}", report.dir.display()));
    Ok(code)
}

/// A token that Ctrl-C and SIGTERM ask to stop; the third time ends the program.
pub(super) fn cancel_on_signal() -> CancelToken {
    let cancel = CancelToken::new();
    let token = cancel.clone();
    // Absent where a handler is installed already, as in tests: then only the system's default remains.
    let _ = ctrlc::set_handler(move || {
        if token.request() > 2 {
            std::process::exit(130);
        }
    });
    cancel
}

pub(super) type Failed<'r> = (String, &'r xpipe_base::task::Failure, Option<PathBuf>);

/// Failed actions: address, failure, log.
pub(super) fn failures<'r>(job: &xpipe_engine::Job, report: &'r xpipe_engine::RunReport) -> Vec<Failed<'r>> {
    job.actions
        .iter()
        .zip(&report.actions)
        .filter(|(_, r)| r.state == Final::Failed)
        .filter_map(|(a, r)| Some((a.address.clone(), r.failure.as_ref()?, r.log.clone())))
        .collect()
}

/// Names every operation without an implementation at its place, before anything starts.
fn not_implemented(loaded: &Loaded, lacking: &[(String, String, xpipe_base::diag::Span)]) -> Stop {
    let places: Vec<String> = lacking
        .iter()
        .map(|(what, address, span)| {
            let at = loaded.sources.position(span.file, span.start);
            format!("{what} for {address} ({}:{}:{})", loaded.sources.name(span.file), at.line, at.column)
        })
        .collect();
    Stop::missing(
        format!("this version has no implementation of {}", places.join(", ")),
        Some("nothing was started; leave these stages out with `--target`, or give their results with `local { … }`".into()),
    )
}

/// Names every input that is not there or cannot be used, before anything starts, when all that can be fetched is here.
fn missing_inputs(loaded: &Loaded, job: &xpipe_engine::Job, runner: &Local) -> Result<(), Stop> {
    let missing = job::missing(loaded, job, runner, Reach::Fetch);
    let Some(first) = missing.first() else { return Ok(()) };
    let mut message = first.told();
    for other in missing.iter().skip(1).take(7) {
        message.push_str(&format!("\n       {}", other.told()));
    }
    if missing.len() > 8 {
        message.push_str(&format!("\n       and {} more", missing.len() - 8));
    }
    Err(Stop::missing(message, first.failure.help.clone()))
}

/// Names what cannot be read, cannot start or cannot fit in memory, before anything starts.
fn unable(failures: &[xpipe_base::task::Failure]) -> Result<(), Stop> {
    let Some(first) = failures.first() else { return Ok(()) };
    let mut message = first.message.clone();
    for other in failures.iter().skip(1).take(7) {
        message.push_str(&format!("\n       {}", other.message));
    }
    if failures.len() > 8 {
        message.push_str(&format!("\n       and {} more", failures.len() - 8));
    }
    let help = match &first.help {
        Some(help) => format!("nothing was started; {help}"),
        None => "nothing was started".to_owned(),
    };
    Err(Stop::missing(message, Some(help)))
}
