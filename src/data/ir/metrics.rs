//! Measures of a ranking against judgements: trec_eval's definitions under ir-measures' names.
//!
//! A ranking comes in as the grades of its documents from rank 1 on (`None`: not judged), already in trec_eval's
//! order: score as f32 descending, then document id descending bytewise. A document is relevant when its grade is at
//! least `rel`; a grade below 0 is judged and never relevant. The queries of a mean are all that the judgements
//! name (trec_eval's `-c`): one without results, or without a relevant document, counts 0.
//!
//! Must not know: where runs and judgements come from.

use std::fmt;

use xpipe_base::task::Failure;
use xpipe_base::value::{Call, Record, Value};

/// A measure. `k` is the cut-off rank from 1, `rel` the lowest relevant grade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Measure {
    /// Normalised discounted cumulative gain.
    ///
    /// Gain is the grade (linear), discount log2(rank + 1); the ideal ranking is cut at `k` too.
    /// **Source:** trec_eval `ndcg`, `ndcg_cut`.
    Ndcg {
        /// Cut-off; all ranks without.
        k: Option<usize>,
    },
    /// One over the rank of the first relevant document. **Source:** trec_eval `recip_rank`.
    Rr {
        /// Cut-off; all ranks without.
        k: Option<usize>,
        /// Lowest relevant grade.
        rel: i32,
    },
    /// The sum of the precisions at relevant documents over the number of relevant documents judged.
    /// **Source:** trec_eval `map`, `map_cut`.
    Ap {
        /// Cut-off; all ranks without.
        k: Option<usize>,
        /// Lowest relevant grade.
        rel: i32,
    },
    /// Relevant documents in the first `k` ranks, over `k` (also when fewer were retrieved). **Source:** trec_eval `P`.
    P {
        /// Cut-off.
        k: usize,
        /// Lowest relevant grade.
        rel: i32,
    },
    /// Relevant documents in the first `k` ranks, over all relevant documents judged. **Source:** trec_eval `recall`.
    R {
        /// Cut-off.
        k: usize,
        /// Lowest relevant grade.
        rel: i32,
    },
    /// 1 when there is a relevant document in the first `k` ranks. **Source:** trec_eval `success`.
    Success {
        /// Cut-off.
        k: usize,
        /// Lowest relevant grade.
        rel: i32,
    },
    /// Judged documents in the first `k` ranks, over those retrieved there. **Source:** ir-measures `Judged`.
    Judged {
        /// Cut-off.
        k: usize,
    },
}

impl Measure {
    /// Reads a constructor call: `ndcg(10)`, `p(k = 5, rel = 2)`.
    ///
    /// # Errors
    /// A name that is no measure, a cut-off below 1, a missing cut-off.
    pub fn from_call(call: &Call) -> Result<Self, Failure> {
        let off = |message: String| Failure::wrong(format!("{}: {message}", call.name));
        let k = match call.args.get("k").unwrap_or(&Value::Null) {
            Value::Null => None,
            Value::Int(k) => Some(
                usize::try_from(*k)
                    .ok()
                    .filter(|k| *k > 0)
                    .ok_or_else(|| off(format!("cut-off {k}, expected 1 or more")))?,
            ),
            other => return Err(off(format!("cut-off {other:?}, expected a whole number"))),
        };
        let rel = match call.args.get("rel").unwrap_or(&Value::Null) {
            Value::Null => 1,
            Value::Int(rel) => i32::try_from(*rel)
                .ok()
                .filter(|rel| *rel > 0)
                .ok_or_else(|| off(format!("relevant from grade {rel}, expected 1 or more")))?,
            other => return Err(off(format!("relevant from grade {other:?}, expected a whole number"))),
        };
        let needed = k.ok_or_else(|| off("no cut-off; expected one, for instance `(10)`".into()));
        Ok(match &*call.name {
            "ndcg" => Self::Ndcg { k },
            "rr" | "mrr" => Self::Rr { k, rel },
            "ap" => Self::Ap { k, rel },
            "p" => Self::P { k: needed?, rel },
            "recall" => Self::R { k: needed?, rel },
            "success" => Self::Success { k: needed?, rel },
            "judged" => Self::Judged { k: needed? },
            _ => return Err(off("not a measure".into())),
        })
    }

    /// The cut-off, where there is one.
    pub fn cutoff(self) -> Option<usize> {
        match self {
            Self::Ndcg { k } | Self::Rr { k, .. } | Self::Ap { k, .. } => k,
            Self::P { k, .. } | Self::R { k, .. } | Self::Success { k, .. } | Self::Judged { k } => Some(k),
        }
    }

    /// The lowest relevant grade; 1 where every positive grade counts.
    pub fn rel(self) -> i32 {
        match self {
            Self::Ndcg { .. } | Self::Judged { .. } => 1,
            Self::Rr { rel, .. }
            | Self::Ap { rel, .. }
            | Self::P { rel, .. }
            | Self::R { rel, .. }
            | Self::Success { rel, .. } => rel,
        }
    }

    /// The name under which a study reads the mean: `ndcg_10`, `ap`, `recall_100`, `p_5_rel2`.
    pub fn member(self) -> String {
        let name = match self {
            Self::Ndcg { .. } => "ndcg",
            Self::Rr { .. } => "rr",
            Self::Ap { .. } => "ap",
            Self::P { .. } => "p",
            Self::R { .. } => "recall",
            Self::Success { .. } => "success",
            Self::Judged { .. } => "judged",
        };
        let k = self.cutoff().map_or_else(String::new, |k| format!("_{k}"));
        let rel = if self.rel() == 1 { String::new() } else { format!("_rel{}", self.rel()) };
        format!("{name}{k}{rel}")
    }

    /// The measure of a published name: the inverse of [`Measure::member`].
    pub fn from_member(member: &str) -> Option<Self> {
        let mut parts = member.split('_');
        let name = parts.next()?;
        let mut args: Vec<(&'static str, Value)> = Vec::new();
        for part in parts {
            let (field, digits) = part.strip_prefix("rel").map_or(("k", part), |rest| ("rel", rest));
            args.push((field, Value::Int(digits.parse().ok()?)));
        }
        let measure = Self::from_call(&Call { name: name.into(), args: Record::of(args) }).ok()?;
        (measure.member() == member).then_some(measure)
    }

    /// The value for one query: `ranked` are the grades from rank 1 on, `judged` all grades of the query.
    pub fn value(self, ranked: &[Option<i32>], judged: &[i32]) -> f64 {
        let cut = &ranked[..self.cutoff().unwrap_or(ranked.len()).min(ranked.len())];
        let relevant = |grade: &Option<i32>| grade.is_some_and(|g| g >= self.rel());
        let found = || cut.iter().filter(|g| relevant(g)).count() as f64;
        let all = || judged.iter().filter(|g| **g >= self.rel()).count() as f64;
        match self {
            Self::Ndcg { .. } => {
                let mut ideal: Vec<i32> = judged.to_vec();
                ideal.sort_unstable_by(|a, b| b.cmp(a));
                let ideal = ideal.iter().take(self.cutoff().unwrap_or(usize::MAX)).copied();
                ratio(gain(cut.iter().map(|g| g.unwrap_or(0))), gain(ideal))
            }
            Self::Rr { .. } => cut.iter().position(relevant).map_or(0.0, |i| 1.0 / (i + 1) as f64),
            Self::Ap { .. } => {
                let (mut sum, mut seen) = (0.0, 0.0);
                for (i, _) in cut.iter().enumerate().filter(|(_, g)| relevant(g)) {
                    seen += 1.0;
                    sum += seen / (i + 1) as f64;
                }
                ratio(sum, all())
            }
            Self::P { k, .. } => found() / k as f64,
            Self::R { .. } => ratio(found(), all()),
            Self::Success { .. } => f64::from(u8::from(cut.iter().any(relevant))),
            Self::Judged { .. } => ratio(cut.iter().filter(|g| g.is_some()).count() as f64, cut.len() as f64),
        }
    }
}

/// Σ grade / log2(rank + 1) over positive grades.
fn gain(grades: impl Iterator<Item = i32>) -> f64 {
    grades
        .enumerate()
        .filter(|(_, g)| *g > 0)
        .fold(0.0, |sum, (i, g)| sum + f64::from(g) / ((i + 2) as f64).log2())
}

/// The quotient, 0 where there is nothing to divide by.
fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

/// ir-measures' form: `nDCG@10`, `AP`, `P(rel=2)@5`.
impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ndcg { .. } => "nDCG",
            Self::Rr { .. } => "RR",
            Self::Ap { .. } => "AP",
            Self::P { .. } => "P",
            Self::R { .. } => "R",
            Self::Success { .. } => "Success",
            Self::Judged { .. } => "Judged",
        })?;
        if self.rel() != 1 {
            write!(f, "(rel={})", self.rel())?;
        }
        self.cutoff().map_or(Ok(()), |k| write!(f, "@{k}"))
    }
}

#[cfg(test)]
mod tests;
