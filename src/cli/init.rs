//! `xpipe init`: a small study to start from.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::options::Common;
use super::out;
use xpipe_study::session::{Error, exit};

/// The study. `check` accepts it as it is; its author names the data.
const STUDY: &str = include_str!("init.xpipe");

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The file to write; an existing file stays.
    #[arg(default_value = "study.xpipe")]
    file: PathBuf,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let path = &args.file;
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent().filter(|f| *f != Path::new("")) {
            std::fs::create_dir_all(folder)?;
        }
        // Creates the file or fails: an existing file stays.
        let mut file = std::fs::File::options().write(true).create_new(true).open(path)?;
        file.write_all(STUDY.as_bytes())
    };
    write().map_err(|e| {
        let there = e.kind() == std::io::ErrorKind::AlreadyExists;
        let why = if there { "it exists already".to_owned() } else { e.to_string() };
        let help = "give another name: `xpipe init FILE`".to_owned();
        let message = format!("cannot write {}: {why}", path.display());
        Error::Other { code: if there { exit::USAGE } else { exit::MISSING }, message, help: Some(help) }
    })?;
    if common.json {
        out::json(&serde_json::json!({ "written": path }));
    } else {
        let name = path.display();
        out::line(&format!(
            "wrote {name}\nnext: put your data where it says, `xpipe check {name}`, `xpipe run {name}`"
        ));
    }
    Ok(0)
}
