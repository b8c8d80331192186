//! The types of the language: one table, in which a row is all that there is to say about a type.

use std::fmt;

use super::export::Export;

/// A named type, as studies write it.
struct Named {
    name: &'static str,
    ty: Type,
    doc: &'static str,
    rules: Rules,
}

/// How a named type behaves.
struct Rules {
    /// Whether it is written without an article: `Queries`.
    plural: bool,
    /// Whether it is a part of a test collection.
    part: bool,
    /// Types whose place it may take, besides its own.
    also: &'static [Type],
    /// The file format that `export` writes it as.
    export: Export,
}

const PLAIN: Rules = Rules { plural: false, part: false, also: &[], export: Export::Folder };

/// Declares the types: a row is everything about a named type.
macro_rules! types {
    ($($name:ident: $doc:literal $({ $($rule:ident: $value:expr),+ })?;)*) => {
        /// A type. Grids are not types here: the axes an expression varies over are tracked beside its type.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Type {
            $(#[doc = $doc] $name,)*
            /// A list of one type.
            List(Box<Type>),
            /// One word of a fixed set, for instance `fp32 | bf16`.
            Word(Vec<&'static str>),
            /// Any of several types.
            Either(Vec<Type>),
        }

        const NAMED: &[Named] = &[$(Named {
            name: stringify!($name),
            ty: Type::$name,
            doc: $doc,
            rules: Rules { $($($rule: $value,)+)? ..PLAIN },
        },)*];
    };
}

types! {
    Bool: "`true` or `false`.";
    Int: "A 64-bit integer: `32`, `1_000_000`." { also: &[Type::Float] };
    Float: "A number: `0.5`, `2e-5`. An Int is also a Float.";
    String: "A text: `\"nDCG@10 over {len(seeds)} seeds\"`; in single quotes without interpolation." { also: &[Type::Path, Type::Program] };
    Bytes: "An amount of memory: `24GiB`, `512MiB`." { plural: true };
    Duration: "A duration: `20h`, `90min`, `30s`.";
    Percent: "A percentage: `5%`, `2.5%`." { also: &[Type::Budget] };
    Budget: "A training length: `steps(200_000)`, `epochs(2)`, or a percentage of the whole.";
    Path: "A file or folder, relative to the file that names it." { also: &[Type::Program] };
    Program: "An external program: its file, `self:NAME` for one that is part of xpipe, or the name of one on PATH.";
    Record: "Named values: `{ a = 1, b = 2 }`.";
    Corpus: "Documents by id." { part: true, export: Export::Texts };
    Queries: "Queries by id." { plural: true, part: true, export: Export::Texts };
    Qrels: "Relevance judgements: grades of documents for queries." { plural: true, part: true, export: Export::Qrels };
    TestCollection: "`corpus`, `queries` and `qrels` that belong together, with their role." { also: &[Type::Record] };
    Run: "Ranked documents with scores for each query." { also: &[Type::Source], export: Export::Run };
    Source: "What training samples are drawn from: triples, a run with judgements, ranked lists.";
    Samples: "Training samples of one shape." { plural: true, also: &[Type::Source] };
    Scores: "A teacher's scores of query-document pairs." { plural: true, export: Export::Scores };
    Model: "A trained or published model." { also: &[Type::Backbone, Type::Teacher] };
    Metrics: "Values of measures, for each query and on average." { plural: true, export: Export::Metrics };
    Index: "An inverted index.";
    Vectors: "Texts encoded as weighted terms." { plural: true };
    Embeddings: "Texts encoded as dense vectors." { plural: true };
    Backbone: "A checkpoint that training starts from: `hf(\"owner/name\")`, `checkpoint(\"folder\")`." { also: &[Type::Model, Type::Teacher] };
    Objective: "The loss that training minimises.";
    Shape: "The form of training samples.";
    Batch: "The number of samples per training step.";
    Optimiser: "The rule by which gradients update weights.";
    Schedule: "The learning rate over the course of training.";
    Selection: "The rule that decides which checkpoint of a training is kept.";
    Metric: "A retrieval measure, with its cut-off.";
    InputLimits: "Maximum query and document lengths that a model reads, in tokens." { plural: true };
    Teacher: "What ranks or scores documents as a teacher: a language model, `llm.endpoint { model = … }` or a checkpoint.";
    Test: "A significance test of a table.";
    Mark: "A mark of the best values of a table.";
    Section: "A section of a report.";
    Secret: "A password or key from the environment: `secret(\"HF_TOKEN\")`.";
    Any: "Any type.";
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
        NAMED.iter().find(|n| n.name == base).map(|n| n.ty.clone())
    }

    /// Names of all types that a study can write.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|n| n.name)
    }

    /// All types that a study can write, with their names and what they are.
    pub fn all() -> impl Iterator<Item = (&'static str, &'static Type, &'static str)> {
        NAMED.iter().map(|n| (n.name, &n.ty, n.doc))
    }

    fn named(&self) -> Option<&'static Named> {
        NAMED.iter().find(|n| n.ty == *self)
    }

    /// The name with its article, as messages write it: `an Int`, `a Run`, `Queries`.
    pub fn with_article(&self) -> String {
        let text = self.to_string();
        if self.named().is_some_and(|n| n.rules.plural) || text.starts_with('`') {
            text
        } else if text.starts_with(['A', 'E', 'I', 'O', 'U', 'a', 'e', 'i', 'o', 'u']) {
            format!("an {text}")
        } else {
            format!("a {text}")
        }
    }

    /// The file format that `export` writes an artifact of this type as.
    pub fn export(&self) -> Export {
        self.named().map_or(Export::Folder, |n| n.rules.export)
    }

    /// The member of a test collection that has this type: `corpus`, `queries` or `qrels`.
    pub fn collection_part(&self) -> Option<String> {
        self.named().filter(|n| n.rules.part).map(|n| n.name.to_lowercase())
    }

    /// The type of a member of a test collection: `qrels`, also `qrels.SPLIT`.
    pub fn of_collection_part(part: &str) -> Option<Self> {
        let part = part.split('.').next();
        NAMED
            .iter()
            .map(|n| &n.ty)
            .find(|ty| part.is_some() && ty.collection_part().as_deref() == part)
            .cloned()
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
            (Self::Word(_), Self::String) => true,
            (a, b) => a == b || a.named().is_some_and(|n| n.rules.also.contains(b)),
        }
    }
}

fn word(text: &str) -> Option<&'static str> {
    // Signatures are built once from literals, so the few words leaked here are bounded.
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    Some(Box::leak(inner.to_owned().into_boxed_str()))
}

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
            named => f.write_str(named.named().map_or("Any", |n| n.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_read_as_it_is_printed() {
        for (name, ty, doc) in Type::all() {
            assert_eq!((Type::parse(name).as_ref(), ty.to_string().as_str()), (Some(ty), name));
            assert!(doc.ends_with('.'), "{name}: {doc}");
        }
        let list = Type::parse("List<Metric> | Run").unwrap();
        assert_eq!(list.to_string(), "List<Metric> or Run");
    }

    #[test]
    fn articles_and_parts_follow_the_table() {
        let of = |text: &str| Type::parse(text).unwrap().with_article();
        assert_eq!(
            ["Int", "Run", "Queries", "'a' | 'b'"].map(of),
            ["an Int", "a Run", "Queries", "`a` or `b`"]
        );
        assert_eq!(Type::of_collection_part("qrels.dev"), Some(Type::Qrels));
        assert_eq!(Type::of_collection_part("run"), None);
        assert_eq!(Type::Corpus.collection_part().as_deref(), Some("corpus"));
    }

    #[test]
    fn a_type_may_stand_where_another_is_expected() {
        for (given, wanted) in
            [("Run", "Source"), ("Backbone", "Teacher"), ("Int", "Float"), ("'a'", "String")]
        {
            let (given, wanted) = (Type::parse(given).unwrap(), Type::parse(wanted).unwrap());
            assert!(given.fits(&wanted) && !wanted.fits(&given), "{given} {wanted}");
        }
        // A list of one type is no list of another, and no single value.
        let runs = Type::List(Box::new(Type::Run));
        assert!(runs.fits(&Type::List(Box::new(Type::Source))) && !runs.fits(&Type::Run));
    }
}
