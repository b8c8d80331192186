//! Published names of measures, read back: `ndcg_10` is `nDCG@10`.

use xpipe_base::value::{Call, Name, Record, Value};
use xpipe_data::ir::metrics::Measure;

/// The name as the field prints it; any other text as it is.
pub(super) fn printed(member: &str) -> String {
    measure(member).map_or_else(|| member.to_owned(), |m| m.to_string())
}

/// The measure of a published name: the inverse of [`Measure::member`].
pub(super) fn measure(member: &str) -> Option<Measure> {
    let mut parts = member.split('_');
    let name = parts.next()?;
    let mut args: Vec<(&'static str, Value)> = Vec::new();
    for part in parts {
        let (field, digits) = part.strip_prefix("rel").map_or(("k", part), |rest| ("rel", rest));
        args.push((field, Value::Int(digits.parse().ok()?)));
    }
    let measure = Measure::from_call(&Call { name: Name::from(name), args: Record::of(args) }).ok()?;
    if measure.member() == member { Some(measure) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_measures_are_read_back() {
        for (member, printed) in [
            ("ndcg_10", "nDCG@10"),
            ("ndcg", "nDCG"),
            ("ap", "AP"),
            ("ap_rel2", "AP(rel=2)"),
            ("p_5_rel2", "P(rel=2)@5"),
            ("recall_100", "R@100"),
            ("rr_10", "RR@10"),
            ("success_5", "Success@5"),
            ("judged_10", "Judged@10"),
        ] {
            assert_eq!(super::printed(member), printed);
        }
        for bad in ["", "ndcg_", "ndcg_x", "ndcg_0", "mrr_10", "p", "ndcg_10_10", "ap_rel1", "p_05"] {
            assert_eq!(measure(bad), None, "{bad}");
            assert_eq!(printed(bad), bad);
        }
    }
}
