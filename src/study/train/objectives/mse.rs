//! Regression of the teacher's scores.

use super::{Arguments, Definition, Group, Loss, SampleForm, Teacher, teacher};
use xpipe_base::task::Failure;

pub(super) const DEFINITION: Definition = Definition {
    name: "objective.mse",
    doc: "Pointwise distillation (Hinton et al. 2015, section 2.1: logits matched directly): the mean over all documents \
          of the batch of (s - t)². The model learns the teacher's scale too.",
    arguments: &[],
    forms: &[SampleForm::Pairs, SampleForm::Group, SampleForm::RankedList],
    teacher: |_| Teacher::Scores,
    loss,
};

fn loss(batch: &[Group], _: &Arguments<'_>) -> Result<Loss, Failure> {
    let mut out = Loss::zero(batch);
    let mut documents = 0;
    for (group, gradient) in batch.iter().zip(&mut out.gradients) {
        let t = teacher(DEFINITION.name, group)?;
        for ((s, t), g) in group.scores.iter().zip(t).zip(gradient) {
            out.value += (s - t) * (s - t);
            *g = 2.0 * (s - t);
            documents += 1;
        }
    }
    Ok(out.over(documents))
}
