//! The page of a study: one HTML file that needs nothing else, neither a network nor another file.
//!
//! A section is a file here with a function from [`Page`] to [`Section`], and its line in [`SECTIONS`]. Text enters a page
//! through [`markup`], which escapes it; drawings are SVG in the page; what a click shows (differences of queries, two
//! rankings) is data for `page.js`. The same results give the same bytes.

mod chart;
mod chosen;
mod claims;
mod compared;
mod compared_data;
mod costs;
mod curves;
mod graph;
mod lists;
mod markup;
mod page;
mod plots;
mod stages;
mod study;
mod summary;
mod tables;
mod timeline;
mod warnings;

pub use page::{ActionState, PageContext, Problem};

use super::{Evaluated, Results};
use markup::Html;
use page::{Page, Section};
use xpipe_lang::graph::{Graph, Report};

/// The sections in their order. One that has nothing to say gives `None`.
const SECTIONS: [fn(&Page<'_>) -> Option<Section>; 11] = [
    summary::section,
    warnings::section,
    tables::section,
    claims::section,
    chosen::section,
    curves::section,
    costs::section,
    timeline::section,
    graph::section,
    stages::section,
    study::section,
];

/// The meta element that holds [`PageContext::digest`].
pub(super) const DIGEST: &str = "xpipe-results";

/// The page of a report, or of everything when the study declares none.
pub fn page(
    report: Option<&Report>,
    graph: &Graph,
    evaluated: &Evaluated,
    results: &dyn Results,
    context: &PageContext,
) -> String {
    let page = Page::new(report, graph, evaluated, results, context);
    let sections: Vec<Section> = SECTIONS.iter().filter_map(|section| section(&page)).collect();
    let data = compared_data::data(&page);
    let body = Html::of(|h| {
        h.tag("header", &[], |h| {
            h.leaf("h1", &[], &page.title);
            byline(h, graph);
        });
        h.tag("nav", &[("aria-label", "Sections")], |h| {
            for s in sections.iter().skip(1) {
                h.leaf("a", &[("href", &format!("#{}", s.id))], s.title);
            }
        });
        h.tag("main", &[], |h| {
            for s in &sections {
                h.tag("section", &[("id", s.id), ("aria-labelledby", &format!("h-{}", s.id))], |h| {
                    h.leaf("h2", &[("id", &format!("h-{}", s.id))], s.title);
                    h.push(&s.body);
                });
            }
        });
        h.leaf("footer", &[], &format!("Written by {}. This file needs no network.", context.tool));
        if let Some(data) = &data {
            h.tag("dialog", &[("id", "compared"), ("aria-labelledby", "compared-title")], |_| {});
            h.data("data", data);
            h.own("script", &[], include_str!("page.js"));
        }
    });
    let head = Html::of(|h| {
        h.void("meta", &[("charset", "utf-8")]);
        h.void("meta", &[("name", DIGEST), ("content", &context.digest)]);
        h.void("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
        h.void("meta", &[("name", "color-scheme"), ("content", "light dark")]);
        // Whatever a text in it says, nothing is loaded and nothing is sent.
        let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      base-uri 'none'; form-action 'none'";
        h.void("meta", &[("http-equiv", "Content-Security-Policy"), ("content", policy)]);
        h.leaf("title", &[], &page.title);
        h.own("style", &[], include_str!("style.css"));
    });
    let (head, body) = (head.into_string(), body.into_string());
    format!("<!doctype html>\n<html lang=\"en\">\n<head>{head}</head>\n<body>{body}</body>\n</html>\n")
}

/// Whether a page, by its first bytes, was made of the same things.
pub fn is_made_of(beginning: &str, context: &PageContext) -> bool {
    beginning.contains(&format!("name=\"{DIGEST}\" content=\"{}\"", context.digest))
}

fn byline(h: &mut Html, graph: &Graph) {
    let known = |name: &str| graph.study.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let line: Vec<&str> = ["authors", "licence"].into_iter().filter_map(known).collect();
    if !line.is_empty() {
        h.leaf("p", &[("class", "byline")], &line.join(" · "));
    }
}
