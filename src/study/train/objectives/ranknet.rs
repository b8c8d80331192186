//! RankNet on the teacher's order.

use super::{
    Argument, Arguments, Definition, Group, Loss, Range, SampleForm, Teacher, sigmoid, softplus, teacher,
};
use xpipe_base::task::Failure;

pub(super) const DEFINITION: Definition = Definition {
    name: "objective.ranknet",
    doc: "Listwise distillation (Burges et al. 2005; Schlatt et al. 2025): the mean over all ordered pairs of the batch \
          with t_i > t_j of log(1 + e^{-(s_i - s_j)/T}). Documents the teacher ties form no pair.",
    arguments: &[
        Argument {
            name: "labels",
            range: Range::Words(&["teacher"]),
            doc: "Whose order is learned: `teacher`.",
        },
        Argument {
            name: "temperature",
            range: Range::Positive(1.0),
            doc: "T: differences of scores are divided by it.",
        },
    ],
    forms: &[SampleForm::RankedList, SampleForm::Group],
    teacher: |_| Teacher::Order,
    loss,
};

fn loss(batch: &[Group], arguments: &Arguments<'_>) -> Result<Loss, Failure> {
    let temperature = arguments.number("temperature");
    let mut out = Loss::zero(batch);
    let mut pairs = 0;
    for (group, gradient) in batch.iter().zip(&mut out.gradients) {
        let (s, t) = (&group.scores, teacher(DEFINITION.name, group)?);
        for i in 0..s.len() {
            for j in 0..s.len() {
                if t[i] > t[j] {
                    let x = -(s[i] - s[j]) / temperature;
                    out.value += softplus(x);
                    let slope = sigmoid(x) / temperature;
                    gradient[i] -= slope;
                    gradient[j] += slope;
                    pairs += 1;
                }
            }
        }
    }
    Ok(out.over(pairs))
}
