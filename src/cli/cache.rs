//! `xpipe cache`: what the store holds, and whether it is whole.

use super::args::{CacheArgs, CacheVerb, Common};
use super::job;
use super::out::{self, Stop};
use xpipe_engine::cache::{Damage, list, text::rough_bytes, text::rough_seconds, usage, verify};

/// A damage in a line.
fn told(damage: &Damage) -> String {
    match damage {
        Damage::Blob { digest, used_by } => {
            let users = if used_by.is_empty() { "no result".to_owned() } else { used_by.join(", ") };
            format!(
                "damaged: a file of {users}: its content is not what was recorded ({})",
                &digest.hex()[..12]
            )
        }
        Damage::Result { key, address, why } => {
            format!("damaged: the result of {address}: {why} (key {})", &key.hex()[..12])
        }
        Damage::Download { address, why } => format!("damaged: the download {address}: {why}"),
        Damage::Manifest { key, why } => {
            format!("damaged: the manifest of key {}: {why}", &key.hex()[..12])
        }
        Damage::Answer { file, why } => {
            format!("damaged: the kept answer of a language model {}: {why}", file.display())
        }
    }
}

pub(super) fn cache(args: &CacheArgs, common: &Common) -> Result<u8, Stop> {
    let store = match args.what {
        CacheVerb::Verify { set_aside: true } => job::writing(common)?,
        _ => job::reading(common)?,
    };
    match args.what {
        CacheVerb::Ls => {
            let entries = list(&store)?;
            if common.json {
                out::json(&serde_json::to_value(&entries).unwrap_or_default());
                return Ok(0);
            }
            for e in &entries {
                out::line(&format!(
                    "{}  {:>10}  {:>8}  {:<20}  {}",
                    &e.key.hex()[..12],
                    rough_bytes(e.size),
                    rough_seconds(e.seconds),
                    e.op,
                    e.address
                ));
            }
            out::line(&format!("{} results in {}", entries.len(), store.root().display()));
            Ok(0)
        }
        CacheVerb::Du => {
            let u = usage(&store)?;
            if common.json {
                out::json(&serde_json::to_value(&u).unwrap_or_default());
                return Ok(0);
            }
            for (name, row) in &u.ops {
                out::line(&format!("{:>10}  {:>6}  {name}", rough_bytes(row.bytes), row.results));
            }
            if u.downloads.results > 0 {
                let row = &u.downloads;
                out::line(&format!("{:>10}  {:>6}  downloaded files", rough_bytes(row.bytes), row.results));
            }
            out::line(&format!(
                "{:>10}  stored in {} (each file once), {} of logs and checkpoints",
                rough_bytes(u.unique),
                store.root().display(),
                rough_bytes(u.other)
            ));
            Ok(0)
        }
        CacheVerb::Verify { set_aside } => {
            let v = verify(&store, set_aside, &|_, _| ())?;
            if common.json {
                out::json(&serde_json::to_value(&v).unwrap_or_default());
            } else {
                for d in &v.damage {
                    out::line(&told(d));
                }
                let damaged = match v.damage.len() {
                    0 => "nothing damaged".to_owned(),
                    n => format!("{n} damaged"),
                };
                let size = rough_bytes(v.bytes);
                let downloads = match v.downloads {
                    0 => String::new(),
                    n => format!(" and {n} downloaded files"),
                };
                let answers = match v.answers {
                    0 => String::new(),
                    n => format!(" and {n} kept answers"),
                };
                let files = v.blobs;
                out::line(&format!(
                    "{} results in {files} files{downloads}{answers} of {size} read: {damaged}",
                    v.manifests
                ));
                if v.without_checksum > 0 {
                    out::line(&format!(
                        "note: {} of them have no checksum, since an older xpipe wrote them: a changed number in one of \
                         them is not noticed. `xpipe run STUDY --force STAGE` makes a result again",
                        v.without_checksum
                    ));
                }
                if !v.damage.is_empty() && !set_aside {
                    out::warn(
                        "help: `xpipe cache verify --set-aside` moves damaged files away; the next run makes or fetches them again",
                    );
                }
            }
            Ok(if v.damage.is_empty() { 0 } else { 5 })
        }
    }
}
