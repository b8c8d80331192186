//! What would have no end is told at once.

use std::time::{Duration, Instant};

use super::{check, check_with, told};
use xpipe_lang::graph::Overrides;

const HEAD: &str = r#"edition 2026
dataset toy: TestCollection = local { docs = "d.jsonl", queries = "q.jsonl", qrels = "q.tsv", role = validation }
stage index = bm25.index { corpus = toy.corpus }
axis a: Int = 1 .. 400
axis b: Int = 1 .. 400
axis c: Int = 1 .. 400
axis one: Int = [1]
"#;

/// The errors of a study, which must come soon.
fn soon(text: &str) -> Vec<String> {
    let start = Instant::now();
    let told = told(&check(&[("root.xpipe", text)]));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?} for {}", start.elapsed(), &text[..80]);
    told
}

#[test]
fn cells_are_counted_before_they_are_made() {
    for (item, wanted) in [
        (
            "stage f for a, b, c = bm25.search { index, queries = toy.queries, depth = a + b + c }",
            "types::too_many_cells `f` has 64,000,000 cells (a × b × c)",
        ),
        (
            "stage f for a, b, c where a < 0 = bm25.search { index, queries = toy.queries, depth = a + b + c }",
            "types::too_many_cells `f` has 64,000,000 cells (a × b × c)",
        ),
        ("let l for a, b, c = a + b + c", "types::too_many_cells `l` has 64,000,000 cells (a × b × c)"),
        (
            "table t for c { rows = a, columns = b, value = a + b + c }",
            "types::too_many_cells `t` has 64,000,000 cells (c × a × b)",
        ),
        (
            "claim k for a, b, c { expect = a < b + c }",
            "types::too_many_cells `k` has 64,000,000 cells (a × b × c)",
        ),
        (
            "claim k { expect = all(a < b + c, over = [a, b, c]) }",
            "types::too_many_cells this looks at 64,000,000 cells",
        ),
    ] {
        let told = soon(&format!("{HEAD}{item}\n"));
        assert!(told.len() == 1 && told[0].ends_with(wanted), "{item}: {told:?}");
    }
    // A reduction in each of many cells.
    let text = format!("{HEAD}let m for a = mean(b * 1.0, over = b)\n");
    let overrides = Overrides { max_cells: Some(500), ..Overrides::default() };
    let found = check_with(&[("root.xpipe", &text)], &overrides);
    assert!(told(&found)[0].ends_with("reductions look at more than 2,500 cells"), "{:?}", told(&found));
    // All stages together.
    let many: String = (0..8).map(|i| format!("let l{i} for a, b = a + b\n")).collect();
    let told = soon(&format!("{HEAD}{many}"));
    assert!(told.len() == 1 && told[0].contains("this study has more than 1,000,000 cells"), "{told:?}");
}

#[test]
fn max_cells_moves_the_bound() {
    let text = format!("{HEAD}let l for a = a\n");
    let with = |max_cells| {
        let overrides = Overrides { max_cells: Some(max_cells), ..Overrides::default() };
        told(&check_with(&[("root.xpipe", &text)], &overrides))
    };
    assert_eq!(with(401), Vec::<String>::new());
    assert!(with(400)[0].contains("this study has more than 400 cells"), "{:?}", with(400));
    assert!(with(10)[0].contains("`l` has 400 cells (a)"), "{:?}", with(10));
}

#[test]
fn values_that_double_are_stopped() {
    let doubled = |first: &str, next: &str| {
        let mut text = format!("edition 2026\nlet v0 = {first}\n");
        for i in 1..64 {
            text.push_str(&format!("let v{i} = {}\n", next.replace("{v}", &format!("v{}", i - 1))));
        }
        text
    };
    for (first, next, wanted) in [
        ("[1, 2]", "{v} + {v}", "holds more than 1,000,000 values"),
        ("[1]", "[{v}, {v}]", "holds more than 1,000,000 values"),
        ("\"ab\"", "\"{{v}}{{v}}\"", "is a text of more than 1,048,576 bytes"),
        ("\"ab\"", "{v} + {v}", "is a text of more than 1,048,576 bytes"),
        ("{ a = 1 }", "{ a = {v}, b = {v} }", "holds more than 1,000,000 values"),
        ("mean(x * 1.0, over = x)", "{v} + {v}", "holds more than 1,000,000 values"),
    ] {
        let told = soon(&format!("{}axis x = [1, 2]\n", doubled(first, next)));
        assert!(told.len() == 1 && told[0].contains(wanted), "{next}: {told:?}");
    }
    // Deep, and not wide.
    let mut deep = "edition 2026\nlet v0 = [1]\n".to_owned();
    (1..2000).for_each(|i| deep.push_str(&format!("let v{i} = [v{}]\n", i - 1)));
    let told = soon(&deep);
    assert!(told.len() == 1 && told[0].contains("nested more than 600 deep"), "{told:?}");
}

#[test]
fn a_range_tells_its_limit() {
    for (range, wanted) in [
        ("1 .. 1000000", "a range has at most 100,000 numbers"),
        ("-9000000000000000000 .. 9000000000000000000", "a range has at most 100,000 numbers"),
        ("5 .. 1", "`..` goes from a smaller to a larger whole number"),
    ] {
        let told = soon(&format!("edition 2026\nlet r = {range}\n"));
        assert!(told.len() == 1 && told[0].ends_with(wanted), "{range}: {told:?}");
    }
    assert_eq!(soon("edition 2026\nlet r = 1 .. 100000\n"), Vec::<String>::new());
}

/// A chain of `n` links, the last declared first where `reverse` says so.
fn chain(n: usize, reverse: bool, first: &str, link: impl Fn(usize) -> String) -> String {
    let mut lines: Vec<String> = (1..n).map(&link).collect();
    if reverse {
        lines.reverse();
        lines.push(first.to_owned());
    } else {
        lines.insert(0, first.to_owned());
    }
    format!("{HEAD}{}\n", lines.join("\n"))
}

#[test]
fn chains_are_followed_or_told_whatever_their_order() {
    let lets = |i: usize| format!("let v{i} = v{} + 0", i - 1);
    let stages = |i: usize| format!("stage q{i} = data.sample {{ queries = q{}, n = 5, seed = {i} }}", i - 1);
    let first = "stage q0 = data.sample { queries = toy.queries, n = 5, seed = 1 }";
    let defs = |i: usize| format!("def f{i}(n: Int) -> Int {{\n    yield f{}(n = n)\n}}", i - 1);
    let def0 = "def f0(n: Int) -> Int {\n    yield n\n}";
    assert_eq!(soon(&chain(1500, true, "let v0 = 5", lets)), Vec::<String>::new());
    assert_eq!(soon(&chain(1500, true, first, stages)), Vec::<String>::new());
    assert_eq!(soon(&chain(5000, false, "let v0 = 5", lets)), Vec::<String>::new());
    for text in [
        chain(5000, true, "let v0 = 5", lets),
        chain(5000, true, first, stages),
        format!("{}let last = f4999(n = 1)\n", chain(5000, false, def0, defs)),
    ] {
        let told = soon(&text);
        assert!(!told.is_empty() && told.len() <= 3, "{} errors, first {:?}", told.len(), told.first());
        assert!(told[0].contains("a chain of more than 2,000 names"), "{told:?}");
    }
}

#[test]
fn files_that_use_each_other_in_a_chain_are_bounded() {
    let mut files: Vec<(String, String)> = (0..100)
        .map(|i| (format!("f{i}.xpipe"), format!("edition 2026\nuse \"./f{}.xpipe\" as next\n", i + 1)))
        .collect();
    files.push(("f100.xpipe".into(), "edition 2026\n".into()));
    files.push(("root.xpipe".into(), "edition 2026\nuse \"./f0.xpipe\" as first\n".into()));
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
    let told = told(&check(&files));
    assert!(told.len() == 1 && told[0].contains("files use each other more than 64 deep"), "{told:?}");
}
