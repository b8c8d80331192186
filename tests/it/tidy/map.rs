//! The table of folders in src/ARCHITECTURE.md: a folder uses exactly what its row names, outside of tests.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::{Modules, production};
use crate::space::repository;

/// A row of the table.
struct Row {
    /// The folder of the crate.
    of: String,
    /// What the folder may use; `None` is everything.
    uses: Option<BTreeSet<String>>,
}

/// The rows by folder: `| crate | folder | owns | uses |` below the heading "Folders".
fn rows() -> BTreeMap<String, Row> {
    let text = std::fs::read_to_string(repository("src/ARCHITECTURE.md")).unwrap();
    let section = text.split("\n## Folders\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|l| l.starts_with("| `")).map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(|c| c.trim().trim_matches('`')).collect();
        let uses = match cells[3] {
            "all" => None,
            "–" => Some(BTreeSet::new()),
            list => Some(list.split(", ").map(str::to_owned).collect()),
        };
        (cells[1].to_owned(), Row { of: cells[0].to_owned(), uses })
    });
    rows.collect()
}

/// The folder of the map that a module belongs to: that below its crate, or the crate's own.
fn folder<'a>(module: &'a [String], rows: &BTreeMap<String, Row>) -> &'a str {
    match module.get(1) {
        Some(below) if rows.get(below).is_some_and(|r| r.of == module[0]) => below,
        _ => &module[0],
    }
}

#[test]
fn folders_use_what_the_map_names_and_nothing_else() {
    let (rows, sources) = (rows(), production());
    let modules = Modules::of(&sources);
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in &sources {
        let (here, named) = modules.named_by(source);
        let from = folder(&here, &rows).to_owned();
        if !rows.contains_key(&from) {
            continue; // a file beside the folders of a crate
        }
        let named = named.iter().map(|m| folder(m, &rows)).filter(|f| *f != from && rows.contains_key(*f));
        let named: Vec<&str> = named.collect();
        used.entry(from).or_default().extend(named.into_iter().map(str::to_owned));
    }
    assert_eq!(
        used.keys().collect::<Vec<_>>(),
        rows.keys().collect::<Vec<_>>(),
        "folders (left), rows of the map (right)"
    );
    assert!(used["ops"].contains("types") && used["graph"].contains("syntax"), "{used:?}");
    for (folder, row) in &rows {
        if let Some(uses) = &row.uses {
            assert_eq!(
                &used[folder], uses,
                "what `{folder}` uses (left), and its row in src/ARCHITECTURE.md (right)"
            );
        }
    }
}
