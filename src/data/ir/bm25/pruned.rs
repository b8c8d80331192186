//! The best documents without the postings that cannot matter.
//!
//! A term adds less than its weight to a score. Once as many documents are found as are wanted, the terms of smallest
//! weights that together stay below the least score kept cannot bring a document among the best: only documents of the
//! other terms are gone through, and these terms are looked up for what is left of them. A document whose score so far
//! and all weights to come stay below the least is left out.
//!
//! Sums are the same bits as in full, for they are exact (see `Searcher::order_is_free`).
//!
//! **Source:** Turtle and Flood 1995, "Query evaluation: strategies and optimizations" (MaxScore).

use super::WINDOW;
use super::cursor::{Cursor, Scratch};
use crate::ir::top::Top;

/// Bounds are widened by this: more than a sum is rounded by when it becomes a score.
const MARGIN: f64 = 1.0 + 1e-6;

/// Offers every document that may be among the best.
pub(super) fn search(mut cursors: Vec<Cursor>, inverse: &[f32], top: &mut Top<'_>, scratch: &mut Scratch) {
    cursors.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    // Upper bound of what the terms from each one on add to a score.
    let mut rest = vec![0.0; cursors.len() + 1];
    for (i, cursor) in cursors.iter().enumerate().rev() {
        rest[i] = rest[i + 1] + f64::from(cursor.weight);
    }
    let (mut leading, mut start) = (cursors.len(), 0u32);
    loop {
        let least = top.least().map_or(f64::NEG_INFINITY, f64::from);
        while leading > 0 && rest[leading - 1] * MARGIN < least {
            leading -= 1;
        }
        let (lead, others) = cursors.split_at_mut(leading);
        let Some(first) = lead.iter().filter_map(Cursor::document).min() else { return };
        start = start.max(first - first % WINDOW as u32);
        let end = start.saturating_add(WINDOW as u32);
        lead.iter_mut().for_each(|c| c.add(start, end, inverse, scratch));
        for (cursor, rest) in others.iter_mut().zip(&rest[leading..]) {
            scratch.keep_from(least / MARGIN - rest);
            cursor.look_up(start, inverse, scratch);
        }
        scratch.drain(|place, score| top.push(start + place, score));
        start = end;
    }
}
