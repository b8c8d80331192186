//! `xpipe fmt`: formats studies.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::options::Common;
use super::out;
use xpipe_lang::syntax::source::{SourceMap, decoded, reading_help};
use xpipe_lang::syntax::{FormatError, format};
use xpipe_study::session::{Error, exit};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The studies; `-` formats standard input to standard output.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write nothing: name the files that would change, and exit with 1 if there are any.
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    // Everything is read and formatted before anything is written: a wrong study leaves all as they are.
    let mut found = Vec::with_capacity(args.files.len());
    for path in &args.files {
        let text = read(path)?;
        let new = formatted(path, &text)?;
        found.push((path, new != text, new));
    }
    let mut changed = Vec::new();
    for (path, differs, new) in &found {
        if is_stdin(path) && !args.check && !common.json {
            out::raw(new);
            continue;
        }
        if !differs {
            continue;
        }
        changed.push(path.display().to_string());
        if !args.check && !is_stdin(path) {
            replace(path, new).map_err(|e| {
                Error::missing(format!("cannot write {}: {e}", path.display()))
                    .help("the file is unchanged; check that its folder can be written")
            })?;
        }
    }
    if common.json {
        let text: Vec<&String> = found.iter().filter(|f| is_stdin(f.0)).map(|f| &f.2).collect();
        out::json(&serde_json::json!({
            "files": found.len(), "changed": changed, "written": !args.check, "text": text.first(),
        }));
    } else {
        for name in &changed {
            out::line(name);
        }
    }
    Ok(u8::from(args.check && !changed.is_empty()))
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn read(path: &Path) -> Result<String, Error> {
    let read = || -> std::io::Result<String> {
        let mut bytes = Vec::new();
        if is_stdin(path) {
            std::io::stdin().lock().read_to_end(&mut bytes)?;
        } else {
            bytes = xpipe_lang::resolve::world::read_file(path, xpipe_lang::resolve::world::LARGEST)?;
        }
        decoded(bytes)
    };
    read().map_err(|e| {
        Error::missing(format!("cannot read {}: {e}", path.display()))
            .help(reading_help(&e, "give paths of `.xpipe` files, or `-` for standard input"))
    })
}

fn formatted(path: &Path, text: &str) -> Result<String, Error> {
    let name = if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() };
    let mut sources = SourceMap::new();
    let id = sources.add(name.as_str(), text);
    format(id, text).map_err(|refused| match refused {
        FormatError::Wrong(diagnostics) => {
            Error::Study { diagnostics: Box::new(diagnostics), sources: Box::new(sources) }
        }
        FormatError::Defect => Error::Other {
            code: exit::BUG,
            message: format!("{name}: formatting would change what the study means; nothing was written"),
            help: Some("this is a bug in xpipe: please report it with the study".into()),
        },
    })
}

/// Replaces a file's text atomically. A symbolic link stays one.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = path.canonicalize()?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        file.set_permissions(std::fs::metadata(&path)?.permissions())?;
        std::fs::rename(&beside, &path)
    };
    write().inspect_err(|_| {
        let _ = std::fs::remove_file(&beside);
    })
}
