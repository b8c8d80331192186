//! Matrix products over packed right operands.
//!
//! The right operand is cut into panels of [`WIDTH`] columns, each stored depth first, so that the innermost loop
//! reads it straight through. A result is one chain of multiply-adds over the depth, cut only at multiples of
//! [`DEPTH`]: it depends on its own row and column alone, never on how many rows or columns there are beside it.
//! That is what makes a score the same bits in every batch.

use std::cell::Cell;

use super::lanes::{Kernel, Lanes, N, bf16};

/// Columns of a panel.
pub(super) const WIDTH: usize = 2 * N;
/// Rows of a tile: with two vectors a row, 12 of the 16 registers hold results.
const TALL: usize = 6;
/// Rows of a strip: those of one tile, or of two where registers are fewer.
pub(super) const STRIP: usize = 12;
/// Depth of one pass; a panel of it fits the first cache.
const DEPTH: usize = 384;
/// Rows of one pass, which stay in the second cache.
pub(super) const TOGETHER: usize = 96;

/// The floats a packed operand of this shape takes.
pub(super) fn packed_len(depth: usize, columns: usize) -> usize {
    columns.next_multiple_of(WIDTH) * depth
}

/// Packs `columns` rows of `source` (the operand is its transpose: a linear layer's `[out, in]` weight going
/// forward) into panels from `first` on.
///
/// Element (d, c) is `source[c * stride + d]`. Places beyond the last column are zero.
pub(super) fn pack_transposed(source: &[f32], stride: usize, depth: usize, columns: usize, out: &mut [f32]) {
    for (panel, out) in out[..packed_len(depth, columns)].chunks_exact_mut(WIDTH * depth.max(1)).enumerate() {
        let wide = (columns - panel * WIDTH).min(WIDTH);
        if wide < WIDTH {
            out.fill(0.0);
        }
        for j in 0..wide {
            let row = &source[(panel * WIDTH + j) * stride..][..depth];
            for (place, x) in out[j..].iter_mut().step_by(WIDTH).zip(row) {
                *place = *x;
            }
        }
    }
}

/// Packs a matrix as it is: element (d, c) is `source[d * stride + c]`.
pub(super) fn pack(source: &[f32], stride: usize, depth: usize, columns: usize, out: &mut [f32]) {
    for (panel, out) in out[..packed_len(depth, columns)].chunks_exact_mut(WIDTH * depth.max(1)).enumerate() {
        pack_panel(source, stride, columns, panel, out);
    }
}

/// One panel of [`pack`]; its depth is what `out` holds.
pub(super) fn pack_panel(source: &[f32], stride: usize, columns: usize, panel: usize, out: &mut [f32]) {
    let first = panel * WIDTH;
    let wide = (columns - first).min(WIDTH);
    for (d, row) in out.chunks_exact_mut(WIDTH).enumerate() {
        let from = &source[d * stride + first..];
        if wide == WIDTH {
            row.copy_from_slice(&from[..WIDTH]);
        } else {
            row[..wide].copy_from_slice(&from[..wide]);
            row[wide..].fill(0.0);
        }
    }
}

/// Packs `columns` columns of a matrix as left operand: strips of [`STRIP`] columns, each stored row by row, so that
/// a sum over many rows reads straight through. Places beyond the last column keep what was there.
pub(super) fn pack_strips(source: &[f32], stride: usize, depth: usize, columns: usize, out: &mut [f32]) {
    for (d, row) in source.chunks(stride).take(depth).enumerate() {
        let mut whole = row[..columns].chunks_exact(STRIP);
        let mut at = d * STRIP;
        for few in &mut whole {
            out[at..at + STRIP].copy_from_slice(few);
            at += depth * STRIP;
        }
        let rest = whole.remainder();
        if !rest.is_empty() {
            out[at..at + rest.len()].copy_from_slice(rest);
        }
    }
}

/// The floats that [`pack_strips`] fills.
pub(super) fn strips_len(depth: usize, columns: usize) -> usize {
    columns.next_multiple_of(STRIP) * depth
}

/// How the left operand lies in memory.
#[derive(Clone, Copy)]
pub(super) enum Lies {
    /// `[rows, depth]`, with this distance from row to row.
    Rows(usize),
    /// `[depth, rows]`, with this distance from depth to depth.
    Columns(usize),
    /// As [`pack_strips`] leaves it.
    Strips,
}

/// What to do with a result.
#[derive(Clone, Copy)]
pub(super) enum Store<'a> {
    /// Write it.
    Set,
    /// Write it plus a number for each column.
    Bias(&'a [f32]),
    /// Add it to what is there.
    Add,
}

/// `c` = (or +=) `a` · `b`.
pub(super) struct Product<'a> {
    /// Lies operand, `rows` by `depth`.
    pub a: &'a [f32],
    /// How it lies.
    pub lies: Lies,
    /// Rows of the result.
    pub rows: usize,
    /// Right operand, packed, `[depth, columns]`.
    pub b: &'a [f32],
    /// Length of the sums.
    pub depth: usize,
    /// Columns of the result.
    pub columns: usize,
    /// The result.
    pub c: &'a mut [f32],
    /// Distance between rows of `c`.
    pub c_stride: usize,
    /// How it is written.
    pub store: Store<'a>,
}

impl Kernel for Product<'_> {
    type Output = ();
    const ROUNDS: bool = true;

    #[inline(always)]
    fn run<L: Lanes>(self) {
        match self.lies {
            Lies::Rows(stride) => self.go::<L, ROWS>(stride),
            Lies::Columns(stride) => self.go::<L, COLUMNS>(stride),
            Lies::Strips => self.go::<L, STRIPS>(STRIP),
        }
    }

    /// With a rounded copy of the left operand; the right one was rounded when it was packed.
    #[inline(always)]
    fn run_rounding<L: Lanes>(self) {
        if self.depth == 0 {
            return self.run::<L>();
        }
        let Self { a, lies, rows, b, depth, columns, c, c_stride, store } = self;
        // Lines of so many numbers lie so far apart; rows pass a block at a time, which stays in the second cache.
        let (lines, long, apart, block) = match lies {
            Lies::Rows(stride) => (rows, depth, stride, TOGETHER),
            Lies::Columns(stride) => (depth, rows, stride, depth),
            Lies::Strips => (1, strips_len(depth, rows), 0, 1),
        };
        let mut copy = ROUNDED.take();
        for first in (0..lines).step_by(block.max(1)) {
            let here = block.min(lines - first);
            copy.clear();
            for line in first..first + here {
                copy.extend(a[line * apart..][..long].iter().map(|x| bf16(*x)));
            }
            let (rows, c, lies) = match lies {
                Lies::Rows(_) => (here, &mut c[first * c_stride..], Lies::Rows(long)),
                Lies::Columns(_) => (rows, &mut *c, Lies::Columns(long)),
                Lies::Strips => (rows, &mut *c, lies),
            };
            Product { a: &copy, lies, rows, b, depth, columns, c, c_stride, store }.run::<L>();
        }
        ROUNDED.set(copy);
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn run_wide<L: Lanes>(self) {
        self.run_by_16();
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn run_pairs<L: Lanes>(self) {
        let mut copy = ROUNDED.take();
        Product::run_pairs(self, &mut copy);
        ROUNDED.set(copy);
    }
}

thread_local! {
    /// A left operand, rounded.
    static ROUNDED: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

const ROWS: u8 = 0;
const COLUMNS: u8 = 1;
const STRIPS: u8 = 2;

impl Product<'_> {
    #[inline(always)]
    fn go<L: Lanes, const LEFT: u8>(self, stride: usize) {
        let Self { a, rows, b, depth, columns, c, c_stride, store, .. } = self;
        assert!(b.len() >= packed_len(depth, columns), "the packed operand is shorter than its shape");
        let needed = match (rows, depth, LEFT) {
            (0, ..) => return,
            (_, 0, _) => 0,
            (.., ROWS) => (rows - 1) * stride + depth,
            (.., COLUMNS) => (depth - 1) * stride + rows,
            _ => strips_len(depth, rows),
        };
        assert!(a.len() >= needed, "the left operand is shorter than its shape");
        let mut done = 0;
        loop {
            let deep = (depth - done).min(DEPTH);
            let store = if done == 0 { store } else { Store::Add };
            for first_row in (0..rows).step_by(TOGETHER) {
                let last_row = (first_row + TOGETHER).min(rows);
                for first in (0..columns).step_by(WIDTH) {
                    let panel = b[first * depth + done * WIDTH..].as_ptr();
                    let wide = (columns - first).min(WIDTH);
                    let (mut row, mut left) = (first_row, last_row - first_row);
                    macro_rules! tiles {
                        ($($tall:expr),*) => {$(
                            while left >= $tall {
                                let from = match LEFT {
                                    ROWS => row * stride + done,
                                    COLUMNS => done * stride + row,
                                    // A tile lies within one strip: all but the last are TALL.
                                    _ => row / STRIP * STRIP * depth + done * STRIP + row % STRIP,
                                };
                                #[expect(unsafe_code, reason = "the innermost loop, without bounds checks")]
                                // SAFETY: the asserts above cover rows `row..row + $tall` (≤ rows) at depths
                                // `done..done + deep` (≤ depth) of `a`, and the panel's `deep` rows of WIDTH from
                                // depth `done` on, as every panel has `depth` rows.
                                let sums = unsafe {
                                    tile::<L, $tall, LEFT>(a.as_ptr().add(from), stride, deep, panel)
                                };
                                put(sums, c, row * c_stride + first, c_stride, wide, first, store);
                                row += $tall;
                                left -= $tall;
                            }
                        )*};
                    }
                    tiles!(TALL, 5, 4, 3, 2, 1);
                }
            }
            done += deep;
            if done >= depth {
                return;
            }
        }
    }
}

/// The sums of one tile.
///
/// # Safety
/// `a` is readable at `r * stride + d` (`d * stride + r` unless LEFT is ROWS) for r < M, d < depth; `b` for depth · WIDTH.
#[inline(always)]
#[expect(unsafe_code, reason = "the innermost loop, without bounds checks")]
unsafe fn tile<L: Lanes, const M: usize, const LEFT: u8>(
    a: *const f32,
    stride: usize,
    depth: usize,
    b: *const f32,
) -> [[L; 2]; M] {
    let mut sums = [[L::splat(0.0); 2]; M];
    // Loops are written out by hand, as iterators would cost unoptimised builds dearly.
    let mut d = 0;
    while d < depth {
        // SAFETY: d < depth, r < M; the function's contract.
        unsafe {
            let left = L::load_at(b.add(d * WIDTH));
            let right = L::load_at(b.add(d * WIDTH + N));
            let mut r = 0;
            while r < M {
                let x = L::splat(*a.add(if LEFT == ROWS { r * stride + d } else { d * stride + r }));
                sums[r][0] = x.mul_add(left, sums[r][0]);
                sums[r][1] = x.mul_add(right, sums[r][1]);
                r += 1;
            }
        }
        d += 1;
    }
    sums
}

#[inline(always)]
fn put<L: Lanes, const M: usize>(
    sums: [[L; 2]; M],
    c: &mut [f32],
    start: usize,
    stride: usize,
    wide: usize,
    column: usize,
    store: Store<'_>,
) {
    if wide == WIDTH {
        for (r, [mut x, mut y]) in sums.into_iter().enumerate() {
            let row = &mut c[start + r * stride..][..WIDTH];
            match store {
                Store::Set => {}
                Store::Bias(bias) => {
                    let bias = &bias[column..][..WIDTH];
                    x = x.add(L::load(bias));
                    y = y.add(L::load(&bias[N..]));
                }
                Store::Add => {
                    x = x.add(L::load(row));
                    y = y.add(L::load(&row[N..]));
                }
            }
            x.store(row);
            y.store(&mut row[N..]);
        }
        return;
    }
    for (r, [x, y]) in sums.into_iter().enumerate() {
        let mut all = [0.0; WIDTH];
        x.store(&mut all);
        y.store(&mut all[N..]);
        let row = &mut c[start + r * stride..][..wide];
        for (j, (place, x)) in row.iter_mut().zip(all).enumerate() {
            *place = match store {
                Store::Set => x,
                Store::Bias(bias) => x + bias[column + j],
                Store::Add => x + *place,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::Level;
    use super::*;
    use xpipe_base::value::rng::Stream;

    fn random(n: usize, of: u64) -> Vec<f32> {
        let s = Stream::new(of, &["product"]);
        (0..n).map(|i| s.normal(i as u64) as f32).collect()
    }

    fn levels() -> Vec<Level> {
        Level::all()
    }

    #[test]
    fn products_of_all_layouts_equal_naive_sums() {
        let shapes =
            [(1, 1, 1), (7, 5, 3), (6, 16, 16), (13, 400, 33), (97, 31, 17), (2, 0, 4), (100, 800, 48)];
        for (rows, depth, columns) in shapes {
            let a = random(rows * depth, 1);
            let w = random(columns * depth, 2);
            let bias = random(columns, 3);
            let there = random(rows * columns, 4);
            let mut straight = vec![f32::NAN; packed_len(depth, columns)];
            let mut turned = straight.clone();
            pack_transposed(&w, depth, depth, columns, &mut straight);
            let wt: Vec<f32> = (0..depth * columns).map(|i| w[(i % columns) * depth + i / columns]).collect();
            pack(&wt, columns, depth, columns, &mut turned);
            assert_eq!(straight, turned);
            let at: Vec<f32> = (0..depth * rows).map(|i| a[(i % rows) * depth + i / rows]).collect();
            for level in levels() {
                let mut strips = vec![0.0; strips_len(depth, rows)];
                pack_strips(&at, rows, depth, rows, &mut strips);
                let all = [(&a, Lies::Rows(depth)), (&at, Lies::Columns(rows)), (&strips, Lies::Strips)];
                for (kind, (a_there, lies)) in (0..3).flat_map(|k| all.map(|l| (k, l))) {
                    let mut c = there.clone();
                    let store = [Store::Set, Store::Bias(&bias), Store::Add][kind];
                    level.run(Product {
                        a: a_there,
                        lies,
                        rows,
                        b: &straight,
                        depth,
                        columns,
                        c: &mut c,
                        c_stride: columns,
                        store,
                    });
                    for i in 0..rows {
                        for j in 0..columns {
                            let terms =
                                (0..depth).map(|d| f64::from(a[i * depth + d]) * f64::from(w[j * depth + d]));
                            let (mut exact, mut size) = (0.0, 1.0);
                            for t in terms {
                                exact += t;
                                size += t.abs();
                            }
                            exact += [0.0, f64::from(bias[j]), f64::from(there[i * columns + j])][kind];
                            let got = f64::from(c[i * columns + j]);
                            assert!(
                                (got - exact).abs() < 1e-6 * size,
                                "{rows} {depth} {columns}: {got} {exact}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_rounding_product_is_that_of_rounded_operands() {
        for (rows, depth, columns) in [(1, 1, 1), (13, 400, 33), (97, 31, 17), (200, 96, 48), (2, 0, 4)] {
            let (a, w) = (random(rows * depth, 1), random(columns * depth, 2));
            let at: Vec<f32> = (0..depth * rows).map(|i| a[(i % rows) * depth + i / rows]).collect();
            let mut strips = vec![0.0; strips_len(depth, rows)];
            pack_strips(&at, rows, depth, rows, &mut strips);
            for level in levels() {
                let level = level.rounding(true);
                let mut b = vec![0.0; packed_len(depth, columns)];
                pack_transposed(&w, depth, depth, columns, &mut b);
                level.settle(&mut b, depth);
                let all = [(&a, Lies::Rows(depth)), (&at, Lies::Columns(rows)), (&strips, Lies::Strips)];
                for (a_there, lies) in all {
                    let mut c = vec![f32::NAN; rows * columns];
                    let (a_there, b) = (&a_there[..], &b[..]);
                    let (c_stride, store) = (columns, Store::Set);
                    level.run(Product {
                        a: a_there,
                        lies,
                        rows,
                        b,
                        depth,
                        columns,
                        c: &mut c,
                        c_stride,
                        store,
                    });
                    for (at, got) in c.iter().enumerate() {
                        let (i, j) = (at / columns, at % columns);
                        let terms = (0..depth)
                            .map(|d| f64::from(bf16(a[i * depth + d])) * f64::from(bf16(w[j * depth + d])));
                        let (exact, size) = terms.fold((0.0, 1.0), |(s, n), t| (s + t, n + t.abs()));
                        assert!((f64::from(*got) - exact).abs() < 1e-6 * size, "{rows} {depth} {columns}");
                    }
                }
            }
        }
    }

    #[test]
    fn avx2_and_avx512_give_the_same_bits() {
        let wide: Vec<Level> = levels().into_iter().filter(|l| l.name().starts_with("avx")).collect();
        for (rows, depth, columns) in [(1, 1, 1), (23, 800, 33), (100, 384, 48), (12, 77, 32), (35, 385, 17)]
        {
            let (a, w) = (random(rows * depth, 1), random(columns * depth, 2));
            let mut b = vec![0.0; packed_len(depth, columns)];
            pack_transposed(&w, depth, depth, columns, &mut b);
            let results = wide.iter().map(|level| {
                let mut c = vec![f32::NAN; rows * columns];
                let (lies, c_stride, store) = (Lies::Rows(depth), columns, Store::Set);
                level.run(Product { a: &a, lies, rows, b: &b, depth, columns, c: &mut c, c_stride, store });
                c
            });
            let results: Vec<_> = results.collect();
            assert!(results.windows(2).all(|w| w[0] == w[1]), "{rows} {depth} {columns}");
        }
    }

    #[test]
    fn a_row_has_the_same_bits_whatever_is_beside_it() {
        let (depth, columns) = (800, 40);
        let a = random(101 * depth, 1);
        let w = random(columns * depth, 2);
        let mut b = vec![0.0; packed_len(depth, columns)];
        pack_transposed(&w, depth, depth, columns, &mut b);
        for level in levels().into_iter().flat_map(|l| [l, l.rounding(true)]) {
            let mut b = b.clone();
            level.settle(&mut b, depth);
            let product = |from: usize, rows: usize| {
                let mut c = vec![0.0; rows * columns];
                let a = &a[from * depth..(from + rows) * depth];
                let store = Store::Set;
                let c_stride = columns;
                level.run(Product {
                    a,
                    lies: Lies::Rows(depth),
                    rows,
                    b: &b,
                    depth,
                    columns,
                    c: &mut c,
                    c_stride,
                    store,
                });
                c
            };
            let all = product(0, 101);
            for (from, rows) in [(0, 1), (100, 1), (3, 2), (5, 7), (90, 11), (1, 97)] {
                assert_eq!(product(from, rows), all[from * columns..(from + rows) * columns]);
            }
        }
    }
}
