//! `xpipe cache`: what the store holds, and whether it is whole.

use super::args::{CacheArgs, CacheVerb, Common};
use super::job;
use super::out::{self, Stop};
use crate::cache::{list, text::rough_bytes, text::rough_seconds, usage, verify};

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
                    out::line(&format!("damaged: {}", serde_json::to_string(d).unwrap_or_default()));
                }
                out::line(&format!("{} blobs, {} results, {} damaged", v.blobs, v.manifests, v.damage.len()));
            }
            Ok(if v.damage.is_empty() { 0 } else { 5 })
        }
    }
}
