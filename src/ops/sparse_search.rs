//! `sparse.search`: the best documents of encoded queries by dot product.

use crate::types::Op;
use crate::value::Value;

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    Op::stage(
        "sparse.search",
        VERSION,
        "Run",
        "Ranks the documents of a sparse index for each encoded query by the dot product of their weights, exactly; \
         equal scores by document id descending.",
    )
    .needs("index", "Index", "An index made by `sparse.index`.")
    .needs("vectors", "Vectors", "The queries, encoded by `sparse.encode`.")
    .takes("depth", "Int", Value::Int(1000), "Documents kept for each query, from 1.")
    .derived("queries", "Queries", "vectors", None, "The queries that were encoded.")
    .derived("corpus", "Corpus", "index", None, "The corpus of the index.")
    .heavy()
}
