//! What failed before, and the command that computes what has no result: for `plan`, `show` and `report`.

use super::options::StudyArgs;
use xpipe_engine as engine;
use xpipe_study::session::FailedBefore;

/// The most failures that are printed.
const SHOWN: usize = 8;

/// A line for each of the last failures.
pub(super) fn failure_lines(failures: &[FailedBefore]) -> Vec<String> {
    let line = |FailedBefore { address, failure }: &FailedBefore| {
        let first = failure.message.lines().next().unwrap_or_default();
        let log = failure.log.as_ref().map(|l| format!(" (log: {})", l.display())).unwrap_or_default();
        format!("note: {address} failed {}: {first}{log}", engine::local_time(&failure.at))
    };
    let mut lines: Vec<String> = failures.iter().take(SHOWN).map(line).collect();
    if failures.len() > SHOWN {
        lines.push(format!("note: and {} more failed the last time", failures.len() - SHOWN));
    }
    lines
}

/// The last failures as JSON.
pub(super) fn failures_json(failures: &[FailedBefore]) -> serde_json::Value {
    let one = |FailedBefore { address, failure: f }: &FailedBefore| serde_json::json!({ "address": address, "at": f.at, "message": f.message, "log": f.log });
    failures.iter().map(one).collect()
}

/// How many actions have no result yet, and the command that computes them.
pub(super) fn open_line(open: usize, args: &StudyArgs) -> String {
    let actions = if open == 1 { "action has" } else { "actions have" };
    format!("{open} {actions} no result yet: `{}`", run_command(args))
}

/// The `run` command with the same study and options.
fn run_command(args: &StudyArgs) -> String {
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

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
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
