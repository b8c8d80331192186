//! Failures and notes: warnings of the checker, remarks of tables, caveats of results.

use super::markup::Html;
use super::page::{Page, Problem, Section};
use crate::report::caveats;
use crate::report::filled::Sign;
use xpipe_lang::graph::address;

/// The most problems that are listed.
const SHOWN: usize = 200;

pub(super) fn section(page: &Page<'_>) -> Option<Section> {
    let problems = all(page);
    if problems.is_empty() {
        return None;
    }
    let body = Html::of(|h| {
        h.tag("ul", &[("class", "problems")], |h| {
            for problem in problems.iter().take(SHOWN) {
                h.tag("li", &[("class", if problem.failed { "failed" } else { "warning" })], |h| {
                    h.leaf("strong", &[], if problem.failed { "failed" } else { "note" });
                    h.text(" ");
                    if !problem.about.is_empty() {
                        h.leaf("code", &[], &problem.about);
                        h.text(" ");
                    }
                    h.prose(&problem.message);
                    if !problem.help.is_empty() {
                        h.tag("p", &[("class", "hint")], |h| h.prose(&problem.help));
                    }
                });
            }
        });
        if problems.len() > SHOWN {
            h.leaf("p", &[("class", "hint")], &format!("and {} more", problems.len() - SHOWN));
        }
    });
    let title = if problems.iter().any(|p| p.failed) { "Failures and notes" } else { "Notes" };
    Some(Section { id: "warnings", title, body })
}

fn all(page: &Page<'_>) -> Vec<Problem> {
    let note = |about: String, message: String| Problem { about, message, ..Problem::default() };
    let mut problems = page.context.problems.clone();
    problems.extend(page.evaluated.notes.iter().map(|n| note(String::new(), n.clone())));
    for (_, table) in &page.tables {
        let remarks = table.notes.iter().filter(|n| matches!(n.sign, Sign::Hole | Sign::Remark));
        let about = address(&table.name, &table.labels);
        problems.extend(remarks.map(|n| note(about.clone(), n.text.clone())));
    }
    let claims = page.graph.claims.iter().filter(|c| page.claims.iter().any(|shown| shown.name == c.name));
    let behind =
        caveats::results_behind(page.graph, page.tables.iter().map(|(declared, _)| *declared), claims);
    let told = caveats::summaries(page.graph, page.results, &behind);
    problems.extend(told.iter().map(|t| note(String::new(), format!("{} ({})", t.text(), t.place()))));
    problems
}
