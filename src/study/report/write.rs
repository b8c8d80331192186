//! Tables and costs as files. Each appears whole or not at all.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{Evaluated, Filled, csv, latex, markdown};
use xpipe_base::place;
use xpipe_base::task::Failure;

/// Formats that a table may ask for and that are written.
pub(super) const FORMATS: [&str; 4] = ["csv", "markdown", "latex", "parquet"];

/// The longest name of a file without its suffix, in bytes.
const LONGEST: usize = 180;

/// What [`write_all`] has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The files, in the order written.
    pub files: Vec<PathBuf>,
}

/// Writes what tables ask for to `dir/tables/NAME[labels].{csv,md,tex,parquet}`, and costs to `dir/tables/costs(STAGE).{csv,md}`.
///
/// # Errors
/// A folder or file cannot be written.
pub fn write_all(dir: &Path, evaluated: &Evaluated) -> Result<Written, Failure> {
    let dir = dir.join("tables");
    let mut out = Written::default();
    let mut names = BTreeSet::new();
    for table in &evaluated.tables {
        if !table.write.iter().any(|f| FORMATS.contains(&f.as_str())) {
            continue;
        }
        // As an address, without its quotes.
        let labels = table.labels.join(", ");
        let address =
            if labels.is_empty() { table.name.clone() } else { format!("{}[{labels}]", table.name) };
        let name = file_name(&address, &mut names);
        for format in FORMATS.iter().filter(|f| table.write.iter().any(|w| w == *f)) {
            let (suffix, text) = match *format {
                "parquet" => {
                    write_parquet(&dir.join(format!("{name}.parquet")), table, &mut out)?;
                    continue;
                }
                "csv" => ("csv", csv::table(table)),
                "latex" => ("tex", latex::table(table)),
                _ => ("md", markdown::table(table)),
            };
            write(&dir, &format!("{name}.{suffix}"), &text, &mut out)?;
        }
    }
    for costs in &evaluated.costs {
        let name = file_name(&format!("costs({})", costs.stage), &mut names);
        write(&dir, &format!("{name}.csv"), &csv::costs(costs), &mut out)?;
        write(&dir, &format!("{name}.md"), &markdown::costs(costs), &mut out)?;
    }
    Ok(out)
}

/// A name that every file system takes, and that is not taken.
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

fn write(dir: &Path, name: &str, text: &str, out: &mut Written) -> Result<(), Failure> {
    let path = dir.join(name);
    write_file(&path, text)?;
    out.files.push(path);
    Ok(())
}

/// Writes a file whole or not at all; its folder is made if it is not there.
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

fn write_parquet(path: &Path, table: &Filled, out: &mut Written) -> Result<(), Failure> {
    let file = beside(path)?;
    super::parquet::table(file.path(), table)?;
    file.persist(path).map_err(|e| place::io(path, e.error))?;
    out.files.push(path.to_owned());
    Ok(())
}
