//! Disentangled attention: content-to-content, content-to-position and position-to-content scores.

use candle_core::{Result, Tensor};

use super::ForwardGraph;
use super::dropout::Site;

/// Relative positions of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relative {
    /// Half the rows of the table.
    pub span: usize,
    /// Number of buckets per direction, if far distances share rows.
    pub buckets: Option<usize>,
    /// The largest distance that buckets distinguish.
    pub farthest: usize,
    /// Whether positions share the contents' key and query projections.
    pub shared: bool,
    /// Whether the table passes through a layer norm.
    pub normed: bool,
}

impl Relative {
    /// The signed bucket of a distance: itself up to half the buckets, then by logarithm.
    ///
    /// **Source:** transformers `make_log_bucket_position`, whose arithmetic is in f32.
    pub fn bucket(&self, distance: i64) -> i64 {
        let Some(buckets) = self.buckets else { return distance };
        let mid = (buckets / 2) as i64;
        if distance.abs() <= mid {
            return distance;
        }
        let last = ((self.farthest as i64 - 1) as f32 / mid as f32).ln();
        let far = ((distance.abs() as f32 / mid as f32).ln() / last * (mid - 1) as f32).ceil() as i64 + mid;
        far * distance.signum()
    }

    /// The table's row for a distance (index of the query minus index of the key).
    pub fn row(&self, distance: i64) -> usize {
        (self.bucket(distance) + self.span as i64).clamp(0, 2 * self.span as i64 - 1) as usize
    }

    /// Stems of a layer's own projections of positions (keys, queries), from the stem of its query projection.
    pub fn own(&self, query: &str) -> [String; 2] {
        let stem = query.strip_suffix("query_proj").unwrap_or(query);
        [format!("{stem}pos_key_proj"), format!("{stem}pos_query_proj")]
    }
}

impl ForwardGraph<'_> {
    /// `softmax((Q Kᵀ + Q PKᵀ[row(i − j)] + K PQᵀ[row(i − j)]) / √(3d)) V`, with `pk` and `pq` the projected table of
    /// relative positions `[2 span, width]`.
    ///
    /// **Source:** He et al. 2021, equation 4; transformers `DisentangledSelfAttention`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn disentangled(
        &self,
        relative: &Relative,
        qkv: [&Tensor; 3],
        [pk, pq]: [&Tensor; 2],
        heads: usize,
        site: Site,
        dropout: f64,
    ) -> Result<Tensor> {
        let (rows, width) = pk.dims2()?;
        let d = width / heads;
        let scale = 1.0 / ((3 * d) as f64).sqrt();
        // [heads, d, rows]
        let split = |x: &Tensor| x.reshape((rows, heads, d))?.permute((1, 2, 0))?.contiguous();
        let (pk, pq) = (split(pk)?, split(pq)?);
        self.attend(qkv, heads, site, dropout, |q, k| {
            let n = q.dim(1)?;
            let row = |e: usize, sign: i64| relative.row(sign * ((e / n) as i64 - (e % n) as i64)) as u32;
            let index = |sign: i64| {
                Tensor::from_iter((0..n * n).map(|e| row(e, sign)), q.device())?
                    .reshape((1, n, n))?
                    .broadcast_as((heads, n, n))?
                    .contiguous()
            };
            let c2p = self.product(q, &pk)?.gather(&index(1)?, 2)?;
            // By key: the row of its distance from the query, which is the last index here.
            let p2c = self.product(k, &pq)?.gather(&index(-1)?, 2)?.transpose(1, 2)?;
            ((self.product(q, &k.t()?)? + c2p)? + p2c)? * scale
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_distances_have_rows_of_their_own_and_far_ones_share() {
        let r = Relative { span: 256, buckets: Some(256), farthest: 512, shared: true, normed: true };
        assert!((-128..=128).all(|d| r.bucket(d) == d));
        // Figures of transformers' `make_log_bucket_position` for 256 buckets and 512 positions.
        for (distance, bucket) in [
            (129, 129),
            (135, 133),
            (150, 143),
            (200, 169),
            (255, 192),
            (256, 192),
            (300, 207),
            (400, 233),
            (510, 255),
            (511, 255),
            (512, 256),
            (600, 270),
            (1999, 381),
        ] {
            assert_eq!(r.bucket(distance), bucket, "{distance}");
            assert_eq!(r.bucket(-distance), -bucket);
        }
        let sum: i64 = (0..2000).map(|d| r.bucket(d)).sum();
        assert_eq!(sum, 581_186);
        assert_eq!((r.row(-2000), r.row(0), r.row(2000)), (0, 256, 511));
        let plain = Relative { span: 8, buckets: None, farthest: 8, shared: true, normed: false };
        assert_eq!((plain.row(-9), plain.row(-3), plain.row(3), plain.row(9)), (0, 5, 11, 15));
    }
}
