//! `xpipe attach`: shows what another process's run does, as that process would.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use super::console::{Console, Mode};
use super::options::Common;
use super::out;
use super::signals::cancel_on_signal;
use xpipe_engine::{Event, cluster_of, driver_is_alive};
use xpipe_study::session::{Error, event, exit, run_folder};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The run, or the beginning of its name. Default: the latest run of the cache.
    run: Option<String>,
    /// Print lines instead of progress bars.
    #[arg(long)]
    plain: bool,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let folder = run_folder(&common.settings(), args.run.as_deref())?;
    let path = folder.join("events.jsonl");
    let mut file = std::fs::File::open(&path)
        .map_err(|e| Error::missing(format!("{} cannot be read: {e}", path.display())))?;
    let stop = cancel_on_signal();
    let console = Console::new(Mode::of(false, args.plain));
    let mut view = console.view();
    let (mut at, mut gone, has_lease) = (0, false, cluster_of(&folder).is_some());
    loop {
        let mut bytes = Vec::new();
        let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_to_end(&mut bytes));
        read.map_err(|e| Error::missing(format!("{} cannot be read: {e}", path.display())))?;
        let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        at += end as u64;
        for line in String::from_utf8_lossy(&bytes[..end]).lines() {
            let Some(event) = event(line) else { continue };
            let seconds = serde_json::from_str::<serde_json::Value>(line).ok().and_then(|l| l["at"].as_f64());
            view.event(seconds.unwrap_or_default(), &event);
            if let Event::RunFinished { counts, .. } = event {
                return Ok(if counts.failed + counts.blocked + counts.stopped > 0 {
                    exit::INCOMPLETE
                } else {
                    0
                });
            }
        }
        if stop.stopping() {
            drop(view);
            out::line("the run goes on; `xpipe cancel` ends it");
            return Ok(exit::INTERRUPTED);
        }
        // Once more after its end, for its last lines. Runs on one machine give no sign of life.
        if has_lease && std::mem::replace(&mut gone, !driver_is_alive(&folder)) && gone {
            drop(view);
            out::warn("its process is gone; jobs may go on, and the next `xpipe run` takes them over");
            return Ok(exit::INCOMPLETE);
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}
