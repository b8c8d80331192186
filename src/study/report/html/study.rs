//! The study: its files as they were, and the options of the command line.

use super::markup::Html;
use super::page::{Page, Section};

/// The most bytes of a file that are shown.
const SHOWN: usize = 200_000;

pub(super) fn section(page: &Page<'_>) -> Option<Section> {
    if page.context.sources.is_empty() {
        return None;
    }
    let body = Html::of(|h| {
        if !page.context.options.is_empty() {
            h.tag("p", &[], |h| {
                h.text("Options: ");
                h.leaf("code", &[], &page.context.options.join(" "));
            });
        }
        for (name, text) in &page.context.sources {
            h.tag("details", &[], |h| {
                h.leaf("summary", &[], name);
                let end = text.floor_char_boundary(SHOWN);
                h.tag("pre", &[], |h| h.leaf("code", &[], &text[..end]));
                if end < text.len() {
                    h.leaf("p", &[("class", "hint")], "The rest is left out.");
                }
            });
        }
    });
    Some(Section { id: "study", title: "The study", body })
}
