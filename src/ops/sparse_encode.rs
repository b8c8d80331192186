//! `sparse.encode`: texts as weighted terms, by a learned sparse model (SPLADE).

use crate::diag::Code;
use crate::types::Op;
use crate::types::op::{Facts, Issue};
use crate::value::{Record, Value};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    Op::stage(
        "sparse.encode",
        VERSION,
        "Vectors",
        "Encodes the documents of a corpus, or queries, as weights over the vocabulary of a masked language model: \
         max over positions of log(1 + relu(logit)).",
    )
    .needs("model", "Model", "The encoder, for instance `hf(\"naver/splade-v3-distilbert\")`.")
    .optional("corpus", "Corpus", "The documents to encode; either these or queries.")
    .optional("queries", "Queries", "The queries to encode; either these or a corpus.")
    .takes("input", "Int", Value::Int(256), "Tokens of a text that are read, special tokens included, from 3.")
    .optional("terms", "Int", "Terms kept for each text, the heaviest; all without.")
    .takes("precision", "'fp32' | 'bf16'", Value::str("fp32"), "Arithmetic of the model.")
    .heavy()
    .checks(check)
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    let given = |name: &str| !matches!(args.get(name), None | Some(Value::Null));
    let mut issues = Vec::new();
    if given("corpus") == given("queries") {
        let what = if given("corpus") {
            "both a corpus and queries are"
        } else {
            "neither a corpus nor queries are"
        };
        issues.push(Issue {
            code: Code::OutOfRange,
            argument: "corpus",
            message: format!("{what} given to encode"),
            help: Some("give one of them: `corpus = …` or `queries = …`".into()),
        });
    }
    for (argument, low) in [("input", 3), ("terms", 1)] {
        if let Some(n) = args.get(argument).and_then(Value::as_int)
            && n < low
        {
            issues.push(Issue {
                code: Code::OutOfRange,
                argument,
                message: format!("`{argument}` is {n}"),
                help: Some(format!("write a number from {low}")),
            });
        }
    }
    issues
}
