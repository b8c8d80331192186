//! The types of the language.

use std::fmt;

/// A type. Grids are not types here: the axes an expression varies over are tracked beside its type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the language's own, described in grammar/README.md")]
pub enum Type {
    Bool,
    Int,
    Float,
    String,
    Bytes,
    Duration,
    Percent,
    Budget,
    Path,
    List(Box<Type>),
    /// A record of any fields.
    Record,
    Corpus,
    Queries,
    Qrels,
    TestCollection,
    Run,
    Source,
    Samples,
    Scores,
    Model,
    Metrics,
    Index,
    /// Texts encoded as weighted terms.
    Vectors,
    Backbone,
    Objective,
    Shape,
    Batch,
    Optimiser,
    Schedule,
    Selection,
    Metric,
    InputLimits,
    Teacher,
    /// A significance test of a table.
    Test,
    /// A mark of a table.
    Mark,
    /// A section of a report.
    Section,
    /// One word of a fixed set, for instance `fp32 | bf16`.
    Word(Vec<&'static str>),
    /// Any of several types.
    Either(Vec<Type>),
    /// Fits everything: the type of what was already reported as wrong.
    Any,
}

impl Type {
    /// Reads a type as the language and signatures write it: `List<Metric>`, `Run | Samples`, `'fp32' | 'bf16'`.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('|').map(str::trim).collect();
        if parts.len() > 1 {
            if parts.iter().all(|p| p.starts_with('\'')) {
                return parts.iter().map(|p| word(p)).collect::<Option<Vec<_>>>().map(Self::Word);
            }
            return parts.iter().map(|p| Self::parse(p)).collect::<Option<Vec<_>>>().map(Self::Either);
        }
        let text = text.trim();
        if let Some(inner) = text.strip_prefix("List<").and_then(|t| t.strip_suffix('>')) {
            return Self::parse(inner).map(|t| Self::List(Box::new(t)));
        }
        if text.starts_with('\'') {
            return word(text).map(|w| Self::Word(vec![w]));
        }
        // `Model<cross_encoder>` and `Samples<pairs>`: the parameter is documentation, fit is checked by cell.
        let base = text.split_once('<').map_or(text, |(b, _)| b);
        NAMED.iter().find(|(n, _)| *n == base).map(|(_, t)| t.clone())
    }

    /// Names of all types that a study can write.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(n, _)| *n)
    }

    /// Whether a value of this type may stand where `wanted` is expected.
    pub fn fits(&self, wanted: &Type) -> bool {
        match (self, wanted) {
            (Self::Any, _) | (_, Self::Any) => true,
            // `pairs()` is a shape or a batch: one of the two is enough.
            (Self::Either(any), w) => any.iter().any(|t| t.fits(w)),
            (s, Self::Either(any)) => any.iter().any(|t| s.fits(t)),
            (Self::Word(a), Self::Word(b)) => a.iter().all(|w| b.contains(w)),
            (Self::List(a), Self::List(b)) => a.fits(b),
            (Self::Int, Self::Float)
            | (Self::Percent, Self::Budget)
            | (Self::String, Self::Path)
            | (Self::Backbone, Self::Model)
            | (Self::Model, Self::Backbone | Self::Teacher)
            | (Self::Backbone, Self::Teacher)
            | (Self::Samples | Self::Run, Self::Source)
            | (Self::TestCollection, Self::Record)
            | (Self::Word(_), Self::String) => true,
            (a, b) => a == b,
        }
    }
}

fn word(text: &str) -> Option<&'static str> {
    // Signatures are built once from literals, so the few words leaked here are bounded.
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    Some(Box::leak(inner.to_owned().into_boxed_str()))
}

const NAMED: &[(&str, Type)] = &[
    ("Bool", Type::Bool),
    ("Int", Type::Int),
    ("Float", Type::Float),
    ("String", Type::String),
    ("Bytes", Type::Bytes),
    ("Duration", Type::Duration),
    ("Percent", Type::Percent),
    ("Budget", Type::Budget),
    ("Path", Type::Path),
    ("Record", Type::Record),
    ("Corpus", Type::Corpus),
    ("Queries", Type::Queries),
    ("Qrels", Type::Qrels),
    ("TestCollection", Type::TestCollection),
    ("Run", Type::Run),
    ("Source", Type::Source),
    ("Samples", Type::Samples),
    ("Scores", Type::Scores),
    ("Model", Type::Model),
    ("Metrics", Type::Metrics),
    ("Index", Type::Index),
    ("Vectors", Type::Vectors),
    ("Backbone", Type::Backbone),
    ("Objective", Type::Objective),
    ("Shape", Type::Shape),
    ("Batch", Type::Batch),
    ("Optimiser", Type::Optimiser),
    ("Schedule", Type::Schedule),
    ("Selection", Type::Selection),
    ("Metric", Type::Metric),
    ("InputLimits", Type::InputLimits),
    ("Teacher", Type::Teacher),
    ("Test", Type::Test),
    ("Mark", Type::Mark),
    ("Section", Type::Section),
    ("Any", Type::Any),
];

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(inner) => write!(f, "List<{inner}>"),
            Self::Word(words) => {
                let words: Vec<String> = words.iter().map(|w| format!("`{w}`")).collect();
                f.write_str(&words.join(" or "))
            }
            Self::Either(types) => {
                let types: Vec<String> = types.iter().map(ToString::to_string).collect();
                f.write_str(&types.join(" or "))
            }
            named => {
                let name = NAMED.iter().find(|(_, t)| t == named).map_or("Any", |(n, _)| n);
                f.write_str(name)
            }
        }
    }
}
