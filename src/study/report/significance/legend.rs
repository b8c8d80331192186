//! The explanation of a test below its table.

use super::super::filled::TestOutcome;
use xpipe_base::value::human;
use xpipe_data::ir::significance::EXACT_LIMIT;
use xpipe_lang::graph::{CorrectionMethod, TestKind, TestSpec};

/// The explanation of the sign; `None` when nothing was tested. `of_means`: whether a cell is a mean over collections.
pub(super) fn legend(
    spec: &TestSpec,
    against: &str,
    outcome: &TestOutcome,
    of_means: bool,
) -> Option<String> {
    let TestOutcome::Evaluated { family, units, collections } = outcome else { return None };
    let kind = match spec.kind {
        TestKind::PairedT => "paired t-test",
        TestKind::Randomisation => "paired randomisation test",
        TestKind::Bootstrap => "paired bootstrap test",
    };
    let draws = match spec.kind {
        TestKind::PairedT => String::new(),
        TestKind::Randomisation if units.1 <= EXACT_LIMIT => ", exact".into(),
        TestKind::Randomisation | TestKind::Bootstrap => format!(", {} draws", human::thousands(spec.draws)),
    };
    let correction = match spec.correct {
        CorrectionMethod::None => "not corrected for",
        CorrectionMethod::Bonferroni => "Bonferroni over",
        CorrectionMethod::Holm => "Holm over",
        CorrectionMethod::BenjaminiHochberg => "Benjamini-Hochberg over",
    };
    let cells = if *family == 1 { "cell" } else { "cells" };
    let n = match units {
        (one, other) if one == other => human::counted(*one, "queries"),
        (least, most) => format!("{least} to {most} queries"),
    };
    let mut of = if *collections > 1 { format!(" of {collections} collections") } else { String::new() };
    if of_means {
        of.push_str(", each collection with its weight in the mean");
    }
    Some(format!(
        "differs from `{against}`: {kind} over queries{draws}, {correction} {family} {cells}, alpha {}, n = {n}{of}",
        spec.alpha
    ))
}
