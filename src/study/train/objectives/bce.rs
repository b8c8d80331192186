//! Pointwise binary cross-entropy.

use super::{Arguments, Definition, Group, Loss, SampleForm, TEMPERATURE, Teacher, sigmoid, softplus};
use xpipe_base::task::Failure;

pub(super) const DEFINITION: Definition = Definition {
    name: "objective.bce",
    doc: "Pointwise binary cross-entropy: -1/(2B) Σ [log σ(s+/T) + log(1 - σ(s-/T))] over B pairs; over groups, the \
          mean over all documents of the batch.",
    arguments: &[TEMPERATURE],
    forms: &[SampleForm::Pairs, SampleForm::Group],
    teacher: |_| Teacher::Nothing,
    loss,
};

/// The mean over all documents of softplus(-s/T) for positives and softplus(s/T) for negatives.
fn loss(batch: &[Group], arguments: &Arguments<'_>) -> Result<Loss, Failure> {
    let t = arguments.number("temperature");
    let mut out = Loss::zero(batch);
    let mut documents = 0;
    for (group, gradient) in batch.iter().zip(&mut out.gradients) {
        for (i, (&s, g)) in group.scores.iter().zip(gradient).enumerate() {
            let sign = if i < group.positives { -1.0 } else { 1.0 };
            out.value += softplus(sign * s / t);
            *g = sign * sigmoid(sign * s / t) / t;
            documents += 1;
        }
    }
    Ok(out.over(documents))
}
