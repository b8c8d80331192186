//! The study itself: its files, as they were, and what it was asked for with.

use super::markup::Html;
use super::{Page, Section};

/// The most bytes of a file that are shown.
const SHOWN: usize = 200_000;

pub(super) fn section(page: &Page<'_>) -> Option<Section> {
    if page.story.sources.is_empty() {
        return None;
    }
    let body = Html::of(|h| {
        if !page.story.options.is_empty() {
            h.tag("p", &[], |h| {
                h.text("Asked for with ");
                h.leaf("code", &[], &page.story.options.join(" "));
            });
        }
        for (name, text) in &page.story.sources {
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
