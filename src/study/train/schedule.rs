//! Learning-rate schedules: constant, linear and cosine, each with a linear warm-up.
//!
//! **Source:** `transformers/optimization.py` (`get_linear_schedule_with_warmup` and its siblings), so that figures
//! compare: step 0 of a warm-up has rate 0, and the last step of a decay is not quite 0.

use xpipe_base::task::Failure;
use xpipe_base::value::human;
use xpipe_base::value::{Budget, Call, Value};

/// The learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// It stays.
    Constant,
    /// It falls linearly to zero.
    Linear,
    /// It falls to zero along half a cosine.
    Cosine,
}

/// A schedule over a known number of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// After the warm-up.
    pub decay: Decay,
    /// Steps of warm-up.
    pub warmup: u64,
    /// Steps in all.
    pub total: u64,
}

impl Schedule {
    /// Reads `linear(warmup = …)`, `cosine(…)` or `constant(…)` for a training of `total` steps, where one epoch is
    /// `epoch` steps.
    ///
    /// # Errors
    /// When the warm-up is longer than the training.
    pub fn read(call: &Call, total: u64, epoch: f64) -> Result<Self, Failure> {
        let decay = match &*call.name {
            "constant" => Decay::Constant,
            "linear" => Decay::Linear,
            "cosine" => Decay::Cosine,
            other => return Err(Failure::bug(format!("`{other}` is not a schedule"))),
        };
        let warmup = steps(call.args.get("warmup").unwrap_or(&Value::Null), total, epoch)?.unwrap_or(0);
        if warmup > total {
            let message = format!(
                "the warm-up ({}) is longer than the training ({total})",
                human::counted(warmup, "steps")
            );
            return Err(Failure::wrong(message).help("give fewer warm-up steps, or a percentage"));
        }
        Ok(Self { decay, warmup, total })
    }

    /// The factor of the peak learning rate at a step counted from 0, in [0, 1].
    pub fn factor(&self, step: u64) -> f64 {
        if step < self.warmup {
            return step as f64 / self.warmup as f64;
        }
        let after = (self.total - self.warmup).max(1) as f64;
        let progress = ((step - self.warmup) as f64 / after).min(1.0);
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => 1.0 - progress,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        }
    }
}

/// A number of steps written as `steps(n)`, `epochs(x)` or a percentage of `total`, rounded up; `None` for
/// [`Value::Null`].
///
/// # Errors
/// [`xpipe_base::task::FailureKind::Bug`] for any other value.
pub fn steps(value: &Value, total: u64, epoch: f64) -> Result<Option<u64>, Failure> {
    Ok(match value {
        Value::Null => None,
        Value::Budget(Budget::Steps(n)) => Some(*n),
        Value::Budget(Budget::Epochs(x)) => Some(up(x * epoch)),
        Value::Percent(p) => Some(up(total as f64 * p / 100.0)),
        other => return Err(Failure::bug(format!("{other:?} is not a number of steps"))),
    })
}

/// Rounds up, forgiving what multiplication in binary adds.
fn up(x: f64) -> u64 {
    (x - 1e-9 * x.abs()).ceil().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use xpipe_base::value::Record;

    fn read(name: &str, warmup: Value, total: u64) -> Result<Schedule, Failure> {
        Schedule::read(&Call { name: name.into(), args: Record::of([("warmup", warmup)]) }, total, 10.0)
    }

    fn close(schedule: Schedule, wanted: &[f64]) {
        for (step, w) in wanted.iter().enumerate() {
            let f = schedule.factor(step as u64);
            assert!((f - w).abs() < 1e-12, "{schedule:?} step {step}: {f} is not {w}");
        }
    }

    /// Figures of transformers 5.23: `[s.get_last_lr()[0] for …]` at peak rate 1.
    #[test]
    fn factors_equal_those_of_transformers() {
        let linear = read("linear", Value::Budget(Budget::Steps(2)), 6).unwrap();
        close(linear, &[0.0, 0.5, 1.0, 0.75, 0.5, 0.25]);
        let cosine = read("cosine", Value::Budget(Budget::Steps(2)), 6).unwrap();
        close(cosine, &[0.0, 0.5, 1.0, 0.853_553_390_593_273_7, 0.5, 0.146_446_609_406_726_24]);
        let constant = read("constant", Value::Budget(Budget::Steps(4)), 6).unwrap();
        close(constant, &[0.0, 0.25, 0.5, 0.75, 1.0, 1.0]);
    }

    #[test]
    fn a_percentage_is_of_the_steps() {
        assert_eq!(read("linear", Value::Percent(2.5), 200_000).unwrap().warmup, 5_000);
        assert_eq!(read("linear", Value::Percent(10.0), 5).unwrap().warmup, 1);
        assert_eq!(read("linear", Value::Budget(Budget::Epochs(0.5)), 50).unwrap().warmup, 5);
        assert_eq!(read("linear", Value::Null, 50).unwrap().warmup, 0);
        assert!(
            read("linear", Value::Budget(Budget::Steps(51)), 50).unwrap_err().message.contains("warm-up")
        );
    }
}
