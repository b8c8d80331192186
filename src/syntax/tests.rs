//! What the parser promises: the studies read without a word, mistakes are each reported once where they are, and
//! nothing panics.

use super::ast::{Expr, ExprKind, File, ItemKind, StrPart, UseFrom};
use super::{parse, parse_expr, parse_setting};
use crate::diag::{Code, Diagnostics, FileId, Severity};
use crate::value::{BinaryOp, UnaryOp};

const PAPER: &str = include_str!("../../tests/data/studies/paper.xpipe");
const TUNE: &str = include_str!("../../tests/data/studies/tune.xpipe");
const NEGATIVES: &str = include_str!("../../tests/data/studies/negatives.xpipe");

fn read(text: &str) -> (File, Diagnostics) {
    let mut sink = Diagnostics::new();
    let file = parse(FileId(0), text, &mut sink);
    (file, sink)
}

/// `line: message | help` of each diagnostic, sorted.
fn lines(text: &str, sink: &Diagnostics) -> Vec<String> {
    let one = |d: &&crate::diag::Diagnostic| {
        let line = text[..d.primary.span.start as usize].matches('\n').count() + 1;
        let here = &text[d.primary.span.start as usize..d.primary.span.end as usize];
        format!("{line} `{here}` {}: {}", d.code, d.message)
    };
    sink.sorted().iter().map(one).collect()
}

fn expr(text: &str) -> Expr {
    let mut sink = Diagnostics::new();
    let e = parse_expr(FileId(0), text, &mut sink);
    assert!(sink.is_empty(), "{text}: {:?}", lines(text, &sink));
    e.expect("an expression")
}

#[test]
fn the_studies_read_without_a_word() {
    for (name, text, items) in [("paper", PAPER, 31), ("tune", TUNE, 18), ("negatives", NEGATIVES, 4)] {
        let (file, sink) = read(text);
        assert_eq!(lines(text, &sink), Vec::<String>::new(), "{name}");
        assert!(!file.incomplete && file.items.iter().all(|i| !i.broken), "{name}");
        assert_eq!(file.items.len(), items, "{name}");
    }
}
