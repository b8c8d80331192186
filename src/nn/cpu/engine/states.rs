//! Last hidden states without dropout, for what is made of an encoder beside a re-ranker.

use super::{Encoder, Group, Lookup, Scratch};

impl Encoder {
    /// The last hidden states of a group, without dropout: `[tokens, hidden]`. With `first_only` those of each text's
    /// first token stand at the beginning, `[texts, hidden]`, and what follows means nothing.
    pub(super) fn states(
        &self,
        lookups: &[Lookup],
        group: &Group<'_>,
        first_only: bool,
        scratch: &mut Scratch,
    ) -> Vec<f32> {
        let dropout = self.spec.dropout(None);
        let mut x = vec![0.0; group.tokens().len() * self.spec.shape.width];
        self.embed(lookups, group, &mut x);
        self.norm(&self.places.norm, &mut x, None);
        let mut x = self.project(&x).unwrap_or(x);
        let hidden = self.spec.shape.hidden;
        // A post-norm encoder without layers, and a pre-norm one, leave all tokens' states.
        let skips = first_only && !self.spec.pre_norm() && self.spec.layers > 0;
        for l in 0..self.spec.layers {
            let mut parts = self.parts(l, &dropout, &self.packed.layers[l].projected);
            parts.first_only = skips && l + 1 == self.spec.layers;
            if self.spec.pre_norm() {
                parts.forward_pre(group, &mut x, scratch, None);
            } else {
                parts.forward(group, &mut x, scratch, None);
            }
        }
        if let Some(norm) = &self.places.last {
            self.norm(norm, &mut x, None);
        }
        if first_only && !skips {
            for (i, text) in group.each().enumerate() {
                x.copy_within(text.start * hidden..(text.start + 1) * hidden, i * hidden);
            }
        }
        x
    }
}
