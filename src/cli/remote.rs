//! `xpipe cache push`, `pull`, `trust` and `keygen`: results and keys of remote caches.

use std::path::Path;

use super::options::{Common, RemoteArgs, StudyArgs};
use super::out;
use super::signals::cancel_on_signal;
use xpipe_base::value::human;
use xpipe_study::session::{
    Error, Pulled, RemoteReport, distrust, make_signing_key, no_remote, remote_exit_code, remote_name,
    send_results, trust, trusted_keys,
};

/// What to send.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Push {
    /// A study and stages of it; or addresses and keys of results in the cache. Default: every result in the cache.
    #[arg(value_name = "STUDY|ADDRESS|KEY")]
    what: Vec<String>,
    /// Replace what the remote cache has of these results, for instance records that are refused.
    #[arg(long, requires = "what")]
    replace: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// What to take.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Pull {
    #[command(flatten)]
    study: StudyArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Whom to trust.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Trust {
    /// The public key, as `xpipe cache keygen` printed it.
    #[arg(value_name = "KEY", required_unless_present = "list")]
    key: Option<String>,
    /// Whose key it is.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// List the trusted keys.
    #[arg(long, conflicts_with_all = ["key", "remove"])]
    list: bool,
    /// Trust it no longer.
    #[arg(long)]
    remove: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Sends results.
pub(super) fn push(args: &Push, common: &Common) -> Result<u8, Error> {
    let cancel = cancel_on_signal();
    let remote = args.remote.required()?.replacing(args.replace);
    let report = match args.what.split_first() {
        Some((file, stages)) if is_study(file) => {
            let study = StudyArgs { file: file.into(), target: stages.to_vec(), ..StudyArgs::default() };
            study.open(common)?.push(&remote, &cancel)?
        }
        _ => send_results(&common.settings(), &remote, &args.what, &cancel)?,
    };
    let code = remote_exit_code(&report.outcome, cancel.stopping());
    match common.json {
        true => out::json(&json(&report, code)),
        false => out::line(&line(&report)),
    }
    Ok(code)
}

/// Takes results.
pub(super) fn pull(args: &Pull, common: &Common) -> Result<u8, Error> {
    let cancel = cancel_on_signal();
    let mut session = args.study.open(common)?;
    session.use_remote(args.remote.required()?);
    let pulled = session.pull(&cancel)?;
    let code = pulled.exit_code(cancel.stopping());
    match common.json {
        true => {
            let mut json = json(&pulled.report, code);
            json["missing"] = pulled.missing.into();
            out::json(&json);
        }
        false => {
            out::line(&line(&pulled.report));
            if let Some(text) = missing(&pulled) {
                out::line(&text);
            }
        }
    }
    Ok(code)
}

fn missing(pulled: &Pulled) -> Option<String> {
    let n = human::counted(pulled.missing as u64, "results");
    (pulled.missing > 0).then(|| format!("missing: {n} that the study needs; `xpipe run` computes them"))
}

/// Lists, adds or removes trusted keys.
pub(super) fn trust_key(args: &Trust, common: &Common) -> Result<u8, Error> {
    let name = || remote_name(args.remote.remote.as_deref()).ok_or_else(no_remote);
    match (&args.key, args.remove) {
        (Some(key), true) => {
            let name = name()?;
            distrust(&name, key)?;
            done(
                common,
                "removed",
                &format!("{key} is not trusted any more for `{name}`; results that were taken stay"),
            );
        }
        (Some(key), false) => {
            let name = name()?;
            let new = trust(&name, key, &args.note)?;
            let text = if new { "is trusted now" } else { "was trusted before" };
            done(common, "trusted", &format!("{key} {text} for `{name}`"));
        }
        (None, _) => list(common)?,
    }
    Ok(0)
}

fn list(common: &Common) -> Result<(), Error> {
    let keys = trusted_keys()?;
    if common.json {
        let all = keys
            .all()
            .iter()
            .map(|k| serde_json::json!({ "remote": k.remote, "key": k.key.to_string(), "note": k.note }));
        out::json(&all.collect());
        return Ok(());
    }
    keys.all().iter().for_each(|k| out::line(format!("{}  {}  {}", k.remote, k.key, k.note).trim_end()));
    if keys.all().is_empty() {
        out::line(&format!("no key is trusted in {}", keys.path().display()));
    }
    Ok(())
}

/// Makes a signing key.
pub(super) fn keygen(common: &Common) -> Result<u8, Error> {
    let (file, key) = make_signing_key()?;
    if common.json {
        out::json(&serde_json::json!({ "file": file, "key": key.to_string() }));
    } else {
        out::line(&format!("signing key: {} (keep it to yourself)", file.display()));
        out::line(&format!("public key:  {key}"));
        out::line(&format!("others trust it with `xpipe cache trust {key} --remote NAME`"));
    }
    Ok(0)
}

fn done(common: &Common, word: &str, text: &str) {
    match common.json {
        true => out::json(&serde_json::json!({ word: true })),
        false => out::line(text),
    }
}

fn line(report: &RemoteReport) -> String {
    let line = report.outcome.line(&report.name);
    line.unwrap_or_else(|| format!("remote cache `{}`: nothing to do", report.name))
}

fn json(report: &RemoteReport, code: u8) -> serde_json::Value {
    let mut json = serde_json::to_value(&report.outcome).unwrap_or_default();
    json["remote"] = report.name.clone().into();
    json["exit"] = code.into();
    json
}

/// Whether an argument names a study and not a result.
fn is_study(text: &str) -> bool {
    text.ends_with(".xpipe") || Path::new(text).is_file()
}
