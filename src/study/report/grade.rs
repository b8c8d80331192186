//! How close a number is to the published one: ok, near or off.

use super::Results;
use super::missing;
use xpipe_base::value::Value;

/// How close a number is to a published one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// Within the tolerance.
    Ok,
    /// Within twice the tolerance.
    Near,
    /// Further away.
    Off,
}

impl Grade {
    /// Grades a distance; rounding does not make a difference.
    pub fn of(distance: f64, within: f64) -> Self {
        let slack = 1e-9;
        match distance {
            d if d <= within + slack => Self::Ok,
            d if d <= 2.0 * within + slack => Self::Near,
            _ => Self::Off,
        }
    }

    /// `ok`, `near` or `off`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Near => "near",
            Self::Off => "off",
        }
    }
}

/// The published number of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// The published number.
    pub value: f64,
    /// How close the cell's number is.
    pub grade: Grade,
}

impl Published {
    /// Grades a number by the published one, when there is one.
    pub(super) fn of(
        own: f64,
        published: Option<&Value>,
        within: f64,
        results: &dyn Results,
    ) -> Option<Self> {
        let value = missing::value(published?, results).ok()?.as_f64().filter(|x| x.is_finite())?;
        Some(Self { value, grade: Grade::of((own - value).abs(), within) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_and_twice_of_it() {
        let of = |own: f64| Grade::of((own - 0.5).abs(), 0.01).word();
        assert_eq!(
            [of(0.5), of(0.51), of(0.49), of(0.5101), of(0.52), of(0.5201)],
            ["ok", "ok", "ok", "near", "near", "off"]
        );
    }
}
