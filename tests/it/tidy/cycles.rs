//! No cycle among the modules of one folder. A module counts with everything below it.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::{Modules, production};

/// The modules of a folder, and which of them each uses.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// For each folder, which of its modules uses which.
fn folders() -> BTreeMap<String, Uses> {
    let sources = production();
    let modules = Modules::of(&sources);
    let mut folders: BTreeMap<String, Uses> = BTreeMap::new();
    for source in &sources {
        let (here, named) = modules.named_by(source);
        for there in named {
            let common = here.iter().zip(&there).take_while(|(a, b)| a == b).count();
            // Items of a parent are not those of a sibling; other crates are the compiler's to watch.
            if common > 0 && common < here.len() && common < there.len() {
                let uses = folders.entry(here[..common].join("/")).or_default();
                uses.entry(here[common].clone()).or_default().insert(there[common].clone());
            }
        }
    }
    folders
}

/// What can be reached from a module.
fn reached<'a>(uses: &'a Uses, from: &'a str) -> BTreeSet<&'a str> {
    let (mut found, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        next.extend(uses.get(module).into_iter().flatten().map(String::as_str).filter(|m| found.insert(*m)));
    }
    found
}

/// Groups of modules of which each reaches the others.
fn cycles(uses: &Uses) -> BTreeSet<Vec<&str>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> = uses.keys().map(|m| (m.as_str(), reached(uses, m))).collect();
    let within = |m: &str| {
        let all = reach[m].iter().copied();
        all.filter(|o| reach.get(o).is_some_and(|r| r.contains(m))).collect::<Vec<_>>()
    };
    reach.keys().map(|m| within(m)).filter(|group| !group.is_empty()).collect()
}

#[test]
fn modules_of_a_folder_form_no_cycle() {
    let folders = folders();
    assert!(folders["lang/graph"].len() > 10 && folders["nn/cpu"].len() > 5, "{folders:#?}");
    let mut found = BTreeSet::new();
    for (folder, uses) in &folders {
        for group in cycles(uses) {
            let detail: Vec<String> = group
                .iter()
                .map(|m| {
                    let used: Vec<&str> =
                        uses[*m].iter().map(String::as_str).filter(|u| group.contains(u)).collect();
                    format!("{m} uses {}", used.join(", "))
                })
                .collect();
            found.insert((folder.as_str(), group, detail.join("; ")));
        }
    }
    assert!(found.is_empty(), "cycles of modules: {found:#?}");
}

#[test]
fn a_cycle_is_found() {
    let uses = |edges: &[(&str, &str)]| {
        let mut uses = Uses::new();
        for (a, b) in edges {
            uses.entry((*a).to_owned()).or_default().insert((*b).to_owned());
        }
        uses
    };
    let none = uses(&[("a", "b"), ("b", "c"), ("a", "c")]);
    assert!(cycles(&none).is_empty());
    let one = uses(&[("a", "b"), ("b", "c"), ("c", "b"), ("d", "a")]);
    assert_eq!(cycles(&one), BTreeSet::from([vec!["b", "c"]]));
}
