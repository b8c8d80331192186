//! Folders of models: which files make their content, heads that are drawn, files that are damaged or hostile.

use crate::space::{Space, repository};

const STUDY: &str = r#"edition 2026
use std.retrieval { bm25_run }
dataset tiny: TestCollection = local { docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv" }
stage found  = bm25_run(corpus = tiny.corpus, queries = tiny.queries, depth = 5)
stage ranked = rerank.cross_encoder { model = DECLARED, run = found, input = query_document(query = 8, document = 24) }
axis one = [1]
stage scores for one = evaluate { run = ranked, qrels = tiny.qrels, metrics = [ndcg(5)] }
table quality { rows = one, value = scores.ndcg_5 }
"#;

/// The quickstart's encoder, which has no head, in `model/`.
fn space(declared: &str) -> Space {
    let space = Space::new(&STUDY.replace("DECLARED", declared));
    std::fs::create_dir(space.path("model")).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let from = repository("examples/quickstart/model").join(file);
        std::fs::copy(from, space.path("model").join(file)).unwrap();
    }
    space
}

#[test]
fn a_model_without_a_head_ranks_only_where_the_study_says_so() {
    let space = space(r#"checkpoint("model")"#);
    let refused = [
        "no trained head",
        "its weights lack `bert.pooler.dense.weight`",
        "untrained(…)",
        "nothing was started",
        "study.xpipe:5:16",
    ];
    space.xpipe(&["run", "study.xpipe"]).says(4, &refused);
    assert!(space.contents().is_empty());
    space.edit("study.xpipe", r#"checkpoint("model")"#, r#"untrained(checkpoint("model"))"#);
    space.xpipe(&["run", "study.xpipe"]).says(0, &["drawn at random"]);
    // What is kept says it, too.
    let kept = space.cache().join("v1/actions");
    let manifests =
        std::fs::read_dir(kept).unwrap().flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    let told = manifests
        .filter(|m| std::fs::read_to_string(m.as_ref().unwrap().path()).unwrap().contains("drawn at random"));
    assert_eq!(told.count(), 1);
    assert_eq!(space.run().0, 0);
    // Another seed is another head; the first again is in the cache.
    space.edit("study.xpipe", r#"checkpoint("model"))"#, r#"checkpoint("model"), seed = 5)"#);
    assert_eq!(space.run().0, 2);
    // A study that no longer says so does not get the number from the cache.
    space.edit("study.xpipe", r#"untrained(checkpoint("model"), seed = 5)"#, r#"checkpoint("model")"#);
    space.xpipe(&["run", "study.xpipe"]).says(4, &["no trained head"]);
    // The page of the run before would show the number as if it stood.
    let page = space.read("results/study/report.html");
    assert!(page.contains("nothing was started") && page.contains("no trained head"), "{page}");
    for (wrong, named) in [
        (r#"untrained(untrained(checkpoint("model")))"#, "`untrained` of `untrained`"),
        (r#"two_labels(untrained(checkpoint("model")), score = softmax)"#, "`two_labels` of `untrained`"),
    ] {
        space.write("study.xpipe", &STUDY.replace("DECLARED", wrong));
        space.xpipe(&["check", "study.xpipe"]).says(3, &[named]);
    }
}

#[test]
fn the_content_of_a_model_is_what_is_read_of_it() {
    let space = space(r#"untrained(checkpoint("model"))"#);
    let (all, ..) = space.run();
    let put = |name: &str, text: &str| {
        let path = space.path("model").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    for other in [
        "README.md",
        "optimizer.pt",
        "training_args.bin",
        "onnx/model.onnx",
        "pytorch_model.bin",
        "vocab.txt",
        ".gitattributes",
        "runs/events.out.tfevents.7",
    ] {
        put(other, "of no use here");
    }
    assert_eq!(space.run(), (0, all, 0));
    // What is read where it is there counts when it comes and when it changes.
    put("tokenizer_config.json", r#"{"tokenizer_class": "BertTokenizer"}"#);
    // The ranking is made anew; it is the same, so what follows is not.
    assert_eq!(space.run().0, 1);
    put(
        "tokenizer_config.json",
        r#"{"tokenizer_class": "BertTokenizer", "model_input_names": ["input_ids", "attention_mask"]}"#,
    );
    assert_eq!(space.run().0, 2);
    std::fs::remove_file(space.path("model/tokenizer_config.json")).unwrap();
    assert_eq!(space.run().0, 0);
}

#[test]
fn a_folder_that_would_take_all_memory_or_panic_is_refused_at_once() {
    let space = space(r#"untrained(checkpoint("model"))"#);
    let config = space.read("model/config.json");
    for (from, to, named) in [
        (
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 2000000000",
            "`num_hidden_layers` is 2000000000",
        ),
        ("\"vocab_size\": 8000", "\"vocab_size\": 4000000000", "`vocab_size` is 4000000000"),
    ] {
        space.write("model/config.json", &config.replace(from, to));
        space.xpipe(&["run", "study.xpipe"]).says(4, &[named]);
    }
    space.write("model/config.json", &config);
    let tokenizer: serde_json::Value = serde_json::from_str(&space.read("model/tokenizer.json")).unwrap();
    let long =
        serde_json::json!({"type": "Replace", "pattern": {"String": "e"}, "content": "e".repeat(2000)});
    for (part, value) in [
        ("normalizer", serde_json::json!({"type": "Sequence", "normalizers": [long, long, long, long]})),
        ("normalizer", serde_json::json!({"type": "Prepend", "prepend": "a".repeat(1 << 20)})),
        ("decoder", serde_json::json!({"type": "WordPiece", "prefix\"": "##", "cleanup": true})),
        ("decoder", serde_json::json!({"type": "Strip", "content": "too long", "start": 0})),
        ("post_processor", serde_json::json!({"type": "TemplateProcessing", "single": 7})),
        ("model", serde_json::json!({"type": "Unigram", "vocab": [], "unk_id": 3})),
    ] {
        let mut changed = tokenizer.clone();
        changed[part] = value;
        space.write("model/tokenizer.json", &changed.to_string());
        let ended = space.xpipe(&["run", "study.xpipe"]);
        ended.says(4, &["tokenizer.json: not a tokenizer"]);
        assert!(!ended.err.contains("panicked") && !ended.err.contains("defect"), "{}", ended.err);
    }
}
