//! Softmax cross-entropy of a positive against the negatives of its own group.

use super::{Argument, Arguments, Definition, Group, Loss, Range, SampleForm, Teacher};
use xpipe_base::task::Failure;

pub(super) const DEFINITION: Definition = Definition {
    name: "objective.infonce",
    doc: "Softmax cross-entropy: -1/Q Σ_q log(e^{s+/T} / Σ_j e^{s_j/T}) over the documents of the query's own group; \
          no in-batch negatives. With several positives in a group, the mean over its positives, each against itself \
          and the negatives.",
    arguments: &[Argument {
        name: "temperature",
        range: Range::Positive(1.0),
        doc: "T: scores are divided by it before the softmax.",
    }],
    forms: &[SampleForm::Pairs, SampleForm::Group],
    teacher: |_| Teacher::Nothing,
    loss,
};

fn loss(batch: &[Group], arguments: &Arguments<'_>) -> Result<Loss, Failure> {
    let temperature = arguments.number("temperature");
    let mut out = Loss::zero(batch);
    for (group, gradient) in batch.iter().zip(&mut out.gradients) {
        if group.positives == 0 {
            return Err(Failure::wrong(
                "objective.infonce needs a positive in each group, and a sample has none",
            ));
        }
        of_group(group, temperature, &mut out.value, gradient);
    }
    Ok(out.over(batch.len()))
}

/// Adds the mean over the positives of a group, of which there is one at least, to `value`, and its derivative to
/// `gradient`.
pub(super) fn of_group(group: &Group, t: f64, value: &mut f64, gradient: &mut [f64]) {
    let (s, positives) = (&group.scores, group.positives);
    let share = 1.0 / positives as f64;
    for p in 0..positives {
        // The documents that compete: this positive and every negative.
        let rivals = || std::iter::once(p).chain(positives..s.len());
        let top = rivals().map(|j| s[j] / t).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = rivals().map(|j| (s[j] / t - top).exp()).sum();
        *value += share * (sum.ln() + top - s[p] / t);
        for j in rivals() {
            let softmax = (s[j] / t - top).exp() / sum;
            gradient[j] += share * (softmax - f64::from(u8::from(j == p))) / t;
        }
    }
}
