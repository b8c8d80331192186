use super::super::html::{ActionState, PageContext, Problem, is_made_of, page};
use super::super::{Evaluated, Execution, evaluate};
use super::*;
use xpipe_lang::graph::{Cell, Claim, Cut, Report, Row};

fn story(s: &Study) -> PageContext {
    PageContext {
        name: "study".into(),
        states: vec![ActionState::Ran; s.graph.actions.len()],
        problems: Vec::new(),
        sources: vec![("study.xpipe".into(), "edition 2026\n".into())],
        options: vec!["--profile pilot".into()],
        tool: "xpipe 0".into(),
        digest: "0123abcd".into(),
    }
}

fn shown(s: &Study, report: Option<&Report>, story: &PageContext) -> String {
    page(report, &s.graph, &evaluate(&s.graph, &s.results).unwrap(), &s.results, story)
}

/// The data that the page's script reads.
fn data(page: &str) -> serde_json::Value {
    let after = page.split("<script type=\"application/json\" id=\"data\">").nth(1).unwrap();
    serde_json::from_str(after.split("</script>").next().unwrap()).unwrap()
}

/// Two systems by two seeds, and a third that has no result.
fn small() -> Study {
    let mut s = Study::default();
    let q = s.qrels("d.qrels");
    let a: Vec<Value> =
        [[0.1, 0.5, 0.9, 0.3], [0.3, 0.5, 0.7, 0.3]].iter().map(|x| s.evaluation("m[a]", q, x)).collect();
    let b: Vec<Value> =
        [[1.0, 0.5, 0.2, 0.4], [1.0, 0.5, 0.0, 0.4]].iter().map(|x| s.evaluation("m[b]", q, x)).collect();
    let open = s.unfinished("m[<c>]", q);
    let values = vec![vec![Some(mean("seed", &a))], vec![Some(mean("seed", &b))], vec![Some(open)]];
    let mut t = table(&["a", "b", "<c>"], &["value"], values);
    t.columns.0 = "".into();
    t.test = Some(against("backbone", "a"));
    t.best_per = Some(BestPer::Column);
    s.graph.tables.push(t);
    s
}

#[test]
fn a_cell_opens_its_queries_against_the_reference() {
    let s = small();
    let page = shown(&s, None, &story(&s));
    // The reference and the hole cannot be opened.
    assert_eq!(page.matches("aria-haspopup").count(), 1);
    assert!(page.contains("data-cell=\"0-1-0\"") && page.contains("class=\"hole\""));
    let data = data(&page);
    let cell = &data["cells"]["0-1-0"];
    assert_eq!(cell["with"], serde_json::json!([0, 0]));
    // Seeds are averaged first: differences .8, 0, -.7, .1.
    assert_eq!(cell["counts"], serde_json::json!([2, 1, 1]));
    assert_eq!(cell["mean"], 0.05);
    assert_eq!(cell["shape"], serde_json::json!([0.8, 0.1, 0, -0.7]));
    assert_eq!(cell["queries"], serde_json::json!([[0, 0.2, 1], [1, 0.3, 0.4], [2, 0.8, 0.1]]));
    assert_eq!(data["queries"][0], serde_json::json!([0, "q0", null]));
    assert!(cell["test"].as_str().unwrap().starts_with("+0.050 [−0.92"), "{cell}");
    assert_eq!((&data["tables"][0]["rows"][2], &data["collections"][0]), (&"<c>".into(), &"d.qrels".into()));
}

#[test]
fn without_a_test_the_best_of_a_row_is_what_others_are_compared_with() {
    let mut s = Study::default();
    let q = s.qrels("d.qrels");
    let row: Vec<Option<Value>> =
        [[0.1, 0.2], [0.9, 0.8], [0.4, 0.6]].iter().map(|x| Some(s.evaluation("m", q, x))).collect();
    s.graph.tables.push(table(&["r"], &["x", "y", "z"], vec![row]));
    let cells = data(&shown(&s, None, &story(&s)))["cells"].clone();
    let with = |key: &str| cells[key]["with"][1].as_u64();
    assert_eq!([with("0-0-0"), with("0-0-1"), with("0-0-2")], [Some(1), Some(2), Some(1)]);
}

#[test]
fn the_mean_of_a_comparison_is_of_the_numbers_in_the_cells() {
    // A mean of two collections, the first with five times the queries of the second.
    let mut s = Study::default();
    let (large, small) = (s.qrels("large.qrels"), s.qrels("small.qrels"));
    let mut cell = |a: f64, b: f64| {
        let both = [s.evaluation("a", large, &[a; 10]), s.evaluation("b", small, &[b, b])];
        Some(mean("eval", &both))
    };
    let values = vec![vec![cell(0.5, 0.5)], vec![cell(0.4, 0.8)]];
    let mut t = table(&["base", "new"], &["value"], values);
    t.columns.0 = "".into();
    t.test = Some(against("backbone", "base"));
    s.graph.tables.push(t);
    let page = shown(&s, None, &story(&s));
    // (-0.1 + 0.3) / 2, where the mean over all queries is negative.
    assert_eq!(data(&page)["cells"]["0-1-0"]["mean"], 0.1);
    assert_eq!(data(&page)["cells"]["0-1-0"]["counts"], serde_json::json!([2, 0, 10]));
}

#[test]
fn no_text_of_a_study_is_markup() {
    let mut s = small();
    let evil = "</script><script>alert(1)</script>\"'&";
    s.graph.study = vec![("title".into(), evil.into()), ("authors".into(), evil.into())];
    s.graph.tables[0].title = Value::str(evil);
    s.graph.tables[0].rows.1[1] = evil.into();
    s.graph.tables[0].printed.0[1] = evil.into();
    s.graph.claims.push(Claim {
        name: "holds".into(),
        span: SPAN,
        labels: names(&[evil]),
        text: Value::str(evil),
        expect: Ok(Value::Bool(true)),
    });
    s.graph.rows.push(Row {
        name: evil.into(),
        axes: names(&[evil]),
        cells: vec![Cell { labels: Vec::new(), action: ActionId(1) }],
        named: true,
        docs: Vec::new(),
    });
    let mut story = story(&s);
    story.sources = vec![(evil.into(), evil.into())];
    story.problems =
        vec![Problem { about: evil.into(), message: evil.into(), help: evil.into(), failed: true }];
    story.options = vec![evil.into()];
    let page = shown(&s, None, &story);
    assert!(!page.contains("<script>alert") && !page.contains("</script><script>a"), "{page}");
    assert_eq!(page.matches("<script").count(), page.matches("</script>").count());
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(data(&page)["tables"][0]["rows"][1], evil);
    // What is opened is closed, in order.
    assert_eq!(unclosed(&page), Vec::<String>::new());
}

/// Elements that are not closed where they should be, in the page without its scripts and sheets.
fn unclosed(page: &str) -> Vec<String> {
    const VOID: [&str; 2] = ["meta", "input"];
    let mut open: Vec<String> = Vec::new();
    let mut skip = "";
    for piece in page.split('<').skip(1) {
        let name: String =
            piece.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
        if !(skip.is_empty() || piece.starts_with('/') && name == skip) {
            continue;
        }
        skip = "";
        if piece.starts_with('/') {
            if open.pop().as_deref() != Some(&name) {
                return vec![format!("</{name}>")];
            }
        } else if !piece.starts_with('!')
            && !VOID.contains(&&*name)
            && !piece.split('>').next().unwrap().ends_with('/')
        {
            skip = match &*name {
                "script" => "script",
                "style" => "style",
                _ => "",
            };
            open.push(name);
        }
    }
    open
}

#[test]
fn many_points_of_a_claim_are_a_matrix_of_signs() {
    let mut s = small();
    for (o, objective) in ["bce", "hinge", "infonce", "kl"].iter().enumerate() {
        for (b, backbone) in ["x", "y", "z", "w"].iter().enumerate() {
            let right = Value::Float([0.5, 0.515, 0.9, 0.5][o]);
            let near = Pending::Near { left: Value::Float(0.5), right, within: Value::Float(0.01) };
            s.graph.claims.push(Claim {
                name: "published".into(),
                span: SPAN,
                labels: names(&[objective, backbone]),
                text: Value::str("As published."),
                // One was cut away.
                expect: if (o, b) == (3, 3) { Err(Cut::Only) } else { Ok(pending(near)) },
            });
        }
    }
    let page = shown(&s, None, &story(&s));
    let count = |sign: &str| page.matches(sign).count();
    // Once in the matrix, once in the list below; passed ones are in words there.
    assert_eq!([count(">✓ ok<"), count(">~ near<"), count(">✗ off<")], [7, 8, 8]);
    assert!(page.contains("<th scope=\"col\">infonce</th>") && page.contains("<th scope=\"row\">w</th>"));
    s.graph.claims.truncate(12);
    assert!(!shown(&s, None, &story(&s)).contains(">✓ ok<"), "few points are lines");
}

#[test]
fn reports_choose_and_pages_know_what_they_are_of() {
    let mut s = small();
    let other =
        Table { name: "other".into(), title: Value::str("Another table"), ..s.graph.tables[0].clone() };
    s.graph.tables.push(other);
    let report = Report {
        name: "main".into(),
        span: SPAN,
        title: Some(Value::str("Only one")),
        sections: vec![xpipe_lang::graph::Section::Output("other".into())],
        html: None,
    };
    let told = story(&s);
    let page = shown(&s, Some(&report), &told);
    assert!(
        page.contains("<h1>Only one</h1>")
            && page.contains("Another table")
            && !page.contains("Results (nDCG@10)")
    );
    assert_eq!(page, shown(&s, Some(&report), &told));
    assert!(
        is_made_of(&page[..512], &told)
            && !is_made_of(&page[..512], &PageContext { digest: "0123abce".into(), ..told })
    );
}

#[test]
fn a_page_of_nothing_is_a_page() {
    let page =
        page(None, &Graph::default(), &Evaluated::default(), &Fake::default(), &PageContext::default());
    assert!(page.starts_with("<!doctype html>") && !page.contains("<script"));
    assert_eq!(unclosed(&page), Vec::<String>::new());
}

/// As many cells as the study of METHOD.md has: 162 models on 22 collections.
/// The next number from 0 to 1 of a linear congruential generator.
fn random(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 40) as f64 / (1u64 << 24) as f64
}

#[test]
fn a_large_study_has_a_page_below_ten_megabytes() {
    let mut s = Study::default();
    let label =
        |prefix: &str, n: usize| (0..n).map(|i| Name::from(format!("{prefix}_{i:02}"))).collect::<Vec<_>>();
    let (backbones, objectives, evals) =
        (label("backbone", 9), label("objective", 6), label("collection", 22));
    let qrels: Vec<ActionId> = evals.iter().map(|e| s.qrels(&format!("{e}.qrels"))).collect();
    let mut row = Row {
        name: "scores".into(),
        axes: names(&["objective", "backbone", "seed", "eval"]),
        cells: Vec::new(),
        named: true,
        docs: Vec::new(),
    };
    let (mut at, mut x) = (BTreeMap::new(), 1u64);
    for (o, objective) in objectives.iter().enumerate() {
        for (b, backbone) in backbones.iter().enumerate() {
            for (e, eval) in evals.iter().enumerate() {
                let seeds: Vec<Value> = (1..=3)
                    .map(|seed| {
                        let values: Vec<f64> = (0..60).map(|_| random(&mut x)).collect();
                        let address = format!("scores[{objective}, {backbone}, {seed}, {eval}]");
                        let value = s.evaluation(&address, qrels[e], &values);
                        let action = ActionId(s.graph.actions.len() as u32 - 1);
                        let labels =
                            vec![objective.clone(), backbone.clone(), seed.to_string().into(), eval.clone()];
                        row.cells.push(Cell { labels, action });
                        let started = f64::from(action.0) * 60.0;
                        let made = Execution { started, seconds: 55.0, ..Execution::default() };
                        s.results.made.insert(action.0, made);
                        value
                    })
                    .collect();
                at.insert((o, b, e), mean("seed", &seeds));
            }
        }
    }
    s.graph.rows.push(row);
    let cell = |o: usize, b: usize, e: usize| at.get(&(o, b, e)).cloned();
    let all =
        |o: usize, b: usize| Some(mean("eval", &(0..22).filter_map(|e| cell(o, b, e)).collect::<Vec<_>>()));
    let grid = (0..9).map(|b| (0..6).map(|o| all(o, b)).collect()).collect();
    let mut dl = table(&[], &[], grid);
    (dl.rows.1, dl.columns.1) = (backbones.clone(), objectives.clone());
    dl.printed = (backbones.clone(), objectives.clone());
    dl.test = Some(against("objective", "objective_02"));
    s.graph.tables.push(dl);
    for (o, objective) in objectives.iter().enumerate() {
        let grid = (0..22).map(|e| (0..9).map(|b| cell(o, b, e)).collect()).collect();
        let mut t = table(&[], &[], grid);
        (t.rows.1, t.columns.1, t.labels) = (evals.clone(), backbones.clone(), vec![objective.clone()]);
        t.printed = (evals.clone(), backbones.clone());
        s.graph.tables.push(t);
    }
    let page = shown(&s, None, &story(&s));
    assert!(page.len() < 4_000_000, "{} bytes", page.len());
    assert_eq!(page.matches("aria-haspopup").count(), 9 * 5 + 6 * 22 * 9);
}
