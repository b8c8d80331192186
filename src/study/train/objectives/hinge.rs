//! Pairwise hinge loss.

use super::{Argument, Arguments, Definition, Group, Loss, Range, SampleForm, Teacher};
use xpipe_base::task::Failure;

pub(super) const DEFINITION: Definition = Definition {
    name: "objective.hinge",
    doc: "Pairwise hinge: 1/B Σ max(0, margin - (s+ - s-)) over B pairs; over groups, the mean over all (positive, \
          negative) pairs of the batch.",
    arguments: &[Argument {
        name: "margin",
        range: Range::NotNegative(1.0),
        doc: "The difference of scores from which on a pair costs nothing.",
    }],
    forms: &[SampleForm::Pairs, SampleForm::Group],
    teacher: |_| Teacher::Nothing,
    loss,
};

/// At the kink, where the margin is met exactly, the derivative is 0, as that of PyTorch's `relu`.
fn loss(batch: &[Group], arguments: &Arguments<'_>) -> Result<Loss, Failure> {
    let margin = arguments.number("margin");
    let mut out = Loss::zero(batch);
    let mut pairs = 0;
    for (group, gradient) in batch.iter().zip(&mut out.gradients) {
        for p in 0..group.positives {
            for n in group.positives..group.scores.len() {
                let gap = margin - (group.scores[p] - group.scores[n]);
                if gap > 0.0 {
                    out.value += gap;
                    gradient[p] -= 1.0;
                    gradient[n] += 1.0;
                }
                pairs += 1;
            }
        }
    }
    Ok(out.over(pairs))
}
