//! `sparse.index`: an inverted index of encoded documents.

use crate::types::Op;
use crate::value::Value;

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    Op::stage(
        "sparse.index",
        VERSION,
        "Index",
        "Builds an inverted index of documents encoded by `sparse.encode`: the weight of each term as a whole number.",
    )
    .needs("vectors", "Vectors", "The encoded documents.")
    .takes("scale", "Float", Value::Float(100.0), "Weights are kept as round(scale · weight), above 0.")
    .derived("corpus", "Corpus", "vectors", None, "The corpus that was encoded.")
    .heavy()
}
