//! Tables and costs as files, each written atomically.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{Evaluated, Filled, csv, latex, markdown};
use xpipe_base::place;
use xpipe_base::task::Failure;
use xpipe_lang::graph::Format;

/// The formats of files, in the order they are written. HTML is part of the page.
const FORMATS: [Format; 4] = [Format::Csv, Format::Markdown, Format::Latex, Format::Parquet];

/// The longest name of a file without its suffix, in bytes.
const LONGEST: usize = 180;

/// What [`write_all`] wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrittenFiles {
    /// The files, in the order written.
    pub files: Vec<PathBuf>,
}

/// Writes what tables ask for to `dir/tables/NAME[labels].{csv,md,tex,parquet}`, and costs to `dir/tables/costs(STAGE).{csv,md}`.
///
/// # Errors
/// A folder or file cannot be written.
pub fn write_all(dir: &Path, evaluated: &Evaluated) -> Result<WrittenFiles, Failure> {
    let dir = dir.join("tables");
    let mut out = WrittenFiles::default();
    let mut names = BTreeSet::new();
    for table in &evaluated.tables {
        if !table.write.iter().any(|f| FORMATS.contains(f)) {
            continue;
        }
        // As an address, without its quotes.
        let labels = table.labels.join(", ");
        let address =
            if labels.is_empty() { table.name.clone() } else { format!("{}[{labels}]", table.name) };
        let name = file_name(&address, &mut names);
        for format in FORMATS.into_iter().filter(|f| table.write.contains(f)) {
            match format {
                Format::Html => {}
                Format::Csv => write(&dir, &format!("{name}.csv"), &csv::table(table), &mut out)?,
                Format::Markdown => write(&dir, &format!("{name}.md"), &markdown::table(table), &mut out)?,
                Format::Latex => write(&dir, &format!("{name}.tex"), &latex::table(table), &mut out)?,
                Format::Parquet => write_parquet(&dir.join(format!("{name}.parquet")), table, &mut out)?,
            }
        }
    }
    for costs in &evaluated.costs {
        let name = file_name(&format!("costs({})", costs.stage), &mut names);
        write(&dir, &format!("{name}.csv"), &csv::costs(costs), &mut out)?;
        write(&dir, &format!("{name}.md"), &markdown::costs(costs), &mut out)?;
    }
    Ok(out)
}

/// A name that every file system accepts and that is not in `taken`.
pub fn file_name(address: &str, taken: &mut BTreeSet<String>) -> String {
    let mut name = String::new();
    for c in address.chars() {
        let odd = c.is_control() || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
        if name.len() + c.len_utf8() > LONGEST {
            break;
        }
        name.push(if odd { '_' } else { c });
    }
    let plain = name.clone();
    for i in 2.. {
        if taken.insert(name.clone()) {
            break;
        }
        name = format!("{plain}~{i}");
    }
    name
}

fn write(dir: &Path, name: &str, text: &str, out: &mut WrittenFiles) -> Result<(), Failure> {
    let path = dir.join(name);
    write_file(&path, text)?;
    out.files.push(path);
    Ok(())
}

/// Writes a file atomically; its folder is made if there is none.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    let mut file = beside(path)?;
    file.write_all(text.as_bytes()).map_err(|e| place::io(path, e))?;
    file.persist(path).map_err(|e| place::io(path, e.error))?;
    Ok(())
}

/// A file that will take the place of `path`.
fn beside(path: &Path) -> Result<NamedTempFile, Failure> {
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(|e| place::io(dir, e))?;
    tempfile::Builder::new()
        .prefix(".xpipe-")
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(dir)
        .map_err(|e| place::io(path, e))
}

fn write_parquet(path: &Path, table: &Filled, out: &mut WrittenFiles) -> Result<(), Failure> {
    let file = beside(path)?;
    super::parquet::table(file.path(), table)?;
    file.persist(path).map_err(|e| place::io(path, e.error))?;
    out.files.push(path.to_owned());
    Ok(())
}
