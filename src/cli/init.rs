//! `xpipe init`: a small study to start from.

use std::io::Write as _;
use std::path::Path;

use super::args::{Common, InitArgs};
use super::out::{self, Stop};

/// The study. It checks as it is; its data are the author's to name.
const STUDY: &str = include_str!("init.xpipe");

pub(super) fn init(args: &InitArgs, common: &Common) -> Result<u8, Stop> {
    let path = &args.file;
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent().filter(|f| *f != Path::new("")) {
            std::fs::create_dir_all(folder)?;
        }
        // Creates the file or fails: what is there stays.
        let mut file = std::fs::File::options().write(true).create_new(true).open(path)?;
        file.write_all(STUDY.as_bytes())
    };
    write().map_err(|e| {
        let there = e.kind() == std::io::ErrorKind::AlreadyExists;
        let why = if there { "it is there already".to_owned() } else { e.to_string() };
        let help = "give another name: `xpipe init FILE`".to_owned();
        let message = format!("cannot write {}: {why}", path.display());
        Stop::Other { code: if there { 2 } else { 4 }, message, help: Some(help) }
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
