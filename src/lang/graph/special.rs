//! The built-in forms: what looks like a call and is evaluated by the checker itself. They are typed and documented as
//! operations are; arguments that only pass on how files are read take type and documentation from the imports.

use crate::types::{Registry, Type};

/// An argument of a form.
#[derive(Clone, Copy, Debug)]
pub struct FormParam {
    /// The name as studies write it.
    pub name: &'static str,
    /// The type as signatures write it; empty where the imports declare it.
    pub ty: &'static str,
    /// The default; `None` when the argument is required.
    pub default: Option<&'static str>,
    /// What it means; empty where the imports document it.
    pub doc: &'static str,
}

const fn required(name: &'static str, ty: &'static str, doc: &'static str) -> FormParam {
    FormParam { name, ty, default: None, doc }
}

const fn optional(
    name: &'static str,
    ty: &'static str,
    default: &'static str,
    doc: &'static str,
) -> FormParam {
    FormParam { name, ty, default: Some(default), doc }
}

/// An argument that is passed on to the imports that a data set becomes.
const fn of_imports(name: &'static str) -> FormParam {
    FormParam { name, ty: "", default: None, doc: "" }
}

impl FormParam {
    /// The type of its values; `None` where an axis is expected. Where several imports declare the argument with words,
    /// it takes any of them: which import accepts which is checked with the import.
    pub fn value_type(&self, registry: &Registry) -> Option<Type> {
        if !self.ty.is_empty() {
            return Type::parse(self.ty);
        }
        let mut declared = registry.imports().filter_map(|op| Some(op.param(self.name)?.ty.clone()));
        let first = declared.next()?;
        Some(declared.fold(first, |all, ty| match (all, ty) {
            (Type::Word(mut words), Type::Word(more)) => {
                words.extend(more.into_iter().filter(|w| !words.contains(w)).collect::<Vec<_>>());
                Type::Word(words)
            }
            (all, _) => all,
        }))
    }
}

/// Where a form may stand, and how its arguments are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormKind {
    /// A value of other values; `over` names axes.
    Value,
    /// A value of literals.
    Literal,
    /// A declaration after `dataset … =`.
    Dataset,
}

/// A form.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The name as studies write it.
    pub name: &'static str,
    /// Its kind.
    pub kind: FormKind,
    /// The type of its value, as signatures write it.
    pub returns: &'static str,
    /// Arguments, positional ones first.
    pub params: &'static [FormParam],
    /// What it gives.
    pub doc: &'static str,
    /// A line that uses it.
    pub example: &'static str,
}

impl Form {
    /// The names of its arguments.
    pub fn names(&self) -> Vec<&'static str> {
        self.params.iter().map(|t| t.name).collect()
    }

    /// The argument of a name.
    pub fn param(&self, name: &str) -> Option<&'static FormParam> {
        self.params.iter().find(|p| p.name == name)
    }
}

const ROLE: FormParam = optional(
    "role",
    "'train' | 'validation' | 'test'",
    "test if the study evaluates on it, else train",
    "The purpose of the collection. No training or selection may read a test collection.",
);
const UNJUDGED: FormParam = optional(
    "unjudged",
    "'drop' | 'keep'",
    "drop",
    "Whether to keep queries of a collection that have no judgements.",
);
const OWN: FormParam = optional(
    "own",
    "'keep' | 'drop'",
    "keep",
    "Whether a document with the id of the query may be ranked for that query. BEIR drops it.",
);
const QUERY_ID: FormParam = optional(
    "query_id",
    "String",
    "absent",
    "The field with the query id, in a collection whose `id` names the field with the document id.",
);
const FORMAT: FormParam = optional(
    "format",
    "'auto' | 'jsonl' | 'tsv' | 'csv' | 'trec' | 'html' | 'topics' | 'beir' | 'trec_run' | 'trec_qrels' | 'triples' | 'scored_triples' | 'parquet' | 'msmarco'",
    "auto",
    "The file format. `auto` detects it from names and content.",
);
const CORPUS: FormParam = optional(
    "corpus",
    "TestCollection | Corpus",
    "absent",
    "The documents that document ids are checked against.",
);
const QUERIES: FormParam = optional(
    "queries",
    "TestCollection | Queries",
    "absent",
    "The queries that query ids are checked against.",
);
const DIGEST: FormParam = optional(
    "digest",
    "String",
    "pinned in the lock file at the first download",
    "The digest that the publisher states: `sha256:…` or `md5:…`.",
);
const UNKNOWN: FormParam = of_imports("unknown");
const DUPLICATES: FormParam = of_imports("duplicates");
const FIELDS: FormParam = of_imports("fields");
const FIELD: FormParam = of_imports("field");
const BLANKS: FormParam = of_imports("blanks");
const ID: FormParam = of_imports("id");
const HEADER: FormParam = of_imports("header");
const TABS: FormParam = of_imports("tabs");
const EMPTY: FormParam = of_imports("empty");
const INCLUDE: FormParam = of_imports("include");
const EXCLUDE: FormParam = of_imports("exclude");
const OF: FormParam = required("of", "Float", "A number of results, at the points of the axes.");
const OVER: FormParam = required(
    "over",
    "axis | [axis, …]",
    "The axes to reduce; `axis in [labels]` takes some labels of an axis.",
);
const CHOSEN: FormParam = required(
    "over",
    "axis | [axis, …]",
    "The axes to choose on; the result has a member for each: `best.learning_rate`.",
);

/// Every form.
pub const FORMS: &[Form] = &[
    Form {
        name: "mean",
        kind: FormKind::Value,
        returns: "Float",
        params: &[OF, OVER],
        doc: "The mean over axes, of numbers that are known once the stages have run.",
        example: "mean(scores.ndcg_10, over = seed)",
    },
    Form {
        name: "sd",
        kind: FormKind::Value,
        returns: "Float",
        params: &[OF, OVER],
        doc: "The standard deviation (n - 1) over axes.",
        example: "sd(scores.ndcg_10, over = seed)",
    },
    Form {
        name: "min",
        kind: FormKind::Value,
        returns: "Float",
        params: &[OF, OVER],
        doc: "The minimum over axes.",
        example: "min(scores.ndcg_10, over = seed)",
    },
    Form {
        name: "max",
        kind: FormKind::Value,
        returns: "Float",
        params: &[OF, OVER],
        doc: "The maximum over axes.",
        example: "max(scores.ndcg_10, over = seed)",
    },
    Form {
        name: "all",
        kind: FormKind::Value,
        returns: "Bool",
        params: &[required("of", "Bool", "A condition over results, at the points of the axes."), OVER],
        doc: "Whether a condition holds at every point of some axes.",
        example: "all(scores.ndcg_10 > 0.5, over = seed)",
    },
    Form {
        name: "argmax",
        kind: FormKind::Value,
        returns: "Record",
        params: &[OF, CHOSEN],
        doc: "The labels at which a number is largest, known once the stages have run.",
        example: "argmax(mean(scores.ndcg_10, over = seed), over = [learning_rate])",
    },
    Form {
        name: "argmin",
        kind: FormKind::Value,
        returns: "Record",
        params: &[OF, CHOSEN],
        doc: "The labels at which a number is smallest, known once the stages have run.",
        example: "argmin(mean(scores.ndcg_10, over = seed), over = [learning_rate])",
    },
    Form {
        name: "near",
        kind: FormKind::Value,
        returns: "Bool",
        params: &[
            required("left", "Float", "The first number."),
            required("right", "Float", "The second number."),
            required("within", "Float", "The maximum difference."),
        ],
        doc: "Whether two numbers differ by at most `within`.",
        example: "near(scores.ndcg_10, published.DL19, within = 0.01)",
    },
    Form {
        name: "len",
        kind: FormKind::Value,
        returns: "Int",
        params: &[required("of", "List | Record | String | axis", "What is counted.")],
        doc: "The number of elements of a list, record or axis, or of characters of a text.",
        example: "len(seeds)",
    },
    Form {
        name: "steps",
        kind: FormKind::Value,
        returns: "Budget",
        params: &[required("n", "Int", "Number of steps (≥ 0).")],
        doc: "A number of training steps.",
        example: "steps(200_000)",
    },
    Form {
        name: "epochs",
        kind: FormKind::Value,
        returns: "Budget",
        params: &[required("n", "Float", "Number of epochs (> 0); fractions are allowed.")],
        doc: "A number of passes over the training samples.",
        example: "epochs(2)",
    },
    Form {
        name: "hf",
        kind: FormKind::Literal,
        returns: "Backbone",
        params: &[
            required("name", "String", "Name of the repository: `owner/name`."),
            optional(
                "revision",
                "String",
                "that of the lock file, else the default branch",
                "A commit, tag or branch.",
            ),
        ],
        doc: "A model of the Hugging Face hub. It is read from a folder of that name under `--models` or from the hub's cache \
              on this machine, else downloaded. The first use pins its revision in the lock file. Private and gated models \
              need the variable `HF_TOKEN` or a login by `hf auth login`.",
        example: "hf(\"microsoft/MiniLM-L12-H384-uncased\")",
    },
    Form {
        name: "checkpoint",
        kind: FormKind::Literal,
        returns: "Backbone",
        params: &[required("path", "String", "The folder, with `config.json`, weights and tokenizer.")],
        doc: "A model folder. A relative path starts at the file that names it.",
        example: "checkpoint(\"model\")",
    },
    Form {
        name: "csv",
        kind: FormKind::Literal,
        returns: "Any",
        params: &[
            required(
                "path",
                "String",
                "The file: a header line, then a line for each combination of labels.",
            ),
            required(
                "key",
                "axis | [axis, …]",
                "The axes whose labels are in the columns of their names; every other column is a number.",
            ),
        ],
        doc: "Published numbers, looked up by the labels of axes.",
        example: "csv(\"published.csv\", key = [backbone, objective])",
    },
    Form {
        name: "local",
        kind: FormKind::Dataset,
        returns: "Any",
        params: &[
            optional(
                "docs",
                "String | List<String>",
                "required for a Corpus or TestCollection",
                "The documents: a file, a folder or archive of files, a pattern (`part-*.tsv`) or a list of files. The \
                 other files may be given in the same ways.",
            ),
            optional(
                "queries",
                "String",
                "required for Queries or a TestCollection",
                "A file of queries; for other types the data set that query ids are checked against.",
            ),
            optional(
                "qrels",
                "String",
                "required for Qrels or a TestCollection",
                "A file of relevance judgements.",
            ),
            optional("run", "String", "required for a Run", "A file of rankings."),
            optional("scores", "String", "required for Scores", "A file of scored pairs."),
            optional(
                "triples",
                "String",
                "required for a Source",
                "A file of queries, each with a positive and a negative document.",
            ),
            CORPUS,
            FORMAT,
            FIELDS,
            FIELD,
            ROLE,
            UNKNOWN,
            DUPLICATES,
            BLANKS,
            UNJUDGED,
            OWN,
            ID,
            QUERY_ID,
            HEADER,
            TABS,
            EMPTY,
            INCLUDE,
            EXCLUDE,
        ],
        doc: "Declares a data set from files of this machine. A collection contains the queries that have judgements; \
              with `unjudged = keep` all queries.",
        example: "local { docs = \"docs.jsonl\", queries = \"queries.jsonl\", qrels = \"qrels.tsv\" }",
    },
    Form {
        name: "download",
        kind: FormKind::Dataset,
        returns: "Any",
        params: &[
            required("url", "String", "The address, `https://…`."),
            DIGEST,
            FORMAT,
            optional("member", "String", "absent", "The file inside an archive."),
            QUERIES,
            CORPUS,
            ROLE,
            UNKNOWN,
            DUPLICATES,
            FIELDS,
            FIELD,
            BLANKS,
            ID,
            QUERY_ID,
            HEADER,
            TABS,
            EMPTY,
            INCLUDE,
            EXCLUDE,
        ],
        doc: "Declares a data set by its address and digest; `xpipe fetch` and `xpipe run` download it.",
        example: "download { url = \"https://example.org/qrels.tsv\", format = trec }",
    },
    Form {
        name: "beir",
        kind: FormKind::Dataset,
        returns: "TestCollection",
        params: &[
            required("name", "String", "The data set, which is also the folder in its archive: `scifact`."),
            optional("split", "String", "test", "The split of the judgements, read from `qrels/SPLIT.tsv`."),
            DIGEST,
            optional("url", "String", "BEIR's own", "The address of the archive."),
            ROLE,
            UNKNOWN,
            DUPLICATES,
            optional(
                "queries",
                "'judged' | 'all'",
                "judged",
                "Whether the collection contains the queries that the split judges, or all queries.",
            ),
            optional(
                "own",
                "'keep' | 'drop'",
                "drop",
                "Whether a document with the id of the query may be ranked for that query. BEIR drops it.",
            ),
        ],
        doc: "Declares a collection of the BEIR benchmark: a zip archive with `corpus.jsonl`, `queries.jsonl` and \
              `qrels/SPLIT.tsv` in the folder NAME.",
        example: "beir(\"scifact\", split = \"test\", role = test)",
    },
    Form {
        name: "collection",
        kind: FormKind::Dataset,
        returns: "TestCollection",
        params: &[
            required("corpus", "Corpus", "The documents."),
            required("queries", "Queries", "The queries."),
            required("qrels", "Qrels", "The relevance judgements."),
            ROLE,
            UNJUDGED,
            OWN,
        ],
        doc: "Combines documents, queries and judgements. Of imported queries the collection contains those that have \
              judgements; with `unjudged = keep` all queries.",
        example: "collection { corpus = docs, queries = topics, qrels = judged, role = test }",
    },
];

/// The form of a name.
pub fn form(name: &str) -> Option<&'static Form> {
    FORMS.iter().find(|f| f.name == name)
}

/// The type of a form's value, as far as the text determines it.
pub(super) fn form_type(name: &str) -> Type {
    match form(name) {
        Some(form) if form.kind != FormKind::Dataset => Type::parse(form.returns).unwrap_or(Type::Any),
        _ => Type::Any,
    }
}
