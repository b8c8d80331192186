//! The one order of a ranking.

use std::cmp::Ordering;

/// Orders hits as trec_eval does: score (an `f32`) descending, then document id descending by bytes.
///
/// Equal scores include `0.0` and `-0.0`. NaN never occurs: readers refuse it; if it did, the order would still be
/// total. **Source:** trec_eval `form_res_rels.c`, `comp_sim_docno`.
pub fn trec_cmp(a_score: f32, a_document: &str, b_score: f32, b_document: &str) -> Ordering {
    b_score
        .partial_cmp(&a_score)
        .unwrap_or_else(|| b_score.total_cmp(&a_score))
        .then_with(|| b_document.as_bytes().cmp(a_document.as_bytes()))
}

/// Reads a score as trec_eval does: decimal text to `f64`, then rounded to `f32`; `None` unless finite.
pub fn parse_score(text: &str) -> Option<f32> {
    let score = text.parse::<f64>().ok()? as f32;
    score.is_finite().then_some(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_larger_document_id() {
        let mut hits = [(1.0, "a"), (2.0, "b"), (1.0, "c"), (-0.0, "x"), (0.0, "y"), (1.0, "B")];
        hits.sort_by(|a, b| trec_cmp(a.0, a.1, b.0, b.1));
        assert_eq!(hits.map(|h| h.1), ["b", "c", "a", "B", "y", "x"]);
    }

    #[test]
    fn scores_are_single_precision_and_finite() {
        // Two numbers that differ as f64 and tie as f32.
        assert_eq!(parse_score("13.041099548339844"), parse_score("13.0410995483398440001"));
        assert_eq!(parse_score("1e3"), Some(1000.0));
        for bad in ["nan", "NaN", "inf", "-infinity", "1e39", "", "x", "1,5"] {
            assert_eq!(parse_score(bad), None, "{bad}");
        }
    }
}
