//! What a study asks for as its objective: one of them, or `objective.sum`, a weighted sum of several.

use std::fmt;

use super::{Definition, Group, Loss, SampleForm, Teacher, find};
use xpipe_base::task::Failure;
use xpipe_base::value::{Call, Record, Value};

/// The constructor of a weighted sum: `parts`, a list of objectives, and `weights`, as many numbers.
pub const SUM: &str = "objective.sum";

/// The objectives of a call: the call itself, or the parts of a sum, recursively. Other values are skipped.
pub fn parts(call: &Call) -> Vec<(&'static Definition, &Call)> {
    if &*call.name == SUM {
        let summed = call.args.get("parts").and_then(Value::as_list).unwrap_or_default();
        summed.iter().filter_map(Value::as_call).flat_map(parts).collect()
    } else {
        find(&call.name).map(|definition| (definition, call)).into_iter().collect()
    }
}

/// The errors in the arguments of a sum, each with the argument's name. Weights that are
/// known only after a stage has run are no fault.
pub fn faults(args: &Record) -> Vec<(&'static str, String)> {
    let list = |name: &str| args.get(name).and_then(Value::as_list);
    let (Some(parts), Some(weights)) = (list("parts"), list("weights")) else { return Vec::new() };
    let mut faults = Vec::new();
    if parts.is_empty() {
        faults.push(("parts", format!("`parts` of {SUM} is empty")));
    }
    if parts.len() != weights.len() {
        let counts = format!("`weights` of {SUM} has {}, and `parts` has {}", weights.len(), parts.len());
        faults.push(("weights", counts));
    }
    if let Some(below) = weights.iter().filter_map(Value::as_f64).find(|w| *w < 0.0) {
        faults.push(("weights", format!("a weight of {SUM} is {below}, and must not be below 0")));
    } else if !weights.is_empty() && weights.iter().all(|w| w.as_f64() == Some(0.0)) {
        faults.push(("weights", format!("every weight of {SUM} is 0")));
    }
    faults
}

/// An objective with its arguments, ready to be computed.
#[derive(Clone, Debug)]
pub struct Objective {
    /// Weight, definition and arguments of each part; one of weight 1 for an objective that is no sum.
    parts: Vec<(f64, &'static Definition, Call)>,
}

impl Objective {
    /// Reads the call of an objective or of a sum.
    ///
    /// # Errors
    /// When there is no such objective, or an argument is out of range.
    pub fn read(call: &Call) -> Result<Self, Failure> {
        let mut parts = Vec::new();
        collect(call, 1.0, &mut parts)?;
        Ok(Self { parts })
    }

    /// The forms of data that every part can use.
    pub fn forms(&self) -> Vec<SampleForm> {
        let all = [SampleForm::Pairs, SampleForm::Group, SampleForm::RankedList];
        all.into_iter().filter(|f| self.parts.iter().all(|(_, d, _)| d.forms.contains(f))).collect()
    }

    /// The most that a part asks of the teacher.
    pub fn asks(&self) -> Teacher {
        self.parts.iter().map(|(_, d, call)| d.asks(Some(call))).max().unwrap_or(Teacher::Nothing)
    }

    /// The loss of a whole batch: of a sum, Σ w L over its parts.
    ///
    /// # Errors
    /// When a group does not have what a part needs.
    pub fn loss(&self, batch: &[Group]) -> Result<Loss, Failure> {
        let mut total: Option<Loss> = None;
        for (weight, definition, call) in &self.parts {
            let mut loss = definition.loss(batch, Some(call))?;
            loss.value *= weight;
            loss.gradients.iter_mut().flatten().for_each(|g| *g *= weight);
            total = Some(match total {
                None => loss,
                Some(mut total) => {
                    total.value += loss.value;
                    let sums = total.gradients.iter_mut().flatten();
                    sums.zip(loss.gradients.iter().flatten()).for_each(|(sum, g)| *sum += g);
                    total
                }
            });
        }
        Ok(total.unwrap_or_else(|| Loss::zero(batch)))
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(1.0, only, _)] = self.parts.as_slice() {
            return f.write_str(only.name);
        }
        let parts: Vec<String> = self.parts.iter().map(|(w, d, _)| format!("{w} {}", d.name)).collect();
        f.write_str(&parts.join(" + "))
    }
}

fn collect(call: &Call, weight: f64, out: &mut Vec<(f64, &'static Definition, Call)>) -> Result<(), Failure> {
    if &*call.name != SUM {
        let definition = find(&call.name)
            .ok_or_else(|| Failure::missing(format!("`{}` has no implementation yet", call.name)))?;
        if let Some((_, message)) = definition.faults(call).into_iter().next() {
            return Err(Failure::wrong(message));
        }
        out.push((weight, definition, call.clone()));
        return Ok(());
    }
    if let Some((_, message)) = faults(&call.args).into_iter().next() {
        return Err(Failure::wrong(message));
    }
    let list = |name: &str| call.args.get(name).and_then(Value::as_list).unwrap_or_default();
    for (part, own) in list("parts").iter().zip(list("weights")) {
        let (Some(part), Some(own)) = (part.as_call(), own.as_f64()) else {
            return Err(Failure::bug(format!("{SUM}: a part or weight is {part:?}, {own:?}")));
        };
        collect(part, weight * own, out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
