//! What the formatter promises: one result for one meaning, nothing lost, and the repository's studies are written so.

use std::path::{Path, PathBuf};

use super::{Refused, format, shape};
use crate::syntax::parse;
use xpipe_base::diag::{Diagnostics, FileId};
use xpipe_testing::mutate::mutations;

fn formatted(text: &str) -> Option<String> {
    match format(FileId(0), text) {
        Ok(out) => Some(out),
        Err(Refused::Wrong(_)) => None,
        Err(Refused::Defect) => panic!("the meaning of {text} changed"),
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
    for folder in ["tests", "examples", "pipelines"] {
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
    assert!(matches!(format(FileId(0), "edition 2026\nstage = {\n"), Err(Refused::Wrong(_))));
    assert!(matches!(format(FileId(0), "axis a := [1]\n"), Err(Refused::Wrong(_))));
}

#[test]
fn nothing_is_formatted_to_nothing() {
    assert_eq!(formatted("").as_deref(), Some(""));
    assert_eq!(formatted("\n\n").as_deref(), Some(""));
    assert_eq!(formatted("# only this").as_deref(), Some("# only this\n"));
}
