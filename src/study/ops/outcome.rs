//! Outcomes of operations that record nothing but counts.

use xpipe_base::task::Outcome;

/// An outcome with counts as facts.
pub(super) fn counted<const N: usize>(facts: [(&str, u64); N]) -> Outcome {
    let facts = facts.into_iter().map(|(name, n)| (name.to_owned(), n.into())).collect();
    Outcome { facts, ..Outcome::default() }
}
