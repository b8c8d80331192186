//! Block sizes and memory layouts of the operands of a matrix product.
//!
//! Names of sizes are those of BLIS: a tile is at most [`MR`] rows by [`NR`] columns (or two panels of them), a pass
//! covers [`KC`] of the depth and [`MC`] rows.

/// Columns of a panel of the packed right operand: two vectors of eight.
pub(crate) const NR: usize = 16;
/// Rows of the tallest tile, and of a strip of a packed left operand.
pub(crate) const MR: usize = 12;
/// Depth of one pass. A panel of it fits the first-level cache.
pub(crate) const KC: usize = 384;
/// Rows of one pass. They stay in the second-level cache.
pub(crate) const MC: usize = 96;

/// Elements of a packed right operand `[depth, columns]`: whole panels of [`NR`] columns.
pub(crate) fn packed_len(depth: usize, columns: usize) -> usize {
    columns.next_multiple_of(NR) * depth
}

/// Elements of a left operand `[depth, rows]` packed into strips of [`MR`] rows.
pub(crate) fn strips_len(depth: usize, rows: usize) -> usize {
    rows.next_multiple_of(MR) * depth
}

/// Memory layout of the left operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[rows, depth]` with this row stride.
    RowMajor(usize),
    /// `[depth, rows]` with this stride between depths.
    ColumnMajor(usize),
    /// Strips of [`MR`] rows, see [`super::pack::pack_strips`].
    Strips,
}

impl Layout {
    /// Elements from the first to the last that a product of this shape reads.
    pub(crate) fn extent(self, rows: usize, depth: usize) -> usize {
        if rows == 0 || depth == 0 {
            return 0;
        }
        match self {
            Self::RowMajor(stride) => (rows - 1) * stride + depth,
            Self::ColumnMajor(stride) => (depth - 1) * stride + rows,
            Self::Strips => strips_len(depth, rows),
        }
    }

    /// Index of an element. In strips, `depth` is the operand's whole depth.
    #[inline(always)]
    pub(crate) fn index(self, row: usize, at_depth: usize, depth: usize) -> usize {
        match self {
            Self::RowMajor(stride) => row * stride + at_depth,
            Self::ColumnMajor(stride) => at_depth * stride + row,
            Self::Strips => row / MR * MR * depth + at_depth * MR + row % MR,
        }
    }
}

/// How results are written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Store<'a> {
    /// c = a · b.
    Set,
    /// c = a · b + bias, one number per column.
    Bias(&'a [f32]),
    /// c += a · b.
    Add,
}

impl Store<'_> {
    /// The same without the first columns.
    #[inline(always)]
    pub(crate) fn skip_columns(self, columns: usize) -> Self {
        match self {
            Self::Bias(bias) => Self::Bias(&bias[columns..]),
            other => other,
        }
    }
}
