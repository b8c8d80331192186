//! Position-aware ListMLE: the likelihood of the teacher's ranking, whose first places count most.

use super::list_mle::plackett_luce;
use super::{Arguments, Definition, Group, Loss, SampleForm, TEMPERATURE, Teacher};
use xpipe_base::task::Failure;

pub(super) const DEFINITION: Definition = Definition {
    name: "objective.p_list_mle",
    doc: "Position-aware ListMLE (Lan et al. 2014): 1/Q Σ_q Σ_i α_i [log Σ_{k≥i} e^{s_k/T} - s_i/T] over the n \
          documents in the teacher's order (documents it ties keep the order of the list), α_i in proportion to \
          2^{n-i} - 1 with a sum of 1, so that long lists do not outweigh short ones.",
    arguments: &[TEMPERATURE],
    forms: &[SampleForm::RankedList, SampleForm::Group],
    teacher: |_| Teacher::Order,
    loss,
};

fn loss(batch: &[Group], arguments: &Arguments<'_>) -> Result<Loss, Failure> {
    plackett_luce(DEFINITION.name, batch, arguments.number("temperature"), weights)
}

/// α of a list of n: (2^{n-i} - 1) / (2ⁿ - 1 - n) for i from 1, both divided by 2ⁿ, which a long list would overflow.
/// A single document has no order and costs nothing.
fn weights(n: usize) -> Vec<f64> {
    if n < 2 {
        return vec![0.0; n];
    }
    let least = (-(n as f64)).exp2();
    let sum = 1.0 - (n as f64 + 1.0) * least;
    (1..=n).map(|i| ((-(i as f64)).exp2() - least) / sum).collect()
}
