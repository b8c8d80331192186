//! The built-in forms: what looks like a call and is evaluated by the checker itself.

/// A form.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Its name.
    pub name: &'static str,
    /// Its arguments, those that come by place first.
    pub takes: &'static [&'static str],
    /// What it gives.
    pub doc: &'static str,
    /// A line that uses it.
    pub example: &'static str,
}

/// Every form.
pub const FORMS: &[Form] = &[
    Form {
        name: "mean",
        takes: &["of", "over"],
        doc: "The mean over axes, of numbers that are known when the stages have run.",
        example: "mean(scores.ndcg_10, over = seed)",
    },
    Form {
        name: "sd",
        takes: &["of", "over"],
        doc: "The standard deviation (n - 1) over axes.",
        example: "sd(scores.ndcg_10, over = seed)",
    },
    Form {
        name: "min",
        takes: &["of", "over"],
        doc: "The smallest over axes.",
        example: "min(scores.ndcg_10, over = seed)",
    },
    Form {
        name: "max",
        takes: &["of", "over"],
        doc: "The largest over axes.",
        example: "max(scores.ndcg_10, over = seed)",
    },
    Form {
        name: "all",
        takes: &["of", "over"],
        doc: "Whether a condition holds everywhere on axes.",
        example: "all(scores.ndcg_10 > 0.5, over = seed)",
    },
    Form {
        name: "argmax",
        takes: &["of", "over"],
        doc: "The labels at which a number is largest, known when the stages have run.",
        example: "argmax(scores.ndcg_10, over = [learning_rate])",
    },
    Form {
        name: "argmin",
        takes: &["of", "over"],
        doc: "The labels at which a number is smallest.",
        example: "argmin(scores.ndcg_10, over = [learning_rate])",
    },
    Form {
        name: "near",
        takes: &["left", "right", "within"],
        doc: "Whether two numbers differ by `within` at most.",
        example: "near(scores.ndcg_10, published.DL19, within = 0.01)",
    },
    Form {
        name: "len",
        takes: &["of"],
        doc: "How many elements a list, record or axis has, or characters a text.",
        example: "len(seeds)",
    },
    Form { name: "steps", takes: &["n"], doc: "A number of training steps.", example: "steps(200_000)" },
    Form { name: "epochs", takes: &["n"], doc: "A number of passes over the samples.", example: "epochs(2)" },
    Form {
        name: "hf",
        takes: &["name", "revision"],
        doc: "A model of the Hugging Face hub; its revision is pinned in `study.lock`.",
        example: "hf(\"microsoft/MiniLM-L12-H384-uncased\")",
    },
    Form {
        name: "checkpoint",
        takes: &["path"],
        doc: "A model folder, relative to the file that names it.",
        example: "checkpoint(\"model\")",
    },
    Form {
        name: "csv",
        takes: &["path", "key"],
        doc: "Published numbers, looked up by the labels of axes.",
        example: "csv(\"published.csv\", key = [backbone, objective])",
    },
    Form {
        name: "local",
        takes: &[
            "docs",
            "queries",
            "qrels",
            "run",
            "scores",
            "triples",
            "corpus",
            "format",
            "fields",
            "field",
            "role",
            "unknown",
            "duplicates",
            "blanks",
        ],
        doc: "Declares a data set from files of this machine.",
        example: "local { docs = \"docs.jsonl\", queries = \"queries.jsonl\", qrels = \"qrels.tsv\" }",
    },
    Form {
        name: "download",
        takes: &[
            "url",
            "digest",
            "format",
            "member",
            "queries",
            "corpus",
            "role",
            "unknown",
            "duplicates",
            "fields",
            "field",
            "blanks",
        ],
        doc: "Declares a data set by its address and digest; `xpipe fetch` and `run` download it.",
        example: "download { url = \"https://example.org/qrels.tsv\", format = trec }",
    },
    Form {
        name: "beir",
        takes: &["name", "split", "digest", "url", "role", "unknown", "duplicates"],
        doc: "Declares a collection of the BEIR benchmark: a zip archive with `corpus.jsonl`, `queries.jsonl` and \
              `qrels/SPLIT.tsv` in the folder NAME. The archive's address is that of BEIR without `url`.",
        example: "beir(\"scifact\", split = \"test\", role = test)",
    },
    Form {
        name: "collection",
        takes: &["corpus", "queries", "qrels", "role"],
        doc: "Puts documents, queries and judgements together.",
        example: "collection { corpus = docs, queries = topics, qrels = judged, role = test }",
    },
];

/// The form of a name.
pub fn form(name: &str) -> Option<&'static Form> {
    FORMS.iter().find(|f| f.name == name)
}
