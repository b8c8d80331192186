//! What is fuzzed: every reader of bytes from outside, as a function that must not panic. Shared by the fuzz targets and
//! by the property tests that run in CI.

use std::path::Path;

use xpipe_base::diag::{Diagnostics, FileId};
use xpipe_base::task::Silent;
use xpipe_base::value::Digest;
use xpipe_data::judgements::QrelOptions;
use xpipe_data::known::Known;
use xpipe_data::pairs::{self, PairOptions, ThirdColumn};
use xpipe_data::texts::{self, TextKind, TextOptions};
use xpipe_data::{judgements, store::TextStore};
use xpipe_engine::cache::Store;
use xpipe_lang::syntax;

/// A study: every place of a diagnostic lies in the text.
pub(crate) fn parser(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut sink = Diagnostics::new();
    let _ = syntax::parse(FileId(0), &text, &mut sink);
    for d in sink.sorted() {
        let span = d.primary.span;
        assert!(span.start <= span.end && span.end as usize <= text.len(), "{d:?}");
        assert!(
            text.is_char_boundary(span.start as usize) && text.is_char_boundary(span.end as usize),
            "{d:?}"
        );
    }
}

fn in_file<T>(name: &str, bytes: &[u8], read: impl FnOnce(&Path, &Path) -> T) -> T {
    let folder = tempfile::tempdir().expect("a folder for the input");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("the input can be written");
    read(&path, &folder.path().join("out"))
}

/// Judgements: what is read has at least one, and none is lost in its own file.
pub(crate) fn qrels(bytes: &[u8]) {
    in_file("qrels.txt", bytes, |path, out| {
        let Ok(qrels) = judgements::import(path, &QrelOptions::default(), &Known::default(), &Silent) else {
            return;
        };
        assert!(qrels.judgements() > 0);
        std::fs::create_dir_all(out).expect("a folder");
        qrels.write(out).expect("what was read can be written");
        let again = xpipe_data::qrels::Qrels::read(out).expect("what was written can be read");
        assert_eq!(again, qrels);
    });
}

/// Runs and scores: every score is finite.
pub(crate) fn run(bytes: &[u8]) {
    in_file("x.run", bytes, |path, _| {
        for third in [ThirdColumn::Score, ThirdColumn::ScoreOrRank] {
            let mut each = |group: pairs::QueryPairs| {
                assert!(!group.hits.is_empty() && group.hits.iter().all(|h| h.score.is_finite()));
                group.ranked().map(|_| ())
            };
            let _ = pairs::import(
                path,
                &PairOptions::default(),
                third,
                &Known::default(),
                &Silent,
                &mut || Ok(()),
                &mut each,
            );
        }
    });
}

/// Documents and queries in any format: what is stored is found by its id.
pub(crate) fn texts(bytes: &[u8]) {
    for (name, what) in [
        ("x.jsonl", TextKind::Queries),
        ("x.jsonl", TextKind::Corpus),
        ("x", TextKind::Corpus),
        ("x", TextKind::Queries),
    ] {
        in_file(name, bytes, |path, out| {
            let Ok(imported) = texts::import(path, what, &TextOptions::default(), out, &Silent) else {
                return;
            };
            let store = TextStore::open(out).expect("what was imported can be opened");
            assert_eq!(store.len() as u64, imported.texts);
            assert!((0..store.len()).all(|i| store.find(store.id(i)).is_some_and(|n| n as usize == i)));
        });
    }
}

/// A manifest of the store: read, or a miss.
pub(crate) fn manifest(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder for the store");
    let key = Digest::of(b"fuzzed");
    let hex = key.hex();
    let shard = folder.path().join("v1/actions").join(&hex[..2]);
    std::fs::create_dir_all(&shard).expect("a folder");
    std::fs::write(shard.join(format!("{hex}.json")), bytes).expect("the input can be written");
    let store = Store::reading(folder.path()).expect("the store opens");
    // No file of it is there: at best a result without files.
    assert!(store.get(&key).map_or(true, |m| m.outputs.is_empty()));
    let _ = (store.record(&key), store.recipe(&key));
    let _ = serde_json::from_slice(bytes).ok().and_then(|json| xpipe_engine::cache::read_recipe(&json));
}
