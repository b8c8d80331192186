//! Gradients of a layer's weights: products over all tokens of the batch, and sums of their rows for the biases.
//!
//! Each stripe of a weight's rows is one task that adds the sums over the batch's blocks, from the last block to the
//! first, so neither the number of threads nor a split of the batch between blocks changes a bit. The inputs are packed
//! first, once for all stripes.

use std::ops::Range;

use super::activate::ColumnSums;
use super::attention::room;
use super::lanes::Level;
use super::pool::Pool;
use super::product::{Lies, Product, Store, WIDTH, pack_panel, pack_strips, packed_len, strips_len};
use super::weights::Pair;

/// Rows of a weight in one task; a multiple of the tile's and of eight.
pub(super) const STRIPE: usize = 96;

/// Linear layers that share their input.
pub(super) struct Shared<'a> {
    /// Inputs `[tokens, wide]`.
    pub inputs: &'a [f32],
    /// Width of the inputs.
    pub wide: usize,
    /// Distance between rows of the inputs in memory.
    pub apart: usize,
    /// Gradients of the outputs `[tokens, out · layers]`, the layers' side by side.
    pub outputs: &'a [f32],
    /// Distance between rows of the outputs in memory.
    pub stride: usize,
    /// The layers.
    pub places: Vec<&'a Pair>,
}

/// One stripe of a weight's rows with its share of the bias (which may have none).
struct Task<'a> {
    which: usize,
    column: usize,
    weight: &'a mut [f32],
    bias: &'a mut [f32],
}

/// Adds the gradients of all these layers' weights and biases, summed over each of `blocks` (rows of inputs and outputs,
/// in the order of the batch) and added from the last to the first.
pub(super) fn accumulate(
    level: Level,
    pool: &Pool,
    blocks: &[Range<usize>],
    all: &[Shared<'_>],
    room_for_panels: &mut Vec<f32>,
    gradients: &mut [f32],
) {
    let lengths: Vec<usize> =
        all.iter().flat_map(|s| blocks.iter().map(|b| packed_len(b.len(), s.wide))).collect();
    let mut rest = room(room_for_panels, lengths.iter().sum());
    let mut panels = Vec::new();
    for n in &lengths {
        let (own, after) = rest.split_at_mut(*n);
        rest = after;
        panels.push(own);
    }
    let each = all.iter().flat_map(|s| blocks.iter().map(move |b| (s, b)));
    let packing: Vec<_> = each
        .zip(&mut panels)
        .filter(|((_, b), _)| !b.is_empty())
        .flat_map(|((s, b), own)| {
            own.chunks_exact_mut(WIDTH * b.len()).enumerate().map(move |(i, p)| (s, b.start, i, p))
        })
        .collect();
    pool.each(packing, |(shared, first, i, panel), _| {
        pack_panel(&shared.inputs[first * shared.apart..], shared.apart, shared.wide, i, panel);
        level.settle(panel, panel.len() / WIDTH);
    });

    let pairs: Vec<(usize, usize, &Pair)> = all
        .iter()
        .enumerate()
        .flat_map(|(which, s)| {
            s.places.iter().scan(0, move |column, p| {
                let first = *column;
                *column += p.weight.len() / s.wide;
                Some((which, first, *p))
            })
        })
        .collect();
    let ranges: Vec<_> = pairs.iter().flat_map(|(_, _, p)| [p.weight.clone(), p.bias.clone()]).collect();
    let mut slices = carve(gradients, &ranges).into_iter();
    let mut tasks = Vec::new();
    for (which, column, _) in pairs {
        if let (Some(weight), Some(bias)) = (slices.next(), slices.next()) {
            let mut biases = bias.chunks_mut(STRIPE);
            for (i, weight) in weight.chunks_mut(STRIPE * all[which].wide).enumerate() {
                let bias = biases.next().unwrap_or_default();
                tasks.push(Task { which, column: column + i * STRIPE, weight, bias });
            }
        }
    }
    // The longest first, so that threads end together.
    tasks.sort_by_key(|t| std::cmp::Reverse(t.weight.len()));
    pool.each(tasks, |task, scratch| {
        let shared = &all[task.which];
        let stride = shared.stride;
        let out = task.weight.len() / shared.wide;
        for (i, block) in blocks.iter().enumerate().rev().filter(|(_, b)| !b.is_empty()) {
            let from = &shared.outputs[block.start * stride..block.end * stride][task.column..];
            let strips = room(&mut scratch.z, strips_len(block.len(), out));
            pack_strips(from, stride, block.len(), out, strips);
            level.run(Product {
                a: strips,
                lies: Lies::Strips,
                rows: out,
                b: panels[task.which * blocks.len() + i],
                depth: block.len(),
                columns: shared.wide,
                c: task.weight,
                c_stride: shared.wide,
                store: Store::Add,
            });
            level.run(ColumnSums { rows: from, stride, out: task.bias });
        }
    });
}

/// Disjoint pieces of a slice, in the order asked for.
///
/// # Panics
/// When ranges overlap or leave the slice: a defect of the layout.
pub(super) fn carve<'a>(slice: &'a mut [f32], ranges: &[Range<usize>]) -> Vec<&'a mut [f32]> {
    let mut order: Vec<usize> = (0..ranges.len()).collect();
    order.sort_by_key(|i| (ranges[*i].start, ranges[*i].end));
    let mut out: Vec<Option<&'a mut [f32]>> = ranges.iter().map(|_| None).collect();
    let (mut rest, mut at) = (slice, 0);
    for i in order {
        let (_, after) = std::mem::take(&mut rest).split_at_mut(ranges[i].start - at);
        let (own, after) = after.split_at_mut(ranges[i].len());
        out[i] = Some(own);
        (rest, at) = (after, ranges[i].end);
    }
    out.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use xpipe_base::value::rng::Stream;

    fn random(n: usize, of: u64) -> Vec<f32> {
        let s = Stream::new(of, &["gradients"]);
        (0..n).map(|i| s.normal(i as u64) as f32).collect()
    }

    #[test]
    fn pieces_come_in_the_order_asked_for() {
        let mut x: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let pieces = carve(&mut x, &[7..9, 0..0, 1..3]);
        assert_eq!(pieces, [&mut [7.0, 8.0][..], &mut [], &mut [1.0, 2.0]]);
    }

    #[test]
    fn sums_over_tokens_equal_plain_loops_for_any_number_of_threads() {
        let (tokens, wide, out) = (401, 24, [104, 8]);
        let (x, d) = (random(tokens * wide, 1), random(tokens * (out[0] + out[1]), 2));
        let first = Pair { weight: 10..10 + out[0] * wide, bias: 3000..3000 + out[0] };
        let second = Pair { weight: 4000..4000 + out[1] * wide, bias: 0..out[1] };
        for level in [Level::PORTABLE, Level::detect()] {
            let run = |threads: usize| {
                let mut g = vec![0.5; 5000];
                let places = vec![&first, &second];
                let shared = Shared { inputs: &x, wide, apart: wide, outputs: &d, stride: 112, places };
                let (pool, blocks) = (Pool::new(threads).unwrap(), [0..200, 200..tokens]);
                accumulate(level, &pool, &blocks, &[shared], &mut Vec::new(), &mut g);
                g
            };
            let got = run(1);
            assert!(got == run(2) && got == run(3));
            let sum = |o: usize, i: Option<usize>| {
                let each = (0..tokens)
                    .map(|t| f64::from(d[t * 112 + o]) * i.map_or(1.0, |i| f64::from(x[t * wide + i])));
                0.5 + each.sum::<f64>()
            };
            for (pair, from) in [(&first, 0), (&second, out[0])] {
                for (o, b) in pair.bias.clone().enumerate() {
                    assert!((f64::from(got[b]) - sum(from + o, None)).abs() < 1e-4);
                    for i in 0..wide {
                        let w = f64::from(got[pair.weight.start + o * wide + i]);
                        assert!((w - sum(from + o, Some(i))).abs() < 1e-4);
                    }
                }
            }
            assert_eq!(got[9], 0.5);
        }
    }
}
