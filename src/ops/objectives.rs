//! The constructors of objectives, each made from its file in `train/objectives/`.

use crate::train::objectives::{ALL, Definition, Range};
use crate::types::Op;
use crate::value::Value;

/// One constructor for each objective.
pub(crate) fn ops() -> impl Iterator<Item = Op> {
    ALL.iter().map(constructor)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_objective_has_a_constructor_with_its_arguments() {
        let ops: Vec<Op> = ops().collect();
        let names: Vec<&str> = ops.iter().map(|op| op.name).collect();
        for wanted in ["bce", "hinge", "infonce", "margin_mse", "ranknet", "approx_rank_mse"] {
            assert!(names.contains(&format!("objective.{wanted}").as_str()), "{names:?}");
        }
        let infonce = ops.iter().find(|op| op.name == "objective.infonce").unwrap();
        assert_eq!(infonce.param("temperature").unwrap().default, Some(Value::Float(1.0)));
        let adr = ops.iter().find(|op| op.name == "objective.approx_rank_mse").unwrap();
        assert_eq!(adr.params[0].name, "discount");
        assert_eq!(adr.params[0].default, Some(Value::str("log2")));
    }
}
