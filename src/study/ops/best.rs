//! `best`: the mark of a table. What it marks is decided in [`crate::report`].

use xpipe_base::value::Value;
use xpipe_lang::types::Op;

pub(crate) fn op() -> Op {
    Op::constructor("best", "Mark", "Marks the best value of each row, of each column or of the whole table.")
        .takes(
            "per",
            "'row' | 'column' | 'table'",
            Value::str("row"),
            "The cells that are compared with each other.",
        )
        .takes("smallest", "Bool", Value::Bool(false), "Whether lower values are better.")
}

#[cfg(test)]
mod tests {
    use xpipe_lang::graph::BestPer;
    use xpipe_lang::types::Type;

    #[test]
    fn tables_mark_every_group_that_can_be_named() {
        let op = super::op();
        let Type::Word(words) = &op.param("per").unwrap().ty else { panic!("words") };
        assert!(!words.is_empty() && words.iter().all(|w| BestPer::parse(w).is_some()), "{words:?}");
    }
}
