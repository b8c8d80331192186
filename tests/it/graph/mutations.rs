//! One token changed in a study of the method: the whole check says little, and says it where the change is. A name
//! changed where it is declared is told where it is used, with the declaration as a related place.

use super::check;
use xpipe_base::diag::render::Sources as _;
use xpipe_base::diag::{Diagnostic, FileId, Severity, Span};
use xpipe_testing::mutate::mutations;

const PAPER: &str = include_str!("../../../tests/data/studies/paper.xpipe");
const NEGATIVES: &str = include_str!("../../../tests/data/studies/negatives.xpipe");
const PUBLISHED: &str = include_str!("../../../tests/data/studies/published.csv");

#[test]
fn one_mutation_gives_few_errors_near_it() {
    let (mut bad, mut silent) = (Vec::new(), 0);
    for m in mutations(PAPER, 2026, 200) {
        let checked =
            check(&[("root.xpipe", &m.text), ("negatives.xpipe", NEGATIVES), ("published.csv", PUBLISHED)]);
        let found: Vec<&Diagnostic> =
            checked.sink.sorted().into_iter().filter(|d| d.severity == Severity::Error).collect();
        let line = |span: Span| checked.sources.position(span.file, span.start).line as usize;
        let near = found.first().is_none_or(|d| {
            let mut places = std::iter::once(&d.primary).chain(&d.related).map(|l| l.span);
            places.any(|s| s.file == FileId(0) && m.distance(line(s)) <= 2)
        });
        if found.len() > 3 || !near {
            let told: Vec<String> =
                found.iter().map(|d| format!("{}: {} {}", line(d.primary.span), d.code, d.message)).collect();
            bad.push(format!("{}: {}\n    {}", m.lines.0, m.what, told.join("\n    ")));
        }
        silent += usize::from(found.is_empty());
    }
    assert!(bad.is_empty(), "{} of 200\n{}", bad.len(), bad.join("\n"));
    // A few mutations leave a study that means something (another number, another label).
    assert!(silent < 60, "{silent} of 200 went unnoticed");
}
