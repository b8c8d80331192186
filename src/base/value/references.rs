//! What values refer to outside themselves: results of other actions, and inputs.

use std::sync::Arc;

use super::{ActionId, Input, Pending, Record, Value};

/// The actions whose results or published numbers some values need: sorted, each once.
pub fn dependencies<'v>(values: impl IntoIterator<Item = &'v Value>) -> Vec<ActionId> {
    let mut found = Vec::new();
    for value in values {
        value.walk(&mut |v| match v {
            Value::Artifact(id) => found.push(*id),
            Value::Pending(p) => p.actions(&mut |id| found.push(id)),
            _ => {}
        });
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Calls `f` with every input that arguments name, also inside values that are not known yet.
pub fn inputs_of(args: &Record, f: &mut dyn FnMut(&Arc<Input>)) {
    fn visit(value: &Value, f: &mut dyn FnMut(&Arc<Input>)) {
        value.walk(&mut |v| match v {
            Value::Input(input) => f(input),
            Value::Pending(p) => {
                // The point that is chosen may name a backbone or a file.
                if let Pending::Arg { cells, .. } = &**p {
                    cells.iter().flat_map(|c| c.point.values()).for_each(|v| visit(v, f));
                }
                p.operands(&mut |v| visit(v, f));
            }
            _ => {}
        });
    }
    args.values().for_each(|v| visit(v, f));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::pending::PendingCell;

    fn pending(p: Pending) -> Value {
        Value::Pending(Arc::new(p))
    }

    fn number(action: u32) -> Value {
        pending(Pending::Metric { action: ActionId(action), member: "ndcg_10".into() })
    }

    #[test]
    fn what_a_value_needs_is_found_at_any_depth_and_each_once() {
        let model = |name: &str| Arc::new(Input::Model { name: name.into(), revision: None });
        let cell = |n: u32| PendingCell {
            labels: vec![],
            point: Record::of([("backbone", Value::Input(model(&format!("m{n}"))))]),
            value: pending(Pending::Unary { op: crate::value::UnaryOp::Neg, of: number(n) }),
        };
        let chosen = pending(Pending::Arg { largest: true, cells: vec![cell(7), cell(3)] });
        let args = Record::of([
            ("data", Value::list(vec![Value::Artifact(ActionId(5)), Value::Artifact(ActionId(3))])),
            ("rate", pending(Pending::Member { of: chosen, name: "rate".into() })),
        ]);
        assert_eq!(dependencies(args.values()), [ActionId(3), ActionId(5), ActionId(7)]);
        let mut inputs = Vec::new();
        inputs_of(&args, &mut |input| inputs.push(input.to_string()));
        assert_eq!(inputs, ["m7", "m3"]);
    }
}
