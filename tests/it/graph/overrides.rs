//! What the command line changes: `--set`, `--only`, `--profile`, `--target`.

use super::{check, check_with, told};
use xpipe_base::diag::{Diagnostics, FileId};
use xpipe_base::value::{Pending, Value};
use xpipe_lang::graph::{Cut, Overrides, select};

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
    let setting = xpipe_lang::syntax::parse_setting(FileId(9), text, &mut sink).expect("a setting");
    Overrides { set: vec![setting], folder: "/elsewhere".into(), ..Overrides::default() }
}

fn depths(overrides: &Overrides) -> Vec<i64> {
    let checked = check_with(&[("root.xpipe", STUDY)], overrides);
    assert_eq!(told(&checked), Vec::<String>::new());
    let row = checked.graph.rows.iter().find(|r| r.name == "found").unwrap();
    let depth = |c: &xpipe_lang::graph::Cell| checked.graph.action(c.action).args.get("depth")?.as_int();
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
    let Ok(Value::Pending(p)) = &graph.claims[0].expect else { panic!("{:?}", graph.claims[0]) };
    let Pending::Binary { left: Value::Pending(mean), .. } = &**p else { panic!("{p:?}") };
    let Pending::Reduce { cells, .. } = &**mean else { panic!("{mean:?}") };
    assert_eq!(cells.len(), 2);
    assert_eq!(graph.claims[1].expect, Err(Cut::Only));
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

/// A study in which a param reaches an axis, a let, a module, a def, a table and a claim.
const WAYS: &str = r#"edition 2026
use "./part.xpipe" { top }
use "./part.xpipe" as part
dataset toy: TestCollection = local { docs = "d.jsonl", queries = "q.jsonl", qrels = "q.tsv", role = validation }
param seeds: List<Int> = [1, 2, 3]
param rates: List<Float> = [0.1, 0.2]
param first: Int = 1
param factor: Int = 1
param limit: Float = 0.5
param unread: Int = 0
let three = [first, first + 1, first + 2]
let forgotten = unread + 1
axis seed = seeds
axis rate = rates
axis later = three
def part_of(q: Queries) -> Queries {
    stage some = data.sample { queries = q, n = factor, seed = 1 }
    yield some
}
stage drawn for seed = data.sample { queries = toy.queries, n = 5, seed }
stage more for later = data.sample { queries = toy.queries, n = 6, seed = later }
stage within = part_of(q = toy.queries)
stage from_module = data.sample { queries = toy.queries, n = part.count, seed = 1 }
table numbers { rows = rate, value = rate * limit }
claim low { expect = limit < 0.9 }
profile pilot { only seed = [1], only later = [2], only rate = [0.1] }
profile other { seeds = [7, 8] }
profile both { seeds = [7, 8], first = 5, only seed = [8], only later = [6] }
"#;

const PART: &str = "edition 2026\nparam top: Int = 3\nlet count = top * 2\n";

fn overrides(set: &[&str], profile: Option<&str>, only: &[(&str, &str)]) -> Overrides {
    let mut sink = Diagnostics::new();
    let mut parsed = |i: usize, t: &&str| {
        xpipe_lang::syntax::parse_setting(FileId(9 + i as u32), t, &mut sink).expect("a setting")
    };
    Overrides {
        set: set.iter().enumerate().map(|(i, t)| parsed(i, t)).collect(),
        profile: profile.map(str::to_owned),
        only: only.iter().map(|(a, l)| ((*a).to_owned(), vec![(*l).to_owned()])).collect(),
        folder: "/elsewhere".into(),
        ..Overrides::default()
    }
}

fn ways(overrides: &Overrides) -> super::Checked {
    check_with(&[("root.xpipe", WAYS), ("part.xpipe", PART)], overrides)
}

/// The seeds, or another argument, of the cells of a row.
fn arguments(checked: &super::Checked, row: &str, name: &str) -> Vec<i64> {
    let row = checked.graph.rows.iter().find(|r| r.name == row).expect("the row");
    let of = |c: &xpipe_lang::graph::Cell| checked.graph.action(c.action).args.get(name)?.as_int();
    row.cells.iter().filter_map(of).collect()
}

#[test]
fn overrides_reach_what_they_should_in_every_combination() {
    type Case<'c> = (&'c [&'c str], Option<&'c str>, &'c [(&'c str, &'c str)], &'c [i64], &'c [i64]);
    let cases: [Case<'_>; 9] = [
        (&[], None, &[], &[1, 2, 3], &[1, 2, 3]),
        (&["seeds = [4, 5]"], None, &[], &[4, 5], &[1, 2, 3]),
        (&["first = 10"], None, &[], &[1, 2, 3], &[10, 11, 12]),
        (&[], Some("pilot"), &[], &[1], &[2]),
        (&[], Some("other"), &[], &[7, 8], &[1, 2, 3]),
        (&[], Some("both"), &[], &[8], &[6]),
        (&["seeds = [1, 9]"], Some("pilot"), &[], &[1], &[2]),
        (&["seeds = [6, 8]"], Some("both"), &[("later", "5")], &[8], &[5]),
        (&["seeds = [4, 5]", "first = 0"], None, &[("seed", "5"), ("later", "2")], &[5], &[2]),
    ];
    for (set, profile, only, drawn, more) in cases {
        let checked = ways(&overrides(set, profile, only));
        assert_eq!(told(&checked), Vec::<String>::new(), "{set:?} {profile:?} {only:?}");
        assert_eq!(arguments(&checked, "drawn", "seed"), drawn, "{set:?} {profile:?} {only:?}");
        assert_eq!(arguments(&checked, "more", "seed"), more, "{set:?} {profile:?} {only:?}");
    }
    // A param of a module that the root names, and one that only the inside of a def reads.
    let checked = ways(&overrides(&["top = 9", "factor = 4"], None, &[]));
    assert_eq!(told(&checked), Vec::<String>::new());
    assert_eq!(arguments(&checked, "from_module", "n"), [18]);
    assert_eq!(arguments(&checked, "within.some", "n"), [4]);
    // Tables and claims read, too.
    let checked = ways(&overrides(&["limit = 1.0", "rates = [3.0]"], None, &[]));
    assert_eq!(told(&checked), Vec::<String>::new());
    assert_eq!(checked.graph.tables[0].values, [[Some(Value::Float(3.0))]]);
    assert_eq!(checked.graph.claims[0].expect, Ok(Value::Bool(false)));
}

#[test]
fn a_label_that_is_no_more_is_an_error_of_the_chosen_profile_alone() {
    assert_eq!(told(&ways(&overrides(&["seeds = [4, 5]"], Some("other"), &[]))), Vec::<String>::new());
    let told = told(&ways(&overrides(&["seeds = [4, 5]"], Some("pilot"), &[])));
    assert!(told.len() == 1 && told[0].ends_with("axis `seed` has no `1`"), "{told:?}");
}

#[test]
fn a_profile_that_is_not_chosen_is_checked_with_its_own_params() {
    let with = |profile: &str| {
        let text = format!("{WAYS}{profile}\n");
        told(&check(&[("root.xpipe", &text), ("part.xpipe", PART)]))
    };
    assert_eq!(with("profile x { seeds = [20], only seed = [20] }"), Vec::<String>::new());
    for (profile, wanted) in [
        ("profile x { seeds = [20], only seed = [1] }", "axis `seed` has no `1`"),
        ("profile x { seeds = 20h }", "param `seeds` must be a List<Int>"),
        ("profile x { first = 1, first = 2 }", "`first` is given twice"),
        ("profile x { only seed = [1], only seed = [2] }", "`seed` is given twice"),
        ("profile x { forst = 1 }", "there is no param `forst`"),
    ] {
        let told = with(profile);
        assert!(told.len() == 1 && told[0].ends_with(wanted), "{profile}: {told:?}");
    }
}

#[test]
fn an_override_that_reaches_nothing_is_an_error() {
    for (set, profile, only, wanted) in [
        (&["unread = 5"] as &[&str], None, &[] as &[(&str, &str)], "setting `unread` changes nothing"),
        (&["seeds = [1]", "unread = 5"], Some("pilot"), &[], "setting `unread` changes nothing"),
        (&["seeds = [1]", "seeds = [2]"], None, &[], "`seeds` is given twice"),
    ] {
        let told = told(&ways(&overrides(set, profile, only)));
        assert!(told.len() == 1 && told[0].ends_with(wanted), "{set:?} {profile:?}: {told:?}");
    }
    // What only a removed cell reads is read by nothing.
    let text = r#"edition 2026
dataset toy: TestCollection = local { docs = "d.jsonl", queries = "q.jsonl", qrels = "q.tsv", role = validation }
param few: Int = 5
param many: Int = 50
axis kind = { small = 1, large = 2 }
axis spare = { one = 1 }
stage drawn for kind = data.sample { queries = toy.queries, n = match kind { small => few, large => many }, seed = 1 }
"#;
    let with = |set: &[&str], only: &[(&str, &str)]| {
        told(&check_with(&[("root.xpipe", text)], &overrides(set, None, only)))
    };
    assert_eq!(with(&["many = 60"], &[]), Vec::<String>::new());
    assert_eq!(with(&["many = 60"], &[("kind", "large")]), Vec::<String>::new());
    let told = with(&["many = 60"], &[("kind", "small")]);
    assert!(told.len() == 1 && told[0].ends_with("setting `many` changes nothing"), "{told:?}");
    let told = with(&[], &[("spare", "one")]);
    assert!(told.len() == 1 && told[0].ends_with("`only` of `spare` changes nothing"), "{told:?}");
}

#[test]
fn the_length_of_an_axis_counts_what_only_keeps() {
    // `n` is asked for while the axis `size` is read, which stands before `seed`.
    let text = r#"edition 2026
dataset toy: TestCollection = local { docs = "d.jsonl", queries = "q.jsonl", qrels = "q.tsv", role = validation }
let n = len(seed)
axis size = [n]
axis seed = [1, 2, 3]
stage drawn for size, seed = data.sample { queries = toy.queries, n = size, seed }
"#;
    let checked = check_with(&[("root.xpipe", text)], &overrides(&[], None, &[("seed", "2")]));
    assert_eq!(told(&checked), Vec::<String>::new());
    assert_eq!(arguments(&checked, "drawn", "n"), [1]);
}
