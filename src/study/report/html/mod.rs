//! The page of a study: one HTML file that needs nothing else, neither a network nor another file.
//!
//! A section is a file here with a function [`Page`] → [`Section`], and its line in [`SECTIONS`]. Text enters a page
//! through [`markup`], which escapes; drawings are SVG in the page; what a reader asks for by a click (differences
//! of queries, two rankings) is data that `page.js` shows. The same results give the same bytes.

mod chart;
mod chosen;
mod claims;
mod compared;
mod costs;
mod curves;
mod graph;
mod lists;
mod markup;
mod plots;
mod stages;
mod study;
mod summary;
mod tables;
mod timeline;
mod warnings;

use markup::Html;

use super::claims::ClaimResult;
use super::costs::Costs;
use super::fill::Filled;
use super::{Evaluated, Results};
use xpipe_lang::graph::{Graph, Report, Table};

/// What became of an action, as a report tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nobody asked for it.
    NotNeeded,
    /// It was carried out by the run that the report is of.
    Ran,
    /// Its result was in the cache.
    Cached,
    /// It has no result, and did not fail: it waits, or was stopped.
    Open,
    /// It failed.
    Failed,
}

/// Something that went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// What it is about: a cell's address, or a place of the study.
    pub about: String,
    /// What it says.
    pub message: String,
    /// What to do; may be empty.
    pub help: String,
    /// Whether it stopped something.
    pub failed: bool,
}

/// What a page tells beside results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// The study's file without folder and suffix.
    pub name: String,
    /// By action.
    pub fates: Vec<Fate>,
    /// Failures and warnings.
    pub problems: Vec<Problem>,
    /// The study's files: name and text.
    pub sources: Vec<(String, String)>,
    /// What was asked for beside the study: `--profile pilot`.
    pub options: Vec<String>,
    /// The program's name and version.
    pub tool: String,
    /// What the page is made of, in one word: a page with the same word need not be written again.
    pub mark: String,
}

/// Everything that sections look at.
pub(super) struct Page<'a> {
    graph: &'a Graph,
    results: &'a dyn Results,
    evaluated: &'a Evaluated,
    story: &'a Story,
    title: String,
    /// The tables that are shown, with their declarations.
    tables: Vec<(&'a Table, &'a Filled)>,
    claims: Vec<&'a ClaimResult>,
    costs: Vec<&'a Costs>,
    /// What a click on a cell shows.
    compared: compared::Compared,
}

/// A part of the page with a heading.
pub(super) struct Section {
    id: &'static str,
    title: &'static str,
    body: Html,
}

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

/// The meta element that carries [`Story::mark`].
pub(super) const MARK: &str = "xpipe-results";

/// The page of a report, or of everything when the study declares none.
pub fn page(
    report: Option<&Report>,
    graph: &Graph,
    evaluated: &Evaluated,
    results: &dyn Results,
    story: &Story,
) -> String {
    let page = Page::new(report, graph, evaluated, results, story);
    let sections: Vec<Section> = SECTIONS.iter().filter_map(|section| section(&page)).collect();
    let data = compared::data(&page);
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
        h.leaf("footer", &[], &format!("Written by {}. This file needs no network.", story.tool));
        if let Some(data) = &data {
            h.tag("dialog", &[("id", "compared"), ("aria-labelledby", "compared-title")], |_| {});
            h.data("data", data);
            h.own("script", &[], include_str!("page.js"));
        }
    });
    let head = Html::of(|h| {
        h.void("meta", &[("charset", "utf-8")]);
        h.void("meta", &[("name", MARK), ("content", &story.mark)]);
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
pub fn is_of(beginning: &str, story: &Story) -> bool {
    beginning.contains(&format!("name=\"{MARK}\" content=\"{}\"", story.mark))
}

fn byline(h: &mut Html, graph: &Graph) {
    let known = |name: &str| graph.study.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let line: Vec<&str> = ["authors", "licence"].into_iter().filter_map(known).collect();
    if !line.is_empty() {
        h.leaf("p", &[("class", "byline")], &line.join(" · "));
    }
}

impl<'a> Page<'a> {
    fn new(
        report: Option<&'a Report>,
        graph: &'a Graph,
        evaluated: &'a Evaluated,
        results: &'a dyn Results,
        story: &'a Story,
    ) -> Self {
        let mut page = Self {
            graph,
            results,
            evaluated,
            story,
            title: title(report, graph, results, story),
            tables: Vec::new(),
            claims: Vec::new(),
            costs: Vec::new(),
            compared: compared::Compared::default(),
        };
        page.choose(report);
        page.compared = compared::Compared::of(&page.tables, graph, results);
        page
    }

    /// What the report names, in its order; everything without one.
    fn choose(&mut self, report: Option<&Report>) {
        let (graph, evaluated) = (self.graph, self.evaluated);
        let all = || graph.tables.iter().zip(&evaluated.tables);
        let Some(report) = report.filter(|r| !r.sections.is_empty()) else {
            self.tables = all().collect();
            self.claims = evaluated.claims.iter().collect();
            self.costs = evaluated.costs.iter().collect();
            return;
        };
        for section in &report.sections {
            self.tables.extend(all().filter(|(t, _)| t.name == *section));
            self.claims.extend(evaluated.claims.iter().filter(|c| c.name == *section));
            let stages = super::costs::stages(section).unwrap_or_default();
            self.costs.extend(evaluated.costs.iter().filter(|c| stages.contains(&c.stage.as_str())));
        }
    }
}

fn title(report: Option<&Report>, graph: &Graph, results: &dyn Results, story: &Story) -> String {
    let study = graph.study.iter().find(|(name, _)| name == "title").map(|(_, title)| title.clone());
    let own = report.and_then(|r| Some(super::missing::text(r.title.as_ref()?, results)));
    own.or(study).unwrap_or_else(|| story.name.clone())
}
