//! `self:rust-docs`: a test collection made from the documentation of the crates that xpipe was built from.
//!
//! Real text that lies on every machine that has built xpipe, and needs no download. Of each public item with a
//! documentation comment the first sentence is the query and the signature is the passage that answers it: which
//! function does this? (With the rest of the comment in the passage too, BM25 finds what a model of two layers finds,
//! and the study shows nothing.) A crate's items are all for training, or all for validation, or all for testing.
//!
//! | file | what it owns |
//! |---|---|
//! | [`sources`] | where the crates' sources lie: asks `cargo metadata` |
//! | [`scan`] | items and comments of one source file |
//! | [`text`] | markdown to plain text, the first sentence |
//! | [`collection`] | which items are kept, and the files of the collection |

mod collection;
mod scan;
mod sources;
mod text;

use xpipe_base::place;
use xpipe_base::task::builtin::{Builtin, BuiltinCall};
use xpipe_base::task::{Failure, Job};
use xpipe_base::value::Digest;

/// Raised by hand when the output for the same sources changes.
const VERSION: u32 = 2;

/// The program.
pub const PROGRAM: Builtin = Builtin {
    name: "rust-docs",
    doc: "Makes a test collection (docs, queries, qrels.train, qrels.dev, qrels.test) from the documentation \
          comments of the crates that xpipe was built from.",
    run,
    identity,
};

fn run(job: &Job<'_>, call: &BuiltinCall<'_>) -> Result<(), Failure> {
    if let Some(word) = call.args.first() {
        return Err(Failure::wrong(format!("self:rust-docs: found the argument `{word}`, expected none"))
            .help("leave `args` out"));
    }
    let crates = sources::crates()?;
    let mut items = Vec::new();
    for (i, one) in crates.iter().enumerate() {
        job.check_cancelled()?;
        items.extend(collection::read(one)?);
        job.progress.progress(i as u64 + 1, crates.len() as u64, "crates", "");
    }
    let kept = collection::select(items);
    let counts = collection::write(&kept, call.out)?;
    job.progress.note(&format!(
        "{} passages of {} crates; queries: {} to train, {} to validate, {} to test",
        kept.len(),
        crates.len(),
        counts[0],
        counts[1],
        counts[2]
    ));
    if counts.contains(&0) {
        return Err(Failure::missing("the sources of the crates give no queries for one of the splits")
            .help("build xpipe from its own Cargo.lock, with sources in cargo's registry"));
    }
    Ok(())
}

/// The lock file fixes the checksum of each source; with the version of this program it fixes the output.
fn identity() -> Result<Digest, Failure> {
    let lock = sources::folder()?.join("Cargo.lock");
    let bytes = std::fs::read(&lock).map_err(|e| place::io(&lock, e))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"self:rust-docs");
    hasher.update(&VERSION.to_le_bytes());
    hasher.update(&bytes);
    Ok(Digest(*hasher.finalize().as_bytes()))
}
