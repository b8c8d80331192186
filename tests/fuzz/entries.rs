//! What is fuzzed: every reader of bytes from outside, as a function that must not panic. Shared by the fuzz targets and
//! by the property tests that run in CI.

use std::path::Path;

use xpipe_base::archive::Tar;
use xpipe_base::diag::{Diagnostics, FileId};
use xpipe_base::task::Silent;
use xpipe_base::value::Digest;
use xpipe_data::judgements::QrelOptions;
use xpipe_data::known::Known;
use xpipe_data::pairs::{self, PairOptions, ThirdColumn};
use xpipe_data::texts::{self, TextKind, TextOptions};
use xpipe_data::triples::{self, TripleOptions};
use xpipe_data::{judgements, store::TextStore};
use xpipe_engine::cache::{Rates, Store};
use xpipe_engine::fetch::{FetchRequest, Sources, fetch};
use xpipe_lang::syntax;
use xpipe_nn::config::Fields;
use xpipe_nn::sentence::Sentence;
use xpipe_nn::tokenizer::Tokenizer;
use xpipe_nn::weights::{Checkpoint, CheckpointPart, Labels};

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

/// What a cache records besides results: digests of files, speeds of models, the history of a study.
pub(crate) fn records(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder for the store");
    let v1 = folder.path().join("v1");
    std::fs::create_dir_all(v1.join("studies")).expect("a folder");
    let study = folder.path().join("a.xpipe");
    std::fs::write(&study, "edition 2026\n").expect("the study can be written");
    let name = study.display().to_string();
    let history = format!("a.xpipe-{}", &Digest::of(name.as_bytes()).hex()[..12]);
    for file in ["memo.digests", "rates.json", &format!("studies/{history}")] {
        std::fs::write(v1.join(file), bytes).expect("the input can be written");
    }
    let store = Store::reading(folder.path()).expect("the store opens");
    let _ = Rates::read(&store);
    let _ = store.history(&name).iter().count();
    // Whatever the memo says, the digest is that of the content.
    let (digest, size) = store.digest_path(&study).expect("the study can be read");
    assert_eq!((digest, size), (Digest::of(b"edition 2026\n"), 13));
}

/// Columns of a table: triples for training and scores of pairs.
pub(crate) fn parquet(bytes: &[u8]) {
    in_file("x.parquet", bytes, |path, out| {
        let _ = triples::import(path, &TripleOptions::default(), &Known::default(), out, &Silent);
    });
    run(bytes);
    qrels(bytes);
    in_file("x.parquet", bytes, |path, out| {
        let _ = texts::import(path, TextKind::Corpus, &TextOptions::default(), out, &Silent);
    });
}

/// An archive: of documents, and of members that a study names. A member that is shorter than its header says is never the
/// end without an error.
pub(crate) fn archive(bytes: &[u8]) {
    let mut archive = Tar::new(bytes);
    while let Ok(Some(member)) = archive.next_member() {
        let read = std::io::copy(&mut archive, &mut std::io::sink());
        // A member that is cut ends the archive, and the next call says so.
        if read.is_ok_and(|n| n != member.size) {
            assert!(archive.next_member().is_err());
            break;
        }
    }
    in_file("x.tar.gz", bytes, |path, out| {
        let _ = texts::import(path, TextKind::Corpus, &TextOptions::default(), out, &Silent);
    });
    let folder = tempfile::tempdir().expect("a folder");
    let mirror = folder.path().join("mirror");
    std::fs::create_dir_all(mirror.join("a.org")).expect("a folder");
    std::fs::write(mirror.join("a.org/x"), bytes).expect("the input can be written");
    let store = Store::open(&folder.path().join("cache")).expect("the store opens").durable(false);
    let request = FetchRequest {
        url: "http://a.org/x".into(),
        digest: None,
        declared: "study.xpipe:1:1".into(),
        whole: false,
        members: ["a.tsv".to_owned()].into(),
    };
    let sources = Sources { offline: true, mirrors: vec![mirror] };
    if let Ok(fetched) = fetch(&request, &store, &sources, &Silent) {
        let download = store.download(&request.url, &fetched.digest);
        assert!(store.has_download(&download, Some("a.tsv")));
    }
}

/// A model folder with one file of its own: what is checked without reading numbers agrees with what is loaded.
fn model(config: &[u8], file: &str, bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder for the model");
    std::fs::write(folder.path().join("config.json"), config).expect("the configuration can be written");
    std::fs::write(folder.path().join(file), bytes).expect("the input can be written");
    let checked = Checkpoint::check(folder.path(), Labels::One, CheckpointPart::Reranker);
    match Checkpoint::load(folder.path(), 1) {
        Ok(loaded) => {
            assert_eq!(checked.ok(), Some(loaded.drawn), "the check and the loader differ");
            let all: usize = loaded.parameters.iter().map(xpipe_nn::Parameter::len).sum();
            assert_eq!(loaded.weights.len(), all);
        }
        // Torch's older format has no header: its check finds nothing to say.
        Err(e) => assert!(!e.message.is_empty()),
    }
}

/// The configuration of a small BERT.
pub(crate) const BERT: &str = r#"{"architectures": ["BertForSequenceClassification"], "model_type": "bert", "hidden_size": 8,
    "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 20,
    "max_position_embeddings": 16, "type_vocab_size": 2, "hidden_act": "gelu", "id2label": {"0": "a"}}"#;

/// Weights in safetensors.
pub(crate) fn safetensors(bytes: &[u8]) {
    model(BERT.as_bytes(), "model.safetensors", bytes);
}

/// Weights in torch's formats.
pub(crate) fn torch(bytes: &[u8]) {
    model(BERT.as_bytes(), "pytorch_model.bin", bytes);
}

/// Configurations of models, of shards, and of sentence-transformers.
pub(crate) fn config(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder for the model");
    std::fs::write(folder.path().join("model.safetensors"), b"\x02\0\0\0\0\0\0\0{}")
        .expect("weights can be written");
    for file in
        ["config.json", "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"]
    {
        std::fs::write(folder.path().join(file), bytes).expect("the input can be written");
    }
    if let Ok(fields) = Fields::parse("config.json", bytes) {
        let _ = xpipe_nn::arch::from_fields(&fields);
    }
    let _ = Checkpoint::check(folder.path(), Labels::One, CheckpointPart::Encoder);
    let _ = Sentence::read(folder.path());
    let _ = xpipe_nn::sentence::check_cross_encoder(folder.path());
    model(BERT.as_bytes(), "model.safetensors.index.json", bytes);
}

/// Files of tokenizers: what is loaded makes ids of any text.
pub(crate) fn tokenizer(bytes: &[u8]) {
    for file in
        ["tokenizer.json", "vocab.txt", "spm.model", "sentencepiece.bpe.model", "tokenizer_config.json"]
    {
        let folder = tempfile::tempdir().expect("a folder for the model");
        std::fs::write(folder.path().join("config.json"), BERT).expect("the configuration can be written");
        if file == "tokenizer_config.json" {
            let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##c\n";
            std::fs::write(folder.path().join("vocab.txt"), vocabulary)
                .expect("the vocabulary can be written");
        }
        std::fs::write(folder.path().join(file), bytes).expect("the input can be written");
        if let Ok(tokenizer) = Tokenizer::load(folder.path()) {
            for text in ["", "a bc", "\u{fb03} \u{1F469}\u{200D} ab\tc [SEP] x"] {
                if let Ok(ids) = tokenizer.ids(text, 12) {
                    assert!(ids.len() <= 12, "{ids:?}");
                }
            }
        }
    }
}
