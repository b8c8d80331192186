//! Who reads what: an override that nothing of the study reads is a mistake.

use std::collections::HashSet;

use super::expand::{Expander, Item};
use super::overrides::Origin;
use xpipe_base::diag::{Code, Diagnostic, Severity, Span};

/// The items that were read, by their readers.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Whether anything is set from outside; otherwise nobody asks.
    pub on: bool,
    /// Whether what is evaluated now is asked for (a stage, table, claim or report), not only checked.
    pub asked: bool,
    /// Reader and what it read; `None` is the study itself.
    edges: HashSet<(Option<Item>, Item)>,
}

impl Reach {
    /// Everything that the study comes to depend on.
    fn reached(&self) -> HashSet<Item> {
        let mut found: HashSet<Item> = HashSet::new();
        let mut next: Vec<Option<Item>> = vec![None];
        while let Some(reader) = next.pop() {
            for (_, read) in self.edges.iter().filter(|(by, _)| *by == reader) {
                if found.insert(*read) {
                    next.push(Some(*read));
                }
            }
        }
        found
    }
}

impl Expander<'_> {
    /// Notes that what is being evaluated reads an item.
    pub(super) fn reads(&mut self, item: Item) {
        let reader = self.stack.last().map(|(reader, _)| *reader);
        if self.reach.on && (reader.is_some() || self.reach.asked) {
            self.reach.edges.insert((reader, item));
        }
    }

    /// Reports overrides that nothing reads, when all else is sound.
    pub(super) fn unread_overrides(&mut self) {
        if !self.reach.on || self.sink.has_errors() {
            return;
        }
        let reached = self.reach.reached();
        let narrowed = !self.only.is_empty();
        let settings: Vec<(Item, Origin, Span)> =
            self.settings.iter().map(|(id, s)| (Item::Param(*id), s.origin, s.at)).collect();
        for (item, origin, at) in settings.into_iter().filter(|(item, ..)| !reached.contains(item)) {
            let name = self.item_name(item);
            let left = if narrowed { "nothing that `only` leaves" } else { "nothing of this study" };
            let mut d = Diagnostic::error(
                Code::UnusedOverride,
                format!("setting `{name}` changes nothing"),
                at,
                format!("{left} reads `{name}`"),
            )
            .help("leave it out, or use the param in a stage, table or claim");
            // A profile may set what only its other cells read.
            if origin == Origin::Profile && narrowed {
                d.severity = Severity::Warning;
            }
            self.error(d);
        }
        let only: Vec<(Item, Span)> = self.only.iter().map(|(id, o)| (Item::Axis(*id), o.at())).collect();
        for (item, at) in only.into_iter().filter(|(item, _)| !reached.contains(item)) {
            let name = self.item_name(item);
            self.error(
                Diagnostic::error(
                    Code::UnusedOverride,
                    format!("`only` of `{name}` changes nothing"),
                    at,
                    format!("no stage, table or claim varies over `{name}`"),
                )
                .help("leave it out, or name another axis"),
            );
        }
    }
}
