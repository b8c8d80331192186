//! Tests of the whole check: every pass from text to graph, in memory.

mod bounds;
mod labels;
mod mutations;
mod overrides;

use std::path::{Path, PathBuf};

use xpipe_base::diag::render::Sources as _;
use xpipe_base::diag::{Diagnostic, Diagnostics};
use xpipe_lang::graph::{Graph, Overrides, expand};
use xpipe_lang::resolve::load;
use xpipe_lang::resolve::world::MemoryFiles;
use xpipe_lang::syntax::SourceMap;

/// A study, checked.
pub(super) struct Checked {
    pub(super) sources: SourceMap,
    pub(super) sink: Diagnostics,
    pub(super) graph: Graph,
}

/// Checks `root.xpipe` of a folder that holds these files.
pub(super) fn check(files: &[(&str, &str)]) -> Checked {
    check_with(files, &Overrides::default())
}

/// The same with what the command line changes.
pub(super) fn check_with(files: &[(&str, &str)], overrides: &Overrides) -> Checked {
    let folder = Path::new("/study");
    let world = MemoryFiles(files.iter().map(|(n, t)| (folder.join(n), (*t).to_owned())).collect());
    let root: PathBuf = folder.join("root.xpipe");
    let (mut sources, mut sink) = (SourceMap::new(), Diagnostics::new());
    let study = load(&root, &world, &mut sources, &mut sink).expect("the root is there");
    let registry = xpipe_study::ops::registry();
    let graph = expand(&study, &registry, &world, overrides, &mut sink);
    Checked { sources, sink, graph }
}

/// Errors as `line CODE message`.
fn told(checked: &Checked) -> Vec<String> {
    let one = |d: &&Diagnostic| {
        let at = checked.sources.position(d.primary.span.file, d.primary.span.start);
        format!("{} {} {}", at.line, d.code, d.message)
    };
    checked.sink.sorted().iter().map(one).collect()
}

#[test]
fn the_where_of_a_table_and_of_a_claim_leaves_points_out() {
    let text = r#"edition 2026
axis kind = { small = 1, large = 2 }
axis size = { one = 1, two = 2 }
let value for kind where kind in [small] = kind * 1.0
table t for kind where kind in [large] { rows = size, value = size + kind }
claim c for kind, size where not (size in [two]) { expect = kind < size + 5 }
table holes { rows = kind, value = value }
"#;
    let checked = check(&[("root.xpipe", text)]);
    assert_eq!(told(&checked), Vec::<String>::new());
    let labels = |l: &[xpipe_base::value::Name]| l.join(",");
    let tables: Vec<(String, usize)> =
        checked.graph.tables.iter().map(|t| (labels(&t.labels), t.values.len())).collect();
    assert_eq!(tables, [("large".to_owned(), 2), (String::new(), 2)]);
    let claims: Vec<String> = checked.graph.claims.iter().map(|c| labels(&c.labels)).collect();
    assert_eq!(claims, ["small,one", "large,one"]);
    let holes: Vec<bool> = checked.graph.tables[1].values.iter().map(|row| row[0].is_some()).collect();
    assert_eq!(holes, [true, false]);
}

#[test]
fn names_of_an_item_that_could_not_be_read_are_not_missed() {
    // The name of the axis is lost, and so is that of the let.
    let text = "edition 2026\naxis = [1, 2]\nlet = 5\nlet b for seed = seed + five\n";
    let checked = check(&[("root.xpipe", text)]);
    let told = told(&checked);
    assert!(told.len() == 2 && told.iter().all(|t| t.contains("syntax::")), "{told:#?}");
}

#[test]
fn equal_recipes_are_one_action_whoever_asks_for_them() {
    let text = r#"edition 2026
dataset dev: TestCollection = local { docs = "d.tsv", queries = "q.tsv", qrels = "r.txt", role = validation }
stage index = bm25.index { corpus = dev.corpus }
stage first = bm25.search { index, queries = dev.queries, depth = 100 }
stage again = bm25.search { queries = dev.queries, index = bm25.index { corpus = dev.corpus }, depth = 100, k1 = 0.9 }
stage other = bm25.search { index, queries = dev.queries, depth = 10 }
stage data = data.samples { source = candidates { run = first, qrels = dev.qrels }, shape = group(positives = 1, negatives = 1), seed = 1 }
stage model = train.cross_encoder {
    backbone = checkpoint("model"), objective = objective.infonce(), data, seed = 1
    batch = queries(1), steps = steps(2), optimiser = adamw { learning_rate = 5e-4 }
    select = best_of { on = dev, metric = rr(10), every = 50% }
}
"#;
    let checked = check(&[("root.xpipe", text)]);
    assert_eq!(told(&checked), Vec::<String>::new());
    let of = |op: &str| -> Vec<(&str, Vec<&str>)> {
        let actions = checked.graph.actions.iter().filter(|a| a.op == op);
        actions.map(|a| (&*a.address, a.also.iter().map(|a| &**a).collect())).collect()
    };
    // The second search, its index, and what `best_of` leaves out are the recipes that the first stages write.
    assert_eq!(of("bm25.index"), [("index", vec!["again.index#1"])]);
    assert_eq!(of("bm25.search"), [("first", vec!["again"]), ("other", vec![])]);
    assert_eq!(checked.graph.actions.len(), 8);
    assert_eq!(checked.graph.call_sites.len(), 8);
    let row = checked.graph.rows.iter().find(|r| r.name == "model.validation").unwrap();
    let shared: Vec<&str> = row.cells.iter().map(|c| &*checked.graph.action(c.action).address).collect();
    assert_eq!(shared, ["index", "first"]);
}
