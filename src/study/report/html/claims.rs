//! Claims: expectation, outcome and numbers.

use super::markup::Html;
use super::page::{Page, Section};
use crate::report::{ClaimOutcome, ClaimResult};
use xpipe_base::value::Name;
use xpipe_lang::graph::address;

/// The most points that are unfolded.
const OPEN: usize = 12;

pub(super) fn section(page: &Page<'_>) -> Option<Section> {
    if page.claims.is_empty() {
        return None;
    }
    let body = Html::of(|h| {
        let mut rest = page.claims.as_slice();
        // Points of one claim stand together.
        while let Some(first) = rest.first() {
            let n = rest.iter().take_while(|c| c.name == first.name).count();
            let (points, others) = rest.split_at(n);
            rest = others;
            claim(h, points);
        }
    });
    Some(Section { id: "claims", title: "Claims", body })
}

fn claim(h: &mut Html, points: &[&ClaimResult]) {
    let Some(first) = points.first() else { return };
    h.tag("article", &[], |h| {
        h.leaf("h3", &[], &first.name);
        let one = points.iter().all(|p| p.text == first.text);
        if one && first.text != first.name {
            h.leaf("p", &[], &first.text);
        }
        let crossed = if points.len() > OPEN { crossed(points) } else { None };
        if let Some(crossed) = &crossed {
            matrix(h, points, crossed);
        }
        let lines = |h: &mut Html| {
            h.tag("div", &[("class", "scroll")], |h| {
                h.tag("table", &[("class", "list")], |h| {
                    h.tag("tbody", &[], |h| points.iter().for_each(|p| line(h, p, !one && p.text != p.name)));
                });
            });
        };
        if points.len() <= OPEN {
            lines(h);
        } else {
            h.tag("details", &[], |h| {
                h.leaf("summary", &[], &format!("{} with their numbers", points.len()));
                lines(h);
            });
        }
    });
}

/// The labels of a claim over two axes with several points each: of rows and of columns.
fn crossed<'c>(points: &[&'c ClaimResult]) -> Option<(Vec<&'c Name>, Vec<&'c Name>)> {
    let (mut rows, mut columns): (Vec<&Name>, Vec<&Name>) = (Vec::new(), Vec::new());
    for point in points {
        let [column, row] = point.labels.as_slice() else { return None };
        for (label, known) in [(row, &mut rows), (column, &mut columns)] {
            if !known.contains(&label) {
                known.push(label);
            }
        }
    }
    if rows.len() > 1 && columns.len() > 1 { Some((rows, columns)) } else { None }
}

/// Two axes crossed, one sign per point.
fn matrix(h: &mut Html, points: &[&ClaimResult], (rows, columns): &(Vec<&Name>, Vec<&Name>)) {
    h.tag("div", &[("class", "scroll")], |h| {
        h.tag("table", &[("class", "list signs")], |h| {
            h.tag("thead", &[], |h| {
                h.tag("tr", &[], |h| {
                    h.leaf("td", &[], "");
                    columns.iter().for_each(|c| h.leaf("th", &[("scope", "col")], c));
                });
            });
            h.tag("tbody", &[], |h| {
                for row in rows {
                    h.tag("tr", &[], |h| {
                        h.leaf("th", &[("scope", "row")], row);
                        for column in columns {
                            let point =
                                points.iter().find(|p| p.labels == [(*column).clone(), (*row).clone()]);
                            let (class, sign, title) = point.map_or(("", "", ""), |p| sign(p));
                            h.leaf("td", &[("class", class), ("title", title)], sign);
                        }
                    });
                }
            });
        });
    });
}

/// A class, a sign and the numbers of a claim.
fn sign(claim: &ClaimResult) -> (&'static str, &'static str, &str) {
    match &claim.outcome {
        ClaimOutcome::Passed { values } => ("passed", "✓ ok", values),
        // The text of `near` says how far away it is.
        ClaimOutcome::Failed { values } if values.contains("near: not within") => ("near", "~ near", values),
        ClaimOutcome::Failed { values } if values.contains("off: not within") => ("failed", "✗ off", values),
        ClaimOutcome::Failed { values } => ("failed", "✗ failed", values),
        ClaimOutcome::NotEvaluated { reason, .. } => ("open", "–", reason),
    }
}

fn line(h: &mut Html, claim: &ClaimResult, with_text: bool) {
    let (class, word, detail) = match &claim.outcome {
        ClaimOutcome::Passed { values } => ("passed", "✓ passed", values.as_str()),
        ClaimOutcome::NotEvaluated { reason, .. } => ("open", "– not evaluated", reason.as_str()),
        ClaimOutcome::Failed { .. } => sign(claim),
    };
    h.tag("tr", &[], |h| {
        h.leaf("td", &[("class", class)], word);
        h.tag("th", &[("scope", "row")], |h| h.leaf("code", &[], &address(&claim.name, &claim.labels)));
        h.tag("td", &[], |h| {
            h.prose(detail);
            if with_text {
                h.leaf("p", &[("class", "hint")], &claim.text);
            }
        });
    });
}
