//! Checks that the ids in judgements, runs and scores are those of the collection.

use super::store::TextStore;
use xpipe_base::place;
use xpipe_base::task::{Caveat, CaveatKind, Failure, Progress, cause};

/// Handling of an id that is not in the collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Unknown {
    /// It is an error.
    #[default]
    Error,
    /// Its line is left out.
    Drop,
    /// Its line is kept: judged documents outside a part of a collection still count as relevant and not found.
    Keep,
}

impl Unknown {
    /// Reads the argument `unknown`; `None` for any other word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "error" => Some(Self::Error),
            "drop" => Some(Self::Drop),
            "keep" => Some(Self::Keep),
            _ => None,
        }
    }
}

/// The collection that ids are checked against, where it is given.
#[derive(Debug, Default)]
pub struct Known {
    /// The queries.
    pub queries: Option<TextStore>,
    /// The documents.
    pub corpus: Option<TextStore>,
    /// Handling of ids that are in neither.
    pub unknown: Unknown,
}

/// The first unknown id: as an error, and as an example without the folders of this machine.
#[derive(Debug)]
struct First {
    failure: Failure,
    example: String,
}

/// Checks lines one after another and remembers the first unknown id.
#[derive(Debug)]
pub(super) struct Checker<'k> {
    known: &'k Known,
    first: Option<First>,
    lines: u64,
    /// The query checked last: rows of a query are usually adjacent.
    last: Option<(String, bool)>,
}

impl<'k> Checker<'k> {
    pub(super) fn new(known: &'k Known) -> Self {
        Self { known, first: None, lines: 0, last: None }
    }

    /// Whether the line with these ids is to be kept.
    pub(super) fn keep(&mut self, file: &str, line: u64, query: &str, documents: &[&str]) -> bool {
        let ok = match (&self.last, &self.known.queries) {
            (_, None) => true,
            (Some((last, ok)), _) if last == query => *ok,
            (_, Some(queries)) => {
                let ok = queries.find(query).is_some();
                self.last = Some((query.to_owned(), ok));
                ok
            }
        };
        if !ok {
            let all = self.known.queries.as_ref().map_or(0, TextStore::len);
            return self.miss(file, line, "query", query, all, "queries");
        }
        let Some(corpus) = &self.known.corpus else { return true };
        match documents.iter().find(|d| corpus.find(d).is_none()) {
            Some(document) => self.miss(file, line, "document", document, corpus.len(), "documents"),
            None => true,
        }
    }

    fn miss(&mut self, file: &str, line: u64, kind: &str, id: &str, all: usize, noun: &str) -> bool {
        self.lines += 1;
        if self.first.is_none() {
            let found = format!("the {kind} id {}", place::quote(id));
            let expected = format!("the id of one of the collection's {all} {noun}");
            let example = format!("{}:{line}: {found}", place::file_name(file));
            self.first = Some(First { failure: place::wrong_line(file, line, found, expected), example });
        }
        self.known.unknown == Unknown::Keep
    }

    /// Ends the check: fails on the first unknown id, or notes how many there were.
    pub(super) fn finish(self, progress: &dyn Progress) -> Result<u64, Failure> {
        let Some(First { mut failure, example }) = self.first else { return Ok(0) };
        if self.known.unknown == Unknown::Error {
            if self.lines > 1 {
                let others = place::count(self.lines as usize - 1, "more line");
                failure.message.push_str(&format!(" ({others} with an unknown id)"));
            }
            return Err(failure.help(
                "check that both files are of the same collection; write `unknown = drop` to leave such lines out, \
                 or `unknown = keep` to keep them",
            ));
        }
        let (kind, what) = match self.known.unknown {
            Unknown::Drop => (CaveatKind::Dropped, cause::OUTSIDE_LEFT_OUT),
            _ => (CaveatKind::Doubt, cause::OUTSIDE_KEPT),
        };
        progress.caveat(&Caveat::counted(kind, self.lines, what).example(example));
        Ok(self.lines)
    }
}
