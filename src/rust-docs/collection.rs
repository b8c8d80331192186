//! Items to a collection: which are kept, which split their crate belongs to, and the files.
//!
//! Left out are items whose first sentence is short or long, or is the first sentence of another item too; whose
//! signature is the signature of another item too (then more than one passage answers); and those whose signature
//! repeats the sentence word by word. Everything is chosen and sorted by content, so the order of files on a disk does
//! not matter.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::scan;
use super::sources::Crate;
use super::text;
use xpipe_base::place;
use xpipe_base::task::Failure;
use xpipe_base::value::Digest;

/// Passages of the collection at most.
const PASSAGES: usize = 20_000;
/// Passages of one crate at most: a few large ones would be most of the collection.
const OF_A_CRATE: usize = 300;
/// Words of a query, at least and at most.
const QUERY: std::ops::RangeInclusive<usize> = 4..=40;
/// Characters of a signature that are kept: what a small model reads of a passage, so that BM25 and the model see the
/// same text.
const SIGNATURE: usize = 160;

/// What is written of an item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// `crate/src/file.rs:line`, of query and passage.
    pub(super) id: String,
    /// The crate's name.
    pub(super) owner: String,
    /// The first sentence of the item's documentation.
    pub(super) query: String,
    /// The item's signature.
    pub(super) passage: String,
}

/// The items of a crate's sources that may stand in a collection.
///
/// # Errors
/// A folder or file cannot be read.
pub(super) fn read(of: &Crate) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for path in rust_files(&of.folder.join("src"))? {
        let bytes = std::fs::read(&path).map_err(|e| place::io(&path, e))?;
        let inside = path.strip_prefix(&of.folder).unwrap_or(&path);
        let names: Vec<_> = inside.components().map(|c| c.as_os_str().to_string_lossy()).collect();
        for item in scan::items(&String::from_utf8_lossy(&bytes)) {
            entries.push(Entry {
                id: format!("{}/{}:{}", of.name, names.join("/"), item.line)
                    .replace(char::is_whitespace, "_"),
                owner: of.name.clone(),
                query: text::first_sentence(&item.doc),
                passage: item.signature.chars().take(SIGNATURE).collect(),
            });
        }
    }
    Ok(entries)
}

/// Every `.rs` file under a folder, sorted; none when there is no such folder.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let (mut found, mut waiting) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = waiting.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(&folder).map_err(|e| place::io(&folder, e))? {
            let path = entry.map_err(|e| place::io(&folder, e))?.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|x| x == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The entries of the collection, sorted by id.
pub(super) fn select(mut all: Vec<Entry>) -> Vec<Entry> {
    all.sort();
    all.dedup_by(|a, b| a.id == b.id);
    let (mut queries, mut passages) = (BTreeMap::<String, u32>::new(), BTreeMap::<String, u32>::new());
    for entry in &all {
        *queries.entry(words(&entry.query).join(" ")).or_default() += 1;
        *passages.entry(words(&entry.passage).join(" ")).or_default() += 1;
    }
    all.retain(|entry| {
        let (query, passage) = (words(&entry.query), words(&entry.passage));
        let (asked, answer) = (query.join(" "), passage.join(" "));
        QUERY.contains(&query.len())
            && queries.get(&asked) == Some(&1)
            && passages.get(&answer) == Some(&1)
            && !format!(" {answer} ").contains(&format!(" {asked} "))
    });
    // Few enough: by a digest of the id, which has nothing to do with the text.
    all.sort_by_cached_key(|entry| Digest::of(entry.id.as_bytes()));
    let mut of_crate = BTreeMap::<String, usize>::new();
    all.retain(|entry| {
        let n = of_crate.entry(entry.owner.clone()).or_default();
        *n += 1;
        *n <= OF_A_CRATE
    });
    all.truncate(PASSAGES);
    all.sort();
    all
}

/// Lower-case runs of letters and digits.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
}

/// 0 to train, 1 to validate, 2 to test: by the crate's name alone.
fn split(owner: &str) -> usize {
    match Digest::of(owner.as_bytes()).0[0] {
        0..=153 => 0,
        154..=178 => 1,
        _ => 2,
    }
}

/// Writes the files; gives back the queries of each split.
///
/// # Errors
/// The disk is full or cannot be written.
pub(super) fn write(entries: &[Entry], out: &Path) -> Result<[usize; 3], Failure> {
    let create = |name: &str| -> Result<BufWriter<File>, Failure> {
        let path = out.join(name);
        Ok(BufWriter::new(File::create(&path).map_err(|e| place::io(&path, e))?))
    };
    let (mut docs, mut queries) = (create("docs.jsonl")?, create("queries.jsonl")?);
    let mut qrels = [create("qrels.train.tsv")?, create("qrels.dev.tsv")?, create("qrels.test.tsv")?];
    for file in &mut qrels {
        writeln!(file, "query-id\tcorpus-id\tscore")?;
    }
    let mut counts = [0; 3];
    for entry in entries {
        writeln!(docs, "{}", json!({ "_id": entry.id, "text": entry.passage }))?;
        writeln!(queries, "{}", json!({ "_id": entry.id, "text": entry.query }))?;
        let split = split(&entry.owner);
        writeln!(qrels[split], "{}\t{}\t1", entry.id, entry.id)?;
        counts[split] += 1;
    }
    docs.flush()?;
    queries.flush()?;
    qrels.iter_mut().try_for_each(Write::flush)?;
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, query: &str, passage: &str) -> Entry {
        let owner = id.split('/').next().unwrap_or("").to_owned();
        Entry { id: id.into(), owner, query: query.into(), passage: passage.into() }
    }

    #[test]
    fn what_would_be_unfair_is_left_out() {
        let kept = select(vec![
            entry("a/1", "Takes the first book away.", "Shelf fn take(&mut self) -> Option<Book>"),
            entry("a/2", "Too short.", "Shelf fn short(&self)"),
            entry("a/3", "Two items say this.", "Shelf fn say(&self)"),
            entry("b/1", "Two items say this!", "Desk fn say(&self)"),
            entry("b/2", "This stands in its signature.", "fn this_STANDS_in_its_signature()"),
            entry("c/1", "Another item has this signature.", "fn new() -> Self"),
            entry("c/2", "And this has it as well.", "fn new() -> Self"),
            entry("c/0", "Puts the last book back.", "Shelf fn put(&mut self, book: Book)"),
        ]);
        let ids: Vec<&str> = kept.iter().map(|e| e.id.as_str()).collect();
        assert_eq!(ids, ["a/1", "c/0"]);
    }

    #[test]
    fn no_crate_has_more_than_its_share() {
        let many: Vec<Entry> = (0..OF_A_CRATE + 50)
            .map(|i| {
                entry(
                    &format!("big/{i}"),
                    &format!("Takes the book of number {i}."),
                    &format!("fn take_{i}()"),
                )
            })
            .collect();
        let kept = select(many.clone());
        assert_eq!(kept.len(), OF_A_CRATE);
        let mut turned = many;
        turned.reverse();
        assert_eq!(select(turned), kept);
    }

    #[test]
    fn the_files_are_those_of_a_collection() {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..40).map(|i| format!("crate{i}/src/lib.rs:1")).collect();
        let entries: Vec<Entry> = names.iter().map(|n| entry(n, "A \"query\" here.", "fn here()")).collect();
        let counts = write(&entries, dir.path()).unwrap();
        assert_eq!(counts.iter().sum::<usize>(), 40);
        assert!(counts.iter().all(|n| *n > 0), "{counts:?}");
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("qrels.dev.tsv").lines().count(), counts[1] + 1);
        let first: serde_json::Value =
            serde_json::from_str(read("queries.jsonl").lines().next().unwrap()).unwrap();
        assert_eq!(first, json!({"_id": "crate0/src/lib.rs:1", "text": "A \"query\" here."}));
    }
}
