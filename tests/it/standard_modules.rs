//! The modules of `pipelines/std` are files of the language, and their table of backbones is whole.

use std::path::{Path, PathBuf};

use xpipe_base::diag::{Diagnostics, FileId};
use xpipe_lang::syntax;

fn folder() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("pipelines/std")
}

fn modules() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "xpipe"))
        .collect();
    found.sort();
    found
}

#[test]
fn every_module_parses() {
    let modules = modules();
    assert!(modules.len() >= 7, "{modules:?}");
    for path in modules {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut sink = Diagnostics::new();
        let file = syntax::parse(FileId(0), &text, &mut sink);
        assert!(sink.is_empty(), "{}: {:#?}", path.display(), sink.sorted());
        assert!(file.items.len() > 1, "{}", path.display());
    }
}

#[test]
fn every_digest_is_an_md5_and_every_address_is_encrypted() {
    for path in modules() {
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|l| l.contains("digest ") && l.contains('=')) {
            let mut texts = line.split('"').skip(1).step_by(2);
            let digest = texts.find(|text| text.contains(':')).unwrap_or_else(|| panic!("{line}"));
            let hex = digest.strip_prefix("md5:").unwrap_or_else(|| panic!("{}: {line}", path.display()));
            assert!(
                hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
                "{}: {line}",
                path.display()
            );
        }
        // The address may stand on a line of its own.
        for after in text.split(" url ").skip(1).filter(|t| t.trim_start().starts_with('=')) {
            let address = after.split('"').nth(1).unwrap();
            assert!(address.starts_with("https://"), "{}: {address}", path.display());
        }
    }
}

#[test]
fn the_table_of_backbones_is_whole() {
    let text = std::fs::read_to_string(folder().join("backbones.csv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("name,architecture,positions"));
    let mut names = Vec::new();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let &[name, architecture, positions] = cells.as_slice() else { panic!("{line}") };
        assert_eq!(name.split('/').count(), 2, "{line}");
        assert!(
            ["bert", "electra", "roberta", "xlm-roberta", "deberta-v2", "distilbert", "modernbert"]
                .contains(&architecture),
            "{line}"
        );
        assert!((512..=8192).contains(&positions.parse::<u32>().unwrap()), "{line}");
        names.push(name);
    }
    for name in [
        "jhu-clsp/ettin-encoder-17m",
        "jhu-clsp/ettin-encoder-150m",
        "microsoft/MiniLM-L12-H384-uncased",
        "google-bert/bert-base-uncased",
        "google/electra-base-discriminator",
        "FacebookAI/roberta-base",
        "microsoft/deberta-v3-base",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name is there twice");
}
