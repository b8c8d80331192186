//! What an operation gives, known from its arguments before it runs.

use super::Type;

/// What an action makes. The checker, the planner, the report and `export` read it; none of them knows operations by
/// name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Its type.
    pub ty: Type,
    /// The facts that count work, in the order of the report's columns: `documents`, `tokens`, …
    pub counts: &'static [&'static str],
}

/// The form of training samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleForm {
    /// One positive and one negative document of a query.
    Pairs,
    /// Positives and several negatives of a query.
    Group,
    /// The documents of a query in teacher order.
    RankedList,
}

impl SampleForm {
    /// The name as studies write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pairs => "pairs",
            Self::Group => "group",
            Self::RankedList => "ranked_list",
        }
    }

    /// The form that a constructor stands for.
    pub fn of(constructor: &str) -> Option<Self> {
        [Self::Pairs, Self::Group, Self::RankedList].into_iter().find(|f| f.name() == constructor)
    }
}

/// What a source offers to training, as far as it is known before the source is read. The default knows nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervision {
    /// The forms of samples that can be drawn.
    pub forms: Option<Vec<SampleForm>>,
    /// Whether documents carry teacher scores.
    pub scored: Option<bool>,
    /// Whether positives are known.
    pub judged: Option<bool>,
    /// Maximum number of documents per query.
    pub depth: Option<i64>,
    /// The first rank that negatives are drawn from.
    pub first_rank: i64,
}

impl Default for Supervision {
    fn default() -> Self {
        Self { forms: None, scored: None, judged: None, depth: None, first_rank: 1 }
    }
}

impl Supervision {
    /// A ranking: its order is the teacher, and its scores are not read.
    pub fn ranking(depth: Option<i64>) -> Self {
        Self { forms: Some(vec![SampleForm::RankedList]), scored: Some(false), depth, ..Self::default() }
    }
}

/// What an operation does with the model that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelUse {
    /// Scores pairs of query and document.
    Rank,
    /// Continues training it.
    Train,
    /// Encodes texts as weighted terms by its head for masked words.
    EncodeSparse,
    /// Encodes texts as dense vectors.
    EncodeDense,
    /// Lets it generate text.
    Generate,
}

/// How many queries a result has, by an argument of its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryCount {
    /// The number in an argument.
    Exactly(&'static str),
    /// At most as many as the queries in an argument.
    AtMost(&'static str),
}
