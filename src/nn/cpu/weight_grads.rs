//! Gradients of linear layers: products over all tokens of the batch, and sums of rows for the biases.
//!
//! A task is a stripe of a weight's rows. It adds the sums over the batch's blocks, from the last block to the first, so
//! neither the number of threads nor a split of the batch between blocks changes a bit. The inputs are packed first,
//! once for all stripes.

use std::ops::Range;

use super::activation_fn::ColumnSums;
use super::buffers::{disjoint_slices, grow};
use super::gemm::Gemm;
use super::gemm::dispatch::Level;
use super::gemm::layout::{Layout, Store, strips_len};
use super::gemm::pack::{PackedRhs, PanelsMut, Rhs, pack_strips};
use super::pool::ThreadPool;
use crate::explicit::params::LinearParams;

/// Rows of a weight in one task; a multiple of a strip's rows and of eight.
pub(super) const STRIPE: usize = 96;

/// Linear layers that share their input.
pub(super) struct LinearGrads<'a> {
    /// Inputs `[tokens, width]`.
    pub inputs: &'a [f32],
    /// Width of the inputs.
    pub width: usize,
    /// Row stride of the inputs.
    pub input_stride: usize,
    /// Gradients of the outputs `[tokens, out · layers]`, the layers' side by side.
    pub grads: &'a [f32],
    /// Row stride of the gradients.
    pub grad_stride: usize,
    /// The layers.
    pub params: Vec<&'a LinearParams>,
}

/// One stripe of a weight's rows with its part of the bias (which may be empty).
struct Stripe<'a> {
    /// Which of the [`LinearGrads`].
    which: usize,
    /// The column of the gradients of its first row.
    column: usize,
    weight: &'a mut [f32],
    bias: &'a mut [f32],
}

/// Adds the gradients of all these layers' weights and biases: sums over each of `blocks` (rows of inputs and
/// gradients, in the order of the batch), added from the last to the first.
pub(super) fn accumulate(
    level: Level,
    pool: &ThreadPool,
    blocks: &[Range<usize>],
    all: &[LinearGrads<'_>],
    memory: &mut PackedRhs,
    gradients: &mut [f32],
) {
    let panels = pack_inputs(level, pool, blocks, all, memory);
    let stripes = stripes(all, gradients);
    pool.each(stripes, |stripe, scratch| {
        let LinearGrads { width, grads, grad_stride, .. } = all[stripe.which];
        let rows = stripe.weight.len() / width;
        for (i, block) in blocks.iter().enumerate().rev().filter(|(_, b)| !b.is_empty()) {
            let from = &grads[block.start * grad_stride..block.end * grad_stride][stripe.column..];
            let strips = grow(&mut scratch.sublayer, strips_len(block.len(), rows));
            pack_strips(from, grad_stride, block.len(), rows, strips);
            level.gemm(Gemm {
                a: strips,
                layout: Layout::Strips,
                rows,
                b: panels[stripe.which * blocks.len() + i].panels(),
                depth: block.len(),
                columns: width,
                c: stripe.weight,
                c_stride: width,
                store: Store::Add,
            });
            level.run(ColumnSums { rows: from, stride: grad_stride, out: stripe.bias });
        }
    });
}

/// Packs each block of each input as a right operand, a panel a task.
fn pack_inputs<'m>(
    level: Level,
    pool: &ThreadPool,
    blocks: &[Range<usize>],
    all: &[LinearGrads<'_>],
    memory: &'m mut PackedRhs,
) -> Vec<PanelsMut<'m>> {
    let each = || all.iter().flat_map(|g| blocks.iter().map(move |b| (g, b)));
    let shapes: Vec<_> = each().map(|(g, b)| (b.len(), g.width)).collect();
    let mut operands = memory.split(level, &shapes);
    let tasks = each().zip(&mut operands).filter(|((_, b), _)| !b.is_empty()).flat_map(|((g, b), room)| {
        let rhs = Rhs::new(&g.inputs[b.start * g.input_stride..], g.input_stride, b.len(), g.width);
        room.each(b.len()).into_iter().enumerate().map(move |(i, panel)| (rhs, i, panel))
    });
    pool.each(tasks.collect(), |(rhs, i, mut panel), _| panel.pack(level, &rhs, i));
    operands
}

/// Cuts the weights and biases of all layers into stripes.
fn stripes<'a>(all: &[LinearGrads<'_>], gradients: &'a mut [f32]) -> Vec<Stripe<'a>> {
    let mut layers = Vec::new();
    for (which, g) in all.iter().enumerate() {
        let mut column = 0;
        for params in &g.params {
            layers.push((which, column, *params));
            column += params.weight.len() / g.width;
        }
    }
    let ranges: Vec<_> = layers.iter().flat_map(|(_, _, p)| [p.weight.clone(), p.bias.clone()]).collect();
    let mut slices = disjoint_slices(gradients, &ranges).into_iter();
    let mut stripes = Vec::new();
    for (which, column, _) in layers {
        if let (Some(weight), Some(bias)) = (slices.next(), slices.next()) {
            let mut biases = bias.chunks_mut(STRIPE);
            for (i, weight) in weight.chunks_mut(STRIPE * all[which].width).enumerate() {
                let bias = biases.next().unwrap_or_default();
                stripes.push(Stripe { which, column: column + i * STRIPE, weight, bias });
            }
        }
    }
    // The longest first, so that threads end together.
    stripes.sort_by_key(|t| std::cmp::Reverse(t.weight.len()));
    stripes
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
    fn sums_over_tokens_equal_plain_loops_for_any_number_of_threads() {
        let (tokens, width, out) = (401, 24, [104, 8]);
        let (x, d) = (random(tokens * width, 1), random(tokens * (out[0] + out[1]), 2));
        let first = LinearParams { weight: 10..10 + out[0] * width, bias: 3000..3000 + out[0] };
        let second = LinearParams { weight: 4000..4000 + out[1] * width, bias: 0..out[1] };
        for level in [Level::PORTABLE, Level::detect()] {
            let run = |threads: usize| {
                let mut g = vec![0.5; 5000];
                let params = vec![&first, &second];
                let grads = LinearGrads {
                    inputs: &x,
                    width,
                    input_stride: width,
                    grads: &d,
                    grad_stride: 112,
                    params,
                };
                let (pool, blocks) = (ThreadPool::new(threads).unwrap(), [0..200, 200..tokens]);
                accumulate(level, &pool, &blocks, &[grads], &mut PackedRhs::default(), &mut g);
                g
            };
            let got = run(1);
            assert!(got == run(2) && got == run(3));
            let sum = |o: usize, i: Option<usize>| {
                let each = (0..tokens)
                    .map(|t| f64::from(d[t * 112 + o]) * i.map_or(1.0, |i| f64::from(x[t * width + i])));
                0.5 + each.sum::<f64>()
            };
            for (pair, from) in [(&first, 0), (&second, out[0])] {
                for (o, b) in pair.bias.clone().enumerate() {
                    assert!((f64::from(got[b]) - sum(from + o, None)).abs() < 1e-4);
                    for i in 0..width {
                        let w = f64::from(got[pair.weight.start + o * width + i]);
                        assert!((w - sum(from + o, Some(i))).abs() < 1e-4);
                    }
                }
            }
            assert_eq!(got[9], 0.5);
        }
    }
}
