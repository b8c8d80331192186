//! `xpipe fmt`: studies written the one way they are written.

use std::io::{Read as _, Write as _};
use std::path::Path;

use super::args::{Common, FmtArgs};
use super::out::{self, Stop};
use xpipe_lang::syntax::source::{SourceMap, decoded, reading_help};
use xpipe_lang::syntax::{Refused, format};

pub(super) fn fmt(args: &FmtArgs, common: &Common) -> Result<u8, Stop> {
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
                Stop::missing(
                    format!("cannot write {}: {e}", path.display()),
                    Some("the file is as it was; see that its folder can be written".into()),
                )
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

fn read(path: &Path) -> Result<String, Stop> {
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
        Stop::missing(
            format!("cannot read {}: {e}", path.display()),
            Some(reading_help(&e, "give paths of `.xpipe` files, or `-` for standard input")),
        )
    })
}

fn formatted(path: &Path, text: &str) -> Result<String, Stop> {
    let name = if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() };
    let mut sources = SourceMap::new();
    let id = sources.add(name.as_str(), text);
    format(id, text).map_err(|refused| match refused {
        Refused::Wrong(diagnostics) => {
            Stop::Study { diagnostics: Box::new(diagnostics), sources: Box::new(sources), short: false }
        }
        Refused::Defect => Stop::Other {
            code: 70,
            message: format!("{name}: formatting would change what the study means; nothing was written"),
            help: Some("this is a defect of xpipe: please report it with the study".into()),
        },
    })
}

/// Replaces a file's text at once, so that no crash leaves half of it. A link stays a link.
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
