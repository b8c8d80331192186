//! ListMLE: the likelihood of the teacher's ranking.

use super::{Arguments, Definition, Group, Loss, SampleForm, TEMPERATURE, Teacher, log_add, order, teacher};
use xpipe_base::task::Failure;

pub(super) const DEFINITION: Definition = Definition {
    name: "objective.list_mle",
    doc: "ListMLE (Xia et al. 2008): 1/Q Σ_q Σ_i [log Σ_{k≥i} e^{s_k/T} - s_i/T] over the documents in the teacher's \
          order (documents it ties keep the order of the list): the negative log-likelihood of that order under the \
          Plackett-Luce model of the scores.",
    arguments: &[TEMPERATURE],
    forms: &[SampleForm::RankedList, SampleForm::Group],
    teacher: |_| Teacher::Order,
    loss,
};

fn loss(batch: &[Group], arguments: &Arguments<'_>) -> Result<Loss, Failure> {
    plackett_luce(DEFINITION.name, batch, arguments.number("temperature"), |n| vec![1.0; n])
}

/// The mean over the queries of Σ_i w_i [log Σ_{k≥i} e^{s_k/T} - s_i/T], documents in the teacher's order; `weights`
/// gives the w of a list of n.
pub(super) fn plackett_luce(
    name: &str,
    batch: &[Group],
    temperature: f64,
    weights: impl Fn(usize) -> Vec<f64>,
) -> Result<Loss, Failure> {
    let mut out = Loss::zero(batch);
    for (group, gradient) in batch.iter().zip(&mut out.gradients) {
        let order = order(teacher(name, group)?);
        let x: Vec<f64> = order.iter().map(|&i| group.scores[i] / temperature).collect();
        let w = weights(x.len());
        // log Σ_{k≥i} e^{x_k}, summed from the end.
        let mut rest = x.clone();
        for i in (0..x.len().saturating_sub(1)).rev() {
            rest[i] = log_add(x[i], rest[i + 1]);
        }
        for (k, &place) in order.iter().enumerate() {
            out.value += w[k] * (rest[k] - x[k]);
            // x_k competes at its own place and at every place before it.
            let competes: f64 = (0..=k).map(|i| w[i] * (x[k] - rest[i]).exp()).sum();
            gradient[place] = (competes - w[k]) / temperature;
        }
    }
    Ok(out.over(batch.len()))
}
