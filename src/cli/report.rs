//! `xpipe report`: the HTML page of a study from cached results, without running.

use std::path::PathBuf;

use super::options::{Common, StudyArgs};
use super::{advice, out};
use xpipe_study::session::{Error, exit};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    study: StudyArgs,
    /// The folder of the page. Default: `results/NAME` beside the study.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let session = args.study.open(common)?;
    let store = session.open_cache()?;
    let cached = session.cached(&store);
    let folder = args.output.clone().unwrap_or_else(|| session.loaded.results_folder());
    let files = cached.write_pages(&folder)?;
    if files.is_empty() {
        return Err(Error::usage("the study has no table, claim or report to show"));
    }
    let (open, damaged) = (cached.open(), cached.results.damage());
    let code = if damaged.is_empty() { 0 } else { exit::DAMAGED };
    if common.json {
        out::json(&serde_json::json!({ "files": files, "open": open, "damaged": damaged }));
        return Ok(code);
    }
    for file in &files {
        out::line(&file.display().to_string());
    }
    if open > 0 {
        out::line(&advice::open_line(open, &args.study));
    }
    out::warn_of_damage(&damaged);
    Ok(code)
}
