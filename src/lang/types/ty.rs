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
    /// A program: a file, or one that is part of xpipe or of this machine, by name.
    Program,
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
    Embeddings,
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
        NAMED.iter().find(|(n, ..)| *n == base).map(|(_, t, _)| t.clone())
    }

    /// Names of all types that a study can write.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(n, ..)| *n)
    }

    /// All types that a study can write, with their names and what they are.
    pub fn all() -> impl Iterator<Item = (&'static str, &'static Type, &'static str)> {
        NAMED.iter().map(|(n, t, doc)| (*n, t, *doc))
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
            | (Self::String, Self::Path | Self::Program)
            | (Self::Path, Self::Program)
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

/// Name, type, and what it is.
const NAMED: &[(&str, Type, &str)] = &[
    ("Bool", Type::Bool, "`true` or `false`."),
    ("Int", Type::Int, "A whole number of 64 bits: `32`, `1_000_000`."),
    ("Float", Type::Float, "A number: `0.5`, `2e-5`. A whole number is one too."),
    ("String", Type::String, "A text: `\"nDCG@10 over {len(seeds)} seeds\"`, or raw in single quotes."),
    ("Bytes", Type::Bytes, "An amount of memory: `24GiB`, `512MiB`."),
    ("Duration", Type::Duration, "A time: `20h`, `90min`, `30s`."),
    ("Percent", Type::Percent, "A share: `5%`, `2.5%`."),
    ("Budget", Type::Budget, "How long to train: `steps(200_000)`, `epochs(2)`, or a share of a whole."),
    ("Path", Type::Path, "A file or folder, relative to the file that names it."),
    (
        "Program",
        Type::Program,
        "An external program: its file, `self:NAME` for one that is part of xpipe, or the name of one that PATH leads to.",
    ),
    ("Record", Type::Record, "Named values: `{ a = 1, b = 2 }`."),
    ("Corpus", Type::Corpus, "Documents by id."),
    ("Queries", Type::Queries, "Queries by id."),
    ("Qrels", Type::Qrels, "Judgements: grades of documents for queries."),
    (
        "TestCollection",
        Type::TestCollection,
        "`corpus`, `queries` and `qrels` that belong together, with their role.",
    ),
    ("Run", Type::Run, "Ranked documents with scores for each query."),
    (
        "Source",
        Type::Source,
        "What training samples are drawn from: triples, a run with judgements, ranked lists.",
    ),
    ("Samples", Type::Samples, "Training samples in one shape."),
    ("Scores", Type::Scores, "A teacher's scores of query and document pairs."),
    ("Model", Type::Model, "A trained or published model."),
    ("Metrics", Type::Metrics, "Values of measures, for each query and on average."),
    ("Index", Type::Index, "An inverted index of a corpus."),
    ("Vectors", Type::Vectors, "Texts encoded as weighted terms."),
    ("Embeddings", Type::Embeddings, "Texts encoded as dense vectors."),
    (
        "Backbone",
        Type::Backbone,
        "A checkpoint that training starts from: `hf(\"owner/name\")`, `checkpoint(\"folder\")`.",
    ),
    ("Objective", Type::Objective, "What training minimises."),
    ("Shape", Type::Shape, "The form of training samples."),
    ("Batch", Type::Batch, "How many samples a training step takes."),
    ("Optimiser", Type::Optimiser, "How weights follow gradients."),
    ("Schedule", Type::Schedule, "How the learning rate changes during training."),
    ("Selection", Type::Selection, "Which checkpoint of a training is kept."),
    ("Metric", Type::Metric, "A measure of retrieval, with its cut-off."),
    ("InputLimits", Type::InputLimits, "How much of query and document a model reads."),
    (
        "Teacher",
        Type::Teacher,
        "What ranks or scores documents as a teacher: a language model, `llm.endpoint { model = … }` or a checkpoint.",
    ),
    ("Test", Type::Test, "A significance test of a table."),
    ("Mark", Type::Mark, "A mark of the best values of a table."),
    ("Section", Type::Section, "A section of a report."),
    ("Any", Type::Any, "Fits everything."),
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
                let name = NAMED.iter().find(|(_, t, _)| t == named).map_or("Any", |(n, ..)| n);
                f.write_str(name)
            }
        }
    }
}
