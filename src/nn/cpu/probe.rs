//! How fast this machine multiplies matrices with the engine's kernels: a first estimate of speed before any model was
//! measured.

use std::time::{Duration, Instant};

use super::gemm::Gemm;
use super::gemm::dispatch::Level;
use super::gemm::layout::{Layout, Store};
use super::gemm::pack::{PackedRhs, Rhs};
use super::pool::ThreadPool;
use xpipe_base::task::Failure;

/// How long a measurement takes.
const TIME: Duration = Duration::from_millis(60);

/// Floating-point operations per second of products of a small model's size, on so many threads.
///
/// # Errors
/// When threads cannot be started.
pub fn probe(level: Level, threads: usize) -> Result<f64, Failure> {
    const ROWS: usize = 96;
    const DEPTH: usize = 384;
    const COLUMNS: usize = 1536;
    let pool = ThreadPool::new(threads)?;
    let (a, weight) = (vec![0.5f32; ROWS * DEPTH], vec![0.25f32; DEPTH * COLUMNS]);
    let mut b = PackedRhs::default();
    b.pack(level, &Rhs::new(&weight, COLUMNS, DEPTH, COLUMNS));
    let begun = Instant::now();
    let mut counts = vec![0u32; pool.threads()];
    pool.each(counts.iter_mut().collect(), |count, _| {
        let mut c = vec![0.0f32; ROWS * COLUMNS];
        while begun.elapsed() < TIME {
            level.gemm(Gemm {
                a: &a,
                layout: Layout::RowMajor(DEPTH),
                rows: ROWS,
                b: b.panels(),
                depth: DEPTH,
                columns: COLUMNS,
                c: &mut c,
                c_stride: COLUMNS,
                store: Store::Set,
            });
            *count += 1;
        }
    });
    let done = f64::from(counts.iter().sum::<u32>()) * (2 * ROWS * DEPTH * COLUMNS) as f64;
    Ok(done / begun.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_is_plausible() {
        let speed = probe(Level::detect(), 1).unwrap();
        assert!((1e7..1e13).contains(&speed), "{speed}");
    }
}
