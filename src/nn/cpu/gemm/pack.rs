//! Packing of operands: right operands into panels, left operands into strips.
//!
//! A right operand is cut into panels of [`NR`] columns, each stored depth first, so that the innermost loop reads it
//! straight through. Columns beyond the last are zero. At a rounding level its numbers are rounded to bfloat16 here; if
//! the machine multiplies bfloat16 pairs, a panel holds pairs of depths, which is a type of its own.

use std::cell::Cell;

use super::dispatch::Level;
#[cfg(target_arch = "x86_64")]
use super::isa::bf16::{Bf16, Bf16Pair};
use super::layout::{MR, NR, packed_len};
use super::round::Round;

/// A right operand before it is packed, `[depth, columns]`.
#[derive(Clone, Copy)]
pub(crate) struct Rhs<'a> {
    source: &'a [f32],
    stride: usize,
    depth: usize,
    columns: usize,
    transposed: bool,
}

impl<'a> Rhs<'a> {
    /// The operand as it is: element (d, c) is `source[d * stride + c]`.
    pub(crate) fn new(source: &'a [f32], stride: usize, depth: usize, columns: usize) -> Self {
        Self { source, stride, depth, columns, transposed: false }
    }

    /// The transpose (as of a linear layer's `[out, in]` weight going forward): element (d, c) is
    /// `source[c * stride + d]`.
    pub(crate) fn transposed(source: &'a [f32], stride: usize, depth: usize, columns: usize) -> Self {
        Self { source, stride, depth, columns, transposed: true }
    }

    /// Writes one panel, `[depth, NR]`.
    fn pack_panel(&self, panel: usize, out: &mut [f32]) {
        let first = panel * NR;
        let width = (self.columns - first).min(NR);
        if self.transposed {
            if width < NR {
                out.fill(0.0);
            }
            for j in 0..width {
                let row = &self.source[(first + j) * self.stride..][..self.depth];
                for (to, x) in out[j..].iter_mut().step_by(NR).zip(row) {
                    *to = *x;
                }
            }
            return;
        }
        for (d, row) in out.chunks_exact_mut(NR).enumerate() {
            let from = &self.source[d * self.stride + first..];
            if width == NR {
                row.copy_from_slice(&from[..NR]);
            } else {
                row[..width].copy_from_slice(&from[..width]);
                row[width..].fill(0.0);
            }
        }
    }
}

/// Memory of packed right operands, as the level that packs them multiplies them.
#[derive(Debug)]
pub(crate) enum PackedRhs {
    /// Numbers.
    F32(Vec<f32>),
    /// Pairs of bfloat16, with the token of what multiplies them.
    #[cfg(target_arch = "x86_64")]
    Bf16(Bf16, Vec<Bf16Pair>),
}

impl Default for PackedRhs {
    fn default() -> Self {
        Self::F32(Vec::new())
    }
}

/// Packed right operands.
#[derive(Clone, Copy)]
pub(crate) enum Panels<'a> {
    /// Numbers.
    F32(&'a [f32]),
    /// Pairs of bfloat16.
    #[cfg(target_arch = "x86_64")]
    Bf16(Bf16, &'a [Bf16Pair]),
}

/// Memory of packed right operands of known shapes.
pub(crate) enum PanelsMut<'a> {
    /// Numbers.
    F32(&'a mut [f32]),
    /// Pairs of bfloat16.
    #[cfg(target_arch = "x86_64")]
    Bf16(Bf16, &'a mut [Bf16Pair]),
}

fn grow_to<T: Clone + Default>(v: &mut Vec<T>, n: usize) {
    if v.len() < n {
        v.resize(n, T::default());
    }
}

impl PackedRhs {
    /// Packs an operand at the front, growing as needed.
    pub(crate) fn pack(&mut self, level: Level, rhs: &Rhs<'_>) -> Panels<'_> {
        self.reserve(level, rhs.depth, rhs.columns);
        match self {
            Self::F32(v) => {
                PanelsMut::F32(&mut v[..packed_len(rhs.depth, rhs.columns)]).pack(level, rhs, 0);
            }
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(isa, v) => {
                let length = packed_len(rhs.depth.div_ceil(2), rhs.columns);
                PanelsMut::Bf16(*isa, &mut v[..length]).pack(level, rhs, 0);
            }
        }
        self.panels()
    }

    /// Grows so that an operand of this shape finds room.
    pub(crate) fn reserve(&mut self, level: Level, depth: usize, columns: usize) {
        self.follow(level);
        match self {
            Self::F32(v) => grow_to(v, packed_len(depth, columns)),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(_, v) => grow_to(v, packed_len(depth.div_ceil(2), columns)),
        }
    }

    /// Becomes what the level multiplies.
    #[cfg(target_arch = "x86_64")]
    fn follow(&mut self, level: Level) {
        match (level.pairs(), &self) {
            (Some(_), Self::Bf16(..)) | (None, Self::F32(_)) => {}
            (Some(isa), Self::F32(_)) => *self = Self::Bf16(isa, Vec::new()),
            (None, Self::Bf16(..)) => *self = Self::default(),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn follow(&mut self, _: Level) {}

    /// Grows so that operands of these shapes (depth, columns), one after the other, find room; the room of each.
    pub(crate) fn split(&mut self, level: Level, shapes: &[(usize, usize)]) -> Vec<PanelsMut<'_>> {
        self.follow(level);
        match self {
            Self::F32(v) => {
                let lengths: Vec<_> = shapes.iter().map(|(d, c)| packed_len(*d, *c)).collect();
                grow_to(v, lengths.iter().sum());
                cut(v, lengths).map(PanelsMut::F32).collect()
            }
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(isa, v) => {
                let lengths: Vec<_> = shapes.iter().map(|(d, c)| packed_len(d.div_ceil(2), *c)).collect();
                grow_to(v, lengths.iter().sum());
                cut(v, lengths).map(|v| PanelsMut::Bf16(*isa, v)).collect()
            }
        }
    }

    /// What was packed.
    pub(crate) fn panels(&self) -> Panels<'_> {
        match self {
            Self::F32(v) => Panels::F32(v),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(isa, v) => Panels::Bf16(*isa, v),
        }
    }

    /// How many elements it holds.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(_, v) => v.len(),
        }
    }
}

impl<'a> Panels<'a> {
    /// Without the first columns, which are whole panels, of an operand of this depth.
    pub(crate) fn skip_columns(self, columns: usize, depth: usize) -> Self {
        debug_assert!(columns.is_multiple_of(NR), "a panel begins at a multiple of NR");
        match self {
            Self::F32(v) => Self::F32(&v[columns * depth..]),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(isa, v) => Self::Bf16(isa, &v[columns * depth.div_ceil(2)..]),
        }
    }
}

impl<'a> PanelsMut<'a> {
    /// Packs an operand's panels from one on, as many as there is room for.
    pub(crate) fn pack(&mut self, level: Level, rhs: &Rhs<'_>, first: usize) {
        match self {
            Self::F32(v) => {
                for (i, out) in v.chunks_exact_mut((rhs.depth * NR).max(1)).enumerate() {
                    rhs.pack_panel(first + i, out);
                }
                if level.rounds() {
                    level.run(Round(v));
                }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(isa, v) => {
                let mut panel = PANEL.take();
                panel.resize(rhs.depth * NR, 0.0);
                for (i, out) in v.chunks_exact_mut((rhs.depth.div_ceil(2) * NR).max(1)).enumerate() {
                    rhs.pack_panel(first + i, &mut panel);
                    isa.pair_rows(&panel, NR, rhs.depth, NR, out);
                }
                PANEL.set(panel);
            }
        }
    }

    /// Its panels, each for itself; `depth` is the operand's.
    pub(crate) fn each(&mut self, depth: usize) -> Vec<PanelsMut<'_>> {
        match self {
            Self::F32(v) => v.chunks_exact_mut((depth * NR).max(1)).map(PanelsMut::F32).collect(),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(isa, v) => {
                let panels = v.chunks_exact_mut((depth.div_ceil(2) * NR).max(1));
                panels.map(|v| PanelsMut::Bf16(*isa, v)).collect()
            }
        }
    }

    /// What was packed.
    pub(crate) fn panels(&self) -> Panels<'_> {
        match self {
            Self::F32(v) => Panels::F32(v),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(isa, v) => Panels::Bf16(*isa, v),
        }
    }
}

thread_local! {
    /// One panel before its numbers are paired.
    static PANEL: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

fn cut<T>(mut v: &mut [T], lengths: Vec<usize>) -> impl Iterator<Item = &mut [T]> {
    lengths.into_iter().map(move |n| {
        let (front, rest) = std::mem::take(&mut v).split_at_mut(n);
        v = rest;
        front
    })
}

/// Packs `rows` columns of a matrix `[depth, rows]` as a left operand: strips of [`MR`] rows of the operand, each stored
/// depth first. Elements beyond the last row keep what was there.
pub(crate) fn pack_strips(source: &[f32], stride: usize, depth: usize, rows: usize, out: &mut [f32]) {
    for (d, line) in source.chunks(stride).take(depth).enumerate() {
        let mut whole = line[..rows].chunks_exact(MR);
        let mut at = d * MR;
        for part in &mut whole {
            out[at..at + MR].copy_from_slice(part);
            at += depth * MR;
        }
        let rest = whole.remainder();
        if !rest.is_empty() {
            out[at..at + rest.len()].copy_from_slice(rest);
        }
    }
}
