//! `xpipe export`: results as files that other tools read.

use std::path::PathBuf;

use super::options::{Common, StudyArgs};
use super::out;
use xpipe_study::session::{Error, Loaded, Session};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    study: StudyArgs,
    /// A cell (`reranked[infonce, 1]`, `reranked[seed = 1]`), a stage, or a part of a data set (`cranfield.qrels`).
    cell: String,
    /// The file to write; a folder for several cells.
    to: PathBuf,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let settings = common.settings();
    let loaded = Loaded::correct(&args.study.request(), &settings.model_folders())?;
    let exported = Session::export(loaded, &settings, out::listener(), &args.cell, &args.to)?;
    let written = &exported.written;
    if common.json {
        let mut json = serde_json::json!({ "cell": args.cell, "written": written, "keys": exported.keys });
        if let [key] = exported.keys.as_slice() {
            json["key"] = serde_json::json!(key);
        }
        out::json(&json);
    } else if let [file] = written.as_slice() {
        out::line(&format!("{} -> {file}", args.cell));
    } else {
        out::line(&format!(
            "{} -> {} ({})",
            args.cell,
            args.to.display(),
            xpipe_base::value::human::counted(written.len(), "files")
        ));
    }
    Ok(0)
}
