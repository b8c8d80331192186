//! The shapes in which a source is fed to a training.

use crate::train::objectives::SampleForm;
use xpipe_base::task::Failure;
use xpipe_base::value::Call;

/// A shape with its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Shape {
    /// One positive and one negative.
    Pairs,
    /// Positives and negatives of one query.
    Group {
        /// Positives, at least 1.
        positives: usize,
        /// Negatives, at least 1.
        negatives: usize,
    },
    /// The first documents of a list in teacher order.
    RankedList {
        /// Maximum list length (≥ 2).
        depth: usize,
    },
}

impl Shape {
    /// Reads `pairs()`, `group(positives, negatives)` or `ranked_list(depth)`.
    ///
    /// # Errors
    /// When a size is below its least value.
    pub fn read(call: &Call) -> Result<Self, Failure> {
        let size = |name: &str, least: i64| {
            let n = call.args.get(name).and_then(xpipe_base::value::Value::as_int).unwrap_or(0);
            usize::try_from(n).ok().filter(|_| n >= least).ok_or_else(|| {
                Failure::wrong(format!("`{name}` of {} is {n}, and must be at least {least}", call.name))
            })
        };
        match SampleForm::of(&call.name) {
            Some(SampleForm::Pairs) => Ok(Self::Pairs),
            Some(SampleForm::Group) => {
                Ok(Self::Group { positives: size("positives", 1)?, negatives: size("negatives", 1)? })
            }
            Some(SampleForm::RankedList) => Ok(Self::RankedList { depth: size("depth", 2)? }),
            None => Err(Failure::bug(format!("`{}` is not a shape", call.name))),
        }
    }

    /// The form, without sizes.
    pub fn form(self) -> SampleForm {
        match self {
            Self::Pairs => SampleForm::Pairs,
            Self::Group { .. } => SampleForm::Group,
            Self::RankedList { .. } => SampleForm::RankedList,
        }
    }

    /// Maximum number of documents in a sample.
    pub fn documents(self) -> usize {
        match self {
            Self::Pairs => 2,
            Self::Group { positives, negatives } => positives + negatives,
            Self::RankedList { depth } => depth,
        }
    }
}
