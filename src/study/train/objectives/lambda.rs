//! LambdaLoss with the weights of NDCG-Loss2++.

use super::{Argument, Arguments, Definition, Group, Loss, Range, SampleForm, TEMPERATURE, Teacher};
use super::{order, sigmoid, softplus, teacher};
use xpipe_base::task::Failure;

pub(super) const DEFINITION: Definition = Definition {
    name: "objective.lambda",
    doc: "LambdaLoss, NDCG-Loss2++ (Wang et al. 2018): 1/Q Σ_q Σ_{t_i>t_j} (ρ_ij + μ δ_ij) |G_i - G_j| \
          log2(1 + e^{-(s_i - s_j)/T}). G is the gain 2^y - 1 over the ideal DCG; with π a document's rank by the model \
          and D(k) = log2(1 + k), ρ_ij = |1/D(π_i) - 1/D(π_j)| and δ_ij = |1/D(|π_i - π_j|) - 1/D(|π_i - π_j| + 1)|. \
          Ranks count as constants in the gradient.",
    arguments: &[
        Argument {
            name: "grade",
            range: Range::Words(&["rank", "score"]),
            doc: "The grade y: `rank` is 1 over the teacher's rank (Sun et al. 2023), documents it ties sharing one; \
                  `score` is the teacher's score, 0 where it is below.",
        },
        Argument {
            name: "mu",
            range: Range::NotNegative(10.0),
            doc: "μ: the weight of δ beside ρ; 0 is LambdaRank.",
        },
        TEMPERATURE,
    ],
    forms: &[SampleForm::RankedList, SampleForm::Group],
    teacher: |arguments| if by_score(arguments) { Teacher::Scores } else { Teacher::Order },
    loss,
};

fn by_score(arguments: &Arguments<'_>) -> bool {
    arguments.word("grade") == "score"
}

fn loss(batch: &[Group], arguments: &Arguments<'_>) -> Result<Loss, Failure> {
    let (temperature, mu) = (arguments.number("temperature"), arguments.number("mu"));
    let mut out = Loss::zero(batch);
    for (group, gradient) in batch.iter().zip(&mut out.gradients) {
        let (s, t) = (&group.scores, teacher(DEFINITION.name, group)?);
        let gains = gains(t, by_score(arguments));
        let mut rank = vec![0; s.len()];
        order(s).into_iter().enumerate().for_each(|(place, i)| rank[i] = place + 1);
        for i in 0..s.len() {
            for j in 0..s.len() {
                if t[i] > t[j] {
                    let apart = rank[i].abs_diff(rank[j]);
                    let rho = (discount(rank[i]) - discount(rank[j])).abs();
                    let delta = discount(apart) - discount(apart + 1);
                    let weight = (rho + mu * delta) * (gains[i] - gains[j]) / std::f64::consts::LN_2;
                    let x = -(s[i] - s[j]) / temperature;
                    out.value += weight * softplus(x);
                    let slope = weight * sigmoid(x) / temperature;
                    gradient[i] -= slope;
                    gradient[j] += slope;
                }
            }
        }
    }
    Ok(out.over(batch.len()))
}

/// 1 / log2(1 + rank).
fn discount(rank: usize) -> f64 {
    1.0 / (1.0 + rank as f64).log2()
}

/// (2^y - 1) / ideal DCG of each document; zero for all when the ideal DCG is.
fn gains(teacher: &[f64], by_score: bool) -> Vec<f64> {
    let above = |t: f64| teacher.iter().filter(|other| **other > t).count();
    let grade = |t: f64| if by_score { t.max(0.0) } else { 1.0 / (1 + above(t)) as f64 };
    let mut gains: Vec<f64> = teacher.iter().map(|t| grade(*t).exp2() - 1.0).collect();
    let places = order(teacher).into_iter().enumerate();
    let ideal: f64 = places.map(|(place, i)| gains[i] * discount(place + 1)).sum();
    if ideal > 0.0 {
        gains.iter_mut().for_each(|g| *g /= ideal);
    }
    gains
}
