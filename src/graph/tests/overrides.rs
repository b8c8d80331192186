//! What the command line changes: `--set`, `--only`, `--profile`, `--target`.

use super::{check, check_with, told};
use crate::diag::{Diagnostics, FileId};
use crate::graph::{Overrides, select};
use crate::value::{Pending, Value};

const STUDY: &str = r#"edition 2026
dataset toy: TestCollection = local { docs = "d.jsonl", queries = "q.jsonl", qrels = "q.tsv", role = validation }
param depth: Int = 10
param words: Path = "w.txt"
axis kind = { small = 1, large = 2, huge = 3 }
axis text = ["a b", "c,d", "e"]
stage index = bm25.index { corpus = toy.corpus }
stage found for kind = bm25.search { index, queries = toy.queries, depth = depth * kind }
stage scores for kind = evaluate { run = found, qrels = toy.qrels, metrics = [ndcg(5)] }
stage texts for text = bm25.search { index, queries = toy.queries, depth = match text { "a b" => 1, _ => 2 } }
table t { rows = kind, value = scores.ndcg_5 }
claim big { expect = mean(scores.ndcg_5, over = kind) > 0.5 }
claim one { expect = scores[kind = huge].ndcg_5 > 0.5 }
profile pilot {
    depth  = 5
    claims = advisory
    only kind = [small, large]
}
"#;

fn set(text: &str) -> Overrides {
    let mut sink = Diagnostics::new();
    let setting = crate::syntax::parse_setting(FileId(9), text, &mut sink).expect("a setting");
    Overrides { set: vec![setting], folder: "/elsewhere".into(), ..Overrides::default() }
}

fn depths(overrides: &Overrides) -> Vec<i64> {
    let checked = check_with(&[("root.xpipe", STUDY)], overrides);
    assert_eq!(told(&checked), Vec::<String>::new());
    let row = checked.graph.rows.iter().find(|r| r.name == "found").unwrap();
    let depth = |c: &crate::graph::Cell| checked.graph.action(c.action).args.get("depth")?.as_int();
    row.cells.iter().filter_map(depth).collect()
}

#[test]
fn a_setting_is_typed_and_goes_before_the_profile() {
    assert_eq!(depths(&Overrides::default()), [10, 20, 30]);
    assert_eq!(depths(&set("depth = 7")), [7, 14, 21]);
    let pilot = || Overrides { profile: Some("pilot".into()), ..Overrides::default() };
    assert_eq!(depths(&pilot()), [5, 10]);
    assert_eq!(depths(&Overrides { profile: Some("pilot".into()), ..set("depth = 7") }), [7, 14]);
    for (text, wanted) in [
        ("depth = \"x\"", "types::mismatch param `depth` must be an Int"),
        ("depth = 5h", "types::unit param `depth` must be an Int"),
        ("dept = 5", "resolve::unknown_param there is no param `dept`"),
    ] {
        let told = told(&check_with(&[("root.xpipe", STUDY)], &set(text)));
        assert!(told.len() == 1 && told[0].ends_with(wanted), "{text}: {told:?}");
    }
    assert!(check_with(&[("root.xpipe", STUDY)], &pilot()).graph.advisory_claims);
    assert!(!check(&[("root.xpipe", STUDY)]).graph.advisory_claims);
}

#[test]
fn only_removes_cells_and_no_labels() {
    let only = |labels: &[&str]| Overrides {
        only: vec![("kind".into(), labels.iter().map(|l| (*l).to_owned()).collect())],
        ..Overrides::default()
    };
    let checked = check_with(&[("root.xpipe", STUDY)], &only(&["small", "large"]));
    assert_eq!(told(&checked), Vec::<String>::new());
    let graph = &checked.graph;
    assert_eq!(graph.rows.iter().find(|r| r.name == "found").map(|r| r.cells.len()), Some(2));
    assert_eq!(graph.tables[0].rows.1.len(), 2);
    // A reduction passes over what is removed; a claim that needs it is not evaluated.
    let Some(Value::Pending(p)) = &graph.claims[0].expect else { panic!("{:?}", graph.claims[0]) };
    let Pending::Binary { left: Value::Pending(mean), .. } = &**p else { panic!("{p:?}") };
    let Pending::Reduce { cells, .. } = &**mean else { panic!("{mean:?}") };
    assert_eq!(cells.len(), 2);
    assert_eq!(graph.claims[1].expect, None);
    let told = told(&check_with(&[("root.xpipe", STUDY)], &only(&["smal"])));
    assert!(told.len() == 1 && told[0].contains("axis `kind` has no `smal`"), "{told:?}");
}

#[test]
fn targets_name_cells_and_strings_are_quoted() {
    let checked = check(&[("root.xpipe", STUDY)]);
    let graph = &checked.graph;
    let addresses = |text: &str| -> Vec<String> {
        let (row, cells) = select::target(graph, text).unwrap();
        cells.iter().map(|c| row.address(c)).collect()
    };
    assert_eq!(addresses("found[large]"), ["found[large]"]);
    assert_eq!(addresses("found"), ["found[small]", "found[large]", "found[huge]"]);
    assert_eq!(addresses("texts[_]"), ["texts[\"a b\"]", "texts[\"c,d\"]", "texts[e]"]);
    for address in addresses("texts") {
        assert_eq!(addresses(&address), [address.as_str()]);
    }
    assert!(select::target(graph, "found[larg]").is_err());
    let help = select::target(graph, "foun").unwrap_err().to_string();
    assert!(help.contains("did you mean `found`"), "{help}");
}
