//! The summary: how much ran, what it cost, whether claims hold, whether anything failed.

use super::markup::Html;
use super::page::{ActionState, Page, Section};
use crate::report::ClaimOutcome;
use xpipe_base::value::ActionId;
use xpipe_base::value::human;

pub(super) fn section(page: &Page<'_>) -> Option<Section> {
    let body = Html::of(|h| {
        h.tag("dl", &[("class", "cards")], |h| {
            for (name, value, detail) in cards(page) {
                h.tag("div", &[], |h| {
                    h.leaf("dt", &[], &name);
                    h.leaf("dd", &[], &value);
                    h.leaf("dd", &[("class", "detail")], &detail);
                });
            }
        });
    });
    Some(Section { id: "summary", title: "Summary", body })
}

fn cards(page: &Page<'_>) -> Vec<(String, String, String)> {
    let states = &page.context.states;
    let count = |fate| states.iter().filter(|f| **f == fate).count() as u64;
    let done = count(ActionState::Ran) + count(ActionState::Cached);
    let all = states.len() as u64 - count(ActionState::NotNeeded);
    let parts = [
        (ActionState::Ran, "ran"),
        (ActionState::Cached, "cached"),
        (ActionState::Open, "open"),
        (ActionState::Failed, "failed"),
    ];
    let parts = parts.map(|(fate, word)| (count(fate), word)).into_iter().filter(|(n, _)| *n > 0);
    let parts: Vec<String> = parts.map(|(n, word)| format!("{} {word}", human::thousands(n))).collect();
    let whole = if done == all {
        human::thousands(all)
    } else {
        format!("{} of {}", human::thousands(done), human::thousands(all))
    };
    let mut cards = vec![("Actions".into(), whole, parts.join(", "))];

    let ids = || (0..page.graph.actions.len() as u32).map(ActionId);
    let seconds: f64 = ids().filter_map(|id| page.results.seconds(id)).sum();
    let ran: f64 = ids()
        .filter(|id| states.get(id.0 as usize) == Some(&ActionState::Ran))
        .filter_map(|id| page.results.seconds(id))
        .sum();
    let detail =
        if ran > 0.0 { format!("{} in this run", human::duration(ran)) } else { "all from the cache".into() };
    cards.push(("Computing time".into(), human::duration(seconds), detail));

    let trained: Vec<ActionId> = ids()
        .filter(|id| page.graph.action(*id).op.starts_with("train.") && page.results.seconds(*id).is_some())
        .collect();
    if !trained.is_empty() {
        let sum = |name: &str| -> u64 {
            let count = |id: &ActionId| page.results.facts(*id)?.get(name)?.as_u64();
            trained.iter().filter_map(count).sum()
        };
        let detail =
            format!("{} documents, {} tokens processed", rough(sum("documents")), rough(sum("tokens")));
        cards.push(("Trained models".into(), human::thousands(trained.len() as u64), detail));
    }
    if !page.claims.is_empty() {
        let count = |f: &dyn Fn(&ClaimOutcome) -> bool| page.claims.iter().filter(|c| f(&c.outcome)).count();
        let passed = count(&|o| matches!(o, ClaimOutcome::Passed { .. }));
        let failed = count(&|o| matches!(o, ClaimOutcome::Failed { .. }));
        let detail = match (failed, page.claims.len() - passed - failed) {
            (0, 0) => "all hold".into(),
            (0, open) => format!("{open} not evaluated"),
            (failed, 0) => format!("{failed} failed"),
            (failed, open) => format!("{failed} failed, {open} not evaluated"),
        };
        cards.push(("Claims passed".into(), format!("{passed} of {}", page.claims.len()), detail));
    }
    cards
}

/// A rounded count: `1.2 M`.
fn rough(n: u64) -> String {
    match n {
        0..10_000 => human::thousands(n),
        10_000..1_000_000 => format!("{} k", n / 1000),
        1_000_000..1_000_000_000 => format!("{:.1} M", n as f64 / 1e6),
        _ => format!("{:.1} G", n as f64 / 1e9),
    }
}
