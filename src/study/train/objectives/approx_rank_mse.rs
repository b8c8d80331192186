//! Squared error of smooth ranks against the teacher's ranks.

use super::{
    Argument, Arguments, Definition, Group, Loss, Range, SampleForm, Teacher, order, sigmoid, teacher,
};
use xpipe_base::task::Failure;

pub(super) const DEFINITION: Definition = Definition {
    name: "objective.approx_rank_mse",
    doc: "Approximate discounted rank MSE (Schlatt et al. 2025): r̂_i = 1 + Σ_{j≠i} σ((s_j - s_i)/T), r_i the teacher's \
          rank from 1 (documents it ties keep the order of the list), and the mean over all documents of the batch of \
          (r̂_i - r_i)² / log2(r_i + 1).",
    arguments: &[
        Argument {
            name: "discount",
            range: Range::Words(&["log2", "none"]),
            doc: "What a squared error is divided by: `log2` (of the teacher's rank plus 1) or `none`.",
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
    let discounted = arguments.word("discount") == "log2";
    let mut out = Loss::zero(batch);
    let mut documents = 0;
    for (group, gradient) in batch.iter().zip(&mut out.gradients) {
        let (s, t) = (&group.scores, teacher(DEFINITION.name, group)?);
        let ranks = ranks(t);
        for i in 0..s.len() {
            // σ'(x) = σ(x)(1 - σ(x)); moving s_j up pushes document i down.
            let above = |j: usize| sigmoid((s[j] - s[i]) / temperature);
            let others = || (0..s.len()).filter(move |j| *j != i);
            let rank = 1.0 + others().map(above).sum::<f64>();
            let weight = if discounted { 1.0 / (ranks[i] + 1.0).log2() } else { 1.0 };
            let error = rank - ranks[i];
            out.value += weight * error * error;
            for j in others() {
                let a = above(j);
                let slope = 2.0 * weight * error * a * (1.0 - a) / temperature;
                gradient[j] += slope;
                gradient[i] -= slope;
            }
            documents += 1;
        }
    }
    Ok(out.over(documents))
}

/// Ranks from 1 by falling teacher score; ties keep the order of the list.
fn ranks(teacher: &[f64]) -> Vec<f64> {
    let mut ranks = vec![0.0; teacher.len()];
    for (place, i) in order(teacher).into_iter().enumerate() {
        ranks[i] = place as f64 + 1.0;
    }
    ranks
}
