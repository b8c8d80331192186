//! Products against plain sums in f64, at every level and in every layout.

use super::bfloat16::bf16;
use super::layout::{packed_len, strips_len};
use super::pack::{PackedRhs, Rhs, pack_strips};
use super::round::Round;
use super::*;
use xpipe_base::value::rng::Stream;

fn random(n: usize, seed: u64) -> Vec<f32> {
    let s = Stream::new(seed, &["product"]);
    (0..n).map(|i| s.normal(i as u64) as f32).collect()
}

/// Both rounding to bfloat16 and not.
fn all_levels() -> impl Iterator<Item = Level> {
    Level::all().into_iter().flat_map(|l| [l, l.rounding(true)])
}

/// A right operand `[depth, columns]`, the transpose of `w`.
fn packed(level: Level, w: &[f32], depth: usize, columns: usize) -> PackedRhs {
    let mut packed = PackedRhs::default();
    packed.pack(level, &Rhs::transposed(w, depth, depth, columns));
    packed
}

/// The product of a row-major operand.
fn product(level: Level, a: &[f32], b: &PackedRhs, [rows, depth, columns]: [usize; 3]) -> Vec<f32> {
    let mut c = vec![f32::NAN; rows * columns];
    level.gemm(Gemm {
        a,
        layout: Layout::RowMajor(depth),
        rows,
        b: b.panels(),
        depth,
        columns,
        c: &mut c,
        c_stride: columns,
        store: Store::Set,
    });
    c
}

/// `[rows, columns]` to `[columns, rows]`.
fn transpose(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|i| x[(i % rows) * columns + i / rows]).collect()
}

#[test]
fn products_of_all_layouts_equal_naive_sums_of_the_operands_rounded_or_not() {
    let shapes = [(1, 1, 1), (7, 5, 3), (6, 16, 16), (13, 400, 33), (97, 31, 17), (2, 0, 4), (100, 800, 48)];
    for (rows, depth, columns) in shapes {
        let (a, w) = (random(rows * depth, 1), random(columns * depth, 2));
        let (bias, before) = (random(columns, 3), random(rows * columns, 4));
        let at = transpose(&a, rows, depth);
        let mut strips = vec![0.0; strips_len(depth, rows)];
        pack_strips(&at, rows, depth, rows, &mut strips);
        for level in all_levels() {
            let b = packed(level, &w, depth, columns);
            let round = |x: f32| f64::from(if level.rounds() { bf16(x) } else { x });
            let layouts =
                [(&a, Layout::RowMajor(depth)), (&at, Layout::ColumnMajor(rows)), (&strips, Layout::Strips)];
            for (kind, (a_there, layout)) in (0..3).flat_map(|k| layouts.map(|l| (k, l))) {
                let mut c = before.clone();
                let store = [Store::Set, Store::Bias(&bias), Store::Add][kind];
                let (b, c_stride) = (b.panels(), columns);
                level.gemm(Gemm { a: a_there, layout, rows, b, depth, columns, c: &mut c, c_stride, store });
                for (at, got) in c.iter().enumerate() {
                    let (i, j) = (at / columns, at % columns);
                    let terms = (0..depth).map(|d| round(a[i * depth + d]) * round(w[j * depth + d]));
                    let (exact, size) = terms.fold((0.0, 1.0), |(s, n), t| (s + t, n + t.abs()));
                    let exact = exact + [0.0, f64::from(bias[j]), f64::from(before[at])][kind];
                    let off = (f64::from(*got) - exact).abs();
                    assert!(
                        off < 1e-6 * size,
                        "{level:?} {layout:?} {rows} {depth} {columns}: {got} {exact}"
                    );
                }
            }
        }
    }
}

#[test]
fn an_operand_and_its_transpose_are_packed_alike() {
    for (depth, columns) in [(5, 3), (400, 33), (31, 17), (0, 4)] {
        let (w, a) = (random(columns * depth, 2), random(3 * depth, 1));
        let wt = transpose(&w, columns, depth);
        for level in all_levels() {
            let mut straight = PackedRhs::default();
            straight.pack(level, &Rhs::new(&wt, columns, depth, columns));
            let shape = [3, depth, columns];
            let transposed = packed(level, &w, depth, columns);
            assert_eq!(product(level, &a, &straight, shape), product(level, &a, &transposed, shape));
            assert_eq!(straight.len(), transposed.len());
            assert!(level.rounds() || straight.len() == packed_len(depth, columns));
        }
    }
}

#[test]
fn panels_packed_one_by_one_or_from_a_column_on_are_the_same() {
    let (depth, columns) = (77, 50);
    let (w, a) = (random(columns * depth, 2), random(3 * depth, 1));
    for level in all_levels() {
        let whole = packed(level, &w, depth, columns);
        let rhs = Rhs::transposed(&w, depth, depth, columns);
        let mut parts = PackedRhs::default();
        for room in &mut parts.split(level, &[(depth, columns)]) {
            for (i, panel) in room.each(depth).iter_mut().enumerate() {
                panel.pack(level, &rhs, i);
            }
        }
        let all = product(level, &a, &whole, [3, depth, columns]);
        assert_eq!(product(level, &a, &parts, [3, depth, columns]), all);
        let mut c = vec![0.0; 3 * 18];
        let b = whole.panels().skip_columns(32, depth);
        let (layout, store) = (Layout::RowMajor(depth), Store::Set);
        level.gemm(Gemm { a: &a, layout, rows: 3, b, depth, columns: 18, c: &mut c, c_stride: 18, store });
        for (row, all) in c.chunks(18).zip(all.chunks(columns)) {
            assert_eq!(row, &all[32..]);
        }
    }
}

#[test]
fn memory_of_packed_operands_follows_the_level() {
    let (w, a) = (random(40 * 30, 2), random(2 * 30, 1));
    let mut packed = PackedRhs::default();
    for level in all_levels().chain(all_levels()) {
        packed.pack(level, &Rhs::transposed(&w, 30, 30, 40));
        let fresh = self::packed(level, &w, 30, 40);
        assert_eq!(product(level, &a, &packed, [2, 30, 40]), product(level, &a, &fresh, [2, 30, 40]));
    }
}

#[test]
fn avx2_and_avx512_give_the_same_bits() {
    let avx: Vec<Level> = Level::all().into_iter().filter(|l| l.name().starts_with("avx")).collect();
    for shape in [[1, 1, 1], [23, 800, 33], [100, 384, 48], [12, 77, 32], [35, 385, 17]] {
        let [rows, depth, columns] = shape;
        let (a, w) = (random(rows * depth, 1), random(columns * depth, 2));
        let result = |level: &Level| product(*level, &a, &packed(*level, &w, depth, columns), shape);
        let results: Vec<_> = avx.iter().map(result).collect();
        assert!(results.windows(2).all(|w| w[0] == w[1]), "{shape:?}");
    }
}

#[test]
fn a_row_has_the_same_bits_whatever_is_beside_it() {
    let (depth, columns) = (800, 40);
    let (a, w) = (random(101 * depth, 1), random(columns * depth, 2));
    for level in all_levels() {
        let b = packed(level, &w, depth, columns);
        let all = product(level, &a, &b, [101, depth, columns]);
        for (from, rows) in [(0, 1), (100, 1), (3, 2), (5, 7), (90, 11), (1, 97)] {
            let some = product(level, &a[from * depth..(from + rows) * depth], &b, [rows, depth, columns]);
            assert_eq!(some, all[from * columns..(from + rows) * columns]);
        }
    }
}

#[test]
fn bfloat16_is_the_nearest_with_ties_to_even() {
    // 8 bits of significand: 1 + 2⁻⁸ and 1 + 3 · 2⁻⁸ lie halfway.
    let (half, step) = (2f32.powi(-8), 2f32.powi(-7));
    let cases = [
        (1.0, 1.0),
        (1.0 + half, 1.0),
        (1.0 + half * 1.001, 1.0 + step),
        (1.0 + 3.0 * half, 1.0 + 2.0 * step),
        (-3.3, -3.296_875),
        (0.0, 0.0),
        (f32::MAX, f32::INFINITY),
        (f32::NEG_INFINITY, f32::NEG_INFINITY),
    ];
    for (x, near) in cases {
        assert_eq!(bf16(x), near, "{x}");
    }
    assert!(bf16(f32::NAN).is_nan() && bf16(f32::from_bits(0x7fff_ffff)).is_nan());
    for level in Level::all() {
        let mut x: Vec<f32> = (0..37).map(|i| (i as f32).sqrt()).collect();
        let expected: Vec<f32> = x.iter().map(|x| bf16(*x)).collect();
        level.run(Round(&mut x));
        assert_eq!(x, expected);
    }
}
