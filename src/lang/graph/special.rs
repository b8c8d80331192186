//! The built-in forms: what looks like a call and is evaluated by the checker itself.

/// An argument of a form.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Its name.
    pub name: &'static str,
    /// What it takes; empty where the imports say it.
    pub ty: &'static str,
    /// What holds without it; `None` when it must be given.
    pub default: Option<&'static str>,
    /// What it means.
    pub doc: &'static str,
}

impl Taken {
    const fn of(
        name: &'static str,
        ty: &'static str,
        default: Option<&'static str>,
        doc: &'static str,
    ) -> Self {
        Self { name, ty, default, doc }
    }

    /// An argument of the imports that a data set comes to: they say what it takes and means.
    const fn read(name: &'static str) -> Self {
        Self { name, ty: "", default: None, doc: "" }
    }
}

/// A form.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Its name.
    pub name: &'static str,
    /// Its arguments, those that come by place first.
    pub takes: &'static [Taken],
    /// What it gives.
    pub doc: &'static str,
    /// A line that uses it.
    pub example: &'static str,
}

impl Form {
    /// The names of its arguments.
    pub fn names(&self) -> Vec<&'static str> {
        self.takes.iter().map(|t| t.name).collect()
    }
}

const ROLE: Taken = Taken::of(
    "role",
    "'train' | 'validation' | 'test'",
    Some("test"),
    "What it may be used for: nothing learns from or is chosen on a test.",
);
const UNKNOWN: Taken = Taken::read("unknown");
const DUPLICATES: Taken = Taken::read("duplicates");
const FIELDS: Taken = Taken::read("fields");
const UNJUDGED: Taken = Taken::of(
    "unjudged",
    "'drop' | 'keep'",
    Some("drop"),
    "Queries of a collection that its judgements do not name: leave them out, or keep them.",
);
const OWN: Taken = Taken::of(
    "own",
    "'keep' | 'drop'",
    Some("keep"),
    "A document whose id is the query's: keep it in rankings, or leave it out as BEIR does.",
);
const BLANKS: Taken = Taken::read("blanks");
const ID: Taken = Taken::read("id");
const QUERY_ID: Taken = Taken::of(
    "query_id",
    "String",
    Some("absent"),
    "The field that holds the id of a query, in a collection whose `id` names that of a document.",
);
const HEADER: Taken = Taken::read("header");
const TABS: Taken = Taken::read("tabs");
const EMPTY: Taken = Taken::read("empty");
const INCLUDE: Taken = Taken::read("include");
const EXCLUDE: Taken = Taken::read("exclude");
const FIELD: Taken = Taken::read("field");
const FORMAT: Taken = Taken::of(
    "format",
    "'auto' | 'jsonl' | 'tsv' | 'csv' | 'trec' | 'html' | 'topics' | 'beir' | 'trec_run' | 'trec_qrels' | 'triples' | 'scored_triples' | 'parquet' | 'msmarco'",
    Some("auto"),
    "How the files are written; told from their first lines without it.",
);
const CORPUS: Taken = Taken::of(
    "corpus",
    "TestCollection | Corpus",
    Some("absent"),
    "The documents that ids are checked with.",
);
const QUERIES: Taken = Taken::of(
    "queries",
    "TestCollection | Queries",
    Some("absent"),
    "The queries that ids are checked with.",
);
const OF: Taken = Taken::of("of", "Float", None, "A number of results, at the points of the axes.");
const OVER: Taken =
    Taken::of("over", "axis | [axis, …]", None, "The axes; `axis in [labels]` takes some of one.");

/// Every form.
pub const FORMS: &[Form] = &[
    Form {
        name: "mean",
        takes: &[OF, OVER],
        doc: "The mean over axes, of numbers that are known when the stages have run.",
        example: "mean(scores.ndcg_10, over = seed)",
    },
    Form {
        name: "sd",
        takes: &[OF, OVER],
        doc: "The standard deviation (n - 1) over axes.",
        example: "sd(scores.ndcg_10, over = seed)",
    },
    Form {
        name: "min",
        takes: &[OF, OVER],
        doc: "The smallest over axes.",
        example: "min(scores.ndcg_10, over = seed)",
    },
    Form {
        name: "max",
        takes: &[OF, OVER],
        doc: "The largest over axes.",
        example: "max(scores.ndcg_10, over = seed)",
    },
    Form {
        name: "all",
        takes: &[Taken::of("of", "Bool", None, "A condition over results, at the points of the axes."), OVER],
        doc: "Whether a condition holds everywhere on axes.",
        example: "all(scores.ndcg_10 > 0.5, over = seed)",
    },
    Form {
        name: "argmax",
        takes: &[
            OF,
            Taken::of(
                "over",
                "axis | [axis, …]",
                None,
                "The axes to choose on; the result has a member for each: `best.learning_rate`.",
            ),
        ],
        doc: "The labels at which a number is largest, known when the stages have run.",
        example: "argmax(mean(scores.ndcg_10, over = seed), over = [learning_rate])",
    },
    Form {
        name: "argmin",
        takes: &[
            OF,
            Taken::of(
                "over",
                "axis | [axis, …]",
                None,
                "The axes to choose on; the result has a member for each: `best.learning_rate`.",
            ),
        ],
        doc: "The labels at which a number is smallest.",
        example: "argmin(mean(scores.ndcg_10, over = seed), over = [learning_rate])",
    },
    Form {
        name: "near",
        takes: &[
            Taken::of("left", "Float", None, "A number."),
            Taken::of("right", "Float", None, "Another."),
            Taken::of("within", "Float", None, "The largest difference."),
        ],
        doc: "Whether two numbers differ by `within` at most.",
        example: "near(scores.ndcg_10, published.DL19, within = 0.01)",
    },
    Form {
        name: "len",
        takes: &[Taken::of("of", "List | Record | String | axis", None, "What is counted.")],
        doc: "How many elements a list, record or axis has, or characters a text.",
        example: "len(seeds)",
    },
    Form {
        name: "steps",
        takes: &[Taken::of("n", "Int", None, "How many, from 0.")],
        doc: "A number of training steps.",
        example: "steps(200_000)",
    },
    Form {
        name: "epochs",
        takes: &[Taken::of("n", "Float", None, "How many, above 0; parts of one are allowed.")],
        doc: "A number of passes over the samples.",
        example: "epochs(2)",
    },
    Form {
        name: "hf",
        takes: &[
            Taken::of("name", "String", None, "`owner/name`, as the hub calls it."),
            Taken::of(
                "revision",
                "String",
                Some("that of the lock file, else the default branch"),
                "A commit, tag or branch.",
            ),
        ],
        doc: "A model by its name on the Hugging Face hub: taken from the folder of that name under `--models`, read from the hub's cache on this machine, or downloaded. The revision is pinned in the lock file on first use. A private or gated model needs the variable `HF_TOKEN`, or what `hf auth login` leaves.",
        example: "hf(\"microsoft/MiniLM-L12-H384-uncased\")",
    },
    Form {
        name: "checkpoint",
        takes: &[Taken::of("path", "String", None, "The folder, with `config.json`, weights and tokenizer.")],
        doc: "A model folder, relative to the file that names it.",
        example: "checkpoint(\"model\")",
    },
    Form {
        name: "csv",
        takes: &[
            Taken::of(
                "path",
                "String",
                None,
                "The file: a header line, then a line for each combination of labels.",
            ),
            Taken::of(
                "key",
                "axis | [axis, …]",
                None,
                "The axes whose labels stand in columns of their names; every other column is a number.",
            ),
        ],
        doc: "Published numbers, looked up by the labels of axes.",
        example: "csv(\"published.csv\", key = [backbone, objective])",
    },
    Form {
        name: "local",
        takes: &[
            Taken::of(
                "docs",
                "String | List<String>",
                Some("must be given for a Corpus or TestCollection"),
                "A file, a folder or archive of files, a pattern (`part-*.tsv`) or a list of files, of documents; all the \
                 others may be such, too.",
            ),
            Taken::of(
                "queries",
                "String",
                Some("must be given for Queries or a TestCollection"),
                "A file of queries; for other types the data set that ids are checked with.",
            ),
            Taken::of(
                "qrels",
                "String",
                Some("must be given for Qrels or a TestCollection"),
                "A file of judgements.",
            ),
            Taken::of("run", "String", Some("must be given for a Run"), "A file of rankings."),
            Taken::of("scores", "String", Some("must be given for Scores"), "A file of pairs with scores."),
            Taken::of(
                "triples",
                "String",
                Some("must be given for a Source"),
                "A file of queries with relevant and other documents.",
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
        doc: "Declares a data set from files of this machine. A collection has the queries that its judgements name; all \
              with `unjudged = keep`.",
        example: "local { docs = \"docs.jsonl\", queries = \"queries.jsonl\", qrels = \"qrels.tsv\" }",
    },
    Form {
        name: "download",
        takes: &[
            Taken::of("url", "String", None, "The address, `https://…`."),
            Taken::of(
                "digest",
                "String",
                Some("pinned in the lock file at the first download"),
                "What the publisher states: `sha256:…`, `md5:…`.",
            ),
            FORMAT,
            Taken::of("member", "String", Some("absent"), "The file in an archive."),
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
        doc: "Declares a data set by its address and digest; `xpipe fetch` and `run` download it.",
        example: "download { url = \"https://example.org/qrels.tsv\", format = trec }",
    },
    Form {
        name: "beir",
        takes: &[
            Taken::of("name", "String", None, "The data set and the folder in its archive: `scifact`."),
            Taken::of("split", "String", Some("test"), "Which judgements: `qrels/SPLIT.tsv`."),
            Taken::of(
                "digest",
                "String",
                Some("pinned in the lock file at the first download"),
                "What the publisher states: `sha256:…`, `md5:…`.",
            ),
            Taken::of("url", "String", Some("BEIR's own"), "The address of the archive."),
            ROLE,
            UNKNOWN,
            DUPLICATES,
            Taken::of(
                "queries",
                "'judged' | 'all'",
                Some("judged"),
                "The queries that the split judges, or all of the archive.",
            ),
            Taken::of(
                "own",
                "'keep' | 'drop'",
                Some("drop"),
                "A document whose id is the query's: keep it in rankings, or leave it out as BEIR does.",
            ),
        ],
        doc: "Declares a collection of the BEIR benchmark: a zip archive with `corpus.jsonl`, `queries.jsonl` and \
              `qrels/SPLIT.tsv` in the folder NAME. The archive's address is that of BEIR without `url`. Its queries are \
              those that the split judges, or all with `queries = all`. A document whose id is the query's is left out \
              of rankings, as BEIR does; `own = keep` keeps it.",
        example: "beir(\"scifact\", split = \"test\", role = test)",
    },
    Form {
        name: "collection",
        takes: &[
            Taken::of("corpus", "Corpus", None, "The documents."),
            Taken::of("queries", "Queries", None, "The queries."),
            Taken::of("qrels", "Qrels", None, "The judgements."),
            ROLE,
            UNJUDGED,
            OWN,
        ],
        doc: "Puts documents, queries and judgements together. Of queries that a data set declares, the collection has those \
              that the judgements name; all with `unjudged = keep`.",
        example: "collection { corpus = docs, queries = topics, qrels = judged, role = test }",
    },
];

/// The form of a name.
pub fn form(name: &str) -> Option<&'static Form> {
    FORMS.iter().find(|f| f.name == name)
}
