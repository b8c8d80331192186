//! Whole studies: the published ones, and a large generated one.

use std::collections::BTreeSet;
use std::path::Path;

use xpipe_base::diag::Diagnostics;
use xpipe_lang::graph::{Overrides, expand};
use xpipe_lang::resolve::load;
use xpipe_lang::syntax::SourceMap;

use super::case::{Checked, checked};
use crate::space::repository;

#[test]
fn the_studies_of_the_method_check_and_plan() {
    let studies = repository("tests/data/studies");
    for (file, rows) in [
        (
            "paper.xpipe",
            [
                ("samples", 18, 12),
                ("model", 162, 162),
                ("first_stage", 22, 22),
                ("reranked", 3_564, 3_564),
                ("scores", 3_564, 3_564),
            ]
            .as_slice(),
        ),
        (
            "tune.xpipe",
            &[
                ("triples", 3, 3),
                ("trial", 48, 48),
                ("first_stage", 13, 13),
                ("trial_run", 624, 624),
                ("trial_scores", 624, 624),
                ("model", 6, 6),
            ],
        ),
    ] {
        let Checked { found, graph, .. } = checked(&studies.join(file));
        assert!(found.is_empty(), "{file}: {found:#?}");
        for (name, cells, actions) in rows {
            let row =
                graph.rows.iter().find(|r| r.name == *name).unwrap_or_else(|| panic!("{file}: no {name}"));
            let unique: BTreeSet<u32> = row.cells.iter().map(|c| c.action.0).collect();
            assert_eq!((row.cells.len(), unique.len()), (*cells, *actions), "{file}: {name}");
        }
    }
}

#[test]
fn a_generated_study_has_the_cells_it_should_have() {
    let (rates, seeds) = (3, 4);
    let world = crate::large_study::large(rates, seeds);
    let (mut sources, mut sink) = (SourceMap::new(), Diagnostics::new());
    let study = load(Path::new("/study/root.xpipe"), &world, &mut sources, &mut sink).unwrap();
    assert_eq!(study.modules.len(), 4);
    let (registry, overrides) = (xpipe_study::ops::registry(), Overrides::default());
    let graph = expand(&study, &registry, &world, &overrides, &mut sink);
    assert!(sink.is_empty(), "{:#?}", sink.sorted());
    let models = crate::large_study::models(rates, seeds);
    let counts: Vec<(&str, usize, usize)> = graph
        .rows
        .iter()
        .filter(|r| r.named && !r.axes.is_empty())
        .map(|r| {
            let actions: BTreeSet<u32> = r.cells.iter().map(|c| c.action.0).collect();
            (r.name.as_str(), r.cells.len(), actions.len())
        })
        .collect();
    // bce and hinge draw the same samples.
    let pinned = [
        ("samples", 16, 12),
        ("model", models, models),
        ("reranked", models, models),
        ("scores", models, models),
        ("kept", models, models),
    ];
    assert_eq!((models, counts.as_slice()), (220, pinned.as_slice()));
    assert_eq!(
        counts.iter().map(|(_, cells, _)| cells).sum::<usize>(),
        crate::large_study::cells(rates, seeds)
    );
    let table = &graph.tables[0];
    assert_eq!(
        (table.title.as_str(), table.values.len(), table.values[0].len()),
        (Some("nDCG@10 over 4 seeds"), 5, 4)
    );
}
