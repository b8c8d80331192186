//! The backward pass of a batch: layer by layer over groups, then the sums over tokens by blocks.

use std::ops::Range;

use super::{Encoder, groups};
use crate::Packed;
use crate::arch::head::Pooling;
use crate::cpu::attention::room;
use crate::cpu::gradients::{Shared, accumulate, carve};
use crate::cpu::keep::{Keep, KeptLayer, Work, by_pair, by_token, left, size};
use crate::cpu::layer::{Group, Shape};
use crate::cpu::mask::Drop;
use crate::cpu::norm::NormBackward;
use crate::cpu::product::{Lies, Product, Store};
use crate::cpu::spec::Dropout;
use crate::cpu::weights::Pair;

impl Encoder {
    pub(super) fn backward_all(
        &self,
        batch: &Packed,
        dropout: &Dropout,
        dlogits: &[f32],
        keep: &mut Keep,
        work: &mut Work,
        gradients: &mut [f32],
    ) {
        let shape = self.spec.shape;
        let Shape { hidden, .. } = shape;
        let pair_blocks = batch.blocks();
        let blocks: Vec<_> = pair_blocks.iter().map(|b| batch.starts[b.start]..batch.starts[b.end]).collect();
        let groups = if self.spec.relative.is_some() {
            let (starts, base) = (&batch.starts[..], batch.first_token);
            pair_blocks.iter().map(|b| Group { pairs: b.clone(), starts, base }).collect()
        } else {
            groups(batch, self.small(batch.tokens()))
        };
        let mut dpooled = vec![0.0; batch.len() * hidden];
        let states = (&keep.pooled[..], &keep.before[..]);
        self.head(dropout).backward(batch.first_pair, &pair_blocks, states, dlogits, gradients, &mut dpooled);
        work.d.fill(0.0);
        for group in &groups {
            let front = group.tokens().start;
            for (i, pair) in group.pairs.clone().enumerate() {
                let d = &dpooled[pair * hidden..(pair + 1) * hidden];
                let (start, end) = (batch.starts[pair], batch.starts[pair + 1]);
                match self.spec.head.pooling {
                    Pooling::First => {
                        let compact = self.spec.layers > 0 && self.spec.first_only(self.spec.layers - 1);
                        let row = if compact { front + i } else { start };
                        work.d[row * hidden..(row + 1) * hidden].copy_from_slice(d);
                    }
                    Pooling::Mean => {
                        let share = 1.0 / (end - start) as f32;
                        for to in work.d[start * hidden..end * hidden].chunks_exact_mut(hidden) {
                            to.iter_mut().zip(d).for_each(|(to, d)| *to = d * share);
                        }
                    }
                }
            }
        }
        if let Some(norm) = &self.places.last {
            let Work { d, norms, .. } = work;
            self.norm_backward(norm, (&keep.last_hat, &keep.last_rho), batch, &groups, d, norms, gradients);
        }
        self.work_embedded(dropout, batch, keep, work);
        let relative = self.spec.relative.map(|r| 2 * r.span).unwrap_or_default();
        work.table.clear();
        work.table.resize(groups.len() * relative * hidden, 0.0);
        for l in (0..self.spec.layers).rev() {
            if !keep.inputs.is_empty() && l + 2 < self.spec.layers {
                let (before, after) = keep.layers.split_at_mut(l + 1);
                before[l].take_room(&mut after[0]);
            }
            let again = keep.inputs.get(l).map(|x| &x[..]);
            let (before, this) = keep.layers.split_at_mut(l);
            let projected = std::mem::take(&mut this[0].projected);
            let parts = self.parts(l, dropout, self.projected(l, dropout, &projected));
            // The layer's input: of a post-norm layer the norm before it, of a pre-norm layer its own norm.
            let input = match (before.last(), self.spec.pre_norm(), again) {
                (Some(_), true, _) | (None, ..) => None,
                (Some(_), false, Some(x)) => Some((x, None)),
                (Some(b), false, None) => Some((&b.hat2[..], Some(&self.places.layers[l - 1].norm2))),
            };
            work.norms.fill(0.0);
            work.positions.clear();
            work.positions.resize(groups.len() * relative * self.apart(l), 0.0);
            let first_only = self.spec.first_only(l);
            let kept = this[0].split(&shape, &groups, first_only);
            let Work { d, attention, output, up, qkv, norms, x, positions, .. } = &mut *work;
            let wide = &mut norms[..batch.len() * 4 * hidden];
            let left = left([attention, output, up, qkv, wide], positions, &shape, &groups, first_only);
            let hidden_wide = by_token(d, hidden, &groups).into_iter();
            let tasks = groups
                .iter()
                .zip(kept)
                .zip(left)
                .zip(hidden_wide.zip(by_token(x, hidden, &groups)))
                .collect();
            self.pool.each(tasks, |(((group, mut kept), mut left), (d, x)), scratch| {
                let at = group.tokens().start * hidden..group.tokens().end * hidden;
                if let Some(states) = again {
                    // What the forward pass did not keep; the states pass through a buffer that is written later.
                    let x = &mut left.qkv[..at.len()];
                    x.copy_from_slice(&states[at.clone()]);
                    let kept = kept.again();
                    if self.spec.pre_norm() {
                        parts.forward_pre(group, x, scratch, Some(kept));
                    } else {
                        parts.forward(group, x, scratch, Some(kept));
                    }
                }
                if self.spec.pre_norm() {
                    parts.backward_pre(group, d, scratch, &mut kept, &mut left);
                } else {
                    parts.backward(group, d, scratch, &mut kept, &mut left);
                }
                if let Some((states, norm)) = input {
                    x.copy_from_slice(&states[at]);
                    if let Some(norm) = norm {
                        self.affine(x, norm);
                    }
                }
            });
            if self.spec.relative.is_some() {
                // Content and positions may share projections: block by block both, so that a split changes no bit.
                let table = self.dropped_table(l, dropout);
                for (i, block) in blocks.iter().enumerate().rev() {
                    let pairs = std::slice::from_ref(&pair_blocks[i]);
                    self.sums(l, &this[0], work, (std::slice::from_ref(block), pairs), gradients);
                    self.position_sums(l, &table, (&groups[i], i), work, gradients);
                }
                self.table_sums(l, dropout, &groups, work);
            } else {
                self.sums(l, &this[0], work, (&blocks, &pair_blocks), gradients);
            }
            self.norm_sums(l, batch.len(), work, gradients);
            this[0].projected = projected;
        }
        if let ([first, .., full, _], false) = (&mut keep.layers[..], keep.inputs.is_empty()) {
            // Where the next forward pass looks for it.
            full.take_room(first);
        }
        self.table_backward(work, gradients);
        self.embeddings_backward(batch, dropout, &groups, &blocks, keep, work, gradients);
    }

    /// Numbers in a row of the gradients of a layer's projected relative positions: those of the stack they came from.
    fn apart(&self, l: usize) -> usize {
        let own = self.places.layers[l].positions.is_some();
        if own { 2 * self.spec.shape.hidden } else { 3 * self.spec.shape.hidden }
    }

    /// Adds the gradients of a layer's parameters.
    fn sums(
        &self,
        l: usize,
        this: &KeptLayer,
        work: &mut Work,
        (blocks, pair_blocks): (&[Range<usize>], &[Range<usize>]),
        gradients: &mut [f32],
    ) {
        let (shape, places) = (self.spec.shape, &self.places.layers[l]);
        let Shape { level, hidden, inner, .. } = shape;
        // What queries, keys and values were made of, and the feed-forward part.
        let (first, second) = match (self.spec.pre_norm(), l) {
            (false, 0) => (work.embedded.as_slice(), &this.hat1),
            (false, _) => (work.x.as_slice(), &this.hat1),
            (true, 0) => (work.embedded.as_slice(), &this.hat2),
            (true, _) => (this.hat1.as_slice(), &this.hat2),
        };
        let shared = |inputs, wide, apart, outputs, stride, places| Shared {
            inputs,
            wide,
            apart,
            outputs,
            stride,
            places,
        };
        let all = [
            shared(&this.up, inner, shape.up(), &work.output, hidden, vec![&places.down]),
            shared(second, hidden, hidden, &work.up, shape.up(), vec![&places.up]),
            shared(&this.context, hidden, hidden, &work.attention, hidden, vec![&places.output]),
            shared(first, hidden, hidden, &work.qkv, 3 * hidden, places.qkv.iter().collect()),
        ];
        if self.spec.first_only(l) {
            // All but queries, keys and values by pair.
            accumulate(level, &self.pool, pair_blocks, &all[..3], &mut work.panels, gradients);
            accumulate(level, &self.pool, blocks, &all[3..], &mut work.panels, gradients);
        } else {
            accumulate(level, &self.pool, blocks, &all, &mut work.panels, gradients);
        }
    }

    /// Adds the gradients of a layer's norms.
    fn norm_sums(&self, l: usize, pairs: usize, work: &Work, gradients: &mut [f32]) {
        let (hidden, places) = (self.spec.shape.hidden, &self.places.layers[l]);
        let none = Pair { weight: 0..0, bias: 0..0 };
        let norm1 = places.norm1.as_ref().unwrap_or(&none);
        let norms = [&norm1.weight, &norm1.bias, &places.norm2.weight, &places.norm2.bias].map(Clone::clone);
        add_pairs(&work.norms[..pairs * 4 * hidden], hidden, gradients, &norms);
    }

    /// The table of relative positions as a layer of this batch sees it.
    fn dropped_table(&self, l: usize, dropout: &Dropout) -> Vec<f32> {
        let mut table = self.packed.table.rows.clone();
        if let Some(mask) = &dropout.relative[l] {
            self.spec.shape.level.run(Drop { mask, first: 0, x: &mut table });
        }
        table
    }

    /// Rows of the table that distances in a group have; the others have no gradient.
    fn reach(&self, group: &Group<'_>) -> Range<usize> {
        let far = group.each().map(|p| p.len()).max().unwrap_or(1) as i64 - 1;
        self.spec.relative.as_ref().map_or(0..0, |r| r.row(-far)..r.row(far) + 1)
    }

    /// Adds what a group's relative positions give to the weights that a layer projects them by.
    fn position_sums(
        &self,
        l: usize,
        table: &[f32],
        (group, i): (&Group<'_>, usize),
        work: &mut Work,
        gradients: &mut [f32],
    ) {
        let (hidden, apart, here) = (self.spec.shape.hidden, self.apart(l), self.reach(group));
        let first = i * table.len() / hidden;
        let places = &self.places.layers[l];
        let shared = Shared {
            inputs: &table[here.start * hidden..here.end * hidden],
            wide: hidden,
            apart: hidden,
            outputs: &work.positions[(first + here.start) * apart..(first + here.end) * apart],
            stride: apart,
            places: match &places.positions {
                Some(own) => own.iter().collect(),
                None => places.qkv[..2].iter().collect(),
            },
        };
        let rows = 0..here.len();
        let rows = std::slice::from_ref(&rows);
        accumulate(self.spec.shape.level, &self.pool, rows, &[shared], &mut work.panels, gradients);
    }

    /// Adds what a layer's relative positions give to the groups' gradients of the table.
    fn table_sums(&self, l: usize, dropout: &Dropout, groups: &[Group<'_>], work: &mut Work) {
        let Shape { level, hidden, .. } = self.spec.shape;
        let (apart, layer, numbers) = (self.apart(l), &self.packed.layers[l], self.packed.table.rows.len());
        let backward = &layer.positions.as_ref().unwrap_or(&layer.qkv).linear.backward;
        let positions = work.positions.chunks_exact(numbers / hidden * apart);
        let tasks = groups.iter().zip(positions.zip(work.table.chunks_exact_mut(numbers))).collect();
        self.pool.each(tasks, |(group, (d, table)), scratch| {
            let here = self.reach(group);
            let dropped = room(&mut scratch.y, here.len() * hidden);
            level.run(Product {
                a: &d[here.start * apart..here.end * apart],
                lies: Lies::Rows(apart),
                rows: here.len(),
                b: backward,
                depth: apart,
                columns: hidden,
                c: dropped,
                c_stride: hidden,
                store: Store::Set,
            });
            if let Some(mask) = &dropout.relative[l] {
                level.run(Drop { mask, first: (here.start * hidden) as u64, x: dropped });
            }
            for (t, d) in table[here.start * hidden..].iter_mut().zip(dropped) {
                *t += *d;
            }
        });
    }

    /// Adds the gradients of the table of relative positions and its norm, group by group from the last to the first.
    fn table_backward(&self, work: &mut Work, gradients: &mut [f32]) {
        let Some(table) = &self.places.table else { return };
        let level = self.spec.shape.level;
        let (gamma, beta) = table.norm.as_ref().map_or((0..0, 0..0), |n| (n.weight.clone(), n.bias.clone()));
        let mut slices = carve(gradients, &[table.rows.clone(), gamma.clone(), beta]);
        for d in work.table.chunks_exact_mut(table.rows.len()).rev() {
            if let [_, dgamma, dbeta] = &mut slices[..]
                && table.norm.is_some()
            {
                level.run(NormBackward {
                    d,
                    dz: None,
                    dropped: None,
                    hat: &self.packed.table.hat,
                    rho: &self.packed.table.rho,
                    gamma: &self.weights[gamma.clone()],
                    dgamma,
                    dbeta,
                });
            }
            slices[0].iter_mut().zip(d).for_each(|(g, d)| *g += *d);
        }
    }

    /// The first layer's input again, and before its projection the embeddings behind norm and dropout.
    fn work_embedded(&self, dropout: &Dropout, batch: &Packed, keep: &Keep, work: &mut Work) {
        work.dembedded.clear();
        let mut x = std::mem::take(&mut work.embedded);
        x.clear();
        x.extend_from_slice(&keep.hat);
        self.affine(&mut x, &self.places.norm);
        let whole = Group { pairs: 0..batch.len(), starts: &batch.starts, base: batch.first_token };
        self.drop_embeddings(dropout, &whole, &mut x);
        if let Some(projected) = self.project(&x) {
            // The narrow embeddings are needed once more.
            work.dembedded = std::mem::replace(&mut x, projected);
        }
        work.embedded = x;
    }

    /// Backward of a norm of the stream `d`, pair by pair; its gradients are added.
    #[expect(clippy::too_many_arguments, reason = "two buffers of the forward pass and three of this one")]
    fn norm_backward(
        &self,
        norm: &Pair,
        (hat, rho): (&[f32], &[f32]),
        batch: &Packed,
        groups: &[Group<'_>],
        d: &mut [f32],
        shares: &mut [f32],
        gradients: &mut [f32],
    ) {
        let width = norm.weight.len();
        let shares = &mut shares[..2 * width * batch.len()];
        shares.fill(0.0);
        let each = by_token(d, width, groups).into_iter().zip(by_pair(shares, 2 * width, groups));
        self.pool.each(groups.iter().zip(each).collect(), |(group, (d, shares)), _| {
            let first = group.tokens().start;
            for (pair, shares) in group.each().zip(shares.chunks_exact_mut(2 * width)) {
                let (dgamma, dbeta) = shares.split_at_mut(width);
                let here = first + pair.start..first + pair.end;
                self.spec.shape.level.run(NormBackward {
                    d: &mut d[pair.start * width..pair.end * width],
                    dz: None,
                    dropped: None,
                    hat: &hat[here.start * width..here.end * width],
                    rho: &rho[here],
                    gamma: &self.weights[norm.weight.clone()],
                    dgamma,
                    dbeta,
                });
            }
        });
        add_pairs(shares, width, gradients, &[norm.weight.clone(), norm.bias.clone()]);
    }

    #[expect(clippy::too_many_arguments, reason = "the buffers of a whole backward pass")]
    fn embeddings_backward(
        &self,
        batch: &Packed,
        dropout: &Dropout,
        groups: &[Group<'_>],
        blocks: &[Range<usize>],
        keep: &Keep,
        work: &mut Work,
        gradients: &mut [f32],
    ) {
        let Shape { level, width, hidden, .. } = self.spec.shape;
        if let Some(place) = &self.places.projection {
            let narrow = Shared {
                inputs: &work.dembedded,
                wide: width,
                apart: width,
                outputs: &work.d,
                stride: hidden,
                places: vec![place],
            };
            accumulate(level, &self.pool, blocks, &[narrow], &mut work.panels, gradients);
            let tasks = by_token(&mut work.dembedded, width, groups).into_iter();
            let tasks = groups.iter().zip(tasks.zip(by_token(&mut work.d, hidden, groups))).collect();
            self.pool.each(tasks, |(group, (narrow, d)), _| {
                level.run(Product {
                    a: d,
                    lies: Lies::Rows(hidden),
                    rows: group.tokens().len(),
                    b: &self.packed.projection.backward,
                    depth: hidden,
                    columns: width,
                    c: narrow,
                    c_stride: width,
                    store: Store::Set,
                });
            });
            std::mem::swap(&mut work.d, &mut work.dembedded);
        }
        let tasks = groups.iter().zip(by_token(&mut work.d, width, groups)).collect();
        self.pool.each(tasks, |(group, d), _| self.drop_embeddings(dropout, group, d));
        let Work { d, norms, .. } = work;
        self.norm_backward(&self.places.norm, (&keep.hat, &keep.rho), batch, groups, d, norms, gradients);
        // Tables take the rows from the last token to the first; only rows that occur are touched.
        let lookups = self.model.lookups(batch);
        for (t, d) in work.d.chunks_exact(width).enumerate().rev() {
            for (lookup, table) in lookups.iter().zip(&self.places.tables) {
                let row = &mut gradients[table.start + lookup.rows[t] as usize * width..][..width];
                row.iter_mut().zip(d).for_each(|(g, d)| *g += d);
            }
        }
        size(&mut work.d, 0);
    }
}

/// Adds the pairs' shares `[pairs, parts · width]` to the parts' gradients, from the last pair to the first.
fn add_pairs(shares: &[f32], width: usize, gradients: &mut [f32], places: &[Range<usize>]) {
    for (i, part) in carve(gradients, places).into_iter().enumerate() {
        for share in shares.chunks_exact(width * places.len()).rev() {
            for (g, s) in part.iter_mut().zip(&share[i * width..]) {
                *g += s;
            }
        }
    }
}
