//! Values chosen by results: the winner of each `argmax` and `argmin`.

use super::Results;
use super::layout;
use super::missing;
use xpipe_base::value::pending::{Pending, each};
use xpipe_base::value::{ActionId, Name, Value};
use xpipe_lang::graph::{self, Choice, Graph};

/// A point that was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct ChosenPoint {
    /// The `let`, stage or output that chooses.
    pub name: String,
    /// The labels of the axes that the choice depends on: axis and label.
    pub at: Vec<(Name, Name)>,
    /// The axes that were chosen over, as written, with their values; `None` as long as a result is missing.
    pub values: Option<Vec<(Name, Value)>>,
    /// What was compared: `largest nDCG@10`.
    pub by: String,
    /// The number of the winner.
    pub best: Option<f64>,
    /// How many points were compared.
    pub of: usize,
}

/// What a study chooses, in the order of its text.
pub fn chosen(graph: &Graph, results: &dyn Results) -> Vec<ChosenPoint> {
    graph.choices.iter().filter_map(|choice| of(choice, results)).collect()
}

/// What an action's own arguments wait for.
pub fn chosen_for(action: ActionId, graph: &Graph, results: &dyn Results) -> Vec<ChosenPoint> {
    let mut used: Vec<&Pending> = Vec::new();
    for (_, value) in graph.action(action).args.iter() {
        each(value, &mut |p| used.push(p));
    }
    let needed = |choice: &&Choice| matches!(&choice.value, Value::Pending(c) if used.contains(&&**c));
    graph.choices.iter().filter(needed).filter_map(|choice| of(choice, results)).collect()
}

fn of(choice: &Choice, results: &dyn Results) -> Option<ChosenPoint> {
    let Value::Pending(pending) = &choice.value else { return None };
    let Pending::Arg { largest, cells } = &**pending else { return None };
    let winner = match missing::value(&choice.value, results) {
        Ok(Value::Record(point)) => cells.iter().find(|c| c.point == point),
        _ => None,
    };
    // The point is a record, which has an order of its own.
    let values = winner.map(|c| {
        let axes = c.labels.iter().map(|(axis, _)| axis);
        axes.filter_map(|axis| Some((axis.clone(), c.point.get(axis)?.clone()))).collect()
    });
    let mut members: Vec<&Name> = Vec::new();
    for cell in cells {
        each(&cell.value, &mut |p| {
            if let Pending::Metric { member, .. } = p
                && !members.contains(&member)
            {
                members.push(member);
            }
        });
    }
    let measure = if let [one] = members.as_slice() { layout::measure(one) } else { "value".to_owned() };
    Some(ChosenPoint {
        name: choice.name.clone(),
        at: choice.at.clone(),
        by: format!("{} {measure}", if *largest { "largest" } else { "smallest" }),
        best: winner.and_then(|c| missing::value(&c.value, results).ok()?.as_f64()),
        of: cells.len(),
        values,
    })
}

impl ChosenPoint {
    /// `best[dl19]`.
    pub fn address(&self) -> String {
        let labels: Vec<Name> = self.at.iter().map(|(_, label)| label.clone()).collect();
        graph::address(&self.name, &labels)
    }

    /// `{lr = 0.003, batch = 4}, the largest nDCG@10 of 4 (0.3551)`.
    pub fn text(&self) -> String {
        let Some(values) = &self.values else {
            return format!("not known yet: the {} of {}", self.by, self.of);
        };
        let best = self.best.map(|x| format!(" ({})", layout::number(x, 4))).unwrap_or_default();
        let values: Vec<String> = values.iter().map(|(axis, v)| format!("{axis} = {v}")).collect();
        format!("{{{}}}, the {} of {}{best}", values.join(", "), self.by, self.of)
    }

    /// For other programs.
    pub fn json(&self) -> serde_json::Value {
        let pairs = |of: &[(Name, Name)]| -> serde_json::Map<String, serde_json::Value> {
            of.iter().map(|(axis, label)| (axis.to_string(), label.to_string().into())).collect()
        };
        let value = |v: &Value| match v {
            Value::Int(i) => (*i).into(),
            Value::Float(x) => serde_json::json!(x),
            Value::Bool(b) => (*b).into(),
            other => serde_json::Value::String(other.to_string()),
        };
        let values: Option<serde_json::Map<_, _>> =
            self.values.as_ref().map(|r| r.iter().map(|(axis, v)| (axis.to_string(), value(v))).collect());
        serde_json::json!({
            "name": self.name, "at": pairs(&self.at), "values": values, "by": self.by, "best": self.best, "of": self.of,
        })
    }
}
