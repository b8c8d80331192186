//! A language model on this machine as a teacher, end to end: a small Llama with random weights, made on the fly.

use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;
use xpipe_base::value::rng::Stream;

use crate::space::{Space, repository};

const STUDY: &str = r#"edition 2026
use std.retrieval { bm25_run }
dataset tiny: TestCollection = local { docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv", role = train }
stage few    = data.sample { queries = tiny.queries, n = 4, seed = 1 }
stage found  = bm25_run(corpus = tiny.corpus, queries = few, depth = 4)
stage ranked = rerank.llm { model = checkpoint("llama"), run = found, prompt = rank_zephyr, max_tokens = 6 }
stage scored = score.llm { model = checkpoint("llama"), run = found, prompt = grade, read = text, max_tokens = 20 }
"#;

/// Llama's tensors with their shapes: width 16, two layers of two heads.
fn llama(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let tokenizer = repository("examples/quickstart/model/tokenizer.json");
    std::fs::copy(&tokenizer, folder.join("tokenizer.json")).unwrap();
    let words = tokenizers::Tokenizer::from_file(&tokenizer).unwrap().get_vocab_size(true);
    let config = json!({
        "model_type": "llama", "vocab_size": words, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "rms_norm_eps": 1e-6, "max_position_embeddings": 1024, "tie_word_embeddings": true,
    });
    let chat = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    std::fs::write(folder.join("tokenizer_config.json"), json!({ "chat_template": chat }).to_string())
        .unwrap();
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![words, 16]),
        ("model.norm.weight".to_owned(), vec![16]),
    ];
    for i in 0..2 {
        for (name, shape) in [
            ("self_attn.q_proj", vec![16, 16]),
            ("self_attn.k_proj", vec![16, 16]),
            ("self_attn.v_proj", vec![16, 16]),
            ("self_attn.o_proj", vec![16, 16]),
            ("mlp.gate_proj", vec![32, 16]),
            ("mlp.up_proj", vec![32, 16]),
            ("mlp.down_proj", vec![16, 32]),
            ("input_layernorm", vec![16]),
            ("post_attention_layernorm", vec![16]),
        ] {
            shapes.push((format!("model.layers.{i}.{name}.weight"), shape));
        }
    }
    let stream = Stream::new(1, &["llama"]);
    let bytes = |i: usize, n: usize| -> Vec<u8> {
        let stream = stream.sub(i as u64);
        (0..n as u64).flat_map(|k| (0.3 * stream.normal(k) as f32).to_le_bytes()).collect()
    };
    let numbers: Vec<Vec<u8>> =
        shapes.iter().enumerate().map(|(i, (_, shape))| bytes(i, shape.iter().product())).collect();
    let views = shapes.iter().zip(&numbers).map(|((name, shape), bytes)| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
}

#[test]
fn a_model_of_this_machine_ranks_and_its_answers_are_kept() {
    let space = Space::new(STUDY);
    llama(&space.path("llama"));
    let run = |space: &Space| space.xpipe(&["run", "study.xpipe", "--plain", "--target", "ranked"]);
    run(&space).says(0, &[]);
    let first = space.contents();
    // Again without results: from the answers, and in another cache from the model, to the same bytes.
    for folder in ["actions", "trees", "objects"] {
        std::fs::remove_dir_all(space.cache().join("v1").join(folder)).unwrap();
    }
    run(&space).says(0, &[]);
    assert_eq!(space.contents(), first);
    std::fs::remove_dir_all(space.cache()).unwrap();
    run(&space).says(0, &[]);
    assert_eq!(space.contents(), first);
    // Words of chance hold no grade, or some: both end in a sentence, not in a crash.
    let scored = space.xpipe(&["run", "study.xpipe", "--plain", "--target", "scored"]);
    if scored.code != Some(0) {
        scored.says(1, &["no answer of the language model says anything to score by"]);
    }
    // What only an endpoint has is refused here.
    space.edit("study.xpipe", "max_tokens = 6 }", "max_tokens = 7 } with { concurrency = 2 }");
    run(&space).says(4, &["`concurrency` in `with` has no effect on a model of this machine"]);
    space.edit("study.xpipe", " with { concurrency = 2 }", "");
    std::fs::write(space.path("llama/tokenizer_config.json"), "{}").unwrap();
    run(&space).says(4, &["has no chat template", "study.xpipe:6"]);
}
