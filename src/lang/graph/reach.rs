//! Which items of the study read which others, followed when something is overridden from outside.

use std::collections::HashSet;

use super::env::Item;

/// The items that were read, by their readers.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Whether anything is overridden; otherwise nothing is followed.
    pub on: bool,
    /// Whether what is evaluated now is an output of the study (a stage, table, claim or report), not only checked.
    pub asked: bool,
    /// Reader and what it read; `None` is the study itself.
    edges: HashSet<(Option<Item>, Item)>,
}

impl Reach {
    /// Notes that `reader` reads an item; without a reader, that the study's outputs do.
    pub(super) fn reads(&mut self, reader: Option<Item>, item: Item) {
        if self.on && (reader.is_some() || self.asked) {
            self.edges.insert((reader, item));
        }
    }

    /// Every item that the study's outputs depend on.
    pub(super) fn reached(&self) -> HashSet<Item> {
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
