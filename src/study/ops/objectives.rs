//! The constructors of objectives, each made from its file in `train/objectives/`, and of their weighted sum.

use super::compatibility::issue;
use crate::train::objectives::{ALL, Definition, Range, sum};
use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

/// One constructor for each objective, and `objective.sum`.
pub(crate) fn ops() -> impl Iterator<Item = Op> {
    ALL.iter().map(constructor).chain([weighted_sum()])
}

fn constructor(definition: &'static Definition) -> Op {
    definition.arguments.iter().fold(
        Op::constructor(definition.name, "Objective", definition.doc),
        |op, argument| match argument.range {
            Range::Positive(default) | Range::NotNegative(default) => {
                op.takes(argument.name, "Float", Value::Float(default), argument.doc)
            }
            Range::Words(words) => {
                let ty: Vec<String> = words.iter().map(|w| format!("'{w}'")).collect();
                let default = Value::str(words.first().copied().unwrap_or_default());
                op.takes(argument.name, &ty.join(" | "), default, argument.doc)
            }
        },
    )
}

fn weighted_sum() -> Op {
    Op::constructor(
        sum::SUM,
        "Objective",
        "A weighted sum of objectives over the same samples: Σ w L. Its requirements are those of all parts.",
    )
    .needs("parts", "List<Objective>", "The objectives (≥ 1); a part may be a sum.")
    .needs("weights", "List<Float>", "The weight of each part, in the order of `parts` (≥ 0, not all 0).")
    .checks(check_sum)
}

fn check_sum(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    let help = |argument| match argument {
        "parts" => "write for instance `parts = [objective.infonce(), objective.margin_mse()]`",
        _ => "give a number from 0 up for each part, in their order, for instance `weights = [1, 0.5]`",
    };
    let faults = sum::faults(args).into_iter();
    faults.map(|(argument, message)| issue(Code::OutOfRange, argument, message, help(argument))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::objectives::Teacher;

    #[test]
    fn each_objective_has_a_constructor_with_its_arguments() {
        let ops: Vec<Op> = ops().collect();
        let names: Vec<&str> = ops.iter().map(|op| op.name).collect();
        for wanted in ["bce", "hinge", "infonce", "margin_mse", "ranknet", "approx_rank_mse", "kl", "sum"] {
            assert!(names.contains(&format!("objective.{wanted}").as_str()), "{names:?}");
        }
        let infonce = ops.iter().find(|op| op.name == "objective.infonce").unwrap();
        assert_eq!(infonce.param("temperature").unwrap().default, Some(Value::Float(1.0)));
        let adr = ops.iter().find(|op| op.name == "objective.approx_rank_mse").unwrap();
        assert_eq!(adr.params[0].name, "discount");
        assert_eq!(adr.params[0].default, Some(Value::str("log2")));
    }

    #[test]
    fn the_language_page_says_what_each_objective_needs() {
        let page = include_str!("../../../grammar/README.md");
        let rows: Vec<&str> = page.lines().filter(|l| l.starts_with("| `objective.")).collect();
        let wanted: Vec<String> = ALL
            .iter()
            .map(|d| {
                let arguments: Vec<&str> = d.arguments.iter().map(|a| a.name).collect();
                let forms: Vec<&str> = d.forms.iter().map(|f| f.name()).collect();
                let asks = match d.asks(None) {
                    Teacher::Nothing => "nothing",
                    Teacher::Order => "order",
                    Teacher::Scores => "scores",
                };
                format!("| `{}({})` | {} | {asks}", d.name, arguments.join(", "), forms.join(", "))
            })
            .collect();
        assert_eq!(rows.len(), wanted.len());
        for (row, wanted) in rows.iter().zip(&wanted) {
            assert!(row.starts_with(wanted), "{row} is not {wanted}");
        }
    }
}
