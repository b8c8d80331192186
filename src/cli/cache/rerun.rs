//! `xpipe cache verify --rerun`: a sample of stored actions once more.

use super::super::options::{Common, worker_command};
use super::super::out;
use super::super::signals::cancel_on_signal;
use xpipe_base::value::human;
use xpipe_engine::{Heavy, Reason, Rerun};
use xpipe_study::session::{Error, LocalRunner, Lock, RerunOf, exit, rerun_sample};

/// Runs the sample. The exit code is 5 if a result differs, 1 if an action fails, or if nothing was compared.
pub(super) fn run(count: usize, seed: u64, common: &Common) -> Result<u8, Error> {
    let settings = common.settings();
    let store = settings.open_to_write()?;
    let runner = LocalRunner::new(&settings, Lock::default(), out::listener());
    let options = settings.options(Heavy::Process(worker_command()?));
    let cancel = cancel_on_signal();
    let mut told = |done: &RerunOf| {
        if !common.json {
            out::line(&line(done));
        }
    };
    let all = rerun_sample(&store, &runner, &options, &cancel, count, seed, &mut told)?;
    let count_of = |is: fn(&Rerun) -> bool| all.iter().filter(|r| is(&r.rerun)).count();
    let different = count_of(|r| matches!(r, Rerun::Different { .. }));
    let failed = count_of(|r| matches!(r, Rerun::Failed { .. }));
    let same = count_of(|r| matches!(r, Rerun::Same));
    let code = match (cancel.stopping(), different, failed) {
        (true, ..) => exit::INTERRUPTED,
        (false, 0, 0) if same > 0 => 0,
        (false, 0, _) => exit::FAILED,
        (false, ..) => exit::DAMAGED,
    };
    if common.json {
        let first = all.iter().find(|r| matches!(r.rerun, Rerun::Different { .. })).map(|r| &r.address);
        out::json(&serde_json::json!({
            "seed": seed,
            "actions": all,
            "compared": same + different,
            "failed": failed,
            "first_different": first,
            "exit": code,
        }));
        return Ok(code);
    }
    out::line(&format!(
        "{} of a sample of {} (seed {seed}): {same} gave the same, {different} something else, {failed} failed",
        human::counted((same + different + failed) as u64, "actions"),
        human::thousands(all.len() as u64),
    ));
    if same + different == 0 {
        out::line("nothing was compared");
    }
    if let Some(first) = all.iter().find(|r| matches!(r.rerun, Rerun::Different { .. })) {
        out::line(&format!("the first that differs: {}", line(first)));
    }
    Ok(code)
}

fn line(done: &RerunOf) -> String {
    let RerunOf { address, op, key, .. } = done;
    match &done.rerun {
        Rerun::Same => format!("same       {address} ({op})"),
        Rerun::Failed { why } => format!("failed     {address} ({op}): {why}"),
        Rerun::Skipped { why } => format!("skipped    {address} ({op}): {why}"),
        Rerun::Different { reasons } => {
            let reasons: Vec<String> = reasons.iter().map(reason).collect();
            format!("different  {address} ({op}, key {}): {}", &key.hex()[..12], reasons.join("; "))
        }
    }
}

fn reason(reason: &Reason) -> String {
    match reason {
        Reason::Damage { what } => format!("the stored result is damaged: {what}"),
        Reason::NotDeterministic => "it is not deterministic: two runs here differ".into(),
        Reason::Version { stored, here } => format!("stored by {stored}, and this is {here}"),
        Reason::Device { stored, here } => format!("stored from {stored}, and compared on {here}"),
        Reason::Kernels { stored, here } => format!("stored from {stored} kernels, and compared on {here}"),
        Reason::Unknown => {
            "two runs here agree and nothing recorded differs: another machine, a program or library \
                            outside of the key, or code that changed without a new version of the operation"
                .into()
        }
    }
}
