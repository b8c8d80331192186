use super::super::{
    ClaimOutcome, ClaimResult, Filled, costs, costs_csv, costs_markdown, csv, latex, markdown, terminal,
    terminal_claims, terminal_costs,
};
use super::*;
use xpipe_lang::graph::{Cell, Row};

/// Two rows and three columns: all signs, a hole, and names with special characters.
pub(super) fn filled() -> Filled {
    let mut s = Study::default();
    let q = s.qrels("q");
    let evaluate = |s: &mut Study, values: [f64; 2]| {
        let seeds: Vec<Value> =
            values.iter().map(|x| s.evaluation("s", q, &[*x, x + 0.1, x + 0.4])).collect();
        (Some(mean("seed", &seeds)), Some(reduce(Reduction::Sd, "seed", &seeds)))
    };
    let (a, a_sd) = evaluate(&mut s, [0.25, 0.27]);
    let (b, b_sd) = evaluate(&mut s, [0.5, 0.5]);
    let (c, c_sd) = evaluate(&mut s, [0.3, 0.28]);
    let open = s.unfinished("scores[bce, mini, 1]", q);
    let mut t = table(&["bert_base", "mini"], &["infonce", "bce"], vec![vec![a, b], vec![c, Some(open)]]);
    t.title = Value::str("Effect of 5% & more");
    t.spread = Some(vec![vec![a_sd, b_sd], vec![c_sd, None]]);
    t.best_per = Some(BestPer::Column);
    t.test = Some(against("objective", "infonce"));
    s.fill(&t)
}

#[test]
fn terminal_is_aligned() {
    let expected = "\
Effect of 5% & more (nDCG@10)
  backbone         infonce             bce
  bert_base  0.427 ± 0.014   0.667 ± 0.000*†
  mini       0.457 ± 0.014*              –
  * best of its column
  ± standard deviation (n - 1) over `seed`, n = 2
  † differs from `infonce`: paired t-test over queries, Holm over 1 cell, alpha 0.05, n = 3 queries
  tested over queries: the values of each query are means over `seed` (n = 2), whose variation is no part of the test
  – (mini, bce): no result of `scores[bce, mini, 1]`
";
    assert_eq!(terminal(&filled(), false), expected);
    let coloured = terminal(&filled(), true);
    assert!(coloured.contains("\x1b[1m0.667 ± 0.000†\x1b[0m"), "{coloured:?}");
    assert!(!coloured.contains('*'));
}

#[test]
fn markdown_and_latex() {
    let expected = "\
**Effect of 5% & more (nDCG@10)**

| backbone | infonce | bce |
| --- | ---: | ---: |
| bert\\_base | 0.427 ± 0.014 | **0.667** ± 0.000† |
| mini | **0.457** ± 0.014 | – |

- **bold** best of its column
- ± standard deviation (n - 1) over `seed`, n = 2
- † differs from `infonce`: paired t-test over queries, Holm over 1 cell, alpha 0.05, n = 3 queries
- tested over queries: the values of each query are means over `seed` (n = 2), whose variation is no part of the test
- – (mini, bce): no result of `scores[bce, mini, 1]`
";
    assert_eq!(markdown(&filled()), expected);
    let expected = r"% needs \usepackage{booktabs}
\begin{table}
  \centering
  \caption{Effect of 5\% \& more (nDCG@10)}
  \label{tab:dl}
  \begin{tabular}{lrr}
    \toprule
    backbone & infonce & bce \\
    \midrule
    bert\_base & 0.427 $\pm$ 0.014 & \textbf{0.667} $\pm$ 0.000$^{\dagger}$ \\
    mini & \textbf{0.457} $\pm$ 0.014 & -- \\
    \bottomrule
  \end{tabular}

  \smallskip
  {\footnotesize
    \textbf{bold}: best of its column.
    $\pm$ standard deviation (n - 1) over \texttt{seed}, n = 2.
    $^{\dagger}$ differs from \texttt{infonce}: paired t-test over queries, Holm over 1 cell, alpha 0.05, n = 3 queries.
    tested over queries: the values of each query are means over \texttt{seed} (n = 2), whose variation is no part of the test.
    -- (mini, bce): no result of \texttt{scores[bce, mini, 1]}.\par}
\end{table}
";
    assert_eq!(latex(&filled()), expected);
}

#[test]
fn csv_has_every_digit_and_quotes() {
    let text = csv(&filled());
    let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split(',').collect()).collect();
    assert_eq!(
        lines[0].join(","),
        "row,column,value,spread,n,p,p_adjusted,effect,effect_low,effect_high,hedges,difference,low,high,published,grade,mark"
    );
    assert_eq!(lines.len(), 5);
    assert!(lines.iter().all(|l| l.len() == 17));
    let number = |r: usize, c: usize| lines[r][c].parse::<f64>().unwrap();
    near(number(1, 2), 0.26 + 0.5 / 3.0, 1e-12);
    assert_eq!(lines[1][16], "reference");
    assert_eq!(lines[2][..2], ["bert_base", "bce"]);
    assert_eq!((lines[2][4], lines[2][16]), ("3", "best significant"));
    near(number(2, 11), 0.24, 1e-12);
    assert_eq!(lines[3][16], "best reference");
    assert_eq!(lines[4][2..], [""; 15]);

    let t = table(&["a,\"b\""], &["c"], vec![vec![Some(Value::Float(0.1))]]);
    assert_eq!(
        csv(&Study::default().fill(&t)).lines().nth(1).unwrap(),
        "\"a,\"\"b\"\"\",c,0.1,,,,,,,,,,,,,,"
    );
}

#[test]
fn claims_are_lines() {
    let result = |outcome| ClaimResult {
        name: "beats".into(),
        labels: names(&["bert"]),
        text: "A beats B.".into(),
        outcome,
    };
    let all = [
        result(ClaimOutcome::Passed { values: "0.55 > 0.50".into() }),
        result(ClaimOutcome::Failed { values: "0.55 < 0.50".into() }),
        result(ClaimOutcome::NotEvaluated { reason: "no result of `x`".into(), asked: true }),
    ];
    let expected = "\
claim beats[bert]: passed: 0.55 > 0.50
  A beats B.
claim beats[bert]: FAILED: 0.55 < 0.50
  A beats B.
claim beats[bert]: not evaluated: no result of `x`
  A beats B.
";
    assert_eq!(terminal_claims(&all, false), expected);
    assert_eq!(terminal_claims(&[], false), "");
}

#[test]
fn costs_count_an_action_once() {
    let mut s = Study::default();
    let a = s.action("train.cross_encoder", "model[a, 1]", Record::default());
    let b = s.action("train.cross_encoder", "model[b, 1]", Record::default());
    let cell = |labels: &[&str], action| Cell { labels: names(labels), action };
    s.graph.rows.push(Row {
        name: "model".into(),
        axes: names(&["objective", "seed"]),
        cells: vec![cell(&["a", "1"], a), cell(&["same_as_a", "1"], a), cell(&["b", "1"], b)],
        named: true,
        docs: Vec::new(),
    });
    s.results.facts.insert(a.0, serde_json::json!({"documents": 1200, "tokens": 96_000, "loss": 0.5}));
    s.results.seconds.insert(a.0, 61.5);
    let found = costs("model", &s.graph, &s.results).unwrap();
    assert_eq!(found.counted, ["documents", "tokens"]);
    assert_eq!((found.rows.len(), found.missing(), found.total(1)), (2, 1, 96_000));
    assert_eq!(
        terminal_costs(&found, false),
        "\
costs of model
  model              time  documents  tokens
  model[a, 1]  1 min 02 s      1,200  96,000
  model[b, 1]           –          –       –
  total of 2   1 min 02 s      1,200  96,000
  – 1 without a result
"
    );
    assert_eq!(
        costs_csv(&found),
        "action,seconds,documents,tokens\n\"model[a, 1]\",61.5,1200,96000\n\"model[b, 1]\",,,\n"
    );
    assert!(costs_markdown(&found).contains("| total of 2 | 61.50 | 1,200 | 96,000 |"));
    assert!(costs("reranked", &s.graph, &s.results).is_none());
}
