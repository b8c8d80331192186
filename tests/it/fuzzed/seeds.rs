//! Good input for each target, to be changed.

use std::path::PathBuf;

use crate::space::repository;
use xpipe_testing::archives::{gzip, tar, zip};

fn file(path: &str) -> Vec<u8> {
    std::fs::read(repository(path)).unwrap()
}

/// The files of a folder of the repository that have an ending, sorted.
fn files(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        std::fs::read_dir(repository(folder)).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|p: &PathBuf| p.extension().is_some_and(|e| e == ending));
    paths.sort();
    paths.iter().map(|p: &PathBuf| std::fs::read(p).unwrap()).collect()
}

fn bytes(all: &[&[u8]]) -> Vec<Vec<u8>> {
    all.iter().map(|b| b.to_vec()).collect()
}

pub(super) fn studies() -> Vec<Vec<u8>> {
    let mut all = files("tests/data/studies", "xpipe");
    all.iter_mut().for_each(|text| text.truncate(4_000));
    all
}

pub(super) fn qrels() -> Vec<Vec<u8>> {
    bytes(&[
        b"1 0 a 1\n1 0 b 0\n",
        b"query-id\tcorpus-id\tscore\n1\ta\t2\n",
        b"{\"qid\": 1, \"answer_pids\": [2, 3]}\n",
    ])
}

pub(super) fn runs() -> Vec<Vec<u8>> {
    bytes(&[b"1 Q0 a 1 2.5 t\n1 Q0 b 2 1.5 t\n", b"1\ta\t1\n1\tb\t2\n2\tc\t1\n", b"q d 0.5\nq e -1e-3\n"])
}

pub(super) fn texts() -> Vec<Vec<u8>> {
    let mut all = bytes(&[
        b"{\"_id\": \"a\", \"title\": \"t\", \"text\": \"x\"}\n{\"_id\": 2, \"text\": \"y\"}\n",
        b"1\tone\n2\ttwo\n",
        b"<DOC>\n<DOCNO> a </DOCNO>\n<TEXT>x &amp; y</TEXT>\n</DOC>\n",
        b"<top>\n<num> Number: 1\n<title> a\n</top>\n",
        b"<topics>\n<topic number=\"1\">\n<query>a</query>\n</topic>\n</topics>\n",
    ]);
    all.push(file("tests/data/nano/queries.parquet"));
    all
}

pub(super) fn tables() -> Vec<Vec<u8>> {
    [files("tests/data/parquet", "parquet"), files("tests/data/nano", "parquet")].concat()
}

pub(super) fn manifests() -> Vec<Vec<u8>> {
    vec![file("src/engine/cache/testdata/manifest-v1.json")]
}

pub(super) fn records() -> Vec<Vec<u8>> {
    let digest = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    let history = format!(
        "study {{\"path\": \"/a/a.xpipe\", \"digest\": \"{digest}\"}}\n{digest} \"model[1]\"\nfailed {{\"address\": \"f\", \
         \"at\": \"2026-11-30T10:00:00Z\", \"message\": \"x\"}}\n"
    );
    let rates = "{\"format\": 1, \"rates\": [{\"machine\": \"m\", \"threads\": 2, \"kernels\": \"avx2\", \"precision\": \
                 \"fp32\", \"training\": true, \"shape\": \"bert 2\", \"width\": 128, \"flops\": 1e9, \"seconds\": 0.5}]}";
    let memo = format!("1 2 13 10 11 {digest} 01234567\n");
    bytes(&[history.as_bytes(), rates.as_bytes(), memo.as_bytes()])
}

pub(super) fn archives() -> Vec<Vec<u8>> {
    let members: [(&str, &[u8]); 3] = [
        ("a.tsv", b"1\tone\n2\ttwo\n"),
        ("sub/b.jsonl", b"{\"_id\": \"a\", \"text\": \"x\"}\n"),
        ("c", &[0; 2_000]),
    ];
    let plain = tar(&members);
    vec![gzip(&plain), zip(&members), plain]
}

/// Model folders of the fixtures.
fn models() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["tests/data/made", "tests/data/fixtures"] {
        let entries = std::fs::read_dir(repository(folder)).unwrap().map(|e| e.unwrap().path());
        found.extend(entries.filter(|p| p.join("config.json").is_file()));
    }
    found.sort();
    found
}

pub(super) fn configs() -> Vec<Vec<u8>> {
    let read = |name: &'static str| move |p: &PathBuf| std::fs::read(p.join(name)).ok();
    let mut all: Vec<Vec<u8>> = models().iter().filter_map(read("config.json")).collect();
    all.extend(models().iter().filter_map(read("model.safetensors.index.json")));
    all.push(
        br#"[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#
            .to_vec(),
    );
    all.push(br#"{"max_seq_length": 512, "do_lower_case": false}"#.to_vec());
    all
}

/// A small BERT as the entry's configuration describes it, in safetensors.
pub(super) fn weights() -> Vec<Vec<u8>> {
    let layer = "bert.encoder.layer.0";
    let mut tensors: Vec<(String, Vec<usize>)> = vec![
        ("bert.embeddings.word_embeddings.weight".into(), vec![20, 8]),
        ("bert.embeddings.position_embeddings.weight".into(), vec![16, 8]),
        ("bert.embeddings.token_type_embeddings.weight".into(), vec![2, 8]),
        ("bert.pooler.dense.weight".into(), vec![8, 8]),
        ("bert.pooler.dense.bias".into(), vec![8]),
        ("classifier.weight".into(), vec![1, 8]),
        ("classifier.bias".into(), vec![1]),
    ];
    for norm in ["bert.embeddings".to_owned(), format!("{layer}.attention.output"), format!("{layer}.output")]
    {
        tensors.extend(["weight", "bias"].map(|part| (format!("{norm}.LayerNorm.{part}"), vec![8])));
    }
    for (name, rows, columns) in [
        ("attention.self.query", 8, 8),
        ("attention.self.key", 8, 8),
        ("attention.self.value", 8, 8),
        ("attention.output.dense", 8, 8),
        ("intermediate.dense", 16, 8),
        ("output.dense", 8, 16),
    ] {
        tensors.push((format!("{layer}.{name}.weight"), vec![rows, columns]));
        tensors.push((format!("{layer}.{name}.bias"), vec![rows]));
    }
    let data: Vec<Vec<u8>> =
        tensors.iter().map(|(_, shape)| vec![0; 4 * shape.iter().product::<usize>()]).collect();
    let views = tensors.iter().zip(&data).map(|((name, shape), data)| {
        (
            name.clone(),
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap(),
        )
    });
    vec![safetensors::serialize(views, None).unwrap()]
}

pub(super) fn torch() -> Vec<Vec<u8>> {
    files("tests/data/made/kinds", "bin")
}

pub(super) fn tokenizers() -> Vec<Vec<u8>> {
    let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##c\n";
    let words: Vec<String> =
        vocabulary.lines().enumerate().map(|(i, w)| format!("{}: {i}", serde_json::Value::from(w))).collect();
    let whole = format!(
        r###"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [
        {{"id": 1, "content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}},
        {{"id": 2, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}},
        {{"id": 3, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}}],
        "normalizer": {{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}},
        "pre_tokenizer": {{"type": "BertPreTokenizer"}},
        "post_processor": {{"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}},
        "decoder": {{"type": "WordPiece", "prefix": "##", "cleanup": true}},
        "model": {{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
        "vocab": {{{}}}}}}}"###,
        words.join(", ")
    );
    let settings = r#"{"do_lower_case": true, "cls_token": "[CLS]", "tokenizer_class": "BertTokenizer", "model_max_length": 512}"#;
    let mut all = bytes(&[whole.as_bytes(), vocabulary.as_bytes(), settings.as_bytes()]);
    all.push(sentencepiece());
    all
}

/// A SentencePiece model of a few pieces: a message of protocol buffers.
fn sentencepiece() -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
    let piece = |text: &str, score: f32, kind: u8| {
        let body =
            [field(1, text.as_bytes()), vec![2 << 3 | 5], score.to_le_bytes().to_vec(), vec![3 << 3, kind]];
        field(1, &body.concat())
    };
    let special = ["<s>", "</s>", "<pad>", "[PAD]", "[CLS]", "[SEP]", "[MASK]"].map(|text| (text, 3));
    let pieces = [&[("[UNK]", 2), ("<unk>", 3)][..], &special, &[("▁a", 1), ("b", 1)]].concat();
    let pieces = pieces.iter().map(|(text, kind)| piece(text, -1.0, *kind)).collect::<Vec<_>>().concat();
    // Trainer: a unigram model. Normaliser: none.
    [pieces, field(2, &[3 << 3, 1]), field(3, &field(1, b"identity"))].concat()
}
