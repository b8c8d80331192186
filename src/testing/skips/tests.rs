//! A skipped test is named in the last lines of its binary, and fails where data is required.

use std::process::{Command, Output};

const INSIDE: &str = "XPIPE_TESTING_INSIDE";

/// What a test without its model looks like; does nothing unless the tests below start it.
#[test]
#[ignore = "started by the other tests of this file"]
fn without_its_model() {
    if std::env::var_os(INSIDE).is_some() {
        assert_eq!(crate::model("no-such-model"), None);
    }
}

fn start(required: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "skips::tests::without_its_model"])
        .env(INSIDE, "1")
        .env("XPIPE_REQUIRE_DATA", required)
        .output()
        .unwrap()
}

#[test]
fn the_last_lines_name_what_was_skipped() {
    let output = start("");
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("1 passed"));
    let said = String::from_utf8(output.stderr).unwrap();
    let line = "skipped: skips::tests::without_its_model (no model no-such-model)";
    assert!(said.lines().any(|l| l == line) && said.contains("1 test passed without running"), "{said}");
}

#[test]
fn where_data_is_required_a_skip_is_a_failure() {
    let output = start("1");
    assert_eq!(output.status.code(), Some(101), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("no model no-such-model, and XPIPE_REQUIRE_DATA is set"), "{said}");
}
