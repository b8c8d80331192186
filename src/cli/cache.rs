//! `xpipe cache`: what the store holds, whether it is whole, and what of it may go. What concerns remote caches is in
//! `remote`.

mod gc;
mod pins;
mod rerun;

use clap::Subcommand;

use super::options::Common;
use super::{out, remote};
use xpipe_base::value::human;
use xpipe_engine::cache::{Damage, Store, list, usage, verify};
use xpipe_study::session::{Error, exit};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

/// What to do with the cache.
#[derive(Clone, Debug, Subcommand)]
enum What {
    /// List results.
    Ls,
    /// Print sizes by operation.
    Du,
    /// Read everything again and compare it with its digest.
    Verify {
        /// Move damaged files away, so that their results are computed again.
        #[arg(long)]
        set_aside: bool,
        /// Instead, run N stored actions again and compare the results. Nothing is stored.
        #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "5", conflicts_with = "set_aside")]
        rerun: Option<usize>,
        /// Seed of the choice of actions.
        #[arg(long, value_name = "S", default_value_t = 0, requires = "rerun")]
        seed: u64,
    },
    /// Send results to a remote cache.
    Push(remote::Push),
    /// Take what a study needs from a remote cache.
    Pull(remote::Pull),
    /// Trust a key of a remote cache, or list or remove trusted keys.
    Trust(remote::Trust),
    /// Make a key that signs the results you send.
    Keygen,
    /// Remove what nothing uses; without `--yes`, print it.
    Gc(gc::Args),
    /// Keep results, and what they were made from, from `cache gc`.
    Pin(pins::PinArgs),
    /// Remove a pin.
    Unpin(pins::UnpinArgs),
    /// List pins.
    Pins,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let settings = common.settings();
    match &args.what {
        What::Ls => print_list(&settings.open_to_read()?, common.json),
        What::Du => print_usage(&settings.open_to_read()?, common.json),
        What::Push(args) => remote::push(args, common),
        What::Pull(args) => remote::pull(args, common),
        What::Trust(args) => remote::trust_key(args, common),
        What::Keygen => remote::keygen(common),
        What::Verify { rerun: Some(count), seed, .. } => rerun::run(*count, *seed, common),
        What::Verify { set_aside: true, .. } => {
            Ok(print_verification(&settings.open_to_write()?, true, common.json))
        }
        What::Verify { set_aside: false, .. } => {
            Ok(print_verification(&settings.open_to_read()?, false, common.json))
        }
        What::Gc(args) => gc::run(args, common),
        What::Pin(args) => pins::pin(args, common),
        What::Unpin(args) => pins::unpin(args, common),
        What::Pins => pins::list(common),
    }
}

/// A line about a damage.
fn line(damage: &Damage) -> String {
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
        Damage::NotRead { why } => format!("not read, so that nothing is known of its content: {why}"),
        Damage::Answer { file, why } => {
            format!("damaged: the kept answer of a language model {}: {why}", file.display())
        }
    }
}

fn print_list(store: &Store, json: bool) -> Result<u8, Error> {
    let entries = list(store)?;
    if json {
        out::json(&serde_json::to_value(&entries).unwrap_or_default());
        return Ok(0);
    }
    for e in &entries {
        let from = e.origin.as_ref().map(|origin| format!("  from {origin}")).unwrap_or_default();
        out::line(&format!(
            "{}  {:>10}  {:>8}  {:<20}  {}{from}",
            &e.key.hex()[..12],
            human::size(e.size),
            human::duration(e.seconds),
            e.op,
            e.address
        ));
    }
    out::line(&format!("{} in {}", human::counted(entries.len() as u64, "results"), store.root().display()));
    Ok(0)
}

fn print_usage(store: &Store, json: bool) -> Result<u8, Error> {
    let usage = usage(store)?;
    if json {
        out::json(&serde_json::to_value(&usage).unwrap_or_default());
        return Ok(0);
    }
    for (name, row) in &usage.ops {
        out::line(&format!("{:>10}  {:>6}  {name}", human::size(row.bytes), row.results));
    }
    let downloads = &usage.downloads;
    if downloads.results > 0 {
        let size = human::size(downloads.bytes);
        out::line(&format!("{size:>10}  {:>6}  downloaded files", downloads.results));
    }
    out::line(&format!(
        "{:>10}  stored in {} (each file once), {} of logs and checkpoints",
        human::size(usage.unique),
        store.root().display(),
        human::size(usage.other)
    ));
    Ok(0)
}

fn print_verification(store: &Store, set_aside: bool, json: bool) -> u8 {
    let found = verify(store, set_aside, &|_, _| ());
    let code = if found.damage.is_empty() { 0 } else { exit::DAMAGED };
    if json {
        out::json(&serde_json::to_value(&found).unwrap_or_default());
        return code;
    }
    found.damage.iter().for_each(|d| out::line(&line(d)));
    let not_read = found.damage.iter().filter(|d| matches!(d, Damage::NotRead { .. })).count();
    let damaged = match (found.damage.len() - not_read, not_read) {
        (0, 0) => "nothing damaged".to_owned(),
        (n, 0) => format!("{n} damaged"),
        (n, not_read) => format!("{n} damaged, {not_read} not read"),
    };
    let also =
        |n: u64, what: &str| if n == 0 { String::new() } else { format!(" and {}", human::counted(n, what)) };
    out::line(&format!(
        "{} in {}{}{} of {} read: {damaged}",
        human::counted(found.manifests as u64, "results"),
        human::counted(found.blobs as u64, "files"),
        also(found.downloads as u64, "downloaded files"),
        also(found.answers as u64, "kept answers"),
        human::size(found.bytes),
    ));
    if found.without_checksum > 0 {
        out::line(&format!(
            "note: {} of them have no checksum, since an older xpipe wrote them: a changed number in one of them is not \
             noticed. `xpipe run STUDY --force STAGE` computes a result again",
            found.without_checksum
        ));
    }
    if found.damage.len() > not_read && !set_aside {
        out::warn(
            "help: `xpipe cache verify --set-aside` moves damaged files away; the next run computes or downloads them again",
        );
    }
    code
}
