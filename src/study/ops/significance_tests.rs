//! The significance tests of tables: constructors. What they compute is in [`xpipe_data::ir::significance`], over which
//! differences in [`crate::report`].

use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

fn test(name: &'static str, doc: &'static str, example: &'static str) -> Op {
    Op::constructor(name, "Test", doc)
        .example(example)
        .takes(
            "over",
            "'query'",
            Value::str("query"),
            "The unit of the test: queries, averaged over seeds first.",
        )
        .needs(
            "against",
            "Any",
            "The baseline: a label of the rows or columns that the other cells are compared with.",
        )
        .takes(
            "correct",
            "'holm' | 'bonferroni' | 'bh' | 'none'",
            Value::str("holm"),
            "Correction of p-values for multiple comparisons, over all cells of the table.",
        )
        .takes(
            "alpha",
            "Percent | Float",
            Value::Percent(5.0),
            "Significance level, in (0, 1): `5%` or `0.05`.",
        )
        .checks(check)
}

fn drawn(op: Op) -> Op {
    op.takes("draws", "Int", Value::Int(10_000), "Number of random draws (≥ 1).").random()
}

pub(crate) fn paired_t() -> Op {
    test(
        "paired_t",
        "Student's t-test of paired samples, two-sided.",
        "paired_t(against = system.bm25, correct = holm)",
    )
}

pub(crate) fn randomisation() -> Op {
    drawn(test(
        "randomisation",
        "Fisher's randomisation test, two-sided; exact for up to 20 queries, else by random sign flips.",
        "randomisation(against = system.bm25, seed = 1)",
    ))
}

pub(crate) fn bootstrap() -> Op {
    drawn(test(
        "bootstrap",
        "Paired bootstrap test of studentised means, two-sided.",
        "bootstrap(against = system.bm25, seed = 1)",
    ))
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    let mut issues = Vec::new();
    let alpha = match args.get("alpha") {
        Some(Value::Percent(p)) => Some((p / 100.0, format!("{p}%"))),
        Some(other) => other.as_f64().map(|x| (x, x.to_string())),
        None => None,
    };
    if let Some((level, written)) = alpha
        && !(level > 0.0 && level < 1.0)
    {
        issues.push(Issue {
            code: Code::OutOfRange,
            argument: "alpha",
            message: format!("a level of {written}"),
            help: Some("write a level between 0 and 1, for instance `5%`".into()),
        });
    }
    if let Some(draws) = args.get("draws").and_then(Value::as_int)
        && draws < 1
    {
        issues.push(Issue {
            code: Code::OutOfRange,
            argument: "draws",
            message: format!("{draws} random draws"),
            help: Some("write a number from 1, for instance `10_000`".into()),
        });
    }
    issues
}

#[cfg(test)]
mod tests {
    use xpipe_lang::graph::CorrectionMethod;
    use xpipe_lang::types::Type;

    use super::*;

    struct NoFacts;

    impl Facts for NoFacts {
        fn find(&self, _: &Value, _: &str) -> Option<Value> {
            None
        }
        fn op(&self, _: &Value) -> Option<&'static str> {
            None
        }
    }

    #[test]
    fn levels_and_draws_out_of_range_are_told() {
        let of = |alpha: Value, draws: i64| {
            let args = Record::of([("alpha", alpha), ("draws", Value::Int(draws))]);
            check(&args, &NoFacts).iter().map(|i| i.argument).collect::<Vec<_>>()
        };
        assert!(of(Value::Percent(5.0), 1).is_empty() && of(Value::Float(0.01), 10).is_empty());
        assert_eq!(of(Value::Percent(0.0), 1), ["alpha"]);
        assert_eq!(of(Value::Float(5.0), 1), ["alpha"]);
        assert_eq!(of(Value::Percent(100.0), 0), ["alpha", "draws"]);
    }

    #[test]
    fn only_tests_that_draw_need_a_seed() {
        assert!(paired_t().param("seed").is_none() && !paired_t().random);
        for op in [randomisation(), bootstrap()] {
            assert!(op.random && op.param("seed").is_some());
            assert_eq!(op.param("draws").unwrap().default, Some(Value::Int(10_000)));
        }
    }

    #[test]
    fn every_test_is_one_that_tables_carry_out() {
        for op in [paired_t(), randomisation(), bootstrap()] {
            assert!(xpipe_lang::graph::TestKind::parse(op.name).is_some(), "{}", op.name);
            let Type::Word(words) = &op.param("correct").unwrap().ty else { panic!("words") };
            assert!(words.iter().all(|w| CorrectionMethod::parse(w).is_some()), "{words:?}");
        }
    }
}
