//! The differences of a cell and its reference, query by query.

use super::super::layout::number;
use super::super::missing::address;
use super::super::units::Units;
use xpipe_base::value::Value;
use xpipe_base::value::human;
use xpipe_data::ir::strata::{Strata, Stratum};
use xpipe_lang::graph::Graph;

/// Differences over the units of both, by collection.
pub(super) fn differences(
    own: &Result<Units, String>,
    reference: Option<&Result<Units, String>>,
    graph: &Graph,
    collections: &[Value],
) -> Result<Strata, String> {
    let own = own.as_ref().map_err(Clone::clone)?;
    let reference = reference
        .ok_or("its reference is missing")?
        .as_ref()
        .map_err(|why| format!("of its reference, {why}"))?;
    if own.member != reference.member {
        return Err(format!("its measure is `{}`, that of its reference `{}`", own.member, reference.member));
    }
    let qrels = |i: &usize| match collections.get(*i) {
        Some(Value::Artifact(id)) => format!("`{}`", address(graph, *id)),
        _ => "its qrels".to_owned(),
    };
    if own.collections.keys().ne(reference.collections.keys()) {
        let of = |units: &Units| units.collections.keys().map(qrels).collect::<Vec<_>>().join(" and ");
        return Err(format!("it is measured with {}, its reference with {}", of(own), of(reference)));
    }
    let mut strata = Vec::new();
    for (i, (a, b)) in own.collections.iter().map(|(i, a)| (i, (a, &reference.collections[i]))) {
        if (a.weight - b.weight).abs() > 1e-12 {
            return Err(format!(
                "{} has a weight of {} in its mean, and of {} in that of its reference",
                qrels(i),
                number(a.weight, 4),
                number(b.weight, 4)
            ));
        }
        if a.values.keys().ne(b.values.keys()) {
            let both = a.values.keys().filter(|q| b.values.contains_key(*q)).count();
            let are = if both == 1 { "is" } else { "are" };
            return Err(format!(
                "of {} it is measured on {}, its reference on {}; {both} {are} in both",
                qrels(i),
                human::counted(a.values.len(), "queries"),
                b.values.len()
            ));
        }
        let differences = a.values.values().zip(b.values.values()).map(|(x, y)| x - y).collect();
        strata.push(Stratum { weight: a.weight, differences });
    }
    Ok(Strata::new(strata))
}
