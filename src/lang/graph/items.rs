//! The items of the language with their fields, as `describe` prints them and the checker knows them.

/// A field of an item's block.
#[derive(Clone, Copy, Debug)]
pub struct ItemField {
    /// The name as studies write it.
    pub name: &'static str,
    /// What it takes.
    pub ty: &'static str,
    /// What holds without it; `None` when it must be given.
    pub default: Option<&'static str>,
    /// Its meaning, a sentence for `describe`.
    pub doc: &'static str,
}

/// An item.
#[derive(Clone, Copy, Debug)]
pub struct ItemForm {
    /// The word it starts with.
    pub word: &'static str,
    /// How it is written.
    pub form: &'static str,
    /// A sentence for `describe`.
    pub doc: &'static str,
    /// The fields of its block.
    pub fields: &'static [ItemField],
    /// One that could stand in a study.
    pub example: &'static str,
}

const fn field(
    name: &'static str,
    ty: &'static str,
    default: Option<&'static str>,
    doc: &'static str,
) -> ItemField {
    ItemField { name, ty, default, doc }
}

const TITLE: ItemField = field("title", "String", Some("its name"), "What is printed above it.");

/// Every item, in the order of grammar/README.md.
pub const ITEMS: &[ItemForm] = &[
    ItemForm {
        word: "edition",
        form: "edition YEAR",
        doc: "The edition of the language that the file is written in: its first item.",
        fields: &[],
        example: "edition 2026",
    },
    ItemForm {
        word: "requires",
        form: "requires xpipe >= VERSION",
        doc: "The version of the program that the study needs.",
        fields: &[],
        example: "requires xpipe >= 0.1",
    },
    ItemForm {
        word: "use",
        form: "use a.b { x, y }, use a.b as c, use \"./file.xpipe\" as c",
        doc: "Names of another file or of std.",
        fields: &[],
        example: "use std.trec { dl19, dl20 }",
    },
    ItemForm {
        word: "study",
        form: "study NAME { fields }",
        doc: "What the study is, for readers of its report. Every field is kept; the report shows those below.",
        fields: &[
            TITLE,
            field("authors", "String", Some("absent"), "Who made it."),
            field("licence", "String", Some("absent"), "Under which licence it may be used."),
        ],
        example: "study distil { title = \"Objectives compared\", authors = \"A. Author\" }",
    },
    ItemForm {
        word: "param",
        form: "param NAME: TYPE = value",
        doc: "A value that `--set 'NAME=value'` and profiles may change. Without a value, `--set` must give it.",
        fields: &[],
        example: "param depth: Int = 100",
    },
    ItemForm {
        word: "axis",
        form: "axis NAME: TYPE = [values], axis NAME: TYPE = { label = value, … }",
        doc: "Values that stages are computed for, one cell each. A value is known by its label: the name before `=`, or \
              the value itself in a list.",
        fields: &[],
        example: "axis seed = [1, 2, 3]",
    },
    ItemForm {
        word: "let",
        form: "let NAME for axes where condition: TYPE = value",
        doc: "A name for a value; `for`, `where` and the type may be left out.",
        fields: &[],
        example: "let rates = [1e-5, 2e-5]",
    },
    ItemForm {
        word: "dataset",
        form: "dataset NAME: TYPE = call",
        doc: "Documents, queries, judgements, runs or scores from files or addresses: `local`, `download`, `beir`, \
              `collection`.",
        fields: &[],
        example: "dataset tests: TestCollection = local { docs = \"d.jsonl\", queries = \"q.jsonl\", qrels = \"r.tsv\" }",
    },
    ItemForm {
        word: "stage",
        form: "stage NAME for axes where condition = call with { fields }",
        doc: "The result of an operation or def, one for each combination of labels. `xpipe describe with` lists the \
              fields of `with`.",
        fields: &[],
        example: "stage index = bm25.index { corpus = tests.corpus }",
    },
    ItemForm {
        word: "def",
        form: "def NAME(arg: TYPE = value, …) -> TYPE { stages and lets, then yield value }",
        doc: "Stages and values under one name, called like an operation.",
        fields: &[],
        example: "def twice(k: Int = 10) -> Int { yield k * 2 }",
    },
    ItemForm {
        word: "table",
        form: "table NAME for axes where condition { fields }",
        doc: "Numbers of results in rows and columns, printed by `run` and `show` and kept in the report.",
        fields: &[
            TITLE,
            field(
                "names",
                "Record",
                Some("the texts of an axis of type String, else its labels"),
                "What labels of rows and columns are called where people read them: `{ bm25 = \"BM25 (Anserini)\" }`.",
            ),
            field("rows", "axis", None, "The axis whose labels are rows."),
            field("columns", "axis", Some("one column"), "The axis whose labels are columns."),
            field("value", "Float", None, "What stands in a cell: `scores.ndcg_10`, `mean(…)`."),
            field("spread", "Float", Some("absent"), "What stands after ±: `sd(…)`."),
            field("mark", "Mark", Some("absent"), "Marks the best: `best(per = column)`."),
            field("test", "Test", Some("absent"), "A significance test: `paired_t(against = system.bm25)`."),
            field(
                "published",
                "Published",
                Some("absent"),
                "Numbers to stand beside: a column of a `csv(…)`.",
            ),
            field("within", "Float", Some("absent"), "How far from a published number is still ok."),
            field("digits", "Int", Some("3"), "Digits after the point, 0 to 12."),
            field(
                "write",
                "List<'html' | 'latex' | 'csv' | 'markdown' | 'parquet'>",
                Some("[csv]"),
                "Files to write beside the report.",
            ),
        ],
        example: "table main { rows = system, value = scores.ndcg_10, mark = best(per = column) }",
    },
    ItemForm {
        word: "claim",
        form: "claim NAME for axes where condition { fields }",
        doc: "What the study says of its results: the run tells whether it holds, and ends with exit code 1 when not.",
        fields: &[
            field("text", "String", Some("its name"), "The claim in words."),
            field("expect", "Bool", None, "The condition, over results: `scores[system = a].ndcg_10 > 0.5`."),
        ],
        example: "claim helps { expect = scores[system = both].ndcg_10 > scores[system = bm25].ndcg_10 }",
    },
    ItemForm {
        word: "report",
        form: "report NAME { fields }",
        doc: "One HTML page. A study without one has `report.html` with everything.",
        fields: &[
            TITLE,
            field(
                "sections",
                "List<table | claim | costs(stage)>",
                Some("everything"),
                "What stands on it, in order.",
            ),
            field("html", "String", Some("NAME.html"), "Its file in the folder of results."),
        ],
        example: "report main { sections = [quality, helps, costs(run)] }",
    },
    ItemForm {
        word: "profile",
        form: "profile NAME { param = value, only axis = [labels] }",
        doc: "Values of params, and labels of axes to keep, that `--profile NAME` chooses. Claims of a profiled run are \
              told and fail nothing.",
        fields: &[],
        example: "profile pilot { seeds = [1], only backbone = [tiny] }",
    },
];

/// The names of an item's fields.
pub(super) fn fields_of(word: &str) -> Vec<&'static str> {
    ITEMS.iter().filter(|i| i.word == word).flat_map(|i| i.fields.iter().map(|f| f.name)).collect()
}
