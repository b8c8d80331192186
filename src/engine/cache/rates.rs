//! Measured speed of models on this machine, in floating-point operations per second, by shape, precision, kernels and
//! threads.
//!
//! One JSON file in the cache, `rates.json`. It only serves estimates: it is not part of keys, an unreadable file counts
//! as empty, and it may be deleted at any time.

use serde::{Deserialize, Serialize};

use super::Store;
use super::memo::replace;
use xpipe_base::value::sealed;

/// Version of the layout. Version 1 had no checksum.
const FORMAT: u32 = 2;
/// The first version with a checksum.
const SEALED: u32 = 2;
const FILE: &str = "rates.json";
/// Shorter measurements are too noisy, in seconds.
const MIN_SECONDS: f64 = 0.02;

/// What a rate was measured for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateKey {
    /// Name and number of the processors.
    pub machine: String,
    /// Threads.
    pub threads: usize,
    /// The kernel level.
    pub kernels: String,
    /// `fp32` or `bf16`.
    pub precision: String,
    /// Whether gradients are computed.
    pub training: bool,
    /// The architecture with its sizes: models of one shape compute alike.
    pub shape: String,
    /// Hidden width: narrow models reach fewer operations per second.
    pub width: usize,
}

/// A measurement. Each new one halves the weight of the older ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Rate {
    #[serde(flatten)]
    of: RateKey,
    flops: f64,
    seconds: f64,
}

/// The expected rate of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateEstimate {
    /// Floating-point operations per second.
    pub flops: f64,
    /// Whether it was measured for the same key; else it is scaled from the nearest one.
    pub same: bool,
}

/// All measured rates of a cache.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates {
    all: Vec<Rate>,
}

#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    rates: Vec<Rate>,
}

/// The rate of training relative to scoring, when only one of them was measured.
const TRAINING: f64 = 0.75;

impl Rates {
    /// Reads the rates of a cache; empty when they cannot be read.
    pub fn read(store: &Store) -> Self {
        let known = |text: Vec<u8>| {
            let file: File = serde_json::from_slice(&text).ok()?;
            let sound = file.format <= FORMAT && sealed::check(&text, file.format, SEALED).is_ok();
            sound.then_some(file)
        };
        let file = std::fs::read(store.dir().join(FILE)).ok().and_then(known);
        let mut all = file.map(|f| f.rates).unwrap_or_default();
        all.retain(|r| r.flops > 0.0 && r.seconds > 0.0 && (r.flops / r.seconds).is_finite());
        Self { all }
    }

    /// Writes the rates. What another process records at the same time may be lost.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, store: &Store) -> std::io::Result<()> {
        let text = serde_json::to_vec_pretty(&File { format: FORMAT, rates: self.all.clone() })?;
        replace(&store.dir().join(FILE), &sealed::seal(&text))
    }

    /// Adds a measurement; `false` if it is too short to use.
    pub fn record(&mut self, of: &RateKey, flops: f64, seconds: f64) -> bool {
        if seconds < MIN_SECONDS || !(flops > 0.0 && (flops / seconds).is_finite()) {
            return false;
        }
        match self.all.iter_mut().find(|r| r.of == *of) {
            Some(rate) => {
                rate.flops = rate.flops / 2.0 + flops;
                rate.seconds = rate.seconds / 2.0 + seconds;
            }
            None => self.all.push(Rate { of: of.clone(), flops, seconds }),
        }
        true
    }

    /// The expected rate: the one measured for the key, else the one nearest in width, threads and direction, scaled.
    pub fn estimate(&self, of: &RateKey) -> Option<RateEstimate> {
        let alike = |r: &&Rate| {
            r.of.machine == of.machine && r.of.kernels == of.kernels && r.of.precision == of.precision
        };
        let far = |r: &Rate| {
            let ratio = |a: usize, b: usize| (a.max(1) as f64 / b.max(1) as f64).ln().abs();
            // A different direction is worse than a different width; different threads are worse than either.
            let direction = if r.of.training == of.training { 0.0 } else { 10.0 };
            let shape = if r.of.shape == of.shape { 0.0 } else { 0.1 };
            direction + 20.0 * ratio(r.of.threads, of.threads) + ratio(r.of.width, of.width) + shape
        };
        let nearest = self.all.iter().filter(alike).min_by(|a, b| far(a).total_cmp(&far(b)))?;
        let direction = match (nearest.of.training, of.training) {
            (false, true) => TRAINING,
            (true, false) => 1.0 / TRAINING,
            _ => 1.0,
        };
        let threads = of.threads as f64 / nearest.of.threads.max(1) as f64;
        Some(RateEstimate {
            flops: nearest.flops / nearest.seconds * direction * threads,
            same: nearest.of == *of,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shape: &str, width: usize, training: bool, threads: usize) -> RateKey {
        let (machine, kernels, precision) = ("m".into(), "avx2".into(), "fp32".into());
        RateKey { machine, threads, kernels, precision, training, shape: shape.into(), width }
    }

    #[test]
    fn the_same_model_comes_first_and_others_are_scaled() {
        let mut rates = Rates::default();
        assert_eq!(rates.estimate(&of("a", 128, false, 2)), None);
        assert!(rates.record(&of("a", 128, false, 2), 100.0, 2.0));
        assert!(!rates.record(&of("a", 128, false, 2), 1e9, 0.001), "too short to say anything");
        assert!(rates.record(&of("b", 768, false, 2), 160.0, 2.0));
        let find = |rates: &Rates, of: &RateKey| rates.estimate(of).map(|f| (f.flops, f.same));
        assert_eq!(find(&rates, &of("a", 128, false, 2)), Some((50.0, true)));
        assert_eq!(find(&rates, &of("c", 640, false, 2)), Some((80.0, false)));
        assert_eq!(find(&rates, &of("c", 160, false, 2)), Some((50.0, false)));
        assert_eq!(find(&rates, &of("b", 768, true, 2)), Some((60.0, false)));
        assert_eq!(find(&rates, &of("a", 128, false, 1)), Some((25.0, false)));
        // The newest counts most.
        assert!(rates.record(&of("a", 128, false, 2), 300.0, 2.0));
        assert_eq!(find(&rates, &of("a", 128, false, 2)), Some((350.0 / 3.0, true)));
        // Nothing is known of another machine or other kernels.
        assert_eq!(rates.estimate(&RateKey { machine: "n".into(), ..of("a", 128, false, 2) }), None);
        assert_eq!(rates.estimate(&RateKey { kernels: "portable".into(), ..of("a", 128, false, 2) }), None);
    }

    #[test]
    fn they_are_read_back_and_a_damaged_file_is_empty() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        assert_eq!(Rates::read(&store), Rates::default());
        let mut rates = Rates::default();
        rates.record(&of("a", 128, true, 2), 100.0, 2.0);
        rates.write(&store).unwrap();
        assert_eq!(Rates::read(&store), rates);
        let path = store.dir().join(FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("100.0", "900.0")).unwrap();
        assert_eq!(Rates::read(&store), Rates::default(), "a changed number");
        let unsealed = |format: u32| serde_json::to_vec(&File { format, rates: rates.all.clone() }).unwrap();
        std::fs::write(&path, unsealed(1)).unwrap();
        assert_eq!(Rates::read(&store), rates, "version 1 is read");
        std::fs::write(&path, sealed::seal(&unsealed(3))).unwrap();
        assert_eq!(Rates::read(&store), Rates::default());
        std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert_eq!(Rates::read(&store), Rates::default());
        rates.all[0].seconds = 0.0;
        rates.write(&store).unwrap();
        assert_eq!(Rates::read(&store), Rates::default());
    }
}
