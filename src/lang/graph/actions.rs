//! The table of actions: equal recipes are one action, listed in the rows of all cells that ask for it.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use super::memo::Printed;
use super::model::{CallSite, Cell, Row};
use crate::types::Op;
use xpipe_base::diag::Span;
use xpipe_base::task::Action;
use xpipe_base::value::canonical::{Hashing, describe};
use xpipe_base::value::{ActionId, Digest, Name, Value};

/// A short digest of a value, by which equal recipes are found.
pub(super) fn fingerprint(value: &Value) -> u128 {
    let mut hashing = Hashing::new("xpipe symbolic value v1");
    describe(value, &mut hashing);
    hashing.finish().short()
}

/// The fingerprint of a recipe: the operation with its version, and its arguments in the order of the signature.
pub(super) fn recipe_fingerprint(op: &Op, values: &[Printed]) -> u128 {
    let mut bytes = Vec::with_capacity(op.name.len() + 4 + 16 * values.len());
    bytes.extend_from_slice(op.name.as_bytes());
    bytes.extend_from_slice(&op.version.to_le_bytes());
    values.iter().for_each(|(_, print)| bytes.extend_from_slice(&print.to_le_bytes()));
    Digest::of(&bytes).short()
}

/// Actions and the rows that list them.
#[derive(Debug, Default)]
pub(super) struct Actions {
    all: Vec<Action>,
    sites: Vec<CallSite>,
    by_recipe: HashMap<u128, ActionId>,
    rows: IndexMap<String, Row>,
    /// Digests of labels and action of the unnamed rows' cells, each once.
    listed: HashSet<(usize, u128)>,
    /// The places of anonymous stages, by the name that they share.
    anonymous: HashMap<String, Vec<Span>>,
}

impl Actions {
    pub(super) fn all(&self) -> &[Action] {
        &self.all
    }

    pub(super) fn get(&self, id: ActionId) -> &Action {
        &self.all[id.0 as usize]
    }

    /// The action with this recipe.
    pub(super) fn with_recipe(&self, fingerprint: u128) -> Option<ActionId> {
        self.by_recipe.get(&fingerprint).copied()
    }

    /// Adds an action of a new recipe.
    pub(super) fn add(&mut self, fingerprint: u128, action: Action, site: CallSite) -> ActionId {
        let id = ActionId(self.all.len() as u32);
        self.all.push(action);
        self.sites.push(site);
        self.by_recipe.insert(fingerprint, id);
        id
    }

    /// Notes what this build cannot carry out of an action; the first reason counts.
    pub(super) fn unimplemented(&mut self, id: ActionId, what: (String, Span)) {
        self.sites[id.0 as usize].unimplemented.get_or_insert(what);
    }

    /// Declares a row, so that it stands before the rows of what is inside it.
    pub(super) fn declare_row(&mut self, name: &str, axes: Vec<Name>, named: bool) -> usize {
        let row = || Row { name: name.to_owned(), axes, cells: Vec::new(), named, docs: Vec::new() };
        match self.rows.get_index_of(name) {
            Some(i) => i,
            None => self.rows.insert_full(name.to_owned(), row()).0,
        }
    }

    /// Sets the cells of a declared row.
    pub(super) fn set_cells(&mut self, name: &str, cells: Vec<Cell>) {
        if let Some(row) = self.rows.get_mut(name) {
            row.cells = cells;
        }
    }

    /// Sets the notes of a declared row.
    pub(super) fn set_docs(&mut self, name: &str, docs: &[String]) {
        if let Some(row) = self.rows.get_mut(name) {
            row.docs = docs.to_vec();
        }
    }

    /// Lists an action as a cell of an unnamed row; the same cell twice is one.
    pub(super) fn list(&mut self, row: &str, axes: Vec<Name>, labels: Vec<Name>, action: ActionId) {
        let row = self.declare_row(row, axes, false);
        let cell = Digest::of(format!("{}\u{1e}{}", labels.join("\u{1f}"), action.0).as_bytes());
        if self.listed.insert((row, cell.short())) {
            self.rows[row].cells.push(Cell { labels, action });
        }
    }

    /// The name of an anonymous stage: those of one name are numbered in the order in which they are met.
    pub(super) fn anonymous_row(&mut self, name: &str, span: Span) -> String {
        let places = self.anonymous.entry(name.to_owned()).or_default();
        let n = places.iter().position(|p| *p == span).unwrap_or_else(|| {
            places.push(span);
            places.len() - 1
        });
        format!("{name}#{}", n + 1)
    }

    /// Actions, their call sites, and the rows that have cells.
    pub(super) fn finish(mut self) -> (Vec<Action>, Vec<CallSite>, Vec<Row>) {
        let rows: Vec<Row> = self.rows.into_values().filter(|r| !r.cells.is_empty()).collect();
        // The row of data sets lists different actions under one name, which is none of theirs.
        for row in rows.iter().filter(|r| !r.axes.is_empty() || r.cells.len() == 1) {
            for cell in &row.cells {
                let (address, action) = (row.address(cell), &mut self.all[cell.action.0 as usize]);
                if action.address != address {
                    action.also.push(address);
                }
            }
        }
        (self.all, self.sites, rows)
    }
}
