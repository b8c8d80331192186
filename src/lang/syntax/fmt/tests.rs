//! What the formatter promises: one result for one meaning, nothing lost, and the repository's studies are written so.

use std::path::{Path, PathBuf};

use super::print::WIDTH;
use super::{FormatError, format, generated, lex, shape};
use crate::syntax::parse;
use xpipe_base::diag::{Diagnostics, FileId};
use xpipe_testing::mutate::mutations;

fn formatted(text: &str) -> Option<String> {
    match format(FileId(0), text) {
        Ok(out) => Some(out),
        Err(FormatError::Wrong(_)) => None,
        Err(FormatError::Defect) => panic!("the meaning of {text} changed"),
    }
}

/// Every study of the repository.
fn studies() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "xpipe") {
                out.push(path);
            }
        }
    }
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut paths = Vec::new();
    for folder in ["tests", "examples", "pipelines", "src"] {
        walk(&root.join(folder), &mut paths);
    }
    paths.sort();
    assert!(paths.len() > 50, "{paths:?}");
    paths.into_iter().map(|p| (p.clone(), std::fs::read_to_string(&p).unwrap())).collect()
}

fn comments(text: &str) -> Vec<String> {
    let lines = super::lex::lines(text);
    lines.iter().filter_map(|l| l.comment.map(|c| c.0.to_owned())).collect()
}

/// A line of code that is too long though it could be broken, for each line of a formatted text.
///
/// A line is as short as it can be when its widest piece without a blank or bracket would not fit on a line of its own.
fn breakable(text: &str) -> Vec<String> {
    let too_long = |line: &&lex::Line<'_>| {
        let (Some(first), Some(last)) = (line.tokens.first(), line.tokens.last()) else { return false };
        let start = text[..first.at].rfind('\n').map_or(0, |n| n + 1);
        let code = &text[start..last.at + last.text.len()];
        let indent = first.at - start;
        let mut widest = 0;
        let mut from = first.at;
        for pair in line.tokens.windows(2) {
            let end = pair[0].at + pair[0].text.len();
            if end < pair[1].at || pair[0].opens() {
                widest = widest.max(text[from..end].chars().count());
                from = pair[1].at;
            }
        }
        widest = widest.max(text[from..last.at + last.text.len()].chars().count());
        code.chars().count() > WIDTH && indent + 8 + widest <= WIDTH
    };
    let lines = lex::lines(text);
    let found = lines.iter().filter(too_long);
    found.map(|l| l.tokens.iter().map(|t| t.text).collect::<Vec<_>>().join(" ")).collect()
}

/// All that is promised, for one text; whether it could be formatted.
fn holds(name: &str, text: &str) -> bool {
    let Some(once) = formatted(text) else { return false };
    let tree = |t: &str| shape(&parse(FileId(0), t, &mut Diagnostics::new()));
    assert_eq!(tree(text), tree(&once), "{name}");
    assert_eq!(comments(text), comments(&once), "{name}");
    assert_eq!(formatted(&once).as_deref(), Some(once.as_str()), "{name}: again");
    for line in once.lines() {
        assert_eq!(line, line.trim_end(), "{name}");
    }
    let long = breakable(&once);
    assert!(long.is_empty(), "{name}: {long:#?}\n{once}");
    true
}

#[test]
fn the_studies_of_the_repository_are_formatted() {
    let mut kept = 0;
    for (path, text) in studies() {
        if holds(&path.display().to_string(), &text) {
            kept += 1;
            // Cases of the language suite are as strange as they need to be.
            if !path.components().any(|c| c.as_os_str() == "suite") {
                assert_eq!(formatted(&text).unwrap(), text, "run `xpipe fmt {}`", path.display());
            }
        }
    }
    assert!(kept > 40, "{kept}");
}

#[test]
fn mutations_keep_their_meaning_and_comments() {
    let mut sound = 0;
    for (path, text) in studies() {
        // A few thousand lines of data sets are alike: fewer of them.
        let count = if path.components().any(|c| c.as_os_str() == "std") { 20 } else { 60 };
        for m in mutations(&text, 7, count) {
            sound += usize::from(holds(&format!("{}: {}", path.display(), m.what), &m.text));
        }
    }
    assert!(sound > 500, "{sound}");
}

/// The tokens of a study on lines of other lengths: broken where blanks stood, joined where lines ended.
#[test]
fn other_line_breaks_keep_their_meaning() {
    let mut sound = 0;
    for (path, text) in studies() {
        let name = path.display().to_string();
        let broken: String = text
            .lines()
            .map(|l| {
                if l.contains('#') || l.contains(['"', '\'']) {
                    format!("{l}\n")
                } else {
                    l.replace(' ', "\n  ") + "\n"
                }
            })
            .collect();
        sound += usize::from(holds(&name, &broken));
        let tight = text.replace(" = ", "=").replace(", ", ",").replace("{ ", "{").replace(" }", "}");
        sound += usize::from(holds(&name, &tight));
        sound += usize::from(holds(&name, &text.replace('\n', "\r\n")));
        sound += usize::from(holds(&name, &format!("\u{feff}\n\n{}\n\n\n", text.replace('\n', "   \n\n"))));
    }
    assert!(sound > 120, "{sound}");
}

#[test]
fn studies_made_at_random_keep_their_meaning_and_comments() {
    for seed in 0..100 {
        let text = generated::study(seed);
        assert!(holds(&format!("study {seed}"), &text), "study {seed} is wrong:\n{text}");
    }
}

/// A whole item on one line.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn long_lines_are_broken_at_their_outermost_level() {
    let cases = [
        "\
table answers {
    title = \"RR@10\"
    rows  = system
    value = scores.rr_10
    mark  = best(per = column)
    test  = paired_t(over = query, against = system.bm25, correct = holm, alpha = 5%)
}
",
        "\
axis eval: TestCollection = {
    arguana, climate_fever, dbpedia, fever, fiqa, hotpotqa, nfcorpus, nq, quora, scidocs, scifact,
    touche_v2, trec_covid
}
",
        "\
axis eval: TestCollection = { dev = msmarco.dev_small, dl19, dl20, robust04 }
                          + beir13
                          + lotte_search
                          + { another_collection }
",
        "\
def trained(
    objective: Objective,
    data: Samples,
    batch: Batch,
    steps: Budget = steps(200_000),
    seed: Int = 1
) -> Model {
    let input = query_document(query = 24, document = 53)
    yield train.cross_encoder { objective, data, batch, steps, input, seed }
}
",
        "\
claim training_helps for system, seed where system in [bm25_infonce, bm25_margin_mse] {
    expect = measured.rr_10 > measured[system = bm25].rr_10
         and measured.rr_10 > measured[system = bm25_untrained].rr_10
}
",
        "\
stage reranked for objective, backbone, seed, collection = rerank.cross_encoder {
    model
    run   = first_stage
    input = query_document(query = 8, document = 32)
} with { gpu = 1, vram = 16GiB, time = 2h, batch = 256 }
",
        "\
let rate = if backbone in large_models and objective == distillation then 0.000_007
    else if backbone in small_models then 0.000_01
    else 0.000_03
",
    ];
    for after in cases {
        // Commas for the line ends that they stand for.
        let mut before = String::new();
        let mut lines = after.lines().peekable();
        while let Some(line) = lines.next() {
            before.push_str(line);
            let ends = line.ends_with(['{', '(', ',']);
            let follows = lines.peek().map_or("}", |l| l.trim_start());
            let operator =
                ["}", ")", "+", "and", "then", "else", "yield"].iter().any(|w| follows.starts_with(w));
            before.push_str(if ends || operator { " " } else { ", " });
        }
        let before = joined(before.trim_end());
        assert!(before.len() > WIDTH, "{before}");
        assert_eq!(formatted(&before).as_deref(), Some(after));
    }
}

#[test]
fn what_cannot_be_broken_stays() {
    let text = format!("let address = \"https://example.org/{}\"  # where it lies\n", "x".repeat(120));
    assert_eq!(formatted(&text).as_deref(), Some(text.as_str()));
    let fits = format!("let address =\n    \"https://example.org/{}\"\n", "x".repeat(70));
    assert_eq!(formatted(&fits.replace("\n    ", " ")).as_deref(), Some(fits.as_str()));
}

#[test]
fn a_study_is_set_in_one_way() {
    let before = "\
edition   2026


use std.trec{dl19,dl20}   # one
use std.retrieval { bm25_run } # two
param seeds:List< Int >=[1,2,3,]
param d : Int=-3
stage model for seed where seed>1 and not(seed in[2,- 3])=train.cross_encoder{

  backbone,   ## said
  data=samples , # no comma
       # about the rate
  optimiser=adamw {learning_rate=if a then 1e-5 else 2e-5,},
  batch=match objective{ infonce=>queries( 8 )
     bce|hinge=>pairs(32) },
  x = g [ a=b ].c,
  }
with{gpu=1}
claim c {
text=\"a {len( x )}\"
expect=a
> b
and c > d
}
";
    let after = "\
edition 2026

use std.trec      { dl19, dl20 }  # one
use std.retrieval { bm25_run }    # two
param seeds: List<Int> = [1, 2, 3]
param d: Int           = -3
stage model for seed where seed > 1 and not (seed in [2, -3]) = train.cross_encoder {
    backbone,            ## said
    data      = samples  # no comma
    # about the rate
    optimiser = adamw { learning_rate = if a then 1e-5 else 2e-5 }
    batch     = match objective { infonce => queries(8)
        bce | hinge => pairs(32) }
    x = g[a = b].c
}
with { gpu = 1 }
claim c {
    text   = \"a {len( x )}\"
    expect = a
           > b
         and c > d
}
";
    assert_eq!(formatted(before).as_deref(), Some(after));
    assert_eq!(formatted(after).as_deref(), Some(after));
}

#[test]
fn a_wrong_study_is_refused() {
    assert!(matches!(format(FileId(0), "edition 2026\nstage = {\n"), Err(FormatError::Wrong(_))));
    assert!(matches!(format(FileId(0), "axis a := [1]\n"), Err(FormatError::Wrong(_))));
}

#[test]
fn nothing_is_formatted_to_nothing() {
    assert_eq!(formatted("").as_deref(), Some(""));
    assert_eq!(formatted("\n\n").as_deref(), Some(""));
    assert_eq!(formatted("# only this").as_deref(), Some("# only this\n"));
}
