//! Localized contrastive estimation: the positive against hard negatives, or a teacher's first document against the rest
//! of its list.

use super::{
    Arguments, Definition, Group, Loss, SampleForm, TEMPERATURE, Teacher, infonce, log_softmax, order,
    teacher,
};
use xpipe_base::task::Failure;

pub(super) const DEFINITION: Definition = Definition {
    name: "objective.localized_contrastive",
    doc: "Localized contrastive estimation (Gao, Dai and Callan 2021): -1/Q Σ_q log(e^{s+/T} / Σ_j e^{s_j/T}) over a \
          positive and negatives that the first stage ranks high. Over a ranked list the positive is the document that \
          the teacher ranks first (of tied ones the first of the list); over pairs and groups, where it is the judged \
          one, this is `infonce`.",
    arguments: &[TEMPERATURE],
    forms: &[SampleForm::RankedList, SampleForm::Group, SampleForm::Pairs],
    teacher: |_| Teacher::Nothing,
    loss,
};

fn loss(batch: &[Group], arguments: &Arguments<'_>) -> Result<Loss, Failure> {
    let temperature = arguments.number("temperature");
    let mut out = Loss::zero(batch);
    for (group, gradient) in batch.iter().zip(&mut out.gradients) {
        if group.positives > 0 {
            infonce::of_group(group, temperature, &mut out.value, gradient);
            continue;
        }
        let Some(&first) = order(teacher(DEFINITION.name, group)?).first() else { continue };
        let q = log_softmax(&group.scores, temperature);
        out.value -= q[first];
        for (i, (q, g)) in q.iter().zip(gradient).enumerate() {
            *g = (q.exp() - f64::from(u8::from(i == first))) / temperature;
        }
    }
    Ok(out.over(batch.len()))
}
