//! LoRA adapters of PEFT: put together with their model, wherever both are, and scored as the merged model.

use std::collections::HashMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::hub::xpipe;
use super::hub_server::{Hub, Manner};
use super::space::{Space, repository};

const QUERY: &str = "electra.encoder.layer.0.attention.self.query";
const STUDY: &str = r#"edition 2026
use std.retrieval { bm25_run }
dataset tiny: TestCollection = local { docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv" }
axis model: Backbone = { hub = hf("lab/adapter"), folder = checkpoint("local"), merged = checkpoint("merged"), base = checkpoint("base") }
stage first = bm25_run(corpus = tiny.corpus, queries = tiny.queries, depth = 3)
stage scored for model = score.cross_encoder { model, run = first, input = query_document(query = 12, document = 24) }
"#;

fn numbers(n: usize, of: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 5 + of * 3) % 13) as f32 / 4.0 - 1.5).collect()
}

fn bytes(x: &[f32]) -> Vec<u8> {
    x.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// The base, an adapter of rank 2 with alpha 8, and the base with the adapter merged by hand.
fn write(space: &Space) {
    let electra = repository("tests/data/made/electra-wide");
    let letters: Vec<String> = ('a'..='z').flat_map(|c| [c.to_string(), format!("##{c}")]).collect();
    let words = format!("[PAD]\n[UNK]\n[CLS]\n[SEP]\n{}", letters.join("\n"));
    for name in ["base", "merged"] {
        std::fs::create_dir(space.path(name)).unwrap();
        std::fs::copy(electra.join("config.json"), space.path(name).join("config.json")).unwrap();
        std::fs::write(space.path(name).join("vocab.txt"), &words).unwrap();
        std::fs::write(space.path(name).join("tokenizer_config.json"), "{}").unwrap();
    }
    let file = std::fs::read(electra.join("model.safetensors")).unwrap();
    std::fs::write(space.path("base/model.safetensors"), &file).unwrap();
    let all = SafeTensors::deserialize(&file).unwrap();
    let (a, b) = (numbers(2 * 16, 1), numbers(16 * 2, 2));
    let name = format!("{QUERY}.weight");
    let mut weight: Vec<f32> = all
        .tensor(&name)
        .unwrap()
        .data()
        .chunks(4)
        .map(|x| f32::from_le_bytes(x.try_into().unwrap()))
        .collect();
    for o in 0..16 {
        for i in 0..16 {
            weight[o * 16 + i] += (b[o * 2] * a[i] + b[o * 2 + 1] * a[16 + i]) * 4.0;
        }
    }
    let weight = bytes(&weight);
    let mut tensors: HashMap<String, TensorView<'_>> = all.tensors().into_iter().collect();
    tensors.insert(name, TensorView::new(Dtype::F32, vec![16, 16], &weight).unwrap());
    safetensors::serialize_to_file(tensors, None, &space.path("merged/model.safetensors")).unwrap();
    let (a, b) = (bytes(&a), bytes(&b));
    let adapter = HashMap::from([
        (
            format!("base_model.model.{QUERY}.lora_A.weight"),
            TensorView::new(Dtype::F32, vec![2, 16], &a).unwrap(),
        ),
        (
            format!("base_model.model.{QUERY}.lora_B.weight"),
            TensorView::new(Dtype::F32, vec![16, 2], &b).unwrap(),
        ),
    ]);
    for (folder, base) in
        [("adapter", "lab/base".to_owned()), ("local", space.path("base").display().to_string())]
    {
        std::fs::create_dir(space.path(folder)).unwrap();
        safetensors::serialize_to_file(&adapter, None, &space.path(folder).join("adapter_model.safetensors"))
            .unwrap();
        let config = serde_json::json!({"peft_type": "LORA", "base_model_name_or_path": base, "r": 2, "lora_alpha": 8,
            "bias": "none", "target_modules": ["query"], "task_type": "SEQ_CLS"});
        std::fs::write(space.path(folder).join("adapter_config.json"), config.to_string()).unwrap();
    }
}

fn scores(space: &Space, label: &str) -> Vec<f64> {
    let (cell, out) = (format!("scored[{label}]"), format!("{label}.tsv"));
    let _ = std::fs::remove_file(space.path(&out));
    xpipe(space, "http://127.0.0.1:1", &[("HF_HUB_OFFLINE", "1")], &["export", "study.xpipe", &cell, &out])
        .says(0, &[]);
    space.read(&out).lines().map(|l| l.rsplit('\t').next().unwrap().parse().unwrap()).collect()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert!(a.len() == b.len() && a.len() > 10);
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn hub(space: &Space) -> Hub {
    let folder = |name: &str| (format!("lab/{name}"), space.path(name));
    Hub::start(Manner { models: [folder("adapter"), folder("base")].into(), ..Manner::default() })
}

#[test]
fn an_adapter_scores_as_the_model_that_it_is_merged_into() {
    let space = Space::new(STUDY);
    write(&space);
    xpipe(&space, &hub(&space).address, &[], &["run", "study.xpipe", "--plain"]).says(0, &[]);
    let [hub, folder, merged, base] = ["hub", "folder", "merged", "base"].map(|label| scores(&space, label));
    assert!(distance(&hub, &merged) < 1e-5 && distance(&folder, &merged) < 1e-5);
    assert!(distance(&merged, &base) > 1e-2, "the adapter changes scores");
    let lock = space.read("study.lock");
    assert!(lock.contains("lab/adapter") && lock.contains("lab/base"), "both are pinned: {lock}");
    let again = xpipe(&space, "http://127.0.0.1:1", &[], &["run", "study.xpipe", "--locked", "--json"]);
    assert_eq!(again.counts().0, 0, "nothing runs again");
    // Another adapter is another model.
    let path = space.path("local/adapter_config.json");
    edit(&path, "\"lora_alpha\":8", "\"lora_alpha\":2");
    let ran = xpipe(&space, "http://127.0.0.1:1", &[], &["run", "study.xpipe", "--locked", "--json"]);
    assert_eq!(ran.counts().0, 1);
    assert!(distance(&scores(&space, "folder"), &merged) > 1e-3);
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn an_adapter_whose_model_is_not_at_hand_says_which() {
    let space = Space::new(STUDY);
    write(&space);
    std::fs::remove_dir_all(space.path("base")).unwrap();
    let models = [("lab/adapter".to_owned(), space.path("adapter"))].into();
    let hub = Hub::start(Manner { models, ..Manner::default() });
    let ran = xpipe(&space, &hub.address, &[], &["run", "study.xpipe", "--plain"]);
    ran.says(
        4,
        &[
            "lab/adapter@01234567 is an adapter of the model lab/base, which is not at hand",
            "local is an adapter of the model",
        ],
    );
}

#[test]
fn a_kind_of_adapter_without_implementation_is_told_before_the_run() {
    let space = Space::new(STUDY);
    write(&space);
    edit(
        &space.path("local/adapter_config.json"),
        "\"bias\":\"none\"",
        "\"bias\":\"none\",\"use_dora\":true",
    );
    let ran = xpipe(&space, &hub(&space).address, &[], &["run", "study.xpipe", "--plain"]);
    ran.says(4, &["`use_dora` is true", "nothing was started"]);
}
