//! How fast this machine multiplies matrices with the engine's kernels: a first guess at speed where no model was
//! measured.

use std::time::{Duration, Instant};

use super::lanes::Level;
use super::pool::Pool;
use super::product::{Lies, Product, Store, packed_len};
use xpipe_base::task::Failure;

/// How long it takes.
const TIME: Duration = Duration::from_millis(60);

/// Operations a second of products of the size of a small model's, on so many threads.
///
/// # Errors
/// When threads cannot be started.
pub fn probe(level: Level, threads: usize) -> Result<f64, Failure> {
    const ROWS: usize = 96;
    const DEPTH: usize = 384;
    const COLUMNS: usize = 1536;
    let pool = Pool::new(threads)?;
    let (a, b) = (vec![0.5f32; ROWS * DEPTH], vec![0.25f32; packed_len(DEPTH, COLUMNS)]);
    let begun = Instant::now();
    let mut counts = vec![0u32; pool.threads()];
    pool.each(counts.iter_mut().collect(), |count, _| {
        let mut c = vec![0.0f32; ROWS * COLUMNS];
        while begun.elapsed() < TIME {
            level.run(Product {
                a: &a,
                lies: Lies::Rows(DEPTH),
                rows: ROWS,
                b: &b,
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
    fn it_is_a_speed() {
        let speed = probe(Level::detect(), 1).unwrap();
        assert!((1e7..1e13).contains(&speed), "{speed}");
    }
}
