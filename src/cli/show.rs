//! `xpipe show`: tables and claims from cached results, without running.

use super::options::{Common, StudyArgs};
use super::{advice, out, tables};
use xpipe_study::session::{Error, exit};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    study: StudyArgs,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let session = args.study.open(common)?;
    let store = session.open_cache()?;
    let cached = session.cached(&store);
    let evaluated = cached.evaluate()?;
    let failures = cached.last_failures();
    let damaged = cached.results.damage();
    let code = if damaged.is_empty() { 0 } else { exit::DAMAGED };
    if common.json {
        let mut json = xpipe_study::report::json(&evaluated);
        json["damaged"] = damaged.into();
        json["failed"] = advice::failures_json(&failures);
        out::json(&json);
        return Ok(code);
    }
    tables::print(&evaluated);
    advice::failure_lines(&failures).iter().for_each(|line| out::line(line));
    if cached.to_run() > 0 {
        out::line(&advice::open_line(cached.to_run(), &args.study));
    }
    out::warn_of_damage(&damaged);
    Ok(code)
}
