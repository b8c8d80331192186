//! Claims: what was expected, what came of it, with the numbers.

use super::markup::Html;
use super::{Page, Section};
use crate::graph::address;
use crate::report::{ClaimOutcome, ClaimResult};

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
        if points.iter().all(|p| p.text == first.text) && first.text != first.name {
            h.leaf("p", &[], &first.text);
        }
        h.tag("div", &[("class", "scroll")], |h| {
            h.tag("table", &[("class", "list")], |h| {
                h.tag("tbody", &[], |h| points.iter().for_each(|p| line(h, p, p.text != first.text)));
            });
        });
    });
}

fn line(h: &mut Html, claim: &ClaimResult, with_text: bool) {
    let (class, word, detail) = match &claim.outcome {
        ClaimOutcome::Passed { values } => ("passed", "✓ passed", values),
        ClaimOutcome::Failed { values } => ("failed", "✗ failed", values),
        ClaimOutcome::NotEvaluated { reason } => ("open", "– not evaluated", reason),
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
