//! Labels made of values: spelled as the study spells them, found by what they mean, in no key.

use super::{check, check_with, told};
use xpipe_lang::graph::{Overrides, address, select};

/// A spelling, its type, and another spelling of the same value.
const SPELLINGS: &[(&str, &str, &str)] = &[
    ("16GiB", "Bytes", "16384MiB"),
    ("1.5GiB", "Bytes", "1536MiB"),
    ("0.1GiB", "Bytes", "107374182B"),
    ("500MB", "Bytes", "500000kB"),
    ("1TiB", "Bytes", "1024GiB"),
    ("20h", "Duration", "1200min"),
    ("90min", "Duration", "1.5h"),
    ("1d", "Duration", "24h"),
    ("100ms", "Duration", "0.1s"),
    ("0.5s", "Duration", "500ms"),
    ("5%", "Percent", "5.0%"),
    ("2.5%", "Percent", "2.50%"),
    ("1e-4", "Float", "0.0001"),
    ("1e-3", "Float", "0.001"),
    ("3e-3", "Float", "0.003"),
    ("0.01", "Float", "1e-2"),
    ("5e-4", "Float", "0.00050"),
    ("1E+3", "Float", "1000.0"),
    ("-2.5", "Float", "-25e-1"),
    ("1e300", "Float", "10e299"),
    ("7", "Int", "007"),
    ("-3", "Int", "-3"),
];

fn study(spelling: &str, ty: &str, used: &str) -> String {
    format!(
        r#"edition 2026
dataset toy: TestCollection = local {{ docs = "d.jsonl", queries = "q.jsonl", qrels = "q.tsv", role = validation }}
axis amount: {ty} = [{spelling}, {}]
stage drawn for amount = data.sample {{ queries = toy.queries, n = match amount {{ {used} => 5, _ => 6 }}, seed = 1 }}
let one = drawn[amount = {used}]
claim c for amount where amount in [{used}] {{ expect = amount == {spelling} }}
profile pilot {{ only amount = [{used}] }}
"#,
        match ty {
            "Bytes" => "3B",
            "Duration" => "3s",
            "Percent" => "3%",
            "Float" => "3.0",
            _ => "3",
        }
    )
}

#[test]
fn every_spelling_of_a_label_is_taken_back() {
    for (spelling, ty, other) in SPELLINGS {
        for used in [spelling, other] {
            let text = study(spelling, ty, used);
            let files = [("root.xpipe", text.as_str())];
            let whole = check(&files);
            assert_eq!(told(&whole), Vec::<String>::new(), "{text}");
            let row = whole.graph.rows.iter().find(|r| r.name == "drawn").unwrap();
            assert_eq!(&*row.cells[0].labels[0], *spelling);
            assert_eq!(whole.graph.claims.len(), 1, "{text}");
            assert_eq!(address("drawn", &row.cells[0].labels), format!("drawn[{spelling}]"));
            let (_, cells) = select::target(&whole.graph, &format!("drawn[{used}]")).unwrap();
            assert_eq!(cells.len(), 1, "{used}");
            let n = whole
                .graph
                .action(row.cells[0].action)
                .args
                .get("n")
                .and_then(xpipe_base::value::Value::as_int);
            assert_eq!(n, Some(5), "{text}");
            let only = vec![("amount".to_owned(), vec![(*used).to_owned()])];
            for overrides in [
                Overrides { only, ..Overrides::default() },
                Overrides { profile: Some("pilot".into()), ..Overrides::default() },
            ] {
                let narrowed = check_with(&files, &overrides);
                assert_eq!(told(&narrowed), Vec::<String>::new(), "{text}");
                let row = narrowed.graph.rows.iter().find(|r| r.name == "drawn").unwrap();
                let labels: Vec<&str> = row.cells.iter().map(|c| &*c.labels[0]).collect();
                assert_eq!(labels, [*spelling]);
            }
        }
    }
}

#[test]
fn a_number_spelled_twice_is_one_label() {
    for list in ["1e-3, 0.001", "16GiB, 16384MiB", "60min, 1h", "1, 1"] {
        let told = told(&check(&[("root.xpipe", &format!("edition 2026\naxis x = [{list}]\n"))]));
        assert!(told.len() == 1 && told[0].contains("types::duplicate_label"), "{list}: {told:?}");
    }
}

#[test]
fn how_a_label_is_spelled_is_in_no_recipe() {
    let with = |list: &str| {
        let text = format!(
            r#"edition 2026
dataset toy: TestCollection = local {{ docs = "d.jsonl", queries = "q.jsonl", qrels = "q.tsv", role = validation }}
axis rate = [{list}]
stage index = bm25.index {{ corpus = toy.corpus }}
stage found for rate = bm25.search {{ index, queries = toy.queries, depth = 10, k1 = rate }}
stage program for rate = exec {{ program = "tool.py", args = ["--rate={{rate}}"], gives = "Run" }}
"#
        );
        let checked = check(&[("root.xpipe", &text)]);
        assert_eq!(told(&checked), Vec::<String>::new());
        let args = checked.graph.actions.iter().map(|a| format!("{} {:?}", a.op, a.args));
        args.collect::<Vec<_>>()
    };
    assert_eq!(with("1e-3, 5e-4, 2e-1"), with("0.001, 0.0005, 0.2"));
}

#[test]
fn messages_print_amounts_as_they_are_written() {
    let told = |text: &str| {
        let checked = check(&[("root.xpipe", &format!("edition 2026\n{text}\n"))]);
        checked.sink.sorted()[0].primary.text.clone()
    };
    assert_eq!(told("let n: Int = 24GiB"), "`24GiB` is Bytes");
    assert_eq!(told("let n: Int = 20h"), "`20h` is a Duration");
    assert_eq!(told("let n: Int = 2.5%"), "`2.5%` is a Percent");
}

#[test]
fn published_numbers_are_found_however_they_spell_the_axis() {
    let text = r#"edition 2026
axis rate = [1e-3, 5e-4]
let paper = csv("paper.csv", key = [rate])
table t { rows = rate, value = paper.best }
"#;
    let checked = check(&[("root.xpipe", text), ("paper.csv", "rate,best\n0.001,0.5\n5e-4,0.25\n")]);
    assert_eq!(told(&checked), Vec::<String>::new());
    let values: Vec<_> = checked.graph.tables[0].values.iter().map(|row| row[0].clone()).collect();
    let number = |x| Some(xpipe_base::value::Value::Float(x));
    assert_eq!(values, [number(0.5), number(0.25)]);
}
