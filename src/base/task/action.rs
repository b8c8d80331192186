//! An action: what a study asks for once, however many of its cells do.

use super::Policy;
use crate::value::{ActionId, Record};

/// An operation with its arguments. The graph of a study is made of these, and the engine carries them out.
#[derive(Clone, Debug)]
pub struct Action {
    /// The operation's full name.
    pub op: &'static str,
    /// The operation's version.
    pub version: u32,
    /// Whether it runs in a worker process of its own.
    pub heavy: bool,
    /// The first cell that asks for it: `model[infonce, bert_base, 1]`.
    pub address: String,
    /// Other cells that ask for it; equal recipes run once.
    pub also: Vec<String>,
    /// Arguments after defaults; may hold [`crate::value::Value::Artifact`], [`crate::value::Value::Input`] and
    /// [`crate::value::Value::Pending`].
    pub args: Record,
    /// The `with` block of the first cell that asks for it.
    pub policy: Policy,
    /// The actions whose results or numbers `args` names, see [`crate::value::dependencies`].
    pub deps: Vec<ActionId>,
}

impl Action {
    /// Every cell that asks for it, the first one first.
    pub fn addresses(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.address).chain(&self.also)
    }
}
