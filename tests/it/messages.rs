//! Messages on what people write by mistake: one, at the cause, with what to type.

use super::space::Space;

const HEAD: &str = r#"edition 2026
dataset t: TestCollection = local { docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv", role = validation }
stage index = bm25.index { corpus = t.corpus }
"#;

/// What follows [`HEAD`], and what must be said; every case is one error.
const CASES: &[(&str, &[&str])] = &[
    (
        "stage f = bm25.search { index, queries = t.queries, depth = null }",
        &["no name `null`", "leave the argument out"],
    ),
    ("let a = seq(1, 4)", &["no operation `seq`", "`1 .. 3` is 1, 2, 3"]),
    ("let a = zip([1], [2])", &["no operation `zip`", "as an `axis`"]),
    (
        "axis k = { few = 5, many = 50 }\nstage f for k where k == few = bm25.search { index, queries = t.queries, depth = k }",
        &["no name `few`", "it is a label of `k`: write `k.few`"],
    ),
    (
        "axis k = { few = 5, many = 50 }\nstage f for k = bm25.search { index, queries = t.queries, depth = match k { few => 5, mani => 9 } }",
        &["axis `k` has no `mani`", "did you mean `many`?"],
    ),
    ("edition 2026", &["the edition is stated twice", "remove one of the two lines"]),
    (
        "axis k = [3, 7]\nstage f for k = bm25.search { index, queries = t.queries, depth = k }\n\
         stage s for k = evaluate { run = f, qrels = t.qrels, metrics = [rr(3)] }\n\
         table x { rows = k, value = s.rr_3, test = paired_t(against = 5) }",
        &["`against` must be a label of the rows or columns", "write one of `3`, `7`"],
    ),
    (
        "axis a = [3, 7]\naxis b = [7, 9]\n\
         stage f for a, b = bm25.search { index, queries = t.queries, depth = a * b }\n\
         stage s for a, b = evaluate { run = f, qrels = t.qrels, metrics = [rr(3)] }\n\
         table x { rows = a, columns = b, value = s.rr_3, test = paired_t(against = 7) }",
        &["`against` is a label of the rows and of the columns", "give the labels of one axis names"],
    ),
];

#[test]
fn what_is_not_ours_is_told_once_with_what_to_type() {
    for (text, told) in CASES {
        let space = Space::new(&format!("{HEAD}{text}\n"));
        let ended = space.xpipe(&["check", "study.xpipe"]);
        assert!(
            ended.code == Some(3) && ended.out.contains("study.xpipe: 1 error"),
            "{}{}",
            ended.out,
            ended.err
        );
        let said = format!("{}{}", ended.out, ended.err);
        // Long lines of help are wrapped.
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in *told {
            assert!(flat.contains(part), "{text}\n`{part}` is not in\n{said}");
        }
    }
}

#[test]
fn a_test_is_against_a_number_or_a_text_as_the_axis_has_it() {
    let of = |axis: &str, against: &str| {
        format!(
            "{HEAD}axis k = {axis}\n\
             stage f for k = bm25.search {{ index, queries = t.queries, k1 = match k {{ _ => 0.9 }}, depth = 3 }}\n\
             stage s for k = evaluate {{ run = f, qrels = t.qrels, metrics = [rr(3)] }}\n\
             table x {{ rows = k, value = s.rr_3, mark = best(per = table), test = paired_t(against = {against}) }}\n"
        )
    };
    for (axis, against) in [
        ("[0.9, 1.2]", "1.2"),
        ("[10, 20]", "20"),
        ("[10, 20]", "20.0"),
        ("[\"a b\", \"c\"]", "\"a b\""),
        ("[1e-5, 3e-3]", "0.003"),
        ("{ few = 1, many = 2 }", "k.many"),
    ] {
        let space = Space::new(&of(axis, against));
        space.xpipe(&["check", "study.xpipe"]).says(0, &[]);
    }
    let space = Space::new(&of("[0.9, 1.2]", "k.1.2"));
    space.xpipe(&["check", "study.xpipe"]).says(3, &["a name follows `.`", "is written alone"]);
}

#[test]
fn a_text_without_quotes_on_the_command_line_is_told_with_its_quotes() {
    let space = Space::new(&format!(
        "{HEAD}param name: String = \"a\"\nparam n: Int = 1\nlet both = \"{{name}} {{n}}\"\n"
    ));
    for (set, quoted) in [("name=hello", "name=\"hello\""), ("name=/data/x y", "name=\"/data/x y\"")] {
        let ended = space.xpipe(&["check", "study.xpipe", "--set", set]);
        ended.says(3, &["`name` is a text, and a text stands between quotes", quoted]);
    }
}

#[test]
fn a_file_that_is_no_utf_8_says_so() {
    let space = Space::new("edition 2026\n");
    let mut latin = HEAD.as_bytes().to_vec();
    latin.extend_from_slice(b"# \xfcber\n");
    std::fs::write(space.path("latin.xpipe"), latin).unwrap();
    let wide: Vec<u8> = [0xfeff].into_iter().chain(HEAD.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    std::fs::write(space.path("wide.xpipe"), wide).unwrap();
    for verb in ["check", "plan", "fmt"] {
        space
            .xpipe(&[verb, "latin.xpipe"])
            .says(4, &["line 4 has the byte 0xFC (in Latin-1 it is `ü`)", "UTF-8"]);
        space.xpipe(&[verb, "wide.xpipe"]).says(4, &["it is written in UTF-16, expected UTF-8"]);
    }
    space.write("user.xpipe", "edition 2026\nuse \"./latin.xpipe\" as l\n");
    space.xpipe(&["check", "user.xpipe"]).says(3, &["0xFC", "save it as UTF-8"]);
}

#[test]
fn items_and_arguments_are_described() {
    let space = Space::new("edition 2026\n");
    for (name, told) in [
        ("table", "published: Published"),
        ("axis", "one cell each"),
        ("claim", "exit code 1"),
        ("learning_rate", "An argument of `adamw`."),
        ("best_of", "Keeps the checkpoint"),
        ("against", "`paired_t`"),
        ("hf", "pins its revision in the lock file"),
    ] {
        let ended = space.xpipe(&["describe", name]);
        assert!(ended.code == Some(0) && ended.out.contains(told), "{name}: {}{}", ended.out, ended.err);
        assert_eq!(
            ended.out.matches(&format!("\n{name}: ")).count(),
            0,
            "{name} is described twice:\n{}",
            ended.out
        );
    }
}
