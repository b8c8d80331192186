//! What is told of a study's inputs before its first stage: all of it at once, with the place of each stage.

use std::path::Path;

use serde_json::json;

use super::space::{Space, repository};

const STUDY: &str = r#"edition 2026
use std.retrieval { bm25_run }
dataset tiny: TestCollection = local { docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv" }
stage first = bm25_run(corpus = tiny.corpus, queries = tiny.queries, depth = 3)
stage a = score.cross_encoder { model = checkpoint("a"), run = first, input = query_document(query = 8, document = 16) }
stage b = rerank.cross_encoder { model = two_labels(checkpoint("b"), score = softmax), run = first, input = query_document(query = 8, document = 16) }
"#;

/// A model of letters.
fn model(space: &Space, name: &str, like: &str) {
    let folder = space.path(name);
    std::fs::create_dir(&folder).unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(repository("tests/data/made").join(like).join(file), folder.join(file)).unwrap();
    }
    let letters: Vec<String> = ('a'..='z').flat_map(|c| [c.to_string(), format!("##{c}")]).collect();
    std::fs::write(folder.join("vocab.txt"), format!("[PAD]\n[UNK]\n[CLS]\n[SEP]\n{}", letters.join("\n")))
        .unwrap();
}

fn sound() -> Space {
    let space = Space::new(STUDY);
    model(&space, "a", "electra-wide");
    model(&space, "b", "two-labels");
    space
}

/// A change of a folder that makes it no model to score with, and what is said of it.
type Spoiled = (&'static str, fn(&Path), &'static str);

const SPOILED: [Spoiled; 8] = [
    ("a", |f| std::fs::remove_file(f.join("vocab.txt")).unwrap(), "no tokenizer.json"),
    ("a", |f| std::fs::write(f.join("vocab.txt"), "a\nb\n").unwrap(), "vocab.txt"),
    (
        "a",
        |f| {
            std::fs::remove_file(f.join("model.safetensors")).unwrap();
            std::fs::create_dir(f.join("onnx")).unwrap();
            std::fs::write(f.join("onnx/model.onnx"), "").unwrap();
        },
        "no model.safetensors",
    ),
    (
        "a",
        |f| {
            let bytes = std::fs::read(f.join("model.safetensors")).unwrap();
            std::fs::write(f.join("model.safetensors"), &bytes[..bytes.len() - 10]).unwrap();
        },
        "not a whole safetensors file",
    ),
    (
        "a",
        |f| {
            for file in ["config.json", "model.safetensors"] {
                std::fs::copy(repository("tests/data/made/two-labels").join(file), f.join(file)).unwrap();
            }
        },
        "2 labels",
    ),
    (
        "b",
        |f| {
            let other = repository("tests/data/made/electra-wide/model.safetensors");
            std::fs::copy(other, f.join("model.safetensors")).unwrap();
        },
        "do not fit",
    ),
    (
        "b",
        |f| {
            let text = json!({"peft_type": "LORA", "base_model_name_or_path": "lab/base"}).to_string();
            std::fs::write(f.join("adapter_config.json"), text).unwrap();
            std::fs::write(f.join("adapter_model.safetensors"), "").unwrap();
        },
        "weights of a model and of an adapter lie in one folder",
    ),
    ("b", |f| std::fs::write(f.join("config.json"), r#"{"model_type": "bert"}"#).unwrap(), "hidden_size"),
];

#[test]
fn a_sound_study_passes_and_runs() {
    let space = sound();
    space.xpipe(&["check", "study.xpipe", "--data"]).says(0, &[]);
    assert!(!space.cache().exists(), "looking makes no cache");
    let plan = space.xpipe(&["plan", "study.xpipe"]);
    assert!(plan.code == Some(0) && !plan.out.contains("study.xpipe:"), "{}", plan.out);
    space.xpipe(&["run", "study.xpipe", "--plain"]).says(0, &[]);
}

#[test]
fn models_that_would_fail_are_told_before_the_first_stage() {
    for (name, spoil, told) in SPOILED {
        let space = sound();
        spoil(&space.path(name));
        let line = if name == "a" { "study.xpipe:5:" } else { "study.xpipe:6:" };
        let ran = space.xpipe(&["run", "study.xpipe", "--plain"]);
        ran.says(4, &[told, line, "nothing was started"]);
        assert!(!space.cache().join("v1/actions").exists(), "{told}: {}{}", ran.out, ran.err);
        space.xpipe(&["check", "study.xpipe"]).says(0, &[]);
        space.xpipe(&["check", "study.xpipe", "--data"]).says(4, &[told, line]);
        let plan = space.xpipe(&["plan", "study.xpipe"]);
        assert!(plan.code == Some(0) && plan.out.contains(told), "{told}: {}", plan.out);
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let space = sound();
    std::fs::remove_file(space.path("a/vocab.txt")).unwrap();
    std::fs::remove_file(space.path("b/model.safetensors")).unwrap();
    std::fs::remove_file(space.path("data/qrels.tsv")).unwrap();
    space.edit(
        "study.xpipe",
        "stage a",
        "stage judged = evaluate { run = first, qrels = tiny.qrels, metrics = [ap()] }\nstage a",
    );
    let all = ["qrels.tsv", "no tokenizer.json", "no model.safetensors", "study.xpipe:6:", "study.xpipe:7:"];
    space.xpipe(&["run", "study.xpipe", "--plain"]).says(4, &all);
    space.xpipe(&["check", "study.xpipe", "--data"]).says(4, &all);
    let json = space.xpipe(&["check", "study.xpipe", "--data", "--json"]).json();
    assert_eq!(json.as_array().unwrap().len(), 3, "{json:#}");
    assert!(json.as_array().unwrap().iter().all(|d| d["severity"] == "error" && d["message"].is_string()));
}

#[test]
fn what_is_cached_needs_no_model() {
    let space = sound();
    space.xpipe(&["run", "study.xpipe", "--plain"]).says(0, &[]);
    // The folders are what they were for the keys, and would be told if they were read.
    let before = space.contents();
    space.xpipe(&["run", "study.xpipe", "--plain"]).says(0, &[]);
    assert_eq!(before, space.contents());
}

#[test]
fn a_wrong_study_is_wrong_first() {
    let space = sound();
    std::fs::remove_file(space.path("a/vocab.txt")).unwrap();
    space.edit("study.xpipe", "depth = 3", "depht = 3");
    space.xpipe(&["check", "study.xpipe", "--data"]).says(3, &["depht"]);
}

#[test]
fn files_of_the_wrong_kind_are_told_before_the_first_stage() {
    type Spoil = fn(&Space);
    let spoil: [(Spoil, &str); 3] = [
        (|s| std::fs::create_dir(s.path("data/qrels.tsv")).unwrap(), "qrels.tsv: the folder holds no files"),
        (
            |s| {
                let made =
                    std::process::Command::new("mkfifo").arg(s.path("data/qrels.tsv")).status().unwrap();
                assert!(made.success());
            },
            "qrels.tsv is neither a file nor a folder",
        ),
        (|_| {}, "there is no file"),
    ];
    for (spoil, told) in spoil {
        let space = sound();
        let judged = "stage judged = evaluate { run = first, qrels = tiny.qrels, metrics = [ap()] }\nstage a";
        space.edit("study.xpipe", "stage a", judged);
        std::fs::remove_file(space.path("data/qrels.tsv")).unwrap();
        spoil(&space);
        space
            .xpipe(&["run", "study.xpipe", "--plain"])
            .says(4, &[told, "study.xpipe:3:", "nothing was started"]);
        space.xpipe(&["check", "study.xpipe", "--data"]).says(4, &[told]);
        assert!(space.contents().is_empty());
    }
}

#[test]
fn ids_and_lines_of_small_files_are_looked_at_without_a_run() {
    let space = Space::new(crate::space::RETRIEVAL);
    space.xpipe(&["check", "study.xpipe", "--data"]).says(0, &[]);
    let qrels = space.read("data/qrels.tsv");
    let query = qrels.lines().nth(1).unwrap().split('\t').next().unwrap().to_owned();
    space.write("data/qrels.tsv", &format!("{qrels}{query}\tnowhere\t1\n"));
    let ended = space.xpipe(&["check", "study.xpipe", "--data"]);
    ended.says(4, &["found the document id `nowhere`", "for tiny.qrels", "unknown = drop"]);
    // Nothing of it went into the cache.
    assert!(!space.cache().join("v1/actions").exists());
    space.write("data/qrels.tsv", &qrels);
    let corpus = space.read("data/corpus.jsonl");
    space.write("data/corpus.jsonl", &format!("{corpus}{{\"_id\": \"cut\", \"te\n"));
    space.xpipe(&["check", "study.xpipe", "--data"]).says(4, &["corpus.jsonl", "for tiny.corpus"]);
}
