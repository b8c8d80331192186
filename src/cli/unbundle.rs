//! `xpipe unbundle`: a bundle's results into the cache, its study into a folder.

use std::path::PathBuf;

use super::bundle::print_missing;
use super::options::Common;
use super::out;
use xpipe_base::value::human;
use xpipe_study::session::{Error, unbundle};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The archive that `xpipe bundle` wrote.
    archive: PathBuf,
    /// The folder for the study, which must not exist or be empty. Default: the archive's name without its suffix.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let folder = match &args.to {
        Some(folder) => folder.clone(),
        None => {
            let stem = args.archive.file_stem().filter(|_| args.archive.extension().is_some());
            let stem = stem.ok_or_else(|| {
                Error::usage("the archive's name has no suffix; name a folder with `--to DIR`")
            })?;
            PathBuf::from(stem)
        }
    };
    let store = common.settings().open_to_write()?;
    let done = unbundle(&store, &args.archive, &folder)?;
    if common.json {
        out::json(&serde_json::json!({
            "study": done.study, "results": done.results, "records": done.records, "known": done.known,
            "different": done.different, "bytes": done.bytes, "missing": done.missing, "cache": store.root(),
        }));
        return Ok(0);
    }
    out::line(&format!(
        "{} with files ({}), {} without, {} known before: {}",
        human::counted(done.results as u64, "results"),
        human::size(done.bytes),
        human::thousands(done.records as u64),
        human::thousands(done.known as u64),
        store.root().display()
    ));
    for address in &done.different {
        out::line(&format!(
            "note: {address} has another content in this cache, which stays: its operation is not deterministic, or one \
             of the two was made with other code"
        ));
    }
    print_missing(&done.missing);
    out::line(&format!("study: {}", done.study.display()));
    Ok(0)
}
