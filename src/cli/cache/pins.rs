//! `xpipe cache pin`, `unpin` and `pins`: results that `cache gc` keeps in any case.

use std::path::PathBuf;

use super::super::options::Common;
use super::super::out;
use xpipe_base::value::human;
use xpipe_study::session::{self, Error};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct PinArgs {
    /// A study (its file), a stage or cell (`model`, `model[bce, 1]`), or the beginning of a key that `cache ls` lists.
    what: String,
    /// The study of the stage or cell, where several have one of that name.
    #[arg(long, value_name = "STUDY")]
    of: Option<PathBuf>,
    /// Why it is kept.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct UnpinArgs {
    /// What was pinned, as `cache pins` lists it or as it was given.
    what: String,
    /// The study of the stage or cell.
    #[arg(long, value_name = "STUDY")]
    of: Option<PathBuf>,
}

pub(super) fn pin(args: &PinArgs, common: &Common) -> Result<u8, Error> {
    let store = common.settings().open_to_write()?;
    let pin = session::pin(&store, &args.what, args.of.as_deref(), args.note.clone())?;
    if common.json {
        out::json(&serde_json::to_value(&pin).unwrap_or_default());
    } else {
        let results = human::counted(pin.keys.len() as u64, "results");
        out::line(&format!("pinned {results} of {}, with everything they were made from", pin.what));
    }
    Ok(0)
}

pub(super) fn unpin(args: &UnpinArgs, common: &Common) -> Result<u8, Error> {
    let store = common.settings().open_to_write()?;
    let what = session::unpin(&store, &args.what, args.of.as_deref())?;
    if common.json {
        out::json(&serde_json::json!({ "unpinned": what }));
    } else {
        out::line(&format!("{what} is no longer pinned"));
    }
    Ok(0)
}

pub(super) fn list(common: &Common) -> Result<u8, Error> {
    let pins = common.settings().open_to_read()?.pins()?;
    if common.json {
        out::json(&serde_json::to_value(&pins).unwrap_or_default());
        return Ok(0);
    }
    for pin in &pins {
        let note = pin.note.as_ref().map(|n| format!("  {n}")).unwrap_or_default();
        let date = pin.time.get(..10).unwrap_or(&pin.time);
        out::line(&format!("{date}  {:>6}  {}{note}", pin.keys.len(), pin.what));
    }
    out::line(&human::counted(pins.len() as u64, "pins"));
    Ok(0)
}
