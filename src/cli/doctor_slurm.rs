//! `xpipe doctor slurm`: what would prevent a run on a cluster.

use super::options::Common;
use super::out;
use xpipe_engine::{Health, probe};
use xpipe_study::session::{Error, UserSettings, exit, queue_options};

pub(super) fn run(cluster: Option<&str>, common: &Common) -> Result<u8, Error> {
    let queue = queue_options(&UserSettings::read()?, cluster)?;
    let store = common.settings().open_to_write()?;
    let checks = probe(&queue, &store);
    let word = |health: Health| match health {
        Health::Fine => "ok",
        Health::Note => "note",
        Health::Problem => "problem",
    };
    let problems = checks.iter().filter(|c| c.health == Health::Problem).count();
    if common.json {
        let list: Vec<serde_json::Value> = checks
            .iter()
            .map(|c| serde_json::json!({ "what": c.what, "state": word(c.health), "text": c.text, "help": c.help }))
            .collect();
        out::json(&serde_json::json!({ "problems": problems, "findings": list }));
    } else {
        for c in &checks {
            out::line(&format!("{:<8} {:<13} {}", word(c.health), c.what, c.text));
            if let Some(help) = &c.help {
                out::line(&format!("{:<22} {help}", ""));
            }
        }
    }
    Ok(if problems > 0 { exit::MISSING } else { 0 })
}
