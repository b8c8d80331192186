//! Kullback-Leibler divergence of the model's distribution over a query's documents from the teacher's.

use super::{Arguments, Definition, Group, Loss, SampleForm, TEMPERATURE, Teacher, log_softmax, teacher};
use xpipe_base::task::Failure;

pub(super) const DEFINITION: Definition = Definition {
    name: "objective.kl",
    doc: "Softmax distillation (Hinton et al. 2015): T²/Q Σ_q Σ_i p_i log(p_i / q_i) with p = softmax(t/T) and q = \
          softmax(s/T) over the documents of the query. T² keeps the size of gradients when T changes.",
    arguments: &[TEMPERATURE],
    forms: &[SampleForm::Group, SampleForm::RankedList, SampleForm::Pairs],
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
            out.value += temperature * temperature * p.exp() * (p - q);
            *g = temperature * (q.exp() - p.exp());
        }
    }
    Ok(out.over(batch.len()))
}
