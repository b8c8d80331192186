//! Regression of the teacher's margins.

use super::{Arguments, Definition, Group, Loss, SampleForm, Teacher, teacher};
use xpipe_base::task::Failure;

pub(super) const DEFINITION: Definition = Definition {
    name: "objective.margin_mse",
    doc: "Pairwise distillation (Hofstätter et al. 2020): 1/B Σ ((s+ - s-) - (t+ - t-))² over B pairs; over groups, \
          the mean over all (positive, negative) pairs of the batch.",
    arguments: &[],
    forms: &[SampleForm::Pairs, SampleForm::Group],
    teacher: |_| Teacher::Scores,
    loss,
};

fn loss(batch: &[Group], _: &Arguments<'_>) -> Result<Loss, Failure> {
    let mut out = Loss::zero(batch);
    let mut pairs = 0;
    for (group, gradient) in batch.iter().zip(&mut out.gradients) {
        let (s, t) = (&group.scores, teacher(DEFINITION.name, group)?);
        for p in 0..group.positives {
            for n in group.positives..s.len() {
                let error = (s[p] - s[n]) - (t[p] - t[n]);
                out.value += error * error;
                gradient[p] += 2.0 * error;
                gradient[n] -= 2.0 * error;
                pairs += 1;
            }
        }
    }
    Ok(out.over(pairs))
}
