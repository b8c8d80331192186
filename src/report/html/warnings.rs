//! What went wrong or deserves a look: failures, warnings of the checker, remarks of tables, odd facts of results.

use super::markup::Html;
use super::{Fate, Page, Problem, Section};
use crate::graph::address;
use crate::report::fill::Sign;
use crate::report::layout;
use crate::value::ActionId;

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
    let mut problems = page.story.problems.clone();
    problems.extend(page.evaluated.notes.iter().map(|n| note(String::new(), n.clone())));
    for (_, table) in &page.tables {
        let remarks = table.notes.iter().filter(|n| matches!(n.sign, Sign::Hole | Sign::Remark));
        let about = address(&table.name, &table.labels);
        problems.extend(remarks.map(|n| note(about.clone(), n.text.clone())));
    }
    problems.extend(ODD.iter().filter_map(|(fact, what)| {
        let mut found = Vec::new();
        for (i, action) in page.graph.actions.iter().enumerate() {
            if page.story.fates.get(i) == Some(&Fate::NotNeeded) {
                continue;
            }
            let n = page.results.facts(ActionId(i as u32)).and_then(|f| f.get(*fact)?.as_u64()).unwrap_or(0);
            if n > 0 {
                found.push((action.address.clone(), n));
            }
        }
        let (first, n) = found.first()?.clone();
        let more = match found.len() {
            1 => String::new(),
            k => format!(" (and {} more)", k - 1),
        };
        Some(note(format!("{first}{more}"), format!("{} {what}", layout::count(n))))
    }));
    problems
}

/// Facts of results that are worth a look when they are not 0.
const ODD: [(&str, &str); 8] = [
    ("answers_repaired", "answers of a language model were not as asked for, and were repaired or left out"),
    ("queries_missing_from_run", "judged queries are not in the run and count 0"),
    ("queries_of_run_not_judged", "queries of the run are not judged and do not count"),
    ("queries_without_hits", "queries found nothing"),
    (
        "equal_queries",
        "queries that were learnt or chosen on are word for word queries of a test (`audit.leakage`)",
    ),
    ("near_queries", "queries that were learnt or chosen on are nearly queries of a test (`audit.leakage`)"),
    ("judged_negatives", "negatives of the training are judged relevant in a test (`audit.leakage`)"),
    ("unknown", "lines name a query or document that the collection does not have, and were left out"),
];
