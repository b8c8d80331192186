//! ListNet: cross-entropy between top-one probabilities.

use super::{Arguments, Definition, Group, Loss, SampleForm, TEMPERATURE, Teacher, log_softmax, teacher};
use xpipe_base::task::Failure;

pub(super) const DEFINITION: Definition = Definition {
    name: "objective.list_net",
    doc: "ListNet (Cao et al. 2007): -1/Q Σ_q Σ_i p_i log q_i, the cross-entropy between the probabilities of each \
          document to be first, p = softmax(t/T) by the teacher and q = softmax(s/T) by the model.",
    arguments: &[TEMPERATURE],
    forms: &[SampleForm::RankedList, SampleForm::Group],
    teacher: |_| Teacher::Scores,
    loss,
};

fn loss(batch: &[Group], arguments: &Arguments<'_>) -> Result<Loss, Failure> {
    let temperature = arguments.number("temperature");
    let mut out = Loss::zero(batch);
    for (group, gradient) in batch.iter().zip(&mut out.gradients) {
        let p = log_softmax(teacher(DEFINITION.name, group)?, temperature);
        let q = log_softmax(&group.scores, temperature);
        for ((p, q), g) in p.iter().zip(&q).zip(gradient) {
            out.value -= p.exp() * q;
            *g = (q.exp() - p.exp()) / temperature;
        }
    }
    Ok(out.over(batch.len()))
}
