//! `xpipe bundle`: a study with its results in one archive.

use std::path::PathBuf;

use super::options::{Common, StudyArgs};
use super::out;
use xpipe_base::value::{human, text};
use xpipe_study::session::{BundleRequest, Error};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    study: StudyArgs,
    /// The archive to write; with `--metadata`, the JSON file.
    out: PathBuf,
    /// Include the files of this stage or cell. Default: of the results that tables and claims read.
    #[arg(long, value_name = "STAGE[LABEL, …]")]
    with: Vec<String>,
    /// Include the files of every result.
    #[arg(long, conflicts_with = "with")]
    all: bool,
    /// Include local files and folders that the study reads up to this size each.
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = text::read_bytes)]
    max_input: u64,
    /// Write recipes, digests and measures only, as JSON: for the appendix of a paper.
    #[arg(long, conflicts_with_all = ["with", "all"])]
    metadata: bool,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let session = args.study.open(common)?;
    if args.metadata {
        let json = session.metadata()?;
        let text = serde_json::to_string_pretty(&json).unwrap_or_default();
        std::fs::write(&args.out, format!("{text}\n"))
            .map_err(|e| Error::missing(format!("cannot write {}: {e}", args.out.display())))?;
        let count = json["results"].as_array().map_or(0, Vec::len);
        if common.json {
            out::json(&serde_json::json!({ "written": args.out, "results": count }));
        } else {
            let results = human::counted(count as u64, "results");
            out::line(&format!("{}: recipes, digests and measures of {results}", args.out.display()));
        }
        return Ok(0);
    }
    let request = BundleRequest { with: args.with.clone(), all: args.all, max_input: args.max_input };
    let bundled = session.bundle(&request, &args.out)?;
    if common.json {
        out::json(&serde_json::json!({
            "written": args.out, "bytes": bundled.bytes, "results": bundled.results,
            "with_files": bundled.with_files, "missing": bundled.missing,
        }));
        return Ok(0);
    }
    out::line(&format!(
        "{}: {}, {} of them with files, {}",
        args.out.display(),
        human::counted(bundled.results as u64, "results"),
        human::thousands(bundled.with_files as u64),
        human::size(bundled.bytes)
    ));
    print_missing(&bundled.missing);
    Ok(0)
}

/// Prints what a study needs and its bundle does not have.
pub(super) fn print_missing(missing: &[String]) {
    if !missing.is_empty() {
        out::line("not in the bundle, and needed to run the study elsewhere:");
        missing.iter().for_each(|what| out::line(&format!("  {what}")));
    }
}
