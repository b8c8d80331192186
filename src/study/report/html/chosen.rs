//! Values chosen by results, and by which number.

use super::markup::Html;
use super::page::{Page, Section};

pub(super) fn section(page: &Page<'_>) -> Option<Section> {
    let chosen = &page.evaluated.chosen;
    if chosen.is_empty() {
        return None;
    }
    let body = Html::of(|h| {
        h.tag("div", &[("class", "scroll")], |h| {
            h.tag("table", &[("class", "list")], |h| {
                h.tag("tbody", &[], |h| {
                    for c in chosen {
                        h.tag("tr", &[], |h| {
                            h.tag("th", &[("scope", "row")], |h| h.leaf("code", &[], &c.address()));
                            h.leaf("td", &[], &c.text());
                        });
                    }
                });
            });
        });
    });
    Some(Section { id: "chosen", title: "Chosen values", body })
}
