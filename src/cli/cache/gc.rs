//! `xpipe cache gc`: removes what nothing uses.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::options::Common;
use super::super::out;
use xpipe_base::value::{Value, human, text};
use xpipe_engine::cache::{Garbage, GarbageKind, Hold, Removed, find_garbage, remove_garbage};
use xpipe_study::session::{Error, GcOptions};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Keep what is younger than this, for instance 30d or 12h.
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = read_age)]
    older: Duration,
    /// Maximum size of the cache, for instance 200GiB: what was not used for longest goes too, but nothing pinned or in
    /// use. Default: no limit.
    #[arg(long, value_name = "BYTES", value_parser = text::read_bytes)]
    max_size: Option<u64>,
    /// Also remove what only studies use whose file is no longer where it was.
    #[arg(long)]
    forget_gone: bool,
    /// Also remove answers of language models that are older than AGE. They cost money to make again.
    #[arg(long)]
    answers: bool,
    /// Remove. Without this, only print what would go.
    #[arg(long)]
    yes: bool,
}

/// Reads a duration.
fn read_age(text: &str) -> Result<Duration, String> {
    match text::read(text) {
        Some(Value::Seconds(seconds)) if seconds <= 1e10 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected a duration, for instance `30d` or `12h`".into()),
    }
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let settings = common.settings();
    let options = GcOptions {
        older: args.older,
        max_size: args.max_size,
        forget_gone: args.forget_gone,
        answers: args.answers,
    };
    let store = if args.yes { settings.open_to_write()? } else { settings.open_to_read()? };
    let garbage = find_garbage(&store, &options.request(&store)?)?;
    let removed = if args.yes { Some(remove_garbage(&store, &garbage)?) } else { None };
    if common.json {
        let mut json = serde_json::to_value(&garbage).unwrap_or_default();
        json["removed"] = serde_json::to_value(removed).unwrap_or_default();
        out::json(&json);
        return Ok(0);
    }
    print(&garbage);
    match removed {
        Some(removed) => print_removed(&garbage, &removed),
        None if garbage.results.is_empty() && garbage.files.is_empty() => {
            out::line(&format!("nothing may go; the cache has {}", human::size(garbage.total)));
        }
        None => {
            let (frees, total) = (human::size(garbage.frees), human::size(garbage.total));
            out::line(&format!("frees {frees} of {total}; nothing was removed, `--yes` removes it"));
        }
    }
    if garbage.above > 0 {
        out::line(&format!(
            "note: the cache stays {} above `--max-size`: what is left is pinned, in use, or no result",
            human::size(garbage.above)
        ));
    }
    Ok(0)
}

/// Prints what may go: results by study, then the rest by kind.
fn print(garbage: &Garbage) {
    let mut studies: BTreeMap<(&str, bool), (u64, u64)> = BTreeMap::new();
    for result in &garbage.results {
        let row = studies.entry((&result.study, result.hold > Hold::None)).or_default();
        *row = (row.0 + 1, row.1 + result.bytes);
    }
    for ((study, wanted), (count, bytes)) in studies {
        let why = if wanted { ", used but beyond `--max-size`" } else { "" };
        let results = human::counted(count, "results");
        out::line(&format!("{:>10}  {results} of {study}{why}", human::size(bytes)));
    }
    let mut kinds: BTreeMap<GarbageKind, (u64, u64)> = BTreeMap::new();
    for file in &garbage.files {
        let row = kinds.entry(file.kind).or_default();
        *row = (row.0 + 1, row.1 + file.bytes);
    }
    for (kind, (count, bytes)) in kinds {
        out::line(&format!("{:>10}  {}", human::size(bytes), human::counted(count, plural(kind))));
    }
}

fn plural(kind: GarbageKind) -> &'static str {
    match kind {
        GarbageKind::Run => "folders of events and logs",
        GarbageKind::Download => "downloads that no result uses",
        GarbageKind::Partial => "incomplete downloads",
        GarbageKind::Checkpoints => "folders of checkpoints",
        GarbageKind::Damaged => "quarantined files",
        GarbageKind::Upload => "states of uploads that did not end",
        GarbageKind::Orphan => "files that no result names",
        GarbageKind::Answer => "answers of language models",
        GarbageKind::History => "histories of studies that are gone",
    }
}

fn print_removed(garbage: &Garbage, removed: &Removed) {
    out::line(&format!(
        "removed {} and {}: {} of {}",
        human::counted(removed.results as u64, "results"),
        human::counted(removed.files as u64, "other files"),
        human::size(removed.bytes),
        human::size(garbage.total)
    ));
    if removed.in_use > 0 {
        let what = human::counted(removed.in_use as u64, "results and files");
        out::line(&format!("{what} stay: they came into use meanwhile"));
    }
}
