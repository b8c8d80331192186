//! What failed the last time among what has no result: told by `plan`, `show` and `report`.

use super::args::StudyArgs;
use xpipe_base::value::ActionId;
use xpipe_engine::cache::{LastFailure, Store};
use xpipe_engine::{self, Forecast};

/// The most that are told.
const SHOWN: usize = 8;

/// The last failures of what a run would carry out: address, and how it failed.
pub(super) fn last_failures(
    job: &xpipe_engine::Job,
    store: &Store,
    fates: &[Forecast],
) -> Vec<(String, LastFailure)> {
    let history = store.history(&job.study);
    let open = (0u32..).map(ActionId).zip(fates).filter(|(_, fate)| {
        matches!(fate, Forecast::WillRun { .. } | Forecast::Depends { .. } | Forecast::Unknown { .. })
    });
    let failed = open.filter_map(|(id, _)| {
        let failure = xpipe_engine::last_failure(&history, store, job, id)?;
        Some((job.action(id).address.clone(), failure))
    });
    failed.collect()
}

/// A line about each of them.
pub(super) fn lines(failures: &[(String, LastFailure)]) -> Vec<String> {
    let line = |(address, failure): &(String, LastFailure)| {
        let first = failure.message.lines().next().unwrap_or_default();
        let log = failure.log.as_ref().map(|l| format!(" (log: {})", l.display())).unwrap_or_default();
        format!("note: {address} failed {}: {first}{log}", xpipe_engine::local_time(&failure.at))
    };
    let mut lines: Vec<String> = failures.iter().take(SHOWN).map(line).collect();
    if failures.len() > SHOWN {
        lines.push(format!("note: and {} more failed the last time", failures.len() - SHOWN));
    }
    lines
}

/// The failures as JSON.
pub(super) fn json(failures: &[(String, LastFailure)]) -> serde_json::Value {
    let one = |(address, f): &(String, LastFailure)| serde_json::json!({ "address": address, "at": f.at, "message": f.message, "log": f.log });
    failures.iter().map(one).collect()
}

/// The command that makes what is missing, with everything that this one was given.
pub(super) fn run_command(args: &StudyArgs) -> String {
    let mut words = vec!["xpipe".to_owned(), "run".to_owned(), quoted(&args.file.to_string_lossy())];
    let mut give = |option: &str, values: &mut dyn Iterator<Item = &String>| {
        for value in values {
            words.push(option.to_owned());
            words.push(quoted(value));
        }
    };
    give("--profile", &mut args.profile.iter());
    give("--set", &mut args.set.iter());
    give("--only", &mut args.only.iter());
    give("--target", &mut args.target.iter());
    words.join(" ")
}

/// A word as a shell takes it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// What has no result yet, and the command that makes it.
pub(super) fn advice(open: usize, args: &StudyArgs) -> String {
    let actions = if open == 1 { "action has" } else { "actions have" };
    format!("{open} {actions} no result yet: `{}`", run_command(args))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("steps=10"), "steps=10");
        assert_eq!(quoted("steps=steps(1_000)"), "'steps=steps(1_000)'");
        assert_eq!(quoted("name=\"it's\""), "'name=\"it'\\''s\"'");
    }
}
